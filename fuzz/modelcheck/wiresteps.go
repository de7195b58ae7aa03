package modelcheck

import (
	"errors"
	"fmt"
	"slices"

	"xenon/consensus"
	"xenon/core"
)

// successors visits the states after one event. As long as something is on its
// way that nothing holds up, this happens, or it is held up from now on: orders
// of events that are far from each other make no difference then.
func (w *wireWorld) successors(s *wire, visit func(*wire, func() Action)) {
	if w.flow(s, visit) {
		return
	}
	for p := range w.m.Proposers {
		w.begin(s, p, visit)
		w.newEntry(s, p, visit)
		for a := range w.m.Acceptors {
			w.dial(s, p, a, visit)
			w.lose(s, p, a, visit)
			for k := range s.lines[p][a] {
				w.release(s, p, a, k, visit)
			}
		}
	}
	for a := range w.m.Acceptors {
		w.flush(s, a, visit)
		if s.left.Crashes > 0 {
			w.crash(s.successor(), a, visit, "at rest")
		}
		w.wound(s, a, visit)
		w.heal(s, a, visit)
	}
}

// The directions of a connection, as line.held has them.
const (
	toAcceptor = iota
	toProposer
)

// flow lets the first thing happen that nothing holds up, or holds it up; false
// if there is none.
func (w *wireWorld) flow(s *wire, visit func(*wire, func() Action)) bool {
	for p := range w.m.Proposers {
		for a := range w.m.Acceptors {
			if l := s.lines[p][a][0]; s.mayAnswer(p, a) && !l.held[toProposer] {
				w.answer(s, p, a, visit)
				w.hold(s, p, a, 0, toProposer, visit)
				return true
			}
		}
	}
	for p := range w.m.Proposers {
		for a := range w.m.Acceptors {
			for k, l := range s.lines[p][a] {
				if l.mayDeliver() && !l.held[toAcceptor] {
					w.deliver(s, p, a, k, visit)
					w.hold(s, p, a, k, toAcceptor, visit)
					return true
				}
			}
		}
	}
	for a := range w.m.Acceptors {
		if _, dirty := s.a[a].Unflushed(); dirty && !s.a[a].held {
			w.flush(s, a, visit)
			if s.left.Delays > 0 {
				n := s.successor()
				n.left.Delays--
				n.acceptor(a).held = true
				w.done(n, visit, did("HoldFlush", -1, a))
			}
			return true
		}
	}
	return false
}

// hold lets one direction of a connection stand still.
func (w *wireWorld) hold(s *wire, p, a, k, direction int, visit func(*wire, func() Action)) {
	if s.left.Delays == 0 {
		return
	}
	n := s.successor()
	n.left.Delays--
	n.line(p, a, k).held[direction] = true
	w.done(n, visit, did([]string{"HoldRequests", "HoldAnswers"}[direction], p, a))
}

// release ends that.
func (w *wireWorld) release(s *wire, p, a, k int, visit func(*wire, func() Action)) {
	l := s.lines[p][a][k]
	for direction, name := range []string{"RequestsGoOn", "AnswersGoOn"} {
		if l == nil || !l.held[direction] || direction == toAcceptor && !l.mayDeliver() || direction == toProposer && !s.mayAnswer(p, a) {
			continue
		}
		n := s.successor()
		n.line(p, a, k).held[direction] = false
		w.done(n, visit, did(name, p, a))
	}
}

func (l *line) mayDeliver() bool { return l != nil && l.up && len(l.requests) > 0 }

func (s *wire) mayAnswer(p, a int) bool {
	l := s.lines[p][a][0]
	return s.p[p].alive() && l != nil && l.on && len(l.replies) > 0
}

// done visits a state once proposers have sent what is due.
func (w *wireWorld) done(n *wire, visit func(*wire, func() Action), what func() Action) {
	for p := range w.m.Proposers {
		if !n.p[p].alive() && n.p[p].Proposer != nil {
			n.hangUp(w.m, p)
			n.proposer(p).log = wal{}
		}
		for a := range w.m.Acceptors {
			w.send(n, p, a)
			for k := range n.lines[p][a] {
				n.tidy(p, a, k)
			}
		}
	}
	if n.broken == nil {
		n.broken = n.lost(w.m)
	}
	visit(n, what)
}

// tidy forgets what of a connection nobody will see.
func (s *wire) tidy(p, a, k int) {
	l := s.lines[p][a][k]
	if l == nil {
		return
	}
	if !l.on && (!l.up || len(l.requests) == 0) {
		s.lines[p][a][k] = nil
		return
	}
	if !l.on && len(l.replies) > 0 {
		s.line(p, a, k).replies = nil
	}
	if !l.up && (len(l.requests) > 0 || l.owes) {
		l = s.line(p, a, k)
		l.requests, l.owes = nil, false
	}
}

func (s *wire) hangUp(m *Model, p int) {
	for a := range m.Acceptors {
		for k, l := range s.lines[p][a] {
			if l != nil && l.on {
				s.line(p, a, k).on = false
			}
		}
	}
}

// begin puts a new proposer in the place of whatever is there.
func (w *wireWorld) begin(s *wire, p int, visit func(*wire, func() Action)) {
	if s.p[p].alive() && s.p[p].Phase() == consensus.Collecting {
		return
	}
	n := s.successor()
	fresh, err := consensus.NewProposer(consensus.ProposerConfig{TTID: realTTID, Config: w.m.config(), Server: realServer})
	core.Must(err == nil, "no proposer: %v", err)
	n.hangUp(w.m, p)
	n.p[p], n.ownP[p] = &wireProposer{Proposer: fresh}, true
	w.done(n, visit, did("Begin", p, -1))
}

func (w *wireWorld) newEntry(s *wire, p int, visit func(*wire, func() Action)) {
	if !s.p[p].leading() {
		return
	}
	n := s.successor()
	pr := n.proposer(p)
	pr.log.append(uint8(pr.Term()))
	pr.Offer(lsnOf(pr.log.flush()))
	w.done(n, visit, did("NewEntry", p, -1))
}

// dial makes a connection and exchanges greetings over it. They are not parted:
// an acceptor does not change by one, and one that is late is the same as a vote
// request that is.
func (w *wireWorld) dial(s *wire, p, a int, visit func(*wire, func() Action)) {
	if !s.p[p].alive() || s.p[p].Peer(a).State != consensus.Offline {
		return
	}
	n := s.successor()
	pr, acc := n.proposer(p), n.acceptor(a)
	core.Must(pr.Dial(a, wireDial), "an offline safekeeper is not dialled")
	l := &line{conn: pr.Connected(a, wireNow), up: true, on: true}
	n.lines[p][a], n.ownL[p][a] = [2]*line{l, n.lines[p][a][0]}, [2]bool{true, n.ownL[p][a][0]}
	var msg consensus.Message
	core.Must(pr.Next(a, wireSend, &msg) && msg.Kind == consensus.MsgGreeting, "a connection does not begin with a greeting")
	hello, out, err := acc.Greet(&l.session, msg.Greeting)
	core.Must(err == nil && out == consensus.Output{}, "a greeting of the same configuration is owed %v, %v", out, err)
	n.heard(p, a, pr.Greeting(a, l.conn, hello, wireNow))
	w.done(n, visit, did("Connect", p, a))
}

// heard ends a connection whose proposer could make nothing of a message. That
// histories contradict each other no correct acceptor can bring about; the rest
// only one that has lost something.
func (s *wire) heard(p, a int, err error) {
	if err == nil {
		return
	}
	if errors.Is(err, consensus.ErrHistory) || errors.Is(err, consensus.ErrProtocol) && !s.wounds() {
		v := sound.saying(err.Error())
		s.broken = &v
	}
	l := s.line(p, a, 0)
	s.proposer(p).Lost(a, l.conn, wireNow)
	l.on = false
}

// wounds tells whether acceptors may lose something.
func (s *wire) wounds() bool {
	for a := range s.m.Acceptors {
		if s.a[a].hurt {
			return true
		}
	}
	return false
}

// lose breaks a connection: of one that the acceptor has left already the
// proposer takes notice.
func (w *wireWorld) lose(s *wire, p, a int, visit func(*wire, func() Action)) {
	l := s.lines[p][a][0]
	if l == nil || !l.on || l.up && s.left.Losses == 0 {
		return
	}
	n := s.successor()
	if l.up {
		n.left.Losses--
	}
	n.proposer(p).Lost(a, l.conn, wireNow)
	n.line(p, a, 0).on = false
	w.done(n, visit, did("Lose", p, a))
}

// send puts on the connection what is due, as far as there is room.
func (w *wireWorld) send(s *wire, p, a int) {
	l := s.lines[p][a][0]
	if !s.p[p].alive() || l == nil || !l.on || !l.up || len(l.requests) >= w.budget.Requests {
		return
	}
	var msg consensus.Message
	pr := s.p[p]
	if !pr.Owes(a, wireSend) && !pr.Lacks(a) {
		return
	}
	for pr = s.proposer(p); len(s.lines[p][a][0].requests) < w.budget.Requests; {
		msg = consensus.Message{}
		entry, ok := s.fill(p, a, &msg)
		if !ok {
			if !pr.Next(a, wireSend, &msg) {
				return
			}
			if msg.Kind == consensus.MsgAppend && msg.Append.End > msg.Append.Begin {
				entry = pr.log.at(entryOf(msg.Append.Begin))
			}
		}
		l := s.line(p, a, 0)
		l.requests = append(slices.Clip(l.requests), request{msg, entry})
	}
}

// fill makes an append of what the driver does not have, read from a donor that
// the proposer names and that lets it be read.
func (s *wire) fill(p, a int, msg *consensus.Message) (entry uint8, ok bool) {
	pr := s.p[p]
	gap, ok := pr.Gap(a)
	if !ok {
		return 0, false
	}
	donor, at := s.a[gap.Donor.ID-1], entryOf(gap.Begin)
	if donor.MayRecover(gap.Term) != nil || at > donor.synced {
		return 0, false
	}
	return donor.log.at(at), pr.Fill(a, s.lines[p][a][0].conn, gap.Begin, gap.Begin+unit, wireSend, msg)
}

// deliver lets a request arrive. With a crash in the budget it also does so with
// a crash after each of the things that are to be done, the last one excepted.
func (w *wireWorld) deliver(s *wire, p, a, k int, visit func(*wire, func() Action)) {
	l := s.lines[p][a][k]
	what := func() Action { return Action{"Deliver", p, a, l.requests[0].text(k)} }
	n := s.successor()
	todo := w.take(n, p, a, k)
	for _, do := range todo {
		do()
	}
	w.done(n, visit, what)
	for stop := 1; stop < len(todo) && s.left.Crashes > 0; stop++ {
		n := s.successor()
		for _, do := range w.take(n, p, a, k)[:stop] {
			do()
		}
		w.crash(n, a, visit, fmt.Sprintf("after %d of %d effects of %s from p%d", stop, len(todo), l.requests[0].text(k), p+1))
	}
}

func (r *request) text(k int) (s string) {
	switch r.Kind {
	case consensus.MsgVote:
		s = "vote request"
	case consensus.MsgElected:
		s = "elected"
	default:
		s = fmt.Sprintf("append of LSN %d to %d", entryOf(r.Append.Begin), entryOf(r.Append.End))
	}
	if k > 0 {
		s += " by the connection before"
	}
	return s
}

// take lets an acceptor step; what is then to be done is in the order in which
// it is to be done, the answer last.
func (w *wireWorld) take(n *wire, p, a, k int) (todo []func()) {
	l, acc := n.line(p, a, k), n.acceptor(a)
	req := l.requests[0]
	l.requests = l.requests[1:]
	var out consensus.Output
	var err error
	var answer func()
	switch req.Kind {
	case consensus.MsgVote:
		var v consensus.VoteResponse
		v, out, err = acc.Vote(&l.session, req.Vote)
		answer = func() {
			log := acc.log
			log.cut(entryOf(v.Flush))
			l.reply(reply{vote: &v, log: log})
		}
	case consensus.MsgElected:
		out, err = acc.Elect(&l.session, req.Elected)
	default:
		return w.takeAppend(n, a, l, req)
	}
	if err != nil {
		l.up = false
		return nil
	}
	todo = acc.owed(out, !w.m.keeps(CutFirst))
	switch {
	case answer != nil && w.m.keeps(AnswerLast):
		todo = append(todo, answer)
	case answer != nil:
		todo = slices.Insert(todo, 0, answer)
	}
	return todo
}

// owed is what an output asks for; adoptFirst does its last two things the wrong
// way round.
func (a *wireAcceptor) owed(out consensus.Output, adoptFirst bool) (todo []func()) {
	if out.Sync {
		todo = append(todo, func() { a.synced = a.log.len })
	}
	if out.Promise != nil {
		todo = append(todo, func() { a.disk = *out.Promise })
	}
	if out.Truncate {
		todo = append(todo, func() {
			a.log.cut(entryOf(out.Start))
			a.synced = min(a.synced, a.log.len)
			a.Truncated()
		})
	}
	if out.Adopt != nil {
		todo = append(todo, func() { a.disk = *out.Adopt })
	}
	if n := len(todo); adoptFirst && out.Truncate && out.Adopt != nil {
		todo[n-1], todo[n-2] = todo[n-2], todo[n-1]
	}
	return todo
}

func (w *wireWorld) takeAppend(n *wire, a int, l *line, req request) (todo []func()) {
	acc, m := n.acceptor(a), req.Append
	if m.End > m.Begin {
		m.WAL = entryWAL
	}
	out, err := acc.Append(&l.session, m, m.End)
	switch {
	case err != nil:
		l.up = false
		return nil
	case out.Refuse:
		l.reply(reply{append: acc.Refusal()})
		return nil
	}
	if out.Write {
		todo = append(todo, func() {
			acc.log.cut(entryOf(m.Begin)) // it is written where the message says
			acc.synced = min(acc.synced, acc.log.len)
			acc.log.append(req.entry)
		})
	}
	if out.Control != nil {
		todo = append(todo, func() { acc.disk = *out.Control })
	}
	l.owes = true
	if _, dirty := acc.Unflushed(); !dirty {
		todo = append(todo, func() { n.acknowledge(a) })
	}
	return todo
}

func (l *line) reply(r reply) { l.replies = append(slices.Clip(l.replies), r) }

// acknowledge answers all appends before the last flush.
func (s *wire) acknowledge(a int) {
	for p := range s.m.Proposers {
		for k := range s.lines[p][a] {
			if l := s.lines[p][a][k]; l != nil && l.up && l.owes {
				l = s.line(p, a, k)
				l.owes = false
				l.reply(reply{append: s.a[a].Response()})
			}
		}
	}
}

func (w *wireWorld) flush(s *wire, a int, visit func(*wire, func() Action)) {
	mark, dirty := s.a[a].Unflushed()
	if !dirty {
		return
	}
	n := s.successor()
	acc := n.acceptor(a)
	acc.held = false
	if w.m.keeps(SyncFirst) {
		acc.synced = acc.log.len
	}
	if c := acc.Flushed(mark); c != nil {
		acc.disk = *c
	}
	n.acknowledge(a)
	w.done(n, visit, did("Flush", -1, a))
}

// answer lets an answer arrive.
func (w *wireWorld) answer(s *wire, p, a int, visit func(*wire, func() Action)) {
	l := s.lines[p][a][0]
	n := s.successor()
	pr, r := n.proposer(p), l.replies[0]
	n.line(p, a, 0).replies = l.replies[1:]
	if r.vote == nil {
		n.heard(p, a, pr.Response(a, l.conn, &r.append, wireNow))
		n.commit(p)
		w.done(n, visit, func() Action { return Action{"Acknowledge", p, a, fmt.Sprintf("LSN %d", entryOf(r.append.Flush))} })
		return
	}
	candidate := pr.Phase() == consensus.Campaigning
	if candidate {
		pr.votes[a] = &r
	}
	n.heard(p, a, pr.Verdict(a, l.conn, *r.vote, wireNow))
	if candidate && pr.leading() {
		n.lead(p)
	}
	w.done(n, visit, did("Verdict", p, a))
}

// lead notes whose log a proposer that was elected has taken over.
func (s *wire) lead(p int) {
	pr := s.p[p]
	for _, v := range pr.votes {
		if v == nil || pr.StartLSN() != v.vote.Flush {
			continue
		}
		own := consensus.TermSwitch{Term: pr.Term(), LSN: v.vote.Flush}
		if slices.Equal(pr.History(), v.vote.History.With(own)) {
			pr.log = v.log
			break
		}
	}
	pr.votes = [MaxAcceptors]*reply{}
	s.elected[pr.Term()]++
	for lsn := uint8(1); lsn <= slots; lsn++ {
		e, t := s.committed[lsn-1], uint8(pr.Term())
		if e != 0 && s.by[lsn-1] < t && (pr.log.len < lsn || e&(1<<pr.log.at(lsn)) == 0) {
			v := complete.saying(fmt.Sprintf("p%d is elected in term %d by the log %s, and LSN %d was committed in term %d", p+1, t, &pr.log, lsn, s.by[lsn-1]))
			s.broken = &v
		}
	}
}

// commit notes what a leader takes for committed.
func (s *wire) commit(p int) {
	pr := s.p[p]
	if !pr.leading() || pr.CommitLSN() == 0 {
		return
	}
	for lsn := uint8(1); lsn < entryOf(pr.CommitLSN()) && lsn <= pr.log.len; lsn++ {
		t := uint8(pr.Term())
		if s.committed[lsn-1] == 0 || t < s.by[lsn-1] {
			s.by[lsn-1] = t
		}
		s.committed[lsn-1] |= 1 << pr.log.at(lsn)
	}
}
