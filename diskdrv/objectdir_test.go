package diskdrv_test

import (
	"bytes"
	"context"
	"errors"
	"regexp"
	"testing"

	"xenon/core/env"
	"xenon/diskdrv"
	"xenon/realio"
)

// names of uploads are random.
var uploadName = regexp.MustCompile(`uploads/\S+`)

// TestObjectDirOrder is the order in which the object store in a directory
// writes, syncs and renames: a forgotten sync shows as a difference.
func TestObjectDirOrder(t *testing.T) {
	d := newDisk(1, diskdrv.CrashHarsh)
	e := lives(t, d, asIs)(0)
	d.StartLog()
	s := must(realio.DirStoreOn(e, "."))
	ctx := context.Background()
	must(s.Put(ctx, "dir/a", env.Bytes([]byte("text")), env.PutOpts{IfNoneMatch: true}))
	must(s.Put(ctx, "dir/a", env.Bytes([]byte("more text")), env.PutOpts{}))
	if _, err := s.Put(ctx, "dir/a", env.Bytes(nil), env.PutOpts{IfNoneMatch: true}); !errors.Is(err, env.ErrPrecondition) {
		t.Fatal(err)
	}
	must(s.Head(ctx, "dir/a"))
	must(0, s.Delete(ctx, "dir/a"))
	const want = `mkdir objects
sync-dir .
mkdir uploads
sync-dir .
mkdir locks
sync-dir .
create uploads/…
write uploads/… 0+51
write uploads/… 51+8
sync uploads/…
mkdir objects/dir
sync-dir objects
mkdir locks/00
rename uploads/… objects/dir/a.obj
sync-dir objects/dir
create uploads/…
write uploads/… 0+51
write uploads/… 51+13
sync uploads/…
rename uploads/… objects/dir/a.obj
sync-dir objects/dir
create uploads/…
write uploads/… 0+51
sync uploads/…
remove uploads/…
sync-dir objects/dir
remove objects/dir/a.obj
sync-dir objects/dir
`
	if got := uploadName.ReplaceAllString(d.LogText(), "uploads/…"); got != want {
		t.Errorf("order:\n%swant:\n%s", got, want)
	}
}

// TestObjectDirUnderFaults: whatever the disk does, a Put that returned nil is
// there after a power cut, and one that returned ErrUnavailable changed
// nothing.
func TestObjectDirUnderFaults(t *testing.T) {
	ctx := context.Background()
	unknown, unavailable, done := 0, 0, 0
	for seed := range uint64(200) {
		d := newDisk(seed, diskdrv.CrashHarsh)
		open := lives(t, d, asIs)
		s := must(realio.DirStoreOn(open(0), "."))
		d.SetFaults(diskdrv.Faults{WriteError: 50, SyncError: 100, NameError: 50, NoSpace: 50})
		possible := map[string]bool{"": true} // what a crash now may leave; "" is nothing
		for i := range 10 {
			text := string(bytes.Repeat([]byte{byte('a' + i)}, 1000))
			_, err := s.Put(ctx, "dir/a", env.Bytes([]byte(text)), env.PutOpts{})
			switch {
			case err == nil:
				possible = map[string]bool{text: true}
				done++
			case errors.Is(err, env.ErrUnknown):
				possible[text] = true
				unknown++
			case errors.Is(err, env.ErrUnavailable):
				unavailable++
			default:
				t.Fatalf("seed %d: %v", seed, err)
			}
		}
		d.SetFaults(diskdrv.Faults{})
		s = must(realio.DirStoreOn(open(1), ".")) // after a power cut
		text, _, err := env.ReadObject(ctx, s, "dir/a")
		if err != nil && !errors.Is(err, env.ErrNotFound) {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if !possible[string(text)] {
			t.Fatalf("seed %d: found %.5q, which was overwritten or never written", seed, text)
		}
	}
	t.Logf("%d Puts done, %d unknown, %d refused", done, unknown, unavailable)
	if done == 0 || unknown == 0 || unavailable == 0 {
		t.Error("an outcome was never tried")
	}
}

// TestObjectDirTellsWhatIsDurable: what a read told is there after a power
// cut, although the Put or Delete that made it so never finished.
func TestObjectDirTellsWhatIsDurable(t *testing.T) {
	ctx := context.Background()
	reads := map[string]func(s env.ObjectStore) bool{ // whether dir/a is there
		"get": func(s env.ObjectStore) bool {
			_, _, err := env.ReadObject(ctx, s, "dir/a")
			return err == nil
		},
		"head": func(s env.ObjectStore) bool { _, err := s.Head(ctx, "dir/a"); return err == nil },
		"list": func(s env.ObjectStore) bool { return len(must(s.List(ctx, env.ListOpts{})).Objects) == 2 },
	}
	for name, read := range reads {
		for seed := range uint64(50) {
			for _, deleted := range []bool{false, true} {
				d := newDisk(seed, diskdrv.CrashHarsh)
				open := lives(t, d, asIs)
				s := must(realio.DirStoreOn(open(0), "."))
				must(s.Put(ctx, "dir/b", env.Bytes(nil), env.PutOpts{}))
				var err error
				if deleted {
					must(s.Put(ctx, "dir/a", env.Bytes(nil), env.PutOpts{}))
					must(0, d.FailNextSync("objects/dir"))
					err = s.Delete(ctx, "dir/a")
				} else {
					must(0, d.FailNextSync("objects/dir"))
					_, err = s.Put(ctx, "dir/a", env.Bytes(nil), env.PutOpts{})
				}
				if !errors.Is(err, env.ErrUnknown) {
					t.Fatalf("a request whose directory sync failed: %v", err)
				}
				told := read(s)
				s = must(realio.DirStoreOn(open(1), "."))
				if there := read(s); there != told {
					t.Fatalf("seed %d: %s told %t, and after a power cut %t", seed, name, told, there)
				}
			}
		}
	}
}
