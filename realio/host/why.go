package host

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
)

// whyBytes is how much of a server's log is searched for its last words.
const whyBytes = 64 << 10

// failure is why a server ended before it took connections: its last words, and
// what to do if a setting was the reason. Kept settings cannot be edited by
// hand, and a server that does not start takes no ALTER SYSTEM.
func (s *Server) failure(reason string) error {
	words := lastWords(s.host.opts.Log, s.logged)
	if words == "" {
		return errors.New(reason)
	}
	return fmt.Errorf("%s: %s (if this is a setting: %s)", reason, words, s.host.opts.Override)
}

// lastWords is the last line of a server's log, from an offset on, with which
// it gave up.
func lastWords(log *os.File, from int64) string {
	f, err := os.Open(log.Name())
	if err != nil {
		return ""
	}
	defer f.Close()
	size := end(f)
	from = max(from, size-whyBytes)
	b := make([]byte, max(0, size-from))
	n, err := f.ReadAt(b, from)
	if err != nil && err != io.EOF {
		return ""
	}
	words, bind := "", ""
	for line := range bytes.Lines(b[:n]) {
		// Which address, and what is wrong with it, is said before.
		if i := bytes.Index(line, []byte("could not bind ")); i >= 0 {
			bind = string(bytes.TrimSpace(line[i:]))
		}
		for _, level := range []string{"FATAL:", "PANIC:"} {
			if i := bytes.Index(line, []byte(level)); i >= 0 {
				words = string(bytes.TrimSpace(line[i:]))
			}
		}
	}
	if bind != "" && words != "" {
		words += " (" + bind + ")"
	}
	return words
}

// end is the length of a file, 0 if it has none.
func end(f *os.File) int64 {
	info, err := f.Stat()
	if err != nil {
		return 0
	}
	return info.Size()
}
