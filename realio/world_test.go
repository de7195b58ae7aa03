package realio_test

import (
	"testing"

	"xenon/core/env/envtest"
)

func TestClockContract(t *testing.T) { envtest.Clock(t, scenario) }

func TestNetContract(t *testing.T) { envtest.Net(t, scenario) }

// scenario runs in a process of its own.
func scenario(t *testing.T, s envtest.Scenario) {
	t.Parallel() // they wait most of the time
	e := newEnv(t)
	if err := s(e.Context(), e); err != nil {
		t.Fatal(err)
	}
}
