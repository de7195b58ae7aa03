package layer_test

import (
	"bytes"
	"context"
	"errors"
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

var testDelta = layer.DeltaID{
	TTID: testID.TTID, Shard: core.Unsharded,
	Keys: layer.Everything, LSNs: layer.LSNRange{Start: 0x1000, End: 0x100000},
}

// A keyed is a version and its key.
type keyed struct {
	key core.Key
	layer.Version
}

func writeDelta(t testing.TB, id layer.DeltaID, pack bool, versions []keyed) []byte {
	t.Helper()
	b, err := encodeDelta(id, pack, versions)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func encodeDelta(id layer.DeltaID, pack bool, versions []keyed) ([]byte, error) {
	var buf layer.Buffer
	w, err := layer.NewDeltaWriter(&buf, id, pack)
	if err != nil {
		return nil, err
	}
	for _, v := range versions {
		if err := w.Add(v.key, v.Version); err != nil {
			return nil, err
		}
	}
	size, err := w.Finish()
	if err != nil {
		return nil, err
	}
	r, _ := buf.Open()
	b, err := io.ReadAll(r)
	if int64(len(b)) != size || w.Size() != size {
		return nil, fmt.Errorf("wrote %d bytes (%v), Finish says %d", len(b), err, size)
	}
	return b, err
}

func openDelta(t testing.TB, b []byte, cache int64) (*layer.Delta, *memory) {
	t.Helper()
	src := &memory{b: b}
	d, err := layer.OpenDelta(context.Background(), src, testDelta, layer.NewCache(cache))
	if err != nil {
		t.Fatal(err)
	}
	return d, src
}

// same tells whether two versions are the same one.
func same(a, b layer.Version) bool {
	return a.LSN == b.LSN && a.Kind == b.Kind && a.Start == b.Start && bytes.Equal(a.Data, b.Data)
}

// wantChain is what a read must return, by looking at every version.
func wantChain(versions []keyed, s layer.Span) (chain []layer.Version) {
	for i := len(versions) - 1; i >= 0; i-- {
		v := versions[i]
		if v.key != s.Key || !s.LSNs.Contains(v.LSN) {
			continue
		}
		chain = append(chain, v.Version)
		if v.Kind.Init() {
			break
		}
	}
	return chain
}

// checkDelta compares a scan and one batch of reads with the list.
func checkDelta(d *layer.Delta, versions []keyed, spans []layer.Span) error {
	ctx := context.Background()
	i := 0
	for c := d.Cursor(layer.Everything); ; i++ {
		k, v, ok, err := c.Next(ctx)
		if err != nil {
			return err
		}
		if !ok {
			break
		}
		if i >= len(versions) || k != versions[i].key || !same(v, versions[i].Version) {
			return fmt.Errorf("version %d of the scan is %s at %s, a %d: %w", i, k, v.LSN, v.Kind, errWrong)
		}
	}
	if i != len(versions) || d.Values() != uint64(i) {
		return fmt.Errorf("the scan has %d versions, the footer %d: %w", i, d.Values(), errWrong)
	}
	last, got := 0, make([][]layer.Version, len(spans))
	err := d.Get(ctx, spans, func(i int, v layer.Version) error {
		if i < last {
			return fmt.Errorf("span %d after %d: %w", i, last, errWrong)
		}
		last = i
		got[i] = append(got[i], v)
		return nil
	})
	if err != nil {
		return err
	}
	for i, s := range spans {
		if want := wantChain(versions, s); !slices.EqualFunc(got[i], want, same) {
			return fmt.Errorf("key %s at %v has %d versions, want %d: %w", s.Key, s.LSNs, len(got[i]), len(want), errWrong)
		}
	}
	return nil
}

// drawVersions makes records that each change some pages: short ones, and long
// ones that are stored once.
func drawVersions(t *rapid.T) []keyed {
	var out []keyed
	lsn := testDelta.LSNs.Start
	for i := range rapid.IntRange(0, 30).Draw(t, "records") {
		start := lsn
		lsn += 8 * core.LSN(rapid.IntRange(1, 20).Draw(t, "gap"))
		data := bytes.Repeat([]byte{byte(i)}, rapid.SampledFrom([]int{30, 200, 511, 512, 9000}).Draw(t, "len"))
		for _, k := range rapid.SliceOfNDistinct(rapid.Uint32Range(0, 5), 1, 4, rapid.ID).Draw(t, "keys") {
			v := layer.Version{LSN: lsn, Value: layer.Value{Data: data}}
			v.Kind = layer.Kind(rapid.SampledFrom([]int{1, 1, 1, 1, 2, 3, 3, 4, 5, 6}).Draw(t, "kind"))
			switch v.Kind {
			case layer.KindRecord, layer.KindRecordInit:
				v.Start = start
			case layer.KindGone:
				v.Data = nil
			}
			out = append(out, keyed{core.MakeKey(0, 1663, 5, 1, 0, k), v})
		}
	}
	sortVersions(out)
	return out
}

func sortVersions(vs []keyed) {
	slices.SortFunc(vs, func(a, b keyed) int {
		if c := a.key.Compare(b.key); c != 0 {
			return c
		}
		return int(a.LSN) - int(b.LSN)
	})
}

func drawSpans(t *rapid.T) []layer.Span {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) layer.Span {
		start := testDelta.LSNs.Start + core.LSN(rapid.IntRange(-8, 4000).Draw(t, "start"))
		return layer.Span{
			Key:  core.MakeKey(0, 1663, 5, 1, 0, rapid.Uint32Range(0, 6).Draw(t, "blk")),
			LSNs: layer.LSNRange{Start: start, End: start + core.LSN(rapid.IntRange(0, 10000).Draw(t, "lsns"))},
		}
	}), 0, 12).Draw(t, "spans")
}

// deltaLaw writes any versions and reads them back by any batches.
func deltaLaw(t *rapid.T) {
	versions := drawVersions(t)
	b, err := encodeDelta(testDelta, rapid.Bool().Draw(t, "pack"), versions)
	if err != nil {
		t.Fatal(err)
	}
	cache := layer.NewCache(rapid.Int64Range(0, 200_000).Draw(t, "cache"))
	d, err := layer.OpenDelta(context.Background(), &memory{b: b}, testDelta, cache)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := checkDelta(d, versions, drawSpans(t)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestDeltaLaw(t *testing.T) { rapid.Check(t, deltaLaw) }

// updates are n records of size bytes that each change one of some pages.
func updates(n, pages, size int) []keyed {
	rng := rand.New(rand.NewPCG(5, 6))
	out := make([]keyed, n)
	for i := range out {
		data := make([]byte, size)
		for j := range data[:size/4] {
			data[j] = byte(rng.Uint32())
		}
		at := testDelta.LSNs.Start + core.LSN(8*i)
		out[i] = keyed{
			core.BlockKey(core.Rel{Spc: 1663, DB: 5, Node: 16384}, rng.Uint32N(uint32(pages))),
			layer.Version{LSN: at, Value: layer.Value{Kind: layer.KindRecord, Start: at - 8, Data: data}},
		}
	}
	sortVersions(out)
	return out
}

// all asks for everything of some keys.
func all(keys ...core.Key) []layer.Span {
	spans := make([]layer.Span, len(keys))
	for i, k := range keys {
		spans[i] = layer.Span{Key: k, LSNs: testDelta.LSNs}
	}
	return spans
}

// downTo asks for a key's chain down to each of its versions: the last one that
// is wanted is now and then the last of the block before.
func downTo(versions []keyed, k core.Key) (spans []layer.Span) {
	for _, v := range versions {
		if v.key == k {
			spans = append(spans, layer.Span{Key: k, LSNs: layer.LSNRange{Start: v.LSN, End: testDelta.LSNs.End}})
		}
	}
	return spans
}

func TestChainsAcrossBlocks(t *testing.T) {
	versions := updates(3000, 3, 150)
	keys := []core.Key{versions[0].key, versions[1500].key, versions[2999].key, core.ControlFileKey()}
	for _, pack := range []bool{false, true} {
		d, src := openDelta(t, writeDelta(t, testDelta, pack, versions), 16<<20)
		if err := checkDelta(d, versions, all(keys...)); err != nil {
			t.Error(err)
		}
		if err := checkDelta(d, versions, downTo(versions, keys[0])); err != nil {
			t.Error(err)
		}
		if err := checkDelta(d, versions, all(keys...)); err != nil {
			t.Error(err)
		}
		src.reads = 0
		if err := checkDelta(d, versions, all(keys...)); err != nil || src.reads != 0 {
			t.Errorf("a second time: %v, %d reads", err, src.reads)
		}
	}
}

// TestOpeningTakesFewReads: a short layer is opened by one read, a long one by
// two, and the first page of either is one more.
func TestOpeningTakesFewReads(t *testing.T) {
	for _, c := range []struct{ versions, reads int }{{10, 1}, {3000, 2}} {
		versions := updates(c.versions, 1000, 150)
		d, src := openDelta(t, writeDelta(t, testDelta, false, versions), 16<<20)
		if src.reads != c.reads {
			t.Errorf("a layer of %d bytes was opened by %d reads, want %d", src.Size(), src.reads, c.reads)
		}
		none := func(int, layer.Version) error { return nil }
		if err := d.Get(context.Background(), all(versions[0].key), none); err != nil || src.reads != c.reads+1 {
			t.Errorf("with one page %d reads, want %d: %v", src.reads, c.reads+1, err)
		}
	}
}

func TestNeighbouringChainsAreFetchedByOneRead(t *testing.T) {
	versions := updates(4000, 400, 150)
	d, src := openDelta(t, writeDelta(t, testDelta, true, versions), 16<<20)
	ctx := context.Background()
	count := func(i int, v layer.Version) error { return nil }
	if err := d.Get(ctx, all(core.Key{}), count); err != nil {
		t.Fatal(err) // nothing lies there
	}
	if err := d.Get(ctx, all(versions[0].key), count); err != nil {
		t.Fatal(err) // now the index leaf is cached
	}
	var keys []core.Key
	for blk := range uint32(32) {
		keys = append(keys, core.BlockKey(core.Rel{Spc: 1663, DB: 5, Node: 16384}, 200+blk))
	}
	src.reads = 0
	// The second round is for the chains that begin in the block before.
	if err := d.Get(ctx, all(keys...), count); err != nil || src.reads > 2 {
		t.Errorf("32 neighbouring pages took %d reads (%v), want at most 2", src.reads, err)
	}
}

// TestALongRecordIsStoredOnce writes what an index build logs: the pages of 32
// blocks in one record.
func TestALongRecordIsStoredOnce(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	record := make([]byte, 32*core.PageSize)
	for i := range record {
		record[i] = byte(rng.Uint32())
	}
	var versions []keyed
	for blk := range uint32(32) {
		versions = append(versions, keyed{
			core.BlockKey(core.Rel{Spc: 1663, DB: 5, Node: 16385}, blk),
			layer.Version{LSN: 0x50000, Value: layer.Value{Kind: layer.KindRecordInit, Start: 0x10000, Data: record}},
		})
	}
	versions[7].Kind = layer.KindRecord
	b := writeDelta(t, testDelta, true, versions)
	if len(b) > len(record)*11/10 {
		t.Errorf("%d bytes for a record of %d", len(b), len(record))
	}
	d, _ := openDelta(t, b, 0)
	if err := checkDelta(d, versions, all(versions[31].key, versions[7].key, versions[0].key)); err != nil {
		t.Error(err)
	}
}

func smallDelta() []keyed {
	record := bytes.Repeat([]byte("record of two pages "), 30)
	rel := core.Rel{Spc: 1663, DB: 5, Node: 1259}
	version := func(lsn core.LSN, k layer.Kind, start core.LSN, data []byte) layer.Version {
		return layer.Version{LSN: lsn, Value: layer.Value{Kind: k, Start: start, Data: data}}
	}
	return []keyed{
		{core.RelmapKey(1663, 5), version(0x1010, layer.KindImage, 0, []byte("relation map"))},
		{core.BlockKey(rel, 0), version(0x1008, layer.KindRecordInit, 0x1000, []byte("short record"))},
		{core.BlockKey(rel, 0), version(0x2000, layer.KindRecord, 0x1F00, record)},
		{core.BlockKey(rel, 7), version(0x2000, layer.KindRecordInit, 0x1F00, record)},
		{core.SLRUBlockKey(core.Clog, 0, 0), version(0x3000, layer.KindPatchInit, 0, []byte{1})},
		{core.SLRUBlockKey(core.Clog, 0, 0), version(0x3010, layer.KindPatch, 0, []byte{4, 1, 1, 0, 7, 0})},
		{core.TwoPhaseKey(700), version(0x4000, layer.KindGone, 0, nil)},
	}
}

func keysOf(versions []keyed) []core.Key {
	var keys []core.Key
	for _, v := range versions {
		if n := len(keys); n == 0 || keys[n-1] != v.key {
			keys = append(keys, v.key)
		}
	}
	return keys
}

func readDelta(b []byte, versions []keyed) error {
	d, err := layer.OpenDelta(context.Background(), &memory{b: b}, testDelta, layer.NewCache(1<<20))
	if err != nil {
		return err
	}
	return checkDelta(d, versions, all(keysOf(versions)...))
}

// deltaBytesUnchecked flips each byte of a file in turn, and cuts it short: the
// first one that no read notices.
func deltaBytesUnchecked() error {
	versions := smallDelta()
	good, err := encodeDelta(testDelta, false, versions)
	if err != nil {
		return err
	}
	for i := range good {
		bad := slices.Clone(good)
		bad[i] ^= 0x10
		err := readDelta(bad, versions)
		if !errors.Is(err, env.ErrCorrupt) && (err == nil || !strings.Contains(err.Error(), "format version")) {
			return fmt.Errorf("byte %d flipped: %v, want %v", i, err, env.ErrCorrupt)
		}
	}
	for n := range good {
		if err := readDelta(good[:n], versions); err == nil {
			return fmt.Errorf("a file cut at %d of %d bytes was read", n, len(good))
		}
	}
	return nil
}

func TestEveryByteOfADeltaIsChecked(t *testing.T) {
	if err := deltaBytesUnchecked(); err != nil {
		t.Error(err)
	}
}

// TestGoldenDelta holds the format to a file that an earlier version of this
// code wrote (go test -rewrite makes it anew): every kind of value, one record
// stored once for two pages, raw blocks.
func TestGoldenDelta(t *testing.T) {
	b := writeDelta(t, testDelta, false, smallDelta())
	const name = "testdata/delta-v0"
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
	if err := readDelta(golden, smallDelta()); err != nil {
		t.Error(err)
	}
}

func TestTheOtherSortOfLayerIsRefused(t *testing.T) {
	ctx, cache := context.Background(), layer.NewCache(1<<20)
	image, delta := write(t, testID, true, pages(3)), writeDelta(t, testDelta, true, smallDelta())
	if _, err := layer.OpenAnyDelta(ctx, &memory{b: image}, cache); !errors.Is(err, env.ErrCorrupt) {
		t.Errorf("an image layer as a delta layer: %v", err)
	}
	if _, err := layer.OpenAny(ctx, &memory{b: delta}, cache); !errors.Is(err, env.ErrCorrupt) {
		t.Errorf("a delta layer as an image layer: %v", err)
	}
	other := testDelta
	other.LSNs.End++
	if _, err := layer.OpenDelta(ctx, &memory{b: delta}, other, cache); !errors.Is(err, env.ErrCorrupt) {
		t.Errorf("a delta layer of other LSNs: %v", err)
	}
}

func TestDeltaNames(t *testing.T) {
	x := testDelta.Extent()
	got, err := layer.ParseExtent(x.Name())
	if err != nil || got != x {
		t.Errorf("parsed %q as %v, %v", x.Name(), got, err)
	}
	image, err := layer.ParseExtent(testID.Name())
	if err != nil || image != testID.Extent() {
		t.Errorf("parsed %q as %v, %v", testID.Name(), image, err)
	}
	if _, err := layer.ParseName(x.Name()); err == nil {
		t.Errorf("%q was parsed as an image layer", x.Name())
	}
	for _, bad := range []string{x.Name() + "0", x.Name() + "-0", x.Name()[:len(x.Name())-1], x.Name()[1:]} {
		if _, err := layer.ParseExtent(bad); err == nil {
			t.Errorf("%q was parsed", bad)
		}
	}
}

func FuzzOpenDelta(f *testing.F) {
	for _, pack := range []bool{false, true} {
		f.Add(writeDelta(f, testDelta, pack, smallDelta()))
	}
	f.Add(writeDelta(f, testDelta, false, nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		ctx := context.Background()
		d, err := layer.OpenAnyDelta(ctx, &memory{b: b}, layer.NewCache(1<<20))
		if err != nil {
			return
		}
		c := d.Cursor(layer.Everything)
		for ok := true; ok; {
			_, _, ok, _ = c.Next(ctx)
		}
		_ = d.Get(ctx, all(keysOf(smallDelta())...), func(int, layer.Version) error { return nil })
	})
}

func BenchmarkDeltaGetWarm(b *testing.B) {
	versions := updates(20000, 2000, 120) // chains of ten
	d, _ := openDelta(b, writeDelta(b, testDelta, true, versions), 64<<20)
	for _, n := range []int{1, 32} {
		b.Run(fmt.Sprintf("batch %d", n), func(b *testing.B) {
			var keys []core.Key
			for i := range n {
				keys = append(keys, core.BlockKey(core.Rel{Spc: 1663, DB: 5, Node: 16384}, uint32(100+i)))
			}
			spans := all(keys...)
			b.ReportAllocs()
			for b.Loop() {
				if err := d.Get(context.Background(), spans, func(int, layer.Version) error { return nil }); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkDeltaWrite(b *testing.B) {
	versions := updates(20000, 2000, 120)
	b.SetBytes(20000 * 120)
	b.ReportAllocs()
	size := int64(0)
	for b.Loop() {
		w, err := layer.NewDeltaWriter(io.Discard, testDelta, true)
		if err != nil {
			b.Fatal(err)
		}
		for _, v := range versions {
			if err := w.Add(v.key, v.Version); err != nil {
				b.Fatal(err)
			}
		}
		if size, err = w.Finish(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(size)/(20000*120), "bytes/byte")
}
