package diskdrv

import (
	"math/rand/v2"
	"strings"
	"time"
)

// A PerMille is how often something happens, in a thousand.
type PerMille int

// happens rolls the dice. It draws nothing at 0, so that a class of faults
// that is off does not change the choices of the others.
func (p PerMille) happens(r *rand.Rand) bool {
	return p > 0 && r.IntN(1000) < int(p)
}

// A Delay is how long something takes: Base, and up to Jitter more. With
// probability Stalls it takes Stall on top.
type Delay struct {
	Base, Jitter time.Duration
	Stalls       PerMille
	Stall        time.Duration
}

func (d Delay) draw(r *rand.Rand) time.Duration {
	took := d.Base
	if d.Jitter > 0 {
		took += time.Duration(r.Int64N(int64(d.Jitter)))
	}
	if d.Stalls.happens(r) {
		took += d.Stall
	}
	return took
}

// A CrashMode is how much a power cut may take.
type CrashMode uint8

const (
	// CrashHarsh keeps, drops or tears each pending change on its own.
	CrashHarsh CrashMode = iota
	// CrashJournalled keeps a prefix of the changes of the whole disk, the
	// last one perhaps torn: what a file system with ordered journalling does
	// on a device that honours flushes.
	CrashJournalled
	// CrashTorn keeps every change, and of each write only some sectors.
	CrashTorn
	// CrashNameless keeps all bytes and no name that was made, changed or
	// removed: the directory was not synced.
	CrashNameless
	// CrashHollow keeps names and sizes and no bytes: files are as long as they
	// were, and zeroes.
	CrashHollow
	// CrashReversed keeps the newest changes and drops those before them: the
	// device wrote its cache back in another order.
	CrashReversed
)

// Faults are what goes wrong by itself. The zero Faults is a disk that never
// fails and takes no time.
type Faults struct {
	Crash CrashMode
	// Names chooses whom it befalls: operations on a file whose path has Names
	// somewhere. Empty is all of them. Crash and delays are for all.
	Names string

	ReadError  PerMille // a read fails with ErrIO
	WriteError PerMille // a write fails with ErrIO after part of it
	NoSpace    PerMille // a write, or making a name, fails with ErrNoSpace, after part of it
	SyncError  PerMille // a sync fails, and what it was to make durable is lost
	NameError  PerMille // making, renaming or removing a name fails with ErrIO

	// The silent ones. Whoever turns them on answers for what the components
	// above are meant to survive.
	LostWrite PerMille // a write that a sync reports durable never reached the device
	BitRot    PerMille // a read finds one bit changed on the device, for ever
	StaleRead PerMille // a read finds one sector as it was before it was ever written
	WrongRead PerMille // a read finds the bytes of another place of the file
	WrongSpot PerMille // a write lands in another place of the file

	Read, Write, Sync, Name Delay
}

// of is what befalls an operation on a file.
func (f *Faults) of(name string) *Faults {
	if strings.Contains(name, f.Names) {
		return f
	}
	return &Faults{Crash: f.Crash, Read: f.Read, Write: f.Write, Sync: f.Sync, Name: f.Name}
}
