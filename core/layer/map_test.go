package layer_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"xenon/core"
	"xenon/core/layer"
)

// largeKey bounds the keys of the law's layers, so that a model can
// look at every key one by one.
const largeKey = 8

func smallKey(n int) core.Key {
	if n == largeKey {
		return core.MaxKey
	}
	return core.MakeKey(0, 0, 0, 0, 0, uint32(n))
}

func extent(from, to int, start, end core.LSN, delta bool) layer.Extent {
	return layer.Extent{
		Keys: layer.KeyRange{Start: smallKey(from), End: smallKey(to)},
		LSNs: layer.LSNRange{Start: start, End: end}, Delta: delta,
	}
}

func drawExtent(t *rapid.T) layer.Extent {
	from := rapid.IntRange(0, largeKey-1).Draw(t, "from")
	to := rapid.IntRange(from+1, largeKey).Draw(t, "to")
	start := rapid.Uint64Range(1, 20).Draw(t, "start")
	if rapid.Bool().Draw(t, "delta") {
		end := start + rapid.Uint64Range(1, 8).Draw(t, "lsns")
		return extent(from, to, core.LSN(start), core.LSN(end), true)
	}
	return extent(from, to, core.LSN(start), core.LSN(start)+1, false)
}

// model is a map as a list.
type model []layer.Placed[int]

func (m model) overlaps(x layer.Extent) bool {
	return slices.ContainsFunc(m, func(p layer.Placed[int]) bool { return p.Delta == x.Delta && p.Extent.Overlaps(x) })
}

// next looks LSN by LSN downwards for a layer that has the key.
func (m model) next(k core.Key, below core.LSN) (at layer.Placed[int], ok bool) {
	for lsn := below - 1; lsn > 0; lsn-- {
		for _, delta := range []bool{false, true} { // the image of an LSN has what deltas have up to it
			for _, p := range m {
				if p.Delta == delta && p.LSNs.Contains(lsn) && p.Keys.Contains(k) {
					return p, true
				}
			}
		}
	}
	return at, false
}

func (m model) sorted() []layer.Extent {
	out := make([]layer.Extent, len(m))
	for i := range m {
		out[i] = m[i].Extent
	}
	slices.SortFunc(out, func(a, b layer.Extent) int {
		switch {
		case a.Delta != b.Delta && a.Delta:
			return -1
		case a.Delta != b.Delta:
			return 1
		case a.LSNs.Start != b.LSNs.Start:
			return int(a.LSNs.Start) - int(b.LSNs.Start)
		}
		return a.Keys.Start.Compare(b.Keys.Start)
	})
	return out
}

// checkMap compares a map with a model at every key and LSN.
func checkMap(m *layer.Map[int], want model) error {
	var all []layer.Extent
	for x := range m.All() {
		all = append(all, x)
	}
	if !slices.Equal(all, want.sorted()) || m.Len() != len(want) {
		return fmt.Errorf("the map has %d layers %v, want %v", m.Len(), all, want.sorted())
	}
	for below := core.LSN(1); below < 30; below++ {
		for n := range largeKey {
			if err := checkNext(m, want, smallKey(n), below); err != nil {
				return err
			}
		}
		if err := checkRange(m, want, below); err != nil {
			return err
		}
	}
	return nil
}

// checkNext compares one step, and that it is the same for all its keys.
func checkNext(m *layer.Map[int], want model, k core.Key, below core.LSN) error {
	p, ok := want.next(k, below)
	got, is := m.Next(k, below)
	if is != ok || is && (got.Placed != p || got.LSNs.Start < p.LSNs.Start) || !got.Keys.Contains(k) {
		return fmt.Errorf("key %s below %d: got %+v (%v), want %+v (%v)", k, below, got, is, p, ok)
	}
	if ok && p.Delta {
		// What is not read of the layer must be in the image below.
		image, has := want.next(k, got.LSNs.Start)
		if got.LSNs.Start != p.LSNs.Start && (!has || image.Delta || image.LSNs.End != got.LSNs.Start) || got.LSNs.End != below {
			return fmt.Errorf("key %s below %d: LSNs %v of %+v, below it is %+v", k, below, got.LSNs, p, image)
		}
	}
	for n := range largeKey {
		if !got.Keys.Contains(smallKey(n)) {
			continue
		}
		if other, is := want.next(smallKey(n), below); is != ok || other != p {
			return fmt.Errorf("key %d below %d is said to have the step of %s: %+v, has %+v", n, below, k, p, other)
		}
	}
	return nil
}

// checkRange compares the steps of a range with those of its keys.
func checkRange(m *layer.Map[int], want model, below core.LSN) error {
	r := layer.KeyRange{Start: smallKey(1), End: smallKey(largeKey - 1)}
	at := r.Start
	var before layer.Step[int]
	byKey := map[core.Key]int{}
	for s := range m.Range(r, below) {
		if s.Keys.Start.Compare(at) < 0 || s.Keys.End.Compare(r.End) > 0 || s.Keys.Start.Compare(s.Keys.End) >= 0 {
			return fmt.Errorf("range below %d: step of %v after %s", below, s.Keys, at)
		}
		if s.Placed == before.Placed && s.LSNs == before.LSNs && s.Keys.Start == before.Keys.End {
			return fmt.Errorf("range below %d: %v and %v are one step", below, before, s)
		}
		at, before = s.Keys.End, s
		for n := range largeKey {
			if s.Keys.Contains(smallKey(n)) {
				byKey[smallKey(n)] = s.Layer
			}
		}
	}
	for n := 1; n < largeKey-1; n++ {
		p, ok := want.next(smallKey(n), below)
		if l, is := byKey[smallKey(n)]; is != ok || l != p.Layer {
			return fmt.Errorf("range below %d: key %d is in layer %d (%v), want %d (%v)", below, n, l, is, p.Layer, ok)
		}
	}
	return nil
}

// mapLaw makes any changes to a map and holds it, and every map that it was
// before, to a list.
func mapLaw(t *rapid.T) {
	type version struct {
		m    *layer.Map[int]
		want model
	}
	versions := []version{{&layer.Map[int]{}, nil}}
	for i := range rapid.IntRange(1, 12).Draw(t, "edits") {
		now := versions[len(versions)-1]
		want := slices.Clone(now.want)
		var remove []layer.Extent
		for range rapid.IntRange(0, min(2, len(want))).Draw(t, "removed") {
			at := rapid.IntRange(0, len(want)-1).Draw(t, "which")
			remove = append(remove, want[at].Extent)
			want = slices.Delete(want, at, at+1)
		}
		var add []layer.Placed[int]
		bad := false
		for j := range rapid.IntRange(0, 4).Draw(t, "added") {
			p := layer.Placed[int]{Extent: drawExtent(t), Layer: 100*i + j + 1}
			if want.overlaps(p.Extent) {
				// Most overlaps are left out, so that maps grow.
				if rapid.IntRange(0, 9).Draw(t, "bad") > 0 {
					continue
				}
				bad = true
			}
			add, want = append(add, p), append(want, p)
		}
		next, err := now.m.Edit(remove, add)
		if (err != nil) != bad {
			t.Fatalf("edit %d: %v, overlaps %v", i, err, bad)
		}
		if !bad {
			versions = append(versions, version{next, want})
		}
	}
	for i, v := range versions {
		if i%4 != 2 && i < len(versions)-1 {
			continue // enough of the older ones
		}
		if err := checkMap(v.m, v.want); err != nil {
			t.Fatalf("map %d of %d: %v", i, len(versions)-1, err)
		}
	}
}

func TestMapLaw(t *testing.T) { rapid.Check(t, mapLaw) }

func TestEditRefuses(t *testing.T) {
	base := extent(2, 6, 10, 20, true)
	m, err := new(layer.Map[int]).Edit(nil, []layer.Placed[int]{{Extent: base, Layer: 1}})
	if err != nil {
		t.Fatal(err)
	}
	for name, x := range map[string]layer.Extent{
		"the same layer":         base,
		"a layer around it":      extent(0, 8, 1, 30, true),
		"a layer in it":          extent(3, 4, 12, 13, true),
		"a corner":               extent(5, 7, 19, 25, true),
		"no keys":                extent(7, 7, 1, 2, true),
		"no LSNs":                extent(7, 8, 2, 2, true),
		"an image of many LSNs":  extent(0, 1, 2, 4, false),
		"an image from the end":  extent(5, 4, 2, 3, false),
		"LSNs that end too soon": extent(7, 8, 3, 2, true),
	} {
		if _, err := m.Edit(nil, []layer.Placed[int]{{Extent: x}}); err == nil || !strings.Contains(err.Error(), x.Name()) {
			t.Errorf("%s: %v, want an error that names it", name, err)
		}
	}
	if _, err := m.Edit([]layer.Extent{extent(2, 5, 10, 20, true)}, nil); err == nil {
		t.Error("a layer that is not there was removed")
	}
	for name, x := range map[string]layer.Extent{
		"above":        extent(2, 6, 20, 21, true),
		"below":        extent(2, 6, 9, 10, true),
		"left":         extent(1, 2, 10, 20, true),
		"right":        extent(6, 7, 10, 20, true),
		"a state":      extent(2, 6, 15, 16, false),
		"its own heir": base,
	} {
		var remove []layer.Extent
		if x == base {
			remove = append(remove, base)
		}
		if _, err := m.Edit(remove, []layer.Placed[int]{{Extent: x}}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestImagesCover(t *testing.T) {
	m, err := new(layer.Map[int]).Edit(nil, []layer.Placed[int]{
		{Extent: extent(0, 3, 10, 11, false)}, {Extent: extent(3, 6, 20, 21, false)}, {Extent: extent(4, 7, 30, 31, false)},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		from, to   int
		start, end core.LSN
		want       bool
	}{
		{0, 6, 10, 21, true}, {0, 7, 10, 31, true}, {0, 6, 11, 21, false}, {0, 7, 10, 30, false},
		{0, 8, 1, 99, false}, {4, 7, 30, 31, true}, {3, 7, 30, 31, false},
	} {
		keys := layer.KeyRange{Start: smallKey(tt.from), End: smallKey(tt.to)}
		if got := m.ImagesCover(keys, layer.LSNRange{Start: tt.start, End: tt.end}); got != tt.want {
			t.Errorf("keys %d to %d, LSNs %d to %d: %v", tt.from, tt.to, tt.start, tt.end, got)
		}
	}
}

// bigMap is rows of delta layers that split the keys, with an image row after
// every tenth, and some delta layers of all keys on top.
func bigMap(tb testing.TB, layers int) (*layer.Map[int], core.LSN) {
	const columns = 100
	var add []layer.Placed[int]
	at := core.LSN(1000)
	for row := 0; len(add) < layers; row++ {
		delta := row%10 != 9
		lsns := layer.LSNRange{Start: at, End: at + 1}
		if delta {
			lsns.End = at + 1000
			at += 1000
		}
		for c := range columns {
			add = append(add, layer.Placed[int]{Extent: layer.Extent{Keys: column(c, columns), LSNs: lsns, Delta: delta}, Layer: len(add)})
		}
	}
	for range 20 {
		add = append(add, layer.Placed[int]{Extent: layer.Extent{Keys: layer.Everything, LSNs: layer.LSNRange{Start: at, End: at + 1000}, Delta: true}, Layer: len(add)})
		at += 1000
	}
	rand.New(rand.NewPCG(1, 1)).Shuffle(len(add), func(i, j int) { add[i], add[j] = add[j], add[i] })
	m, err := new(layer.Map[int]).Edit(nil, add)
	if err != nil {
		tb.Fatal(err)
	}
	return m, at
}

func column(c, columns int) layer.KeyRange {
	r := layer.KeyRange{Start: core.MakeKey(0, 1663, 5, uint32(c)*1000, 0, 0), End: core.MakeKey(0, 1663, 5, uint32(c+1)*1000, 0, 0)}
	if c == columns-1 {
		r.End = core.MaxKey
	}
	return r
}

func randomKey(rng *rand.Rand) core.Key {
	return core.MakeKey(0, 1663, 5, rng.Uint32N(100_000), 0, rng.Uint32N(1000))
}

func BenchmarkMap(b *testing.B) {
	m, end := bigMap(b, 10_000)
	rng := rand.New(rand.NewPCG(1, 2))
	b.Run("next, newest", func(b *testing.B) {
		for b.Loop() {
			m.Next(randomKey(rng), end)
		}
	})
	b.Run("next, any LSN", func(b *testing.B) {
		for b.Loop() {
			m.Next(randomKey(rng), 1000+core.LSN(rng.Uint64N(uint64(end))))
		}
	})
	b.Run("down to the image", func(b *testing.B) {
		steps := 0
		for b.Loop() {
			k, below := randomKey(rng), 20_000+core.LSN(rng.Uint64N(uint64(end)-20_000))
			for {
				s, ok := m.Next(k, below)
				steps++
				if !ok || !s.Delta {
					break
				}
				below = s.LSNs.Start
			}
		}
		b.ReportMetric(float64(steps)/float64(b.N), "steps/op")
	})
	b.Run("32 neighbours", func(b *testing.B) {
		spans := make([]layer.Span, 32)
		var steps []layer.Step[int]
		for b.Loop() {
			k := randomKey(rng)
			for i := range spans {
				spans[i] = layer.Span{Key: k, LSNs: layer.LSNRange{End: end - 25_000}}
				k = k.Next()
			}
			steps = m.NextOf(steps[:0], spans)
		}
	})
	b.Run("range of all keys", func(b *testing.B) {
		for b.Loop() {
			for range m.Range(layer.Everything, end-25_000) {
			}
		}
	})
	b.Run("edit", func(b *testing.B) {
		x := layer.Extent{Keys: layer.Everything, LSNs: layer.LSNRange{Start: end, End: end + 1}, Delta: true}
		for b.Loop() {
			if _, err := m.Edit(nil, []layer.Placed[int]{{Extent: x}}); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("load 10000 layers", func(b *testing.B) {
		for b.Loop() {
			bigMap(b, 10_000)
		}
	})
}
