package realio

import (
	"path"
	"strings"
	"testing"
)

// keyOf inverts fileOf through the parts of the path.
func keyOf(name string) (string, bool) {
	dirs := strings.Split(strings.TrimPrefix(name, objectsDir+"/"), "/")
	for i, d := range dirs {
		part, ok := partOf(d, i < len(dirs)-1)
		if !ok {
			return "", false
		}
		dirs[i] = part
	}
	return strings.Join(dirs, "/"), true
}

// FuzzFileOf: every key has a file of its own, below the store, whose name
// tells the key.
func FuzzFileOf(f *testing.F) {
	for _, key := range []string{"a", "a/b", "/", "//", "..", "../..", "a.obj/b", "a.obj", "%", "a%2Fb", ".obj", "é\x00", strings.Repeat("long", 70)} {
		f.Add(key)
	}
	d := &ObjectDir{dir: "."}
	f.Fuzz(func(t *testing.T, key string) {
		name, err := d.fileOf(key)
		if err != nil {
			return
		}
		if path.Clean(name) != name || !strings.HasPrefix(name, objectsDir+"/") {
			t.Fatalf("key %q has the file %q", key, name)
		}
		if back, ok := keyOf(name); !ok || back != key {
			t.Fatalf("the file %q of key %q tells key %q, %t", name, key, back, ok)
		}
	})
}

// FuzzDecodeObjectHeader: no bytes make the decoder panic, and what it takes
// is what encode makes.
func FuzzDecodeObjectHeader(f *testing.F) {
	h := objectHeader{key: "a/b", nonce: [16]byte{1, 2, 3}, size: 5}
	f.Add(h.encode())
	f.Add([]byte(objectMagic))
	f.Add(make([]byte, maxHeaderSize))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := decodeObjectHeader(b)
		if err != nil {
			return
		}
		if again := h.encode(); string(again) != string(b[:len(again)]) {
			t.Fatalf("%x decodes to %+v, which encodes to %x", b, h, again)
		}
	})
}
