package diskdrv

import (
	"fmt"
	"strings"
)

// An Op is one operation on a disk, for logs that show the order in which a
// part writes, syncs and renames.
type Op struct {
	Kind string // create, write, truncate, allocate, sync, mkdir, rename, remove, sync-dir
	Name string
	To   string // the new name of a rename
	Off  int64
	Len  int64
	Err  error
}

// String is a line of a golden log: "write wal/000001 0+8192".
func (o Op) String() string {
	var b strings.Builder
	b.WriteString(o.Kind + " " + o.Name)
	switch o.Kind {
	case "rename":
		b.WriteString(" " + o.To)
	case "write", "allocate":
		fmt.Fprintf(&b, " %d+%d", o.Off, o.Len)
	case "truncate":
		fmt.Fprintf(&b, " %d", o.Len)
	}
	if o.Err != nil {
		fmt.Fprintf(&b, " failed: %v", o.Err)
	}
	return b.String()
}

// StartLog begins a new log of operations.
func (d *Disk) StartLog() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.logging, d.log = true, nil
}

// Log is the operations since StartLog, those that change nothing left out.
func (d *Disk) Log() []Op {
	d.mu.Lock()
	defer d.mu.Unlock()
	return append([]Op(nil), d.log...)
}

// LogText is Log with one operation a line.
func (d *Disk) LogText() string {
	var b strings.Builder
	for _, o := range d.Log() {
		b.WriteString(o.String() + "\n")
	}
	return b.String()
}

// did notes an operation: in the log, and in the hash of the run.
func (d *Disk) did(o Op, data []byte) {
	if d.logging {
		d.log = append(d.log, o)
	}
	if d.opts.Note != nil {
		d.opts.Note(o, data)
	}
	d.spring(o)
}
