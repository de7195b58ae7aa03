// Package wire turns bytes into messages and back: the framing of libpq
// (PostgreSQL's protocol 3.0) with limits before every allocation, the page
// service's protocol (pagestream v3), the walproposer's protocol (v3), and
// physical replication.
//
// It is the one place that knows how a message looks, and it decides nothing.
// Start at [Accept] for a server, [Connect] for a client; both end in a [Conn],
// which carries the CopyData messages of the sub-protocols.
package wire
