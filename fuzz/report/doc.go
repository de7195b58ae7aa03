// Package report shows a run of an installation to a person: what struck whom,
// who led when, what was promised, and which promise was broken.
//
// [Run] runs a plan once more while a recorder watches. What the recorder of
// package picture cannot know is added here: messages in words (package wire's
// decoders), roles and terms, the LSNs of every node as curves, faults of the
// plan as bands, clients' calls, and the story in ten lines. [HTML] makes one
// file of it, with the nearest passing run beside it if there is one.
package report
