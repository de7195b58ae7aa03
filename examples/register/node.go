// Package register is a key-value store on three nodes: what a reader of xenon
// might write to see what its simulator is good for.
//
// Every key is a register. A [Client] writes it in two rounds: it asks a
// majority for the newest stamp, and gives a majority its value with a higher
// one. It reads in two rounds, too: it takes the newest value that a majority
// has, and gives that to a majority before it returns it, so that nobody reads
// something older afterwards (Attiya, Bar-Noy and Dolev, 1995). A [Node] appends
// each value that it takes to a log on its disk, and syncs it before it answers.
//
// All of it is ordinary blocking code that meets the outside through [env.Env]:
// clock, network, disk, tasks. [Simulate] runs it in a simulated world;
// cmd/register serves it on TCP and files. [Bugs] makes it wrong in two ways that
// tests of single functions do not find.
package register

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"strconv"
	"strings"

	"xenon/core/env"
	"xenon/core/xsync"
)

// Bugs are ways to make the store wrong on purpose.
type Bugs struct {
	// NoWriteBack leaves the second round of a read out: a value that is on a
	// minority is returned, and may be gone for the next reader.
	NoWriteBack bool
	// NoSync answers before the log is synced: a power cut takes back what was
	// promised.
	NoSync bool
}

// A Stamp orders the values of a key.
type Stamp struct {
	Count  uint64
	Client uint64 // breaks ties: no two clients use one number
}

// After tells whether s is newer than t.
func (s Stamp) After(t Stamp) bool {
	return s.Count > t.Count || s.Count == t.Count && s.Client > t.Client
}

// A Versioned is a value and what it is stamped with.
type Versioned struct {
	Stamp
	Value string
}

// line is a value of a key as the log and the wire have it. Quoting keeps it on
// one line whatever it holds.
func (v Versioned) line(key string) string {
	return fmt.Sprintf("%q %d %d %q\n", key, v.Count, v.Client, v.Value)
}

func parse(line string) (key string, v Versioned, err error) {
	_, err = fmt.Sscanf(line, "%q %d %d %q", &key, &v.Count, &v.Client, &v.Value)
	return key, v, err
}

// A Node keeps values.
type Node struct {
	env    env.Env
	bugs   Bugs
	mu     *xsync.Mutex // over what follows, also while the disk is busy
	values map[string]Versioned
	log    env.File
	end    int64 // of the log
}

// logName is the file of a node.
const logName = "log"

// Serve runs a node until its process ends.
func Serve(ctx context.Context, e env.Env, addr string, bugs Bugs) error {
	n := &Node{env: e, bugs: bugs, mu: new(xsync.Mutex), values: map[string]Versioned{}}
	n.mu.Init(e)
	if err := n.open(); err != nil {
		return fmt.Errorf("open the log: %w", err)
	}
	l, err := e.Net().Listen(ctx, addr)
	if err != nil {
		return err
	}
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		e.Go("serve "+c.RemoteAddr().String(), func(context.Context) { n.serve(c) })
	}
}

// open reads the log. Its last line may be torn: nobody was promised that.
func (n *Node) open() error {
	disk := n.env.FS()
	f, err := disk.Open(logName, env.Write|env.Create)
	if err != nil {
		return err
	}
	if err := disk.SyncDir("."); err != nil {
		return err
	}
	size, err := f.Size()
	if err != nil {
		return err
	}
	b := make([]byte, size)
	if _, err := f.ReadAt(b, 0); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	for text := string(b); ; {
		line, rest, whole := strings.Cut(text, "\n")
		key, v, err := parse(line)
		if !whole || err != nil {
			break
		}
		n.keep(key, v)
		n.end += int64(len(line)) + 1
		text = rest
	}
	n.log = f
	return f.Truncate(n.end)
}

func (n *Node) keep(key string, v Versioned) bool {
	if old, ok := n.values[key]; ok && !v.After(old.Stamp) {
		return false
	}
	n.values[key] = v
	return true
}

// serve answers the requests of one connection: "get KEY" and "put LINE".
func (n *Node) serve(c net.Conn) {
	defer c.Close()
	r := bufio.NewReader(c)
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		answer, err := n.answer(strings.TrimSuffix(line, "\n"))
		if err != nil {
			n.env.Log().Warn("a request fails", "error", err)
			return // the client asks another node
		}
		if _, err := io.WriteString(c, answer); err != nil {
			return
		}
	}
}

func (n *Node) answer(request string) (string, error) {
	if err := n.mu.LockCtx(context.Background()); err != nil {
		return "", err
	}
	defer n.mu.Unlock()
	what, rest, _ := strings.Cut(request, " ")
	switch what {
	case "get":
		key, err := strconv.Unquote(rest)
		if err != nil {
			return "", fmt.Errorf("key %s: %w", rest, err)
		}
		return n.values[key].line(key), nil
	case "put":
		key, v, err := parse(rest)
		if err != nil {
			return "", fmt.Errorf("value %s: %w", rest, err)
		}
		return "ok\n", n.put(key, v)
	}
	return "", fmt.Errorf("%w: request %q", fs.ErrInvalid, what)
}

// put takes a value, unless a newer one is there: that is as good.
func (n *Node) put(key string, v Versioned) error {
	if !v.After(n.values[key].Stamp) {
		return nil
	}
	b := []byte(v.line(key))
	if _, err := n.log.WriteAt(b, n.end); err != nil {
		return err
	}
	if !n.bugs.NoSync {
		if err := n.log.Sync(env.SyncData); err != nil {
			return err
		}
	}
	n.end += int64(len(b))
	n.keep(key, v)
	n.env.Trace().Note("register.put", v.Count, v.Client, uint64(n.end), 0)
	return nil
}
