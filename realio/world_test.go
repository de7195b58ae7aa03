package realio_test

import (
	"testing"
	"time"

	"xenon/core/env/envtest"
	"xenon/realio"
)

func TestClockContract(t *testing.T) { envtest.Clock(t, scenario) }

func TestNetContract(t *testing.T) { envtest.Net(t, scenario) }

// TestLoopbackContract: connections in memory keep the promises of sockets.
func TestLoopbackContract(t *testing.T) {
	envtest.Net(t, func(t *testing.T, s envtest.Scenario) {
		t.Parallel()
		e := realio.New(realio.Options{Loopback: new(realio.Loopback), Grace: 100 * time.Millisecond})
		t.Cleanup(func() { e.Close() })
		if err := s(e.Context(), e); err != nil {
			t.Fatal(err)
		}
	})
}

// scenario runs in a process of its own.
func scenario(t *testing.T, s envtest.Scenario) {
	t.Parallel() // they wait most of the time
	e := newEnv(t)
	if err := s(e.Context(), e); err != nil {
		t.Fatal(err)
	}
}
