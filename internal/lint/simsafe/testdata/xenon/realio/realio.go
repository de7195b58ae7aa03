// Package realio stands for production, where everything goes.
package realio

import "time"

func F(c chan time.Time) {
	go func() { c <- time.Now() }()
}
