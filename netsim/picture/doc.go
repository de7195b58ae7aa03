// Package picture shows a run of a simulated world to a person: one HTML file
// that needs no server and no network, or a trace for Perfetto.
//
// A [Recorder] is given to a world as netsim.Options.Record. It draws a lane
// for each process with its incarnations, an arrow for each message, a mark for
// each operation of a disk or an object store and for each note. It knows
// nothing of the program that runs: a [Reader] says what a message means, what
// role a process has, and which numbers make a curve. [Recorder.Picture] ends
// the recording; [Write] makes the file, [WritePerfetto] the trace.
//
// A run of minutes has millions of events. Those near the moments that matter
// (the failure, faults, changes of role) are kept one by one up to [Limits];
// the rest is counted, drawn as density, and named in Picture.Omitted.
package picture
