package host

import (
	"os"
	"path/filepath"
	"testing"
)

func TestLastWords(t *testing.T) {
	name := filepath.Join(t.TempDir(), "log")
	f, err := os.OpenFile(name, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	f.WriteString("12:00 [1] FATAL:  of an earlier server\n")
	from := end(f)
	if got := lastWords(f, from); got != "" {
		t.Errorf("of a server that said nothing: %q", got)
	}
	f.WriteString("12:01 [2] LOG:  starting\n12:01 [2] FATAL:  could not access file \"x\": No such file or directory\n12:01 [2] LOG:  database system is shut down\n")
	if got, want := lastWords(f, from), `FATAL:  could not access file "x": No such file or directory`; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	from = end(f)
	f.WriteString("12:02 [3] LOG:  could not bind IPv4 address \"127.0.0.1\": Address already in use\n12:02 [3] HINT:  Is another postmaster already running on port 5?\n12:02 [3] FATAL:  could not create any TCP/IP sockets\n")
	if got, want := lastWords(f, from), `FATAL:  could not create any TCP/IP sockets (could not bind IPv4 address "127.0.0.1": Address already in use)`; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
