// Command xenon joins everything.
package main

import (
	_ "xenon/core/pageserver"
	_ "xenon/fuzz"
	_ "xenon/realio"
)

func main() {}
