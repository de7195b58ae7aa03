// Package envtest stands for the contract suite.
package envtest

import (
	"os"
	"testing"
)

func Run(t *testing.T) { t.Log(os.Getenv("X")) }
