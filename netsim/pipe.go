package netsim

import "time"

// pipe is one direction of a connection: bytes on their way, and bytes that
// have arrived and were not read.
type pipe struct {
	w        *World
	from, to *conn
	link     *link
	timer    Timer // arrival of the first segment on its way
	flight   segments
	arrived  segments
	used     int  // bytes in either
	unread   int  // bytes in arrived
	stalled  bool // the first segment waits for a heal
	// nothing arrives before heldUntil
	heldUntil int64
	eof       bool // the end of the stream has arrived
	readers   waitset
	writers   waitset
}

// A segment is bytes, or the end of the stream, or a reset.
type segment struct {
	data []byte
	off  int   // read so far
	at   int64 // when it arrives, unless one before it arrives later
	kind segmentKind
}

type segmentKind uint8

const (
	segData segmentKind = iota
	segFin
	segReset
)

// segments is a queue.
type segments struct {
	list []segment
	head int
}

func (q *segments) len() int { return len(q.list) - q.head }

func (q *segments) first() *segment { return &q.list[q.head] }

func (q *segments) push(s segment) {
	if q.head > 32 && q.head > len(q.list)/2 {
		n := copy(q.list, q.list[q.head:])
		clear(q.list[n:])
		q.list, q.head = q.list[:n], 0
	}
	q.list = append(q.list, s)
}

func (q *segments) pop() segment {
	s := q.list[q.head]
	q.list[q.head] = segment{}
	if q.head++; q.head == len(q.list) {
		q.list, q.head = q.list[:0], 0
	}
	return s
}

func (p *pipe) flying() bool { return p.flight.len() > 0 }

// space is how many bytes may be sent now.
func (p *pipe) space() int { return p.link.opts.Window - p.used }

// send puts a segment on its way. It owns data from here on.
func (p *pipe) send(kind segmentKind, data []byte) {
	at := max(p.link.arrival(&p.w.net.tally, p.w.now, len(data)), p.heldUntil)
	p.used += len(data)
	p.flight.push(segment{data: data, at: at, kind: kind})
	e := Event{At: p.w.now, Kind: "send", A: p.from.id, B: uint64(len(data)), C: uint64(kind), Hash: hashBytes(0, data)}
	p.w.trace.event(e)
	if p.w.opts.Record != nil {
		p.from.record(e, data)
	}
	if p.from.cutOff() {
		p.from.watchSilence()
	}
	if !p.stalled && !p.timer.pending() {
		p.w.timers.add(&p.timer, at)
	}
}

// arrive delivers what is due.
func (p *pipe) arrive() {
	for p.flying() && max(p.flight.first().at, p.heldUntil) <= p.w.now {
		if p.link.cut || p.to.lost && !p.to.host.up {
			p.stalled = true
			p.w.net.tally.HeldUp++
			return
		}
		p.deliver(p.flight.pop())
	}
	if p.flying() {
		p.w.timers.add(&p.timer, max(p.flight.first().at, p.heldUntil))
		return
	}
	p.w.net.sweep(p.from)
}

// retransmit sends again what was held up, some time after it can arrive: the
// longer it was held up, the rarer a kernel tries.
func (p *pipe) retransmit() {
	if !p.stalled || p.link.cut {
		return
	}
	p.stalled = false
	backoff := min(max(p.w.now-p.link.cutAt, int64(200*time.Millisecond)), int64(10*time.Second))
	at := p.w.now + p.link.latency() + p.link.rand.Int64N(backoff)
	for i := p.flight.head; i < len(p.flight.list); i++ {
		s := &p.flight.list[i]
		s.at = max(s.at, at)
	}
	p.w.timers.add(&p.timer, p.flight.first().at)
}

func (p *pipe) deliver(s segment) {
	e := Event{At: p.w.now, Kind: "deliver", A: p.to.id, B: uint64(len(s.data)), C: uint64(s.kind)}
	p.w.trace.event(e)
	if p.w.opts.Record != nil {
		p.to.record(e, s.data)
	}
	to := p.to
	if to.gone() {
		p.used -= len(s.data)
		p.w.net.recycle(s.data)
		if s.kind == segData {
			to.out.refuse()
		}
		return
	}
	switch s.kind {
	case segData:
		p.arrived.push(s)
		p.unread += len(s.data)
		if p.from.err != nil {
			p.w.net.tally.OldBytes += len(s.data)
		}
		if o := p.link.opts; o.Resets > 0 && p.link.rand.IntN(1_000_000) < o.Resets {
			p.from.fail(errReset)
		}
	case segFin:
		p.eof = true
	case segReset:
		if p.link.rand.IntN(2) == 0 {
			p.discard()
		}
		to.fail(errReset)
	}
	p.readers.wakeAll(p.w)
}

// refuse answers bytes for a socket that is no more.
func (p *pipe) refuse() {
	if !p.from.refused {
		p.from.refused = true
		p.send(segReset, nil)
	}
}

// read takes arrived bytes; there are some.
func (p *pipe) read(b []byte) int {
	b = b[:p.link.split(&p.w.net.tally, min(len(b), p.unread))]
	n := 0
	for n < len(b) && p.arrived.len() > 0 {
		s := p.arrived.first()
		k := copy(b[n:], s.data[s.off:])
		n += k
		if s.off += k; s.off == len(s.data) {
			p.w.net.recycle(p.arrived.pop().data)
		}
	}
	p.used -= n
	p.unread -= n
	p.writers.wakeAll(p.w)
	return n
}

// discard drops bytes that have arrived and were not read.
func (p *pipe) discard() {
	for p.arrived.len() > 0 {
		s := p.arrived.pop()
		p.used -= len(s.data) - s.off
		p.w.net.recycle(s.data)
	}
	p.unread = 0
}

// lose drops what is on its way, as if it had never been sent.
func (p *pipe) lose() {
	if p.w.opts.Record != nil && p.flying() {
		p.from.record(Event{At: p.w.now, Kind: "lose", A: p.from.id}, nil)
	}
	for p.flying() {
		s := p.flight.pop()
		p.used -= len(s.data)
		p.w.net.recycle(s.data)
	}
	p.stalled = false
	p.w.timers.remove(&p.timer)
}
