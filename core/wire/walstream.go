package wire

import (
	"context"
	"fmt"
	"time"

	"xenon/consensus"
	"xenon/core"
	"xenon/core/env"
	"xenon/core/xsync"
)

// A WALStream is a recovery: WAL read from a safekeeper up to its flush LSN,
// bound to a term. It ends with an error once the safekeeper's log is no
// longer that term's, and with the ctx it was opened with. One that copies a log
// is bound to the last term of that besides.
type WALStream struct {
	client *Client
	env    env.Env
	stop   func()
	donor  consensus.Member
	quiet  time.Duration
	at     core.LSN // where the next message begins
}

// OpenWALStream begins to read the log of term at begin. cfg names the reader
// and the timeline; its Timeout also bounds how long the safekeeper may be
// silent, which sends a keepalive every second.
func OpenWALStream(ctx context.Context, e env.Env, donor consensus.Member, cfg ClientConfig, begin core.LSN, term core.Term) (*WALStream, error) {
	return openStream(ctx, e, donor, cfg, begin, fmt.Sprintf("START_REPLICATION PHYSICAL %s (term='%d')", begin, term))
}

// OpenWALCopy begins to read the log of a safekeeper at begin while that is in
// term and last is the last term of its log. With term 0 it reads what is
// committed, which never changes.
func OpenWALCopy(ctx context.Context, e env.Env, donor consensus.Member, cfg ClientConfig, begin core.LSN, term, last core.Term) (*WALStream, error) {
	command := fmt.Sprintf("START_REPLICATION PHYSICAL %s", begin)
	if term != 0 {
		command += fmt.Sprintf(" (term='%d', last_term='%d')", term, last)
	}
	return openStream(ctx, e, donor, cfg, begin, command)
}

func openStream(ctx context.Context, e env.Env, donor consensus.Member, cfg ClientConfig, begin core.LSN, command string) (*WALStream, error) {
	dial, cancel := xsync.WithTimeout(ctx, e, cfg.Timeout)
	defer cancel()
	client, err := Connect(dial, e, donor.Addr(), cfg)
	if err != nil {
		return nil, err
	}
	s := &WALStream{client: client, env: e, stop: CloseOn(ctx, client), donor: donor, quiet: cfg.Timeout, at: begin}
	s.patience()
	if err := client.CopyBoth(command); err != nil {
		s.Close()
		return nil, s.because(err)
	}
	return s, nil
}

func (s *WALStream) because(err error) error { return fmt.Errorf("safekeeper %d: %w", s.donor.ID, err) }

func (s *WALStream) patience() {
	s.client.NetConn().SetReadDeadline(s.env.Clock().Now().Add(s.quiet))
}

// Next returns the WAL that follows, at most [consensus.MaxAppend] bytes and
// valid until the next call. It waits for it.
func (s *WALStream) Next() ([]byte, error) {
	for {
		s.patience()
		body, err := s.client.ReadCopy()
		if err != nil {
			return nil, s.because(err)
		}
		m, err := DecodeStream(body)
		if err != nil {
			return nil, s.because(err)
		}
		if m.Kind != MsgXLogData || len(m.Data.WAL) == 0 {
			continue
		}
		if m.Data.Start != s.at || len(m.Data.WAL) > consensus.MaxAppend {
			return nil, s.because(fmt.Errorf("%d bytes at %s, want WAL from %s", len(m.Data.WAL), m.Data.Start, s.at))
		}
		s.at += core.LSN(len(m.Data.WAL))
		return m.Data.WAL, nil
	}
}

// Close ends the stream.
func (s *WALStream) Close() error {
	s.stop()
	return s.client.Close()
}
