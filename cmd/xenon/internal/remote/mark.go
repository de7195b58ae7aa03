package remote

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"xenon/core/env"
	"xenon/realio/s3"
)

// Format is the version of the objects of an installation: names, registers,
// indexes, layers. It stays 0 until the storage formats are final; another
// one is refused.
const Format = 0

// markKey is the object that says whose the others are.
const markKey = "installation"

// maxMark bounds what is read of it.
const maxMark = 64 << 10

// A mark is the content of that object. It is written once.
type mark struct {
	Xenon  int       `json:"xenon_format"`
	ID     string    `json:"installation"`
	Made   time.Time `json:"made"`
	Host   string    `json:"host"` // for people who look for it
	Dir    string    `json:"dir"`
	absent bool
}

// NewID names an installation.
func NewID() string {
	var id [8]byte
	rand.Read(id[:]) // never fails
	return hex.EncodeToString(id[:])
}

// ErrTaken reports a store with objects of another installation, or of
// somebody else.
var ErrTaken = errors.New("give this one a place of its own with --remote")

// errUnmarked reports a store without a mark.
var errUnmarked = errors.New("it has no mark of an installation")

// Verify asks the store whether it is there, may be read, and has the objects
// of the installation that c names, in a format that we know. A store without
// any is fine; it changes nothing. While the store does not answer it tries
// again, until patience is over; the error then is env.ErrUnavailable.
func (c Config) Verify(ctx context.Context, s env.ObjectStore, patience time.Duration) error {
	_, err := c.verify(ctx, s, patience)
	return err
}

func (c Config) verify(ctx context.Context, s env.ObjectStore, patience time.Duration) (m mark, err error) {
	err = insist(ctx, patience, func(ctx context.Context) (err error) {
		m, err = readMark(ctx, s)
		return err
	})
	switch {
	case err != nil:
		return m, c.explain(err)
	case m.absent:
		return m, nil
	case m.Xenon != Format:
		return m, fmt.Errorf("object store %s has objects of format %d, this xenon reads format %d: use the xenon that made them", c, m.Xenon, Format)
	case c.Installation != "" && m.ID != c.Installation:
		return m, fmt.Errorf("object store %s belongs to another installation, %s, made %s on %s in %s: %w",
			c, m.ID, m.Made.Format(time.DateTime), m.Host, m.Dir, ErrTaken)
	}
	return m, nil
}

func readMark(ctx context.Context, s env.ObjectStore) (m mark, err error) {
	r, meta, err := s.Get(ctx, markKey, env.GetOpts{})
	if errors.Is(err, env.ErrNotFound) {
		return mark{absent: true}, nil
	}
	if err != nil {
		return m, err
	}
	defer r.Close()
	if meta.Size > maxMark {
		return m, fmt.Errorf("object %s has %d bytes, too many for a mark: %w", markKey, meta.Size, env.ErrCorrupt)
	}
	b, err := io.ReadAll(r)
	if err != nil {
		return m, err
	}
	return parseMark(b)
}

// parseMark reads a mark, of newer formats too: they say which they are where
// this one does.
func parseMark(b []byte) (m mark, err error) {
	if err := json.Unmarshal(b, &m); err != nil || m.ID == "" {
		return mark{}, fmt.Errorf("object %s is no mark of an installation: %w", markKey, env.ErrCorrupt)
	}
	return m, nil
}

// Claim makes the store that of c.Installation, by a mark that only one
// installation can set. An installation that had objects here before there
// were marks says so with old; to others, a store that is not empty and has no
// mark is somebody else's. dir is kept for people.
func (c Config) Claim(ctx context.Context, s env.ObjectStore, dir string, old bool, patience time.Duration) error {
	m, err := c.verify(ctx, s, patience)
	if err != nil || !m.absent {
		return err
	}
	if !old {
		if err := c.checkEmpty(ctx, s, patience); err != nil {
			return err
		}
	}
	host, err := os.Hostname()
	if err != nil {
		host = "?"
	}
	b, err := json.Marshal(mark{Xenon: Format, ID: c.Installation, Made: time.Now().UTC().Truncate(time.Second), Host: host, Dir: dir})
	if err != nil {
		return err
	}
	b = append(b, '\n')
	err = insist(ctx, patience, func(ctx context.Context) error {
		_, err := s.Put(ctx, markKey, env.Bytes(b), env.PutOpts{IfNoneMatch: true})
		if errors.Is(err, env.ErrPrecondition) || errors.Is(err, env.ErrConflict) {
			return nil // ours, that got lost on its way back, or somebody else's
		}
		return err
	})
	if err != nil {
		return c.explain(err)
	}
	if m, err = c.verify(ctx, s, patience); err == nil && m.absent {
		err = fmt.Errorf("object store %s: %w, though one was just written", c, errUnmarked)
	}
	if err != nil {
		return err
	}
	return c.checkConditions(ctx, s, b, patience)
}

func (c Config) checkEmpty(ctx context.Context, s env.ObjectStore, patience time.Duration) error {
	var page env.ListPage
	err := insist(ctx, patience, func(ctx context.Context) (err error) {
		page, err = s.List(ctx, env.ListOpts{Max: 1})
		return err
	})
	if err != nil {
		return c.explain(err)
	}
	if len(page.Objects) > 0 {
		return fmt.Errorf("object store %s has objects that are not of xenon, such as %s: %w", c, page.Objects[0].Key, ErrTaken)
	}
	return nil
}

// checkConditions makes sure that the store refuses what it must refuse:
// without that, two owners of one thing would overwrite each other unseen.
// Should it not refuse, it stores what is there already.
func (c Config) checkConditions(ctx context.Context, s env.ObjectStore, b []byte, patience time.Duration) error {
	for _, o := range []env.PutOpts{{IfNoneMatch: true}, {IfMatch: "00000000000000000000000000000000"}} {
		var refused bool
		err := insist(ctx, patience, func(ctx context.Context) error {
			_, err := s.Put(ctx, markKey, env.Bytes(b), o)
			if refused = errors.Is(err, env.ErrPrecondition); refused {
				return nil
			}
			return err
		})
		if err != nil {
			return c.explain(err)
		}
		if !refused {
			return fmt.Errorf("object store %s ignores the conditions of writes (If-None-Match, If-Match): xenon cannot use it, another S3 server is needed", c)
		}
	}
	return nil
}

// askPatience bounds one request, and askPause lies between two.
const (
	askPatience = 10 * time.Second
	askPause    = 300 * time.Millisecond
)

// insist repeats f while the store does not answer.
func insist(ctx context.Context, patience time.Duration, f func(context.Context) error) error {
	for end := time.Now().Add(patience); ; time.Sleep(askPause) {
		once, cancel := context.WithTimeout(ctx, min(askPatience, max(patience, time.Second)))
		err := f(once)
		cancel()
		if err == nil || !unanswered(err) || time.Now().After(end) || ctx.Err() != nil {
			return err
		}
	}
}

// unanswered tells whether the store may answer later.
func unanswered(err error) bool {
	return errors.Is(err, env.ErrUnavailable) || errors.Is(err, env.ErrUnknown) || errors.Is(err, env.ErrSlowDown) || errors.Is(err, io.ErrUnexpectedEOF)
}

// Unreachable tells whether the store may be all right, and just does not
// answer now.
func Unreachable(err error) bool { return unanswered(err) }

// explain says what a person can do about an error of the store.
func (c Config) explain(err error) error {
	hint := ""
	switch {
	case errors.Is(err, s3.ErrNoBucket):
		hint = "make the bucket, or name another one"
	case errors.Is(err, env.ErrForbidden):
		hint = "look at the credentials (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or ~/.aws/credentials) and at what they may do: get, put, delete, and list"
	case unanswered(err):
		hint = "is it running, and reachable from here?"
	default:
		return fmt.Errorf("object store %s: %w", c, err)
	}
	return fmt.Errorf("object store %s: %w: %s", c, err, hint)
}
