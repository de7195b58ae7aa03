// Package register keeps small shared values in an object store, and hands out
// generation numbers there: all coordination that xenon has beside consensus.
//
// A register is one object: version, nonce of the writer, payload. It is
// created by If-None-Match and changed by If-Match, and never deleted; what is
// to be gone gets a payload that says so. Version and nonce make every content,
// and so every ETag, unique.
//
// An answer other than success means unknown, "precondition failed" included:
// a request may have been executed twice, or late, or its answer was lost. So
// a writer reads back and compares nonces until it knows; see
// [Register.settle]. A [Mint]ed number is simply given up instead.
package register
