package envtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"testing"

	"xenon/core/env"
	"xenon/core/xsync"
)

// Objects checks that an object store keeps the contract of
// [env.ObjectStore]. open runs the lives of a case, each over an Env whose
// store is empty at first, and reports what they panic with. The store answers
// every request; what it does when it does not is each store's own test.
func Objects(t *testing.T, open func(t *testing.T, c Case)) {
	run(t, ObjectCases(), os.Getenv("XENON_FULL") != "", open)
}

// bucket is a store under test.
type bucket struct {
	env.ObjectStore
	ctx context.Context
}

// ObjectCases are the cases of [Objects], for tests that break a promise on
// purpose.
func ObjectCases() []Case {
	on := func(fs ...func(bucket)) (lives []Life) {
		for _, f := range fs {
			lives = append(lives, func(ctx context.Context, e env.Env) { f(bucket{e.Objects(), ctx}) })
		}
		return lives
	}
	return []Case{
		{Name: "put, get, head, delete", Lives: on(objectBasics)},
		{Name: "ranges", Lives: on(objectRanges)},
		{Name: "overwriting", Lives: on(objectOverwriting)},
		{Name: "create once", Lives: on(objectIfNoneMatch)},
		{Name: "change what was read", Lives: on(objectIfMatch)},
		{Name: "bad requests", Lives: on(objectBadRequests)},
		{Name: "strange keys", Lives: on(objectStrangeKeys), AnyKey: true},
		{Name: "listing by pages", Lives: on(objectPages)},
		{Name: "listing with a delimiter", Lives: on(objectDelimiter)},
		{Name: "listing while keys change", Lives: on(objectChangingList)},
		{Name: "more than a page", Lives: on(objectManyKeys), Full: true},
		{Name: "ended context", Lives: on(objectEndedContext)},
		{Name: "one creator wins", Lives: []Life{objectOneCreator}},
		{Name: "no change is overwritten unseen", Lives: []Life{objectCounter}},
		{Name: "what was put survives", Lives: on(objectSurvives, objectSurvived)},
	}
}

func (b bucket) put(key, text string, o env.PutOpts) env.ObjectMeta {
	m := got(b.Put(b.ctx, key, env.Bytes([]byte(text)), o))
	want(m.Key, key, "key in the answer to a Put")
	want(m.Size, int64(len(text)), "size in the answer to a Put")
	return m
}

func (b bucket) putErr(key, text string, o env.PutOpts) error {
	_, err := b.Put(b.ctx, key, env.Bytes([]byte(text)), o)
	return err
}

func (b bucket) get(key string) (string, env.ObjectMeta) {
	text, m, err := env.ReadObject(b.ctx, b, key)
	ok(err)
	return string(text), m
}

// list is all keys and common prefixes, in pages of max.
func (b bucket) list(o env.ListOpts) (keys []string) {
	for {
		page := got(b.List(b.ctx, o))
		if o.Max > 0 && len(page.Objects)+len(page.Prefixes) > o.Max {
			failf("a page has more than %d entries", o.Max)
		}
		var here []string
		for _, m := range page.Objects {
			here = append(here, m.Key)
		}
		if !slices.IsSorted(here) || !slices.IsSorted(page.Prefixes) {
			failf("a page is not in byte order: %q, %q", here, page.Prefixes)
		}
		here = append(here, page.Prefixes...)
		slices.Sort(here)
		keys = append(keys, here...)
		if page.Next == "" {
			return keys
		}
		if len(here) == 0 {
			failf("a page that is not the last one is empty")
		}
		o.Token = page.Next
	}
}

func wantKeys(got, want []string, what string) {
	if !slices.Equal(got, want) {
		failf("%s: got %q, want %q", what, got, want)
	}
}

func objectBasics(b bucket) {
	_, err := b.Head(b.ctx, "a")
	wantErr(err, "head of what is not there", env.ErrNotFound)
	_, _, err = b.Get(b.ctx, "a", env.GetOpts{})
	wantErr(err, "get of what is not there", env.ErrNotFound)
	ok(b.Delete(b.ctx, "a"))

	big := strings.Repeat("0123456789abcdef", 9000)
	for _, content := range []string{"text", "", big} {
		m := b.put("dir/a", content, env.PutOpts{})
		read, meta := b.get("dir/a")
		want(read == content, true, "what is got is what was put")
		head := got(b.Head(b.ctx, "dir/a"))
		for _, other := range []env.ObjectMeta{meta, head} {
			want(other.Key, m.Key, "key")
			want(other.Size, m.Size, "size")
			want(other.ETag, m.ETag, "ETag")
		}
	}
	_, err = b.Head(b.ctx, "dir")
	wantErr(err, "head of a key's beginning", env.ErrNotFound)
	ok(b.Delete(b.ctx, "dir/a"))
	_, err = b.Head(b.ctx, "dir/a")
	wantErr(err, "head of what was deleted", env.ErrNotFound)
	wantKeys(b.list(env.ListOpts{}), nil, "list of an empty store")
}

func objectRanges(b bucket) {
	content := strings.Repeat("0123456789abcdef", 5000) // 80,000 bytes
	b.put("a", content, env.PutOpts{})
	size := int64(len(content))
	for _, o := range []env.GetOpts{
		{}, {Off: 1}, {Len: 1}, {Off: 32767, Len: 2}, {Off: 32768, Len: 32768}, {Off: 5, Len: 79_000},
		{Off: size - 1}, {Off: size - 1, Len: 10}, {Off: size}, {Len: size}, {Len: size + 1},
	} {
		r, m, err := b.Get(b.ctx, "a", o)
		ok(err)
		want(m.Size, size, "size of the object in the answer to a range")
		text := got(io.ReadAll(r))
		ok(r.Close())
		end := size
		if o.Len > 0 {
			end = min(size, o.Off+o.Len)
		}
		if string(text) != content[o.Off:end] {
			failf("range %d+%d: got %d bytes that are not those", o.Off, o.Len, len(text))
		}
	}
	for _, o := range []env.GetOpts{{Off: size + 1}, {Off: -1}, {Len: -1}} {
		if _, _, err := b.Get(b.ctx, "a", o); err == nil {
			failf("range %d+%d of %d bytes was answered", o.Off, o.Len, size)
		}
	}
}

func objectOverwriting(b bucket) {
	first := strings.Repeat("first", 30_000)
	was := b.put("a", first, env.PutOpts{})
	r, _, err := b.Get(b.ctx, "a", env.GetOpts{})
	ok(err)
	start := make([]byte, 10)
	got(io.ReadFull(r, start))
	is := b.put("a", strings.Repeat("again", 30_000), env.PutOpts{})
	if was.ETag == is.ETag || is.ETag == "" {
		failf("the ETag %q stayed when the content changed", is.ETag)
	}
	// A reader sees one object or an error, never parts of two.
	rest, err := io.ReadAll(r)
	if err == nil && string(start)+string(rest) != first {
		failf("a reader got something else than what was there when it began")
	}
	ok(r.Close())
	text, _ := b.get("a")
	want(text[:5], "again", "what is there after overwriting")
}

func objectIfNoneMatch(b bucket) {
	b.put("a", "first", env.PutOpts{IfNoneMatch: true})
	wantErr(b.putErr("a", "second", env.PutOpts{IfNoneMatch: true}), "second create", env.ErrPrecondition)
	text, _ := b.get("a")
	want(text, "first", "after a create that was refused")
	ok(b.Delete(b.ctx, "a"))
	b.put("a", "third", env.PutOpts{IfNoneMatch: true})
}

func objectIfMatch(b bucket) {
	wantErr(b.putErr("a", "x", env.PutOpts{IfMatch: "0123"}), "change of what is not there", env.ErrNotFound, env.ErrPrecondition)
	first := b.put("a", "first", env.PutOpts{})
	second := b.put("a", "second", env.PutOpts{IfMatch: first.ETag})
	wantErr(b.putErr("a", "x", env.PutOpts{IfMatch: first.ETag}), "change of what was changed", env.ErrPrecondition)
	text, m := b.get("a")
	want(text, "second", "after a change that was refused")
	want(m.ETag, second.ETag, "ETag")
	third := b.put("a", "third", env.PutOpts{IfMatch: m.ETag})
	ok(b.Delete(b.ctx, "a"))
	wantErr(b.putErr("a", "x", env.PutOpts{IfMatch: third.ETag}), "change of what was deleted", env.ErrNotFound, env.ErrPrecondition)
	_, err := b.Head(b.ctx, "a")
	wantErr(err, "head of what was deleted, after a change that was refused", env.ErrNotFound)
}

// A lyingBody has another size than it says.
type lyingBody struct {
	env.Body
	says int64
}

func (b lyingBody) Size() int64 { return b.says }

func objectBadRequests(b bucket) {
	for _, key := range []string{"", strings.Repeat("k/", 513)} {
		wantErr(b.putErr(key, "x", env.PutOpts{}), "put of a bad key", fs.ErrInvalid)
		_, err := b.Head(b.ctx, key)
		wantErr(err, "head of a bad key", fs.ErrInvalid)
		_, _, err = b.Get(b.ctx, key, env.GetOpts{})
		wantErr(err, "get of a bad key", fs.ErrInvalid)
		wantErr(b.Delete(b.ctx, key), "delete of a bad key", fs.ErrInvalid)
	}
	wantErr(b.putErr("a", "x", env.PutOpts{IfNoneMatch: true, IfMatch: "1"}), "both conditions", fs.ErrInvalid)
	if _, err := b.Put(b.ctx, "a", lyingBody{env.Bytes([]byte("text")), 5}, env.PutOpts{}); err == nil {
		failf("a body that ends early was stored")
	}
	wantKeys(b.list(env.ListOpts{}), nil, "keys after requests that were refused")
}

// strangeKeys try what file names, escapes and separators may get wrong.
var strangeKeys = []string{
	" ", "%", "%/%", "%25", "%2F", ".", "..", "../..", "/", "//", "/a", "A", "a", "a ", "a%2Fb", "a-b", "a.obj", "a.obj/b", "a/",
	"a//b", "a/.", "a/../b", "a/b", "a/b.obj", "a/b/c", "a0", "a\x00b", "con", "~", "é", "\xff",
}

func objectStrangeKeys(b bucket) {
	strangeKeys := slices.Sorted(slices.Values(strangeKeys))
	for i, key := range strangeKeys {
		b.put(key, fmt.Sprint(i), env.PutOpts{IfNoneMatch: true})
	}
	for i, key := range strangeKeys {
		text, _ := b.get(key)
		want(text, fmt.Sprint(i), fmt.Sprintf("object %q", key))
	}
	wantKeys(b.list(env.ListOpts{}), strangeKeys, "all keys")
	wantKeys(b.list(env.ListOpts{Max: 1}), strangeKeys, "all keys, one a page")
	wantKeys(b.list(env.ListOpts{Prefix: "a/", Delimiter: "b/"}), []string{"a/", "a/.", "a/../b", "a//b", "a/b", "a/b.obj", "a/b/"}, "with another delimiter")
	ok(b.Delete(b.ctx, "a"))
	text, _ := b.get("a/b")
	want(text, fmt.Sprint(slices.Index(strangeKeys, "a/b")), "a key below one that was deleted")
}

func objectPages(b bucket) {
	var keys []string
	for _, key := range []string{"Z", "a-", "a/1", "a/2", "a/b/1", "a0", "b/1", "b/10", "b/2", "c"} {
		keys = append(keys, key)
		b.put(key, key, env.PutOpts{})
	}
	for _, size := range []int{0, 1, 2, 3, 9, 10, 11} {
		wantKeys(b.list(env.ListOpts{Max: size}), keys, fmt.Sprintf("all keys in pages of %d", size))
		wantKeys(b.list(env.ListOpts{Max: size, Prefix: "a/"}), []string{"a/1", "a/2", "a/b/1"}, "keys below a/")
		wantKeys(b.list(env.ListOpts{Max: size, Prefix: "b/1"}), []string{"b/1", "b/10"}, "keys that begin with b/1")
		wantKeys(b.list(env.ListOpts{Max: size, Prefix: "x"}), nil, "keys that begin with x")
	}
	page := got(b.List(b.ctx, env.ListOpts{Prefix: "c"}))
	head := got(b.Head(b.ctx, "c"))
	want(page.Objects[0].ETag, head.ETag, "ETag in a listing")
	want(page.Objects[0].Size, 1, "size in a listing")
}

func objectDelimiter(b bucket) {
	for _, key := range []string{"a.1", "a/1", "a/2", "a/b/1", "a/b/2", "a0/1", "b", "c-1", "c/1"} {
		b.put(key, key, env.PutOpts{})
	}
	for _, size := range []int{0, 1, 2, 3, 100} {
		o := env.ListOpts{Max: size, Delimiter: "/"}
		wantKeys(b.list(o), []string{"a.1", "a/", "a0/", "b", "c-1", "c/"}, "the top")
		o.Prefix = "a/"
		wantKeys(b.list(o), []string{"a/1", "a/2", "a/b/"}, "below a/")
		o.Prefix = "a"
		wantKeys(b.list(o), []string{"a.1", "a/", "a0/"}, "what begins with a")
	}
	ok(b.Delete(b.ctx, "c/1"))
	wantKeys(b.list(env.ListOpts{Delimiter: "/", Prefix: "c"}), []string{"c-1"}, "after the only key below c/ is gone")
}

// objectChangingList: what is there throughout is listed once, whatever else
// comes and goes.
func objectChangingList(b bucket) {
	var keys []string
	for i := range 12 {
		keys = append(keys, fmt.Sprintf("k%02d", i))
		b.put(keys[i], "", env.PutOpts{})
	}
	o := env.ListOpts{Max: 2}
	seen := make(map[string]int)
	for i := 0; ; i++ {
		page := got(b.List(b.ctx, o))
		for _, m := range page.Objects {
			seen[m.Key]++
		}
		if page.Next == "" {
			break
		}
		o.Token = page.Next
		ok(b.Delete(b.ctx, page.Objects[len(page.Objects)-1].Key)) // the one the token stands at
		b.put(fmt.Sprintf("a%02d", i), "", env.PutOpts{})
		b.put(keys[0]+"x", "", env.PutOpts{})
	}
	for _, key := range keys {
		want(seen[key], 1, "times that "+key+" was listed")
	}
}

func objectManyKeys(b bucket) {
	var keys []string
	for i := range 1101 {
		keys = append(keys, fmt.Sprintf("many/%04d", i))
		b.put(keys[i], "", env.PutOpts{})
	}
	want(len(got(b.List(b.ctx, env.ListOpts{Max: 5000})).Objects) <= 1000, true, "a page has at most 1,000 keys")
	wantKeys(b.list(env.ListOpts{}), keys, "1,101 keys")
}

var errEnded = errors.New("the caller has had enough")

func objectEndedContext(b bucket) {
	ctx, cancel := xsync.WithCancel(b.ctx)
	cancel(errEnded)
	_, err := b.Put(ctx, "a", env.Bytes([]byte("x")), env.PutOpts{})
	wantErr(err, "put", errEnded)
	_, _, err = b.Get(ctx, "a", env.GetOpts{})
	wantErr(err, "get", errEnded)
	_, err = b.Head(ctx, "a")
	wantErr(err, "head", errEnded)
	_, err = b.List(ctx, env.ListOpts{})
	wantErr(err, "list", errEnded)
	wantErr(b.Delete(ctx, "a"), "delete", errEnded)
	_, err = b.Head(b.ctx, "a")
	wantErr(err, "what was put under an ended context", env.ErrNotFound)
}

// Racers of the races below.
const racers = 16

// race runs racers tasks that begin together.
func race(ctx context.Context, e env.Env, f func(ctx context.Context, n int) error) {
	start := xsync.NewWatch(e, false)
	g := xsync.NewGroup(ctx, e)
	for n := range racers {
		g.Go(fmt.Sprintf("racer %d", n), func(ctx context.Context) error {
			if _, err := start.Await(ctx, func(b bool) bool { return b }); err != nil {
				return err
			}
			return f(ctx, n)
		})
	}
	start.Set(true)
	ok(g.Wait())
}

// refused tells a Put that lost from one that failed.
func refused(err error) bool {
	return errors.Is(err, env.ErrPrecondition) || errors.Is(err, env.ErrConflict)
}

func objectOneCreator(ctx context.Context, e env.Env) {
	s := e.Objects()
	for round := range 8 {
		key := fmt.Sprintf("race/%d", round)
		winners := xsync.NewWatch[[]int](e, nil)
		race(ctx, e, func(ctx context.Context, n int) error {
			_, err := s.Put(ctx, key, env.Bytes([]byte(fmt.Sprint(n))), env.PutOpts{IfNoneMatch: true})
			if err == nil {
				winners.Update(func(w []int) []int { return append(w, n) })
			} else if !refused(err) {
				return err
			}
			return nil
		})
		won := winners.Get()
		want(len(won), 1, "creators that won")
		text, _ := bucket{s, ctx}.get(key)
		want(text, fmt.Sprint(won[0]), "what the winner wrote")
	}
}

// objectCounter counts up from many tasks, each of which tries until its
// change is in.
func objectCounter(ctx context.Context, e env.Env) {
	s := e.Objects()
	b := bucket{s, ctx}
	b.put("count", "", env.PutOpts{})
	race(ctx, e, func(ctx context.Context, n int) error {
		for {
			text, m, err := env.ReadObject(ctx, s, "count")
			if err != nil {
				return err
			}
			_, err = s.Put(ctx, "count", env.Bytes(append(text, byte('a'+n))), env.PutOpts{IfMatch: m.ETag})
			if err == nil || !refused(err) {
				return err
			}
		}
	})
	text, _ := b.get("count")
	sorted := []byte(text)
	slices.Sort(sorted)
	want(string(sorted), "abcdefghijklmnop", "the changes that are in")
}

func objectSurvives(b bucket) {
	b.put("dir/a", "first", env.PutOpts{IfNoneMatch: true})
	m := b.put("dir/sub/b", "old", env.PutOpts{})
	b.put("dir/sub/b", string(bytes.Repeat([]byte("new"), 20_000)), env.PutOpts{IfMatch: m.ETag})
	b.put("gone", "x", env.PutOpts{})
	ok(b.Delete(b.ctx, "gone"))
}

func objectSurvived(b bucket) {
	wantKeys(b.list(env.ListOpts{}), []string{"dir/a", "dir/sub/b"}, "keys after a crash")
	text, _ := b.get("dir/a")
	want(text, "first", "an object after a crash")
	text, _ = b.get("dir/sub/b")
	want(text == strings.Repeat("new", 20_000), true, "an overwritten object is the newer one")
	wantErr(b.putErr("dir/a", "x", env.PutOpts{IfNoneMatch: true}), "create of what survived", env.ErrPrecondition)
}
