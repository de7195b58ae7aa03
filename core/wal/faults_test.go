//go:build faults

package wal_test

import (
	"flag"
	"runtime"
	"testing"

	"pgregory.net/rapid"

	"xenon/core/faults"
	"xenon/core/wal"
)

// Each check of the codec fails once the code it is there for is wrong.
func TestPlantedFaultsAreFound(t *testing.T) {
	// A failure is what is wanted: it is neither kept nor made smaller.
	flag.Set("rapid.nofailfile", "true")
	flag.Set("rapid.shrinktime", "1ns")
	for _, tt := range []struct {
		name  string
		point faults.Point
		check func(rapid.TB)
	}{
		{"W01", faults.RecordCRCUnchecked, decodeErrors},
		{"W01", faults.RecordCRCUnchecked, flippedBitsAreRefused},
		{"K16", faults.IdleUnchecked, strictRefusesEveryFlippedBit},
		{"W02", faults.RecordLinkUnchecked, decodeErrors},
		{"W03", faults.ContUnchecked, decodeErrors},
		{"W04", faults.OverwriteUnnamed, overwrittenRecordIsDropped},
		{"W05", faults.SwitchEndsEarly, decodeInvertsEncode},
		{"W06", faults.HoleKept, restoreInvertsSetImage},
		{"W07", faults.BootRedoAtX, shutdownCheckpoint},
		{"W08", faults.ImagesOf15, ofMajor(wal.PG14, recordsOfMajor)},
		{"W09", faults.XactsOf15, ofMajor(wal.PG14, recordsOfMajor)},
		{"W09", faults.XactsOf15, ofMajor(wal.PG18, recordsOfMajor)},
		{"W10", faults.ControlOfFirst, ofMajor(wal.PG15, controlOfMajor)},
		{"W11", faults.LevelLost, ofMajor(wal.PG17, bootOfMajor)},
	} {
		if failed(t, tt.check) {
			t.Errorf("%s: the check fails without the fault", tt.name)
		}
		undo := faults.Plant(tt.point)
		found := failed(t, tt.check)
		undo()
		if !found {
			t.Errorf("%s is not found", tt.name)
		}
	}
}

func ofMajor(v *wal.Version, check func(rapid.TB, *wal.Version, *majorGolden)) func(rapid.TB) {
	return func(t rapid.TB) { check(t, v, loadMajor(t, v)) }
}

// failed runs a check and tells whether it failed.
func failed(t *testing.T, check func(rapid.TB)) bool {
	v := &verdict{TB: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		check(v)
	}()
	<-done
	return v.bad
}

// A verdict takes a check's failure without failing the test.
type verdict struct {
	rapid.TB
	bad bool
}

func (v *verdict) Helper()               {}
func (v *verdict) Log(...any)            {}
func (v *verdict) Logf(string, ...any)   {}
func (v *verdict) Error(...any)          { v.bad = true }
func (v *verdict) Errorf(string, ...any) { v.bad = true }
func (v *verdict) Fail()                 { v.bad = true }
func (v *verdict) Failed() bool          { return v.bad }
func (v *verdict) FailNow()              { v.bad = true; runtime.Goexit() }
func (v *verdict) Fatal(...any)          { v.FailNow() }
func (v *verdict) Fatalf(string, ...any) { v.FailNow() }
