package wal

import (
	"errors"
	"fmt"

	"xenon/core"
	"xenon/core/env"
)

// ErrEndOfLog reports that only zeroes follow: nothing was written there yet.
var ErrEndOfLog = errors.New("end of WAL")

// A Flaw is a way in which bytes are not the WAL that should stand there. At
// the end of a log that a crash cut off, all of them are normal.
type Flaw uint8

// The flaws.
const (
	Zeroes     Flaw = iota + 1 // a zero length or a page of zeroes: the log ends here
	BadPage                    // a page header is not of this WAL at this place
	BadLength                  // a record's length is impossible
	BadHeader                  // a record's resource manager or pointers are impossible
	BadPrev                    // the link to the record before is wrong
	BadCRC                     // the checksum does not match
	BadCont                    // the record is not continued on the next page
	BadHole                    // there is something where nothing is written
	BadContent                 // the checksum matches, but the parts of the record contradict each other
)

func (f Flaw) String() string {
	names := [...]string{"", "zeroes", "bad page header", "bad length", "bad record header",
		"bad link", "bad checksum", "bad continuation", "something in a hole", "bad content"}
	if int(f) < len(names) {
		return names[f]
	}
	return fmt.Sprintf("flaw %d", uint8(f))
}

// An InvalidError says why no record could be decoded. It matches
// [ErrEndOfLog] if the flaw is Zeroes, else env.ErrCorrupt.
type InvalidError struct {
	Flaw Flaw
	// Record is where the record begins that could not be decoded; it is At if
	// the flaw is in a page header between records.
	Record core.LSN
	// At is where the bytes are wrong.
	At     core.LSN
	reason string
}

func invalid(flaw Flaw, at core.LSN, format string, args ...any) *InvalidError {
	return &InvalidError{Flaw: flaw, Record: at, At: at, reason: fmt.Sprintf(format, args...)}
}

func (e *InvalidError) Error() string {
	if e.Record == e.At {
		return fmt.Sprintf("WAL at %s: %s", e.At, e.reason)
	}
	return fmt.Sprintf("WAL record %s, at %s: %s", e.Record, e.At, e.reason)
}

// Unwrap is the class of the error.
func (e *InvalidError) Unwrap() error {
	if e.Flaw == Zeroes {
		return ErrEndOfLog
	}
	return env.ErrCorrupt
}
