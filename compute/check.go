package compute

import (
	"time"

	"xenon/compute/crosscheck"
	"xenon/compute/filetree"
	"xenon/compute/pageclient"
	"xenon/core"
)

// drainPatience bounds how long a server that was shut down is waited for by
// the comparison of the pages that it wrote last.
const drainPatience = time.Second

// crossCheck has a part of the pages that the server writes compared with what
// redo makes of its WAL. They are asked for on a connection of their own: one
// as of an LSN that the pageserver is yet to reach would hold up those that the
// server waits for.
func (l *life) crossCheck(data *filetree.Tree, boot core.LSN) {
	ep := l.ep
	if ep.static() || !ep.checker.On() {
		return
	}
	l.checked = pageclient.New(l.ctx, ep.env, pageclient.Config{Addr: ep.cfg.Pageserver, TTID: ep.cfg.TTID, Boot: boot})
	l.sampler = ep.checker.Sampler(crosscheck.Life{
		Branch: ep.cfg.Branch, TTID: ep.cfg.TTID, Boot: boot, Quorum: l.quorum, Pages: l.checked,
	})
	data.Watch(l.sampler)
	l.tasks.Go("cross-check", l.sampler.Run)
}

// drain waits a little for the pages that were written last.
func (l *life) drain() {
	if l.sampler != nil {
		l.sampler.Drain(l.ctx, drainPatience)
	}
}
