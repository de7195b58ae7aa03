package env

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"time"
)

// An ObjectStore is a bucket with the rules of S3: each key is strongly
// consistent, nothing is atomic across keys, and conditional writes are the
// only coordination. A Put that returned nil is durable.
//
// Errors satisfy errors.Is with [ErrNotFound], [ErrPrecondition],
// [ErrConflict], [ErrSlowDown], [ErrUnavailable] (nothing was done),
// [ErrUnknown] (it may have been done, or may yet be), [ErrCorrupt],
// [ErrForbidden]. A caller whose conditional Put did not return nil does not
// know what is stored: it reads the object back (package register).
//
// Keys are those that [CheckKey] takes. A store may take others as well, or
// refuse them with fs.ErrInvalid; and it need not hold a key and others below
// it, such as a and a/b, since S3 servers over a file system cannot.
type ObjectStore interface {
	Put(ctx context.Context, key string, body Body, o PutOpts) (ObjectMeta, error)
	// Get reads o.Len bytes from o.Off, all to the end if Len is 0. The
	// caller closes the reader; a body cut short is io.ErrUnexpectedEOF.
	Get(ctx context.Context, key string, o GetOpts) (io.ReadCloser, ObjectMeta, error)
	Head(ctx context.Context, key string) (ObjectMeta, error)
	// List returns keys in byte order, at most 1,000 a page.
	List(ctx context.Context, o ListOpts) (ListPage, error)
	// Delete removes a key; a missing key is no error.
	Delete(ctx context.Context, key string) error
}

// MaxKey is the length of a key at most, in bytes: that of S3.
const MaxKey = 1024

// keySigns are what S3 calls safe in keys, besides letters and digits; none
// needs an escape in a URL, in XML, or in a file's name.
const keySigns = "!-_.*'()"

// CheckKey says what is wrong with a key, as an fs.ErrInvalid. Every store
// takes parts of letters, digits and !-_.*'() with slashes between them, none
// of them empty, . or .. .
func CheckKey(key string) error {
	if key == "" || len(key) > MaxKey {
		return fmt.Errorf("a key has 1 to %d bytes, not %d: %w", MaxKey, len(key), fs.ErrInvalid)
	}
	for part := range strings.SplitSeq(key, "/") {
		if part == "" || part == "." || part == ".." {
			return fmt.Errorf("key %q has the part %q: %w", key, part, fs.ErrInvalid)
		}
		for i := range len(part) {
			if !keyByte(part[i]) {
				return fmt.Errorf("key %q has the byte %q: %w", key, part[i], fs.ErrInvalid)
			}
		}
	}
	return nil
}

func keyByte(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte(keySigns, c) >= 0
}

// An ETag changes whenever an object's content does.
type ETag string

// A Body is what Put sends. It can be opened again for a retry.
type Body interface {
	Size() int64
	Open() (io.ReadCloser, error)
}

// Bytes is a Body of bytes, which must not change until Put returned.
func Bytes(b []byte) Body { return bytesBody(b) }

type bytesBody []byte

func (b bytesBody) Size() int64                  { return int64(len(b)) }
func (b bytesBody) Open() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b)), nil }

// PutOpts make a Put conditional.
type PutOpts struct {
	IfNoneMatch bool // only if the key does not exist, else ErrPrecondition
	IfMatch     ETag // only if the object has this ETag, else ErrPrecondition, or ErrNotFound
}

// GetOpts choose a range.
type GetOpts struct{ Off, Len int64 }

// ListOpts choose keys. With a Delimiter, keys that have it after Prefix are
// folded into Prefixes.
type ListOpts struct {
	Prefix, Delimiter string
	Token             string // ListPage.Next of the page before
	Max               int    // at most 1,000; 0 means 1,000
}

// A ListPage is one page of a listing. Next is empty on the last one.
type ListPage struct {
	Objects  []ObjectMeta
	Prefixes []string
	Next     string
}

// An ObjectMeta tells what is stored under a key.
type ObjectMeta struct {
	Key      string
	Size     int64
	ETag     ETag
	Modified time.Time // the store's clock: for display
}

// ReadObject reads a whole object.
func ReadObject(ctx context.Context, s ObjectStore, key string) ([]byte, ObjectMeta, error) {
	r, meta, err := s.Get(ctx, key, GetOpts{})
	if err != nil {
		return nil, ObjectMeta{}, err
	}
	b, err := io.ReadAll(r)
	if cerr := r.Close(); err == nil {
		err = cerr
	}
	if err == nil && int64(len(b)) != meta.Size {
		err = io.ErrUnexpectedEOF
	}
	return b, meta, err
}
