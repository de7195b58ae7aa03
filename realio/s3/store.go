// Package s3 is a bucket of Amazon S3, or of a server that speaks its
// protocol, as an env.ObjectStore. It decides what an answer, or its absence,
// says about what was done; it repeats nothing by itself (package objstore
// does, where that is safe).
//
// Start at [Open].
package s3

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"xenon/core/env"
)

// maxPut is what S3 takes in one put, in bytes.
const maxPut = 5 << 30

// maxListed is how many keys and prefixes S3 puts on one page of a listing.
const maxListed = 1000

// A Store is the objects of a bucket whose keys begin with a prefix. It may be
// used by any number of goroutines.
type Store struct {
	client *sdk.Client
	bucket string
	prefix string // "" or ending in a slash; callers do not see it
}

var _ env.ObjectStore = (*Store)(nil)

// keyOf is the key in the bucket.
func (s *Store) keyOf(key string) (*string, error) {
	if err := env.CheckKey(key); err != nil {
		return nil, err
	}
	if n := len(s.prefix) + len(key); n > env.MaxKey {
		return nil, fmt.Errorf("a key has at most %d bytes, not %d with the prefix: %w", env.MaxKey, n, fs.ErrInvalid)
	}
	return aws.String(s.prefix + key), nil
}

// quote and unquote: an ETag travels in quotes.
func quote(e env.ETag) string { return `"` + string(e) + `"` }

func unquote(s *string) env.ETag { return env.ETag(strings.Trim(aws.ToString(s), `"`)) }

// Put reads the body twice: once for its checksum, which goes ahead of it, so
// that the server refuses what was damaged on the way.
func (s *Store) Put(ctx context.Context, key string, body env.Body, o env.PutOpts) (env.ObjectMeta, error) {
	meta, err := s.put(ctx, key, body, o)
	if err != nil {
		return env.ObjectMeta{}, fmt.Errorf("put %q: %w", key, err)
	}
	return meta, nil
}

func (s *Store) put(ctx context.Context, key string, body env.Body, o env.PutOpts) (env.ObjectMeta, error) {
	k, err := s.keyOf(key)
	if err != nil {
		return env.ObjectMeta{}, err
	}
	if o.IfNoneMatch && o.IfMatch != "" {
		return env.ObjectMeta{}, fmt.Errorf("both If-None-Match and If-Match: %w", fs.ErrInvalid)
	}
	if body.Size() > maxPut {
		return env.ObjectMeta{}, fmt.Errorf("%d bytes are more than S3 takes at once (%d): %w", body.Size(), int64(maxPut), fs.ErrInvalid)
	}
	sum, err := checksum(body)
	if err != nil {
		return env.ObjectMeta{}, err
	}
	r, err := body.Open()
	if err != nil {
		return env.ObjectMeta{}, err
	}
	defer r.Close()
	in := &sdk.PutObjectInput{
		Bucket: &s.bucket, Key: k, ContentLength: aws.Int64(body.Size()), ChecksumCRC32C: &sum,
		// A type of its own keeps the transport from closing or copying it.
		Body: struct{ io.Reader }{r},
	}
	if o.IfNoneMatch {
		in.IfNoneMatch = aws.String("*")
	}
	if o.IfMatch != "" {
		in.IfMatch = aws.String(quote(o.IfMatch))
	}
	a, ctx := begin(ctx, write)
	out, err := s.client.PutObject(ctx, in)
	if err != nil {
		return env.ObjectMeta{}, a.failed(err)
	}
	return env.ObjectMeta{Key: key, Size: body.Size(), ETag: unquote(out.ETag)}, nil
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// checksum is the CRC-32C of a body as S3 writes it. A body that has another
// size than it says is refused.
func checksum(body env.Body) (string, error) {
	r, err := body.Open()
	if err != nil {
		return "", err
	}
	defer r.Close()
	h := crc32.New(castagnoli)
	n, err := io.Copy(h, r)
	if err != nil {
		return "", fmt.Errorf("read the body: %w", err)
	}
	if n != body.Size() {
		return "", fmt.Errorf("the body has %d bytes and says %d: %w", n, body.Size(), io.ErrUnexpectedEOF)
	}
	return encodeChecksum(h.Sum32()), nil
}

func encodeChecksum(sum uint32) string {
	return base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint32(nil, sum))
}

// Get opens a range of an object. A whole one is compared with the checksum
// that the server has of it, if any.
func (s *Store) Get(ctx context.Context, key string, o env.GetOpts) (io.ReadCloser, env.ObjectMeta, error) {
	r, meta, err := s.get(ctx, key, o)
	if err != nil {
		return nil, env.ObjectMeta{}, fmt.Errorf("get %q: %w", key, err)
	}
	return r, meta, nil
}

func (s *Store) get(ctx context.Context, key string, o env.GetOpts) (io.ReadCloser, env.ObjectMeta, error) {
	k, err := s.keyOf(key)
	if err != nil {
		return nil, env.ObjectMeta{}, err
	}
	if o.Off < 0 || o.Len < 0 {
		return nil, env.ObjectMeta{}, fmt.Errorf("range %d+%d: %w", o.Off, o.Len, fs.ErrInvalid)
	}
	in := &sdk.GetObjectInput{Bucket: &s.bucket, Key: k, Range: rangeOf(o)}
	if in.Range == nil {
		in.ChecksumMode = types.ChecksumModeEnabled
	}
	a, actx := begin(ctx, read)
	out, err := s.client.GetObject(actx, in)
	if err != nil {
		if err = a.failed(err); errors.Is(err, errRange) {
			return s.getNothing(ctx, key, o)
		}
		return nil, env.ObjectMeta{}, err
	}
	meta := env.ObjectMeta{Key: key, Size: aws.ToInt64(out.ContentLength), ETag: unquote(out.ETag), Modified: aws.ToTime(out.LastModified)}
	b := &body{body: out.Body, key: key, attempt: a, left: meta.Size}
	if in.Range != nil {
		if meta.Size, err = sizeOf(aws.ToString(out.ContentRange), o, b.left); err != nil {
			out.Body.Close()
			return nil, env.ObjectMeta{}, err
		}
	} else if out.ChecksumType != types.ChecksumTypeComposite {
		b.sum, b.want = crc32.New(castagnoli), aws.ToString(out.ChecksumCRC32C)
	}
	return b, meta, nil
}

// rangeOf is the value of the Range header, nil for a whole object.
func rangeOf(o env.GetOpts) *string {
	switch {
	case o.Len > 0:
		return aws.String(fmt.Sprintf("bytes=%d-%d", o.Off, o.Off+o.Len-1))
	case o.Off > 0:
		return aws.String(fmt.Sprintf("bytes=%d-", o.Off))
	}
	return nil
}

// sizeOf takes the size of the object from the Content-Range of an answer of
// n bytes, which must be the range that was asked for.
func sizeOf(contentRange string, o env.GetOpts, n int64) (int64, error) {
	var first, last, size int64
	if _, err := fmt.Sscanf(contentRange, "bytes %d-%d/%d", &first, &last, &size); err != nil {
		return 0, fmt.Errorf("the answer to a range has the Content-Range %q: %w", contentRange, env.ErrCorrupt)
	}
	end := size
	if o.Len > 0 {
		end = min(size, o.Off+o.Len)
	}
	if first != o.Off || last+1 != end || n != end-first {
		return 0, fmt.Errorf("asked for %d+%d and got %q with %d bytes: %w", o.Off, o.Len, contentRange, n, env.ErrCorrupt)
	}
	return size, nil
}

// getNothing is a range that S3 refuses because no byte is in it: right at the
// end it is empty, beyond it is a mistake.
func (s *Store) getNothing(ctx context.Context, key string, o env.GetOpts) (io.ReadCloser, env.ObjectMeta, error) {
	meta, err := s.head(ctx, key)
	if err != nil {
		return nil, env.ObjectMeta{}, err
	}
	if o.Off != meta.Size {
		return nil, env.ObjectMeta{}, fmt.Errorf("range %d+%d of %d bytes: %w", o.Off, o.Len, meta.Size, fs.ErrInvalid)
	}
	return io.NopCloser(strings.NewReader("")), meta, nil
}

// Head tells what is stored under key.
func (s *Store) Head(ctx context.Context, key string) (env.ObjectMeta, error) {
	meta, err := s.head(ctx, key)
	if err != nil {
		return env.ObjectMeta{}, fmt.Errorf("head %q: %w", key, err)
	}
	return meta, nil
}

func (s *Store) head(ctx context.Context, key string) (env.ObjectMeta, error) {
	k, err := s.keyOf(key)
	if err != nil {
		return env.ObjectMeta{}, err
	}
	a, actx := begin(ctx, read)
	a.bare = true
	out, err := s.client.HeadObject(actx, &sdk.HeadObjectInput{Bucket: &s.bucket, Key: k})
	if err != nil {
		err = a.failed(err)
		if errors.Is(err, env.ErrNotFound) {
			// The answer to a HEAD has no text: it may be the bucket that is not
			// there, and then nothing is known about the key.
			if _, lerr := s.list(ctx, env.ListOpts{Prefix: key, Max: 1}); lerr != nil {
				return env.ObjectMeta{}, lerr
			}
		}
		return env.ObjectMeta{}, err
	}
	return env.ObjectMeta{Key: key, Size: aws.ToInt64(out.ContentLength), ETag: unquote(out.ETag), Modified: aws.ToTime(out.LastModified)}, nil
}

// List lists one page of keys.
func (s *Store) List(ctx context.Context, o env.ListOpts) (env.ListPage, error) {
	page, err := s.list(ctx, o)
	if err != nil {
		return env.ListPage{}, fmt.Errorf("list %q: %w", o.Prefix, err)
	}
	return page, nil
}

func (s *Store) list(ctx context.Context, o env.ListOpts) (page env.ListPage, err error) {
	if o.Max <= 0 || o.Max > maxListed {
		o.Max = maxListed
	}
	in := &sdk.ListObjectsV2Input{Bucket: &s.bucket, Prefix: aws.String(s.prefix + o.Prefix), MaxKeys: aws.Int32(int32(o.Max))}
	if o.Delimiter != "" {
		in.Delimiter = &o.Delimiter
	}
	if o.Token != "" {
		in.ContinuationToken = &o.Token
	}
	a, ctx := begin(ctx, read)
	out, err := s.client.ListObjectsV2(ctx, in)
	if err != nil {
		return page, a.failed(err)
	}
	for i := range out.Contents {
		c := &out.Contents[i]
		page.Objects = append(page.Objects, env.ObjectMeta{
			Key: strings.TrimPrefix(aws.ToString(c.Key), s.prefix), Size: aws.ToInt64(c.Size),
			ETag: unquote(c.ETag), Modified: aws.ToTime(c.LastModified),
		})
	}
	for _, p := range out.CommonPrefixes {
		page.Prefixes = append(page.Prefixes, strings.TrimPrefix(aws.ToString(p.Prefix), s.prefix))
	}
	if aws.ToBool(out.IsTruncated) {
		if page.Next = aws.ToString(out.NextContinuationToken); page.Next == "" {
			return page, fmt.Errorf("a page that is not the last one has no token: %w", env.ErrCorrupt)
		}
	}
	return page, nil
}

// Delete removes a key.
func (s *Store) Delete(ctx context.Context, key string) error {
	k, err := s.keyOf(key)
	if err == nil {
		a, ctx := begin(ctx, write)
		if _, err = s.client.DeleteObject(ctx, &sdk.DeleteObjectInput{Bucket: &s.bucket, Key: k}); err != nil {
			err = a.failed(err)
		}
	}
	if err != nil && !errors.Is(err, env.ErrNotFound) {
		return fmt.Errorf("delete %q: %w", key, err)
	}
	return nil
}
