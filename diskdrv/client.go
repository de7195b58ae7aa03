package diskdrv

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"time"

	"xenon/core/env"
	"xenon/core/xsync"
)

// Limits of S3.
const (
	maxKeySize  = 1024
	maxPutSize  = 5 << 30
	maxListPage = 1000
)

// Objects is the bucket as an incarnation of a process sees it; owner is the
// name its requests are recorded under. With a nil Env, for tests without
// a world, the bucket must have been made without After.
func (b *Bucket) Objects(e env.Env, owner string) env.ObjectStore {
	sched, _ := e.(xsync.Scheduler)
	return &client{bucket: b, env: e, sched: sched, owner: owner}
}

type client struct {
	bucket *Bucket
	env    env.Env
	sched  xsync.Scheduler
	owner  string
}

// step ends the task of a dead process.
func (c *client) step() {
	if c.sched != nil {
		c.sched.Step()
	}
}

func checkKey(key string) error {
	if key == "" || len(key) > maxKeySize {
		return fmt.Errorf("a key has 1 to %d bytes, not %d: %w", maxKeySize, len(key), fs.ErrInvalid)
	}
	return nil
}

func (c *client) Put(ctx context.Context, key string, body env.Body, o env.PutOpts) (env.ObjectMeta, error) {
	meta, err := c.put(ctx, key, body, o)
	if err != nil {
		return env.ObjectMeta{}, fmt.Errorf("put %q: %w", key, err)
	}
	return meta, nil
}

func (c *client) put(ctx context.Context, key string, body env.Body, o env.PutOpts) (meta env.ObjectMeta, err error) {
	if err := checkKey(key); err != nil {
		return meta, err
	}
	if o.IfNoneMatch && o.IfMatch != "" {
		return meta, fmt.Errorf("both If-None-Match and If-Match: %w", fs.ErrInvalid)
	}
	data, err := readBody(body)
	if err != nil {
		return meta, err
	}
	r := &request{client: c, key: key, writes: true, conditional: o.IfNoneMatch || o.IfMatch != ""}
	r.execute = func() error {
		var err error
		meta, err = c.bucket.put(c.owner, key, data, o)
		return err
	}
	err = r.do(ctx)
	return meta, err
}

// readBody takes a copy, since the caller may go on before a late request
// takes effect.
func readBody(body env.Body) ([]byte, error) {
	if body.Size() > maxPutSize {
		return nil, fmt.Errorf("%d bytes are more than one Put takes: %w", body.Size(), fs.ErrInvalid)
	}
	src, err := body.Open()
	if err != nil {
		return nil, fmt.Errorf("open body: %w", err)
	}
	defer src.Close()
	data := make([]byte, body.Size())
	if _, err := io.ReadFull(src, data); err != nil {
		return nil, fmt.Errorf("read body: %w: %w", env.ErrUnavailable, err)
	}
	return data, nil
}

func (b *Bucket) put(owner, key string, data []byte, o env.PutOpts) (env.ObjectMeta, error) {
	old := b.objects[key]
	op := ObjectOp{Owner: owner, Kind: "put", Key: key, Size: int64(len(data))}
	if old != nil {
		op.Before = old.etag
	}
	op.After = op.Before
	switch {
	case o.IfNoneMatch && old != nil:
		op.Err = fmt.Errorf("it exists: %w", env.ErrPrecondition)
	case o.IfMatch != "" && old == nil:
		op.Err = env.ErrNotFound
	case o.IfMatch != "" && old.etag != o.IfMatch:
		op.Err = fmt.Errorf("its ETag is %s, not %s: %w", old.etag, o.IfMatch, env.ErrPrecondition)
	}
	if op.Err != nil {
		b.did(op, nil)
		return env.ObjectMeta{}, op.Err
	}
	s := &stored{data: data, etag: etagOf(data), modified: b.now()}
	b.insert(key, s)
	delete(b.lost, key)
	op.After = s.etag
	b.did(op, data)
	return s.meta(key), nil
}

func (s *stored) meta(key string) env.ObjectMeta {
	return env.ObjectMeta{Key: key, Size: int64(len(s.data)), ETag: s.etag, Modified: s.modified}
}

func (c *client) Get(ctx context.Context, key string, o env.GetOpts) (io.ReadCloser, env.ObjectMeta, error) {
	var found *stored
	var data []byte
	r := &request{client: c, key: key}
	r.execute = func() (err error) {
		found, data, err = c.bucket.get(c.owner, key, o)
		return err
	}
	err := checkKey(key)
	if err == nil {
		err = r.do(ctx)
	}
	if err != nil {
		return nil, env.ObjectMeta{}, fmt.Errorf("get %q: %w", key, err)
	}
	b := c.bucket.body(c.owner, key, found.data, data)
	b.client = c
	return b, found.meta(key), nil
}

func (b *Bucket) get(owner, key string, o env.GetOpts) (*stored, []byte, error) {
	op := ObjectOp{Owner: owner, Kind: "get", Key: key}
	s := b.objects[key]
	if b.lost[key] {
		b.tally.Missed++
	}
	if s == nil {
		op.Err = env.ErrNotFound
		b.did(op, nil)
		return nil, nil, op.Err
	}
	op.Before, op.After = s.etag, s.etag
	size := int64(len(s.data))
	if o.Off < 0 || o.Len < 0 || o.Off > size {
		op.Err = fmt.Errorf("range %d+%d of %d bytes: %w", o.Off, o.Len, size, fs.ErrInvalid)
		b.did(op, nil)
		return nil, nil, op.Err
	}
	data := s.data[o.Off:]
	if o.Len > 0 && o.Len < int64(len(data)) {
		data = data[:o.Len]
	}
	op.Size = int64(len(data))
	b.did(op, data)
	return s, data, nil
}

// body makes the body of a Get of a part of an object, and decides what befalls
// it on its way.
func (b *Bucket) body(owner, key string, whole, part []byte) *body {
	b.mu.Lock()
	defer b.mu.Unlock()
	r := &body{cut: len(part)}
	if n := len(part); n > 0 {
		f, before := b.faults.of(owner, key), b.tally
		if f.CutBody.happens(b.rand) {
			b.tally.Cut++
			r.cut = b.rand.IntN(n)
		}
		if f.StallBody.happens(b.rand) {
			b.tally.Stalled++
			r.stall = f.Stall
		}
		if n < len(whole) && f.WrongRange.happens(b.rand) {
			b.tally.Wrong++
			at := b.rand.IntN(len(whole) - n + 1)
			part = whole[at : at+n]
		}
		if f.Damaged.happens(b.rand) {
			b.tally.Damaged++
			part = slices.Clone(part)
			part[b.rand.IntN(n)] ^= 1 << b.rand.IntN(8)
		}
		if b.tally != before {
			b.struck++
		}
	}
	r.Reader = *bytes.NewReader(part)
	return r
}

// body is what a Get reads, up to where its connection breaks.
type body struct {
	bytes.Reader
	client *client
	cut    int // bytes to give out
	given  int
	stall  time.Duration // before the first
}

func (r *body) Read(p []byte) (int, error) {
	r.client.step()
	if r.stall > 0 && r.client.env != nil {
		_ = r.client.env.Clock().Sleep(context.Background(), r.stall)
		r.stall = 0
	}
	if left := r.cut - r.given; left < len(p) && r.cut < int(r.Size()) {
		if left == 0 {
			return 0, io.ErrUnexpectedEOF
		}
		p = p[:left]
	}
	n, err := r.Reader.Read(p)
	r.given += n
	return n, err
}

// WriteTo hides that of bytes.Reader, which would know of no cut.
func (r *body) WriteTo(w io.Writer) (int64, error) {
	return io.Copy(w, struct{ io.Reader }{r})
}

func (r *body) Close() error {
	r.client.step()
	return nil
}

func (c *client) Head(ctx context.Context, key string) (meta env.ObjectMeta, err error) {
	r := &request{client: c, key: key}
	r.execute = func() error {
		op := ObjectOp{Owner: c.owner, Kind: "head", Key: key}
		if s := c.bucket.objects[key]; s != nil {
			meta = s.meta(key)
			op.Before, op.After = s.etag, s.etag
		} else {
			op.Err = env.ErrNotFound
		}
		c.bucket.did(op, nil)
		return op.Err
	}
	if err = checkKey(key); err == nil {
		err = r.do(ctx)
	}
	if err != nil {
		return env.ObjectMeta{}, fmt.Errorf("head %q: %w", key, err)
	}
	return meta, nil
}

func (c *client) Delete(ctx context.Context, key string) error {
	r := &request{client: c, key: key, writes: true}
	r.execute = func() error {
		op := ObjectOp{Owner: c.owner, Kind: "delete", Key: key}
		if s := c.bucket.objects[key]; s != nil {
			op.Before = s.etag
			c.bucket.remove(key)
		}
		delete(c.bucket.lost, key)
		c.bucket.did(op, nil)
		return nil
	}
	err := checkKey(key)
	if err == nil {
		err = r.do(ctx)
	}
	if err != nil {
		return fmt.Errorf("delete %q: %w", key, err)
	}
	return nil
}

func (c *client) List(ctx context.Context, o env.ListOpts) (page env.ListPage, err error) {
	r := &request{client: c, key: o.Prefix}
	r.execute = func() error {
		page = c.bucket.list(o)
		c.bucket.did(ObjectOp{Owner: c.owner, Kind: "list", Key: o.Prefix, Size: int64(len(page.Objects))}, nil)
		return nil
	}
	if err := r.do(ctx); err != nil {
		return env.ListPage{}, fmt.Errorf("list %q: %w", o.Prefix, err)
	}
	return page, nil
}

// list makes one page. A token is the last key told, or the last folded
// prefix and the highest byte, which sorts after everything it stands for.
func (b *Bucket) list(o env.ListOpts) (page env.ListPage) {
	most := maxListPage
	for _, n := range []int{o.Max, b.faults.PageSize} {
		if n > 0 {
			most = min(most, n)
		}
	}
	last, folded := o.Token, ""
	from, _ := slices.BinarySearch(b.keys, max(o.Prefix, o.Token))
	for _, key := range b.keys[from:] {
		if !strings.HasPrefix(key, o.Prefix) {
			return page
		}
		if key == o.Token || folded != "" && strings.HasPrefix(key, folded) {
			continue
		}
		if len(page.Objects)+len(page.Prefixes) == most {
			page.Next = last
			return page
		}
		folded = fold(key, o)
		if folded == "" {
			page.Objects = append(page.Objects, b.objects[key].meta(key))
			last = key
			continue
		}
		page.Prefixes = append(page.Prefixes, folded)
		last = folded + strings.Repeat("\xff", maxKeySize)
	}
	return page
}

// fold is the common prefix that stands for key, or empty.
func fold(key string, o env.ListOpts) string {
	if o.Delimiter == "" {
		return ""
	}
	i := strings.Index(key[len(o.Prefix):], o.Delimiter)
	if i < 0 {
		return ""
	}
	return key[:len(o.Prefix)+i+len(o.Delimiter)]
}
