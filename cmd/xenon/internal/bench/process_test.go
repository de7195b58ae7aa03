package bench

import (
	"bytes"
	"net"
	"os"
	"path/filepath"
	"testing"

	"xenon/core"
)

func TestProcess(t *testing.T) {
	before, err := cpuTime(os.Getpid())
	if err != nil || before <= 0 {
		t.Fatalf("%v, %v", before, err)
	}
	rss, err := peakRSS(os.Getpid())
	if err != nil || rss < 1<<20 {
		t.Errorf("peak RSS of %d bytes, %v", rss, err)
	}
	for sum, i := 0, 0; ; i++ {
		sum += i * i
		now, err := cpuTime(os.Getpid())
		if err != nil || now < before {
			t.Fatalf("from %v to %v, %v", before, now, err)
		}
		if now > before && sum != 1 {
			break
		}
	}
	const beyond = 1<<22 + 1 // PID_MAX_LIMIT (include/linux/threads.h)
	if _, err := cpuTime(beyond); err == nil {
		t.Error("a process that cannot be has processor time")
	}
}

// TestFileServer reads blocks of a file, one and many.
func TestFileServer(t *testing.T) {
	var content []byte
	for i := range 40 {
		content = append(content, bytes.Repeat([]byte{byte(i)}, core.PageSize)...)
	}
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, content, 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go ServeFile(l, name)
	f, err := openFileReader(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.read([]uint32{7}); err != nil || f.page[0] != 7 || f.page[core.PageSize-1] != 7 {
		t.Errorf("block 7 begins with %d, %v", f.page[0], err)
	}
	if n, err := readAll(f, shuffled(40)); n != 40 || err != nil {
		t.Errorf("%d blocks, %v", n, err)
	}
	if err := f.read([]uint32{40}); err == nil {
		t.Error("read a block past the end")
	}
}

func TestDirBytes(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "a"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, n := range map[string]int{"x": 5, "a/y": 70} {
		if err := os.WriteFile(filepath.Join(dir, name), make([]byte, n), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := dirBytes(dir); n != 75 || err != nil {
		t.Errorf("%d bytes, %v", n, err)
	}
}
