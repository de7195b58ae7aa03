package cli

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"xenon/cmd/xenon/internal/ctl"
	"xenon/cmd/xenon/internal/waltool"
	"xenon/consensus"
	"xenon/core"
	"xenon/core/wal"
	"xenon/core/wire"
	"xenon/realio"
)

// safekeeperPatience is how long a safekeeper may be silent; it says something
// every second.
const safekeeperPatience = 20 * time.Second

// branchWAL is the WAL of a running branch, read from the safekeeper that has
// most of it committed. It ends when done is closed, or with the program.
func branchWAL(g *Globals, name string, done <-chan struct{}) (*waltool.Source, error) {
	s, err := askStatus(g)
	if err != nil {
		return nil, err
	}
	b, err := findBranch(s, name)
	if err != nil {
		return nil, err
	}
	from, committed, err := bestSafekeeper(s, b)
	if err != nil {
		return nil, err
	}
	e := realio.New(realio.Options{})
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		if done != nil {
			<-done
			cancel()
		}
	}()
	cfg := wire.ClientConfig{ApplicationName: "xenon wal", TTID: core.TTID{Tenant: b.Tenant, Timeline: b.Timeline}, Timeout: safekeeperPatience}
	st := &waltool.Stream{Begin: b.StartLSN, Committed: committed}
	if st.Format.Version, err = wal.VersionByMajor(b.Postgres); err != nil {
		return nil, err
	}
	if st.Format.SegmentSize, err = segmentSizeOf(ctx, e, from, cfg); err != nil {
		return nil, err
	}
	st.Open = func(at core.LSN) (func() ([]byte, error), error) {
		r, err := wire.OpenWALCopy(ctx, e, from, cfg, at, 0, 0)
		if err != nil {
			return nil, err
		}
		return r.Next, nil
	}
	return &waltool.Source{Name: "branch " + name, Stream: st}, nil
}

// bestSafekeeper is the one with most of a branch committed.
func bestSafekeeper(s ctl.Status, b ctl.Branch) (m consensus.Member, committed core.LSN, err error) {
	found := false
	for _, k := range s.Safekeepers {
		for _, t := range k.Timelines {
			if t.Tenant != b.Tenant || t.Timeline != b.Timeline || found && t.CommitLSN <= committed {
				continue
			}
			if m, err = consensus.ParseMember(k.ID, k.Listen); err != nil {
				return m, 0, err
			}
			found, committed = true, t.CommitLSN
		}
	}
	if !found {
		return m, 0, fmt.Errorf("no safekeeper that runs has WAL of branch %s", b.Name)
	}
	return m, max(committed, b.StartLSN), nil
}

// segmentSizeOf asks a safekeeper as pg_receivewal does.
func segmentSizeOf(ctx context.Context, e *realio.Env, from consensus.Member, cfg wire.ClientConfig) (uint32, error) {
	c, err := wire.Connect(ctx, e, from.Addr(), cfg)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	c.NetConn().SetDeadline(time.Now().Add(safekeeperPatience))
	res, err := c.Query("SHOW wal_segment_size")
	if err != nil {
		return 0, err
	}
	if len(res.Rows) != 1 || len(res.Rows[0]) != 1 {
		return 0, fmt.Errorf("safekeeper %d does not say its wal_segment_size", from.ID)
	}
	text := string(res.Rows[0][0])
	for unit, bytes := range map[string]uint64{"MB": 1 << 20, "GB": 1 << 30, "kB": 1 << 10} {
		if n, ok := strings.CutSuffix(text, unit); ok {
			size, err := strconv.ParseUint(n, 10, 20)
			return uint32(size * bytes), err
		}
	}
	return 0, fmt.Errorf("safekeeper %d: wal_segment_size %q", from.ID, text)
}
