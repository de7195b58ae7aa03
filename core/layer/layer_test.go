package layer_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"xenon/core"
	"xenon/core/env"
	"xenon/core/layer"
)

var rewrite = flag.Bool("rewrite", false, "write golden files anew")

// memory is a Source of bytes that counts its reads.
type memory struct {
	b     []byte
	reads int
}

func (m *memory) Size() int64  { return int64(len(m.b)) }
func (m *memory) Name() string { return "mem" }

func (m *memory) ReadRange(_ context.Context, p []byte, off int64) error {
	m.reads++
	if off < 0 || off+int64(len(p)) > int64(len(m.b)) {
		return io.ErrUnexpectedEOF
	}
	copy(p, m.b[off:])
	return nil
}

var testID = layer.ImageID{
	TTID:  core.TTID{Tenant: core.TenantID{1, 2, 3}, Timeline: core.TimelineID{4, 5, 6}},
	Shard: core.Unsharded, Keys: layer.Everything, LSN: 0x1500000,
}

type value struct {
	key  core.Key
	data []byte
}

func write(t testing.TB, id layer.ImageID, pack bool, values []value) []byte {
	t.Helper()
	var buf layer.Buffer
	w, err := layer.NewWriter(&buf, id, pack)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range values {
		if err := w.Add(v.key, v.data); err != nil {
			t.Fatal(err)
		}
	}
	size, err := w.Finish()
	if err != nil {
		t.Fatal(err)
	}
	r, _ := buf.Open()
	b, err := io.ReadAll(r)
	if err != nil || int64(len(b)) != size || buf.Size() != size {
		t.Fatalf("wrote %d bytes (%v), Finish says %d, the buffer %d", len(b), err, size, buf.Size())
	}
	return b
}

func open(t testing.TB, b []byte, id layer.ImageID) (*layer.Image, *memory) {
	t.Helper()
	src := &memory{b: b}
	im, err := layer.Open(context.Background(), src, id, layer.NewCache(1<<20))
	if err != nil {
		t.Fatal(err)
	}
	return im, src
}

// pages are n pages of one relation, every other block left out.
func pages(n int) []value {
	rng := rand.New(rand.NewPCG(1, 2))
	rel := core.Rel{Spc: 1663, DB: 5, Node: 16384}
	out := make([]value, n)
	for i := range out {
		page := make([]byte, core.PageSize)
		for j := range 1000 {
			page[j*8] = byte(rng.Uint32())
		}
		out[i] = value{core.BlockKey(rel, uint32(2*i)), page}
	}
	return out
}

func get(t testing.TB, im *layer.Image, keys ...core.Key) map[core.Key][]byte {
	t.Helper()
	out := map[core.Key][]byte{}
	err := im.Get(context.Background(), keys, func(i int, v []byte) error {
		out[keys[i]] = v
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestRoundTrip(t *testing.T) {
	for _, pack := range []bool{false, true} {
		// From 2,900 pages on there are two leaves; packing is slow.
		many := 3500
		if pack {
			many = 300
		}
		for _, n := range []int{0, 1, 3, 4, 5, many} {
			t.Run(fmt.Sprintf("%d pages, pack %v", n, pack), func(t *testing.T) {
				values := pages(n)
				b := write(t, testID, pack, values)
				if pack && n > 100 && len(b) > n*core.PageSize/2 {
					t.Errorf("%d bytes for %d pages that are mostly zeroes", len(b), n)
				}
				im, _ := open(t, b, testID)
				i := 0
				err := im.Scan(context.Background(), layer.Everything, func(k core.Key, v []byte) error {
					if k != values[i].key || !bytes.Equal(v, values[i].data) {
						t.Fatalf("value %d of the scan is %s, want %s", i, k, values[i].key)
					}
					i++
					return nil
				})
				if err != nil || i != n || im.Values() != uint64(n) {
					t.Errorf("scan gave %d of %d values (%v), the footer says %d", i, n, err, im.Values())
				}
			})
		}
	}
}

func TestGetFindsWhatIsThereAndNothingElse(t *testing.T) {
	values := pages(300)
	im, _ := open(t, write(t, testID, true, values), testID)
	var keys []core.Key
	for i := range values {
		keys = append(keys, values[i].key, values[i].key.Next())
	}
	keys = append(keys, core.Key{}, core.MaxKey)
	rand.New(rand.NewPCG(3, 4)).Shuffle(len(keys), func(i, j int) { keys[i], keys[j] = keys[j], keys[i] })
	got := get(t, im, keys...)
	if len(got) != len(values) {
		t.Errorf("%d values found, want %d", len(got), len(values))
	}
	for _, v := range values {
		if !bytes.Equal(got[v.key], v.data) {
			t.Fatalf("value of %s is wrong", v.key)
		}
		if one := get(t, im, v.key, v.key); !bytes.Equal(one[v.key], v.data) {
			t.Fatalf("value of %s asked for twice is wrong", v.key)
		}
	}
}

func TestNeighboursAreFetchedByOneRead(t *testing.T) {
	values := pages(400)
	im, src := open(t, write(t, testID, true, values), testID)
	get(t, im, values[0].key) // the index leaf
	src.reads = 0
	keys := make([]core.Key, 32)
	for i := range keys {
		keys[i] = values[100+i].key
	}
	if get(t, im, keys...); src.reads != 1 {
		t.Errorf("32 neighbouring pages took %d reads, want 1", src.reads)
	}
	if get(t, im, keys...); src.reads != 1 {
		t.Errorf("the same pages again took %d reads more, want none", src.reads-1)
	}
}

// TestEveryByteIsChecked flips each byte of a file in turn: every read must
// give the right values or say that the layer is corrupt, and where.
func TestEveryByteIsChecked(t *testing.T) {
	values := pages(9)
	for i := range values {
		values[i].data = values[i].data[:50+i]
	}
	good := write(t, testID, false, values)
	for i := range good {
		bad := slices.Clone(good)
		bad[i] ^= 0x10
		err := readAll(bad, values)
		if err == nil {
			t.Fatalf("byte %d of %d was flipped and not noticed", i, len(good))
		}
		// A version that this program does not know is refused, not corrupt.
		if !errors.Is(err, env.ErrCorrupt) && !strings.Contains(err.Error(), "format version") {
			t.Fatalf("byte %d flipped: %v, want %v", i, err, env.ErrCorrupt)
		}
		if !strings.Contains(err.Error(), "mem") {
			t.Fatalf("byte %d flipped: %v, which does not name the layer", i, err)
		}
	}
	for n := range good {
		if err := readAll(good[:n], values); err == nil {
			t.Fatalf("a file cut at %d of %d bytes was read", n, len(good))
		}
	}
}

var errWrong = errors.New("wrong value")

func readAll(b []byte, values []value) error {
	im, err := layer.Open(context.Background(), &memory{b: b}, testID, layer.NewCache(1<<20))
	if err != nil {
		return err
	}
	i := 0
	err = im.Scan(context.Background(), layer.Everything, func(k core.Key, v []byte) error {
		if i >= len(values) || k != values[i].key || !bytes.Equal(v, values[i].data) {
			return errWrong
		}
		i++
		return nil
	})
	if err == nil && i != len(values) {
		return errWrong
	}
	return err
}

func TestABlockOfAnotherPlaceIsCorrupt(t *testing.T) {
	values := pages(8) // two blocks of one length, uncompressed
	b := write(t, testID, false, values)
	size := 4 + 3*(22+core.PageSize) + 5
	first := slices.Clone(b[128 : 128+size])
	copy(b[128:], b[128+size:128+2*size])
	copy(b[128+size:], first)
	if err := readAll(b, values); !errors.Is(err, env.ErrCorrupt) {
		t.Errorf("two blocks changed places: %v, want %v", err, env.ErrCorrupt)
	}
}

func TestAnotherLayerIsRefused(t *testing.T) {
	b := write(t, testID, true, pages(3))
	for name, change := range map[string]func(*layer.ImageID){
		"tenant":   func(id *layer.ImageID) { id.Tenant[0]++ },
		"timeline": func(id *layer.ImageID) { id.Timeline[0]++ },
		"shard":    func(id *layer.ImageID) { id.Shard = core.ShardID{Number: 1, Count: 2} },
		"LSN":      func(id *layer.ImageID) { id.LSN++ },
		"range":    func(id *layer.ImageID) { id.Keys.Start[17]++ },
	} {
		want := testID
		change(&want)
		if _, err := layer.Open(context.Background(), &memory{b: b}, want, layer.NewCache(1)); !errors.Is(err, env.ErrCorrupt) {
			t.Errorf("a layer of another %s: %v, want %v", name, err, env.ErrCorrupt)
		}
	}
}

func TestNames(t *testing.T) {
	id := testID
	id.Keys = layer.KeyRange{Start: core.BlockKey(core.Rel{Spc: 1663, DB: 5, Node: 16384}, 7), End: core.MaxKey}
	got, err := layer.ParseName(id.Name())
	if err != nil || got.Keys != id.Keys || got.LSN != id.LSN {
		t.Errorf("parsed %q as %v, %v", id.Name(), got, err)
	}
	const want = "tenants/01020300000000000000000000000000-0001/timelines/04050600000000000000000000000000/layers/" +
		"000000067F000000050000400000000007D0-FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF__0000000001500000-00000003-00000009"
	id.Keys.Start[16], id.Keys.Start[17] = 0x07, 0xD0
	if got := id.ObjectName(3, 9); got != want {
		t.Errorf("object name\n%s, want\n%s", got, want)
	}
	for _, bad := range []string{"", "a-b__c", id.Name() + "0", id.Name()[1:]} {
		if _, err := layer.ParseName(bad); err == nil {
			t.Errorf("%q was parsed", bad)
		}
	}
}

// TestGolden holds the format to a file that an earlier version of this code
// wrote (go test -rewrite makes it anew): three values, raw blocks.
func TestGolden(t *testing.T) {
	values := []value{
		{core.RelmapKey(1663, 5), []byte("relation map")},
		{core.BlockKey(core.Rel{Spc: 1663, DB: 5, Node: 1259}, 0), bytes.Repeat([]byte{0xA5}, 64)},
		{core.ControlFileKey(), nil},
	}
	b := write(t, testID, false, values)
	const name = "testdata/image-v0"
	if *rewrite {
		if err := os.WriteFile(name, b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	golden, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(b, golden) {
		t.Errorf("the writer makes other bytes than %s", name)
	}
	if err := readAll(golden, values); err != nil {
		t.Error(err)
	}
}

// TestLaw writes any sorted values in any range and reads them back by any
// batches.
func TestLaw(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		keys := rapid.SliceOfNDistinct(rapid.Custom(func(t *rapid.T) core.Key {
			return core.MakeKey(0, 1663, 5, rapid.Uint32Range(1, 3).Draw(t, "rel"), 0, rapid.Uint32Range(0, 50).Draw(t, "blk"))
		}), 0, 40, rapid.ID).Draw(t, "keys")
		slices.SortFunc(keys, core.Key.Compare)
		var buf layer.Buffer
		w, err := layer.NewWriter(&buf, testID, rapid.Bool().Draw(t, "pack"))
		if err != nil {
			t.Fatal(err)
		}
		want := map[core.Key][]byte{}
		for i, k := range keys {
			want[k] = bytes.Repeat([]byte{byte(i)}, rapid.IntRange(0, 20000).Draw(t, "len"))
			if err := w.Add(k, want[k]); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := w.Finish(); err != nil {
			t.Fatal(err)
		}
		r, _ := buf.Open()
		b, _ := io.ReadAll(r)
		im, err := layer.Open(context.Background(), &memory{b: b}, testID, layer.NewCache(rapid.Int64Range(0, 100000).Draw(t, "cache")))
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			batch := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) core.Key {
				return core.MakeKey(0, 1663, 5, rapid.Uint32Range(0, 4).Draw(t, "rel"), 0, rapid.Uint32Range(0, 60).Draw(t, "blk"))
			}), 1, 30).Draw(t, "batch")
			found := map[int][]byte{}
			if err := im.Get(context.Background(), batch, func(i int, v []byte) error { found[i] = v; return nil }); err != nil {
				t.Fatal(err)
			}
			for i, k := range batch {
				v, ok := want[k]
				if got, is := found[i]; is != ok || !bytes.Equal(got, v) {
					t.Fatalf("key %s: found %v, want %v", k, is, ok)
				}
			}
		}
	})
}

func FuzzOpen(f *testing.F) {
	for _, pack := range []bool{false, true} {
		f.Add(write(f, testID, pack, pages(6)))
	}
	f.Add(write(f, testID, false, nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		im, err := layer.OpenAny(context.Background(), &memory{b: b}, layer.NewCache(1<<20))
		if err != nil {
			return
		}
		_ = im.Scan(context.Background(), layer.Everything, func(core.Key, []byte) error { return nil })
	})
}

func BenchmarkGetWarm(b *testing.B) {
	values := pages(1000)
	im, _ := open(b, write(b, testID, true, values), testID)
	for _, n := range []int{1, 32} {
		b.Run(fmt.Sprintf("batch %d", n), func(b *testing.B) {
			keys := make([]core.Key, n)
			for i := range keys {
				keys[i] = values[i*3].key
			}
			b.SetBytes(int64(n) * core.PageSize)
			for b.Loop() {
				if err := im.Get(context.Background(), keys, func(int, []byte) error { return nil }); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkWrite(b *testing.B) {
	values := pages(1000)
	b.SetBytes(1000 * core.PageSize)
	for b.Loop() {
		w, err := layer.NewWriter(io.Discard, testID, true)
		if err != nil {
			b.Fatal(err)
		}
		for _, v := range values {
			if err := w.Add(v.key, v.data); err != nil {
				b.Fatal(err)
			}
		}
		if _, err := w.Finish(); err != nil {
			b.Fatal(err)
		}
	}
}
