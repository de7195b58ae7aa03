package up

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"syscall"

	"xenon/cmd/xenon/internal/conf"
	"xenon/cmd/xenon/internal/home"
	"xenon/cmd/xenon/internal/role"
	"xenon/core"
)

// A layout is who is where in an installation; it stays the same from start to
// start, in DIR/conf/layout.toml.
type layout struct {
	Port        int           `toml:"port" comment:"of the first endpoint"`
	Safekeepers []role.Member `toml:"safekeepers"`
	Leaving     []core.NodeID `toml:"leaving" comment:"safekeepers that are being removed"`
	Pageserver  string        `toml:"pageserver"`
	Postgres    binaries      `toml:"postgres"`
}

// DefaultPort is where the first endpoint listens if nobody says otherwise.
const DefaultPort = 55432

// defaultSafekeepers survive the loss of one.
const defaultSafekeepers = 3

func layoutFile(h *home.Home) string { return layoutPath(h.Dir) }

func layoutPath(dir string) string { return filepath.Join(dir, "conf", "layout.toml") }

// loadLayout reads the layout, or makes one with n safekeepers. Addresses that
// somebody else has taken meanwhile are replaced.
func loadLayout(h *home.Home, n int) (l layout, err error) {
	if err := os.MkdirAll(h.Path("conf"), 0o700); err != nil {
		return l, err
	}
	err = conf.Load(layoutFile(h), nil, &l)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return l, err
	}
	if len(l.Safekeepers) == 0 {
		if n == 0 {
			n = defaultSafekeepers
		}
		for i := range n {
			l.Safekeepers = append(l.Safekeepers, role.Member{ID: core.NodeID(i + 1)})
		}
	}
	if n != 0 && n != len(l.Safekeepers) {
		return l, fmt.Errorf("this installation has %d safekeepers, and --safekeepers asks for %d: their number is changed with xenon membership", len(l.Safekeepers), n)
	}
	for i := range l.Safekeepers {
		if l.Safekeepers[i].Listen, err = keepOrFind(l.Safekeepers[i].Listen); err != nil {
			return l, err
		}
	}
	if l.Pageserver, err = keepOrFind(l.Pageserver); err != nil {
		return l, err
	}
	return l, l.save(h)
}

func (l layout) save(h *home.Home) error {
	b, err := conf.Write(l)
	if err != nil {
		return err
	}
	return home.WriteFile(layoutFile(h), b, 0o600)
}

// keepOrFind is addr if it can be bound, else a free one on loopback.
func keepOrFind(addr string) (string, error) {
	if addr != "" {
		if l, err := net.Listen("tcp", addr); err == nil {
			return addr, l.Close()
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("find a free port: %w", err)
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// choosePort decides where the first endpoint listens: the port asked for, or
// the one of last time, or the first free one from the default on.
func (l *layout) choosePort(p *ports, asked int) (err error) {
	if asked != 0 {
		l.Port = asked
		return p.take(asked)
	}
	if l.Port != 0 && p.take(l.Port) == nil {
		return nil
	}
	l.Port, err = p.firstFree(DefaultPort, func(int) bool { return false })
	return err
}

// installationID names the installation in DIR on this machine.
func installationID(dir string) string {
	sum := sha256.Sum256([]byte(dir))
	return hex.EncodeToString(sum[:4])
}

// runDir is the short directory for mount points and sockets, which the
// server's user can reach.
func runDir(dir string) (string, error) {
	id := installationID(dir)
	if os.Getuid() == 0 {
		base := "/run/xenon"
		if err := os.MkdirAll(base, 0o711); err != nil {
			return "", fmt.Errorf("make %s: %w", base, err)
		}
		return filepath.Join(base, id), os.MkdirAll(filepath.Join(base, id), 0o711)
	}
	base := os.Getenv("XDG_RUNTIME_DIR")
	if info, err := os.Stat(base); base != "" && err == nil && info.IsDir() {
		base = filepath.Join(base, "xenon")
	} else {
		base = "/tmp/xenon-" + strconv.Itoa(os.Getuid())
	}
	if err := os.Mkdir(base, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", fmt.Errorf("make %s: %w", base, err)
	}
	info, err := os.Lstat(base)
	if err != nil {
		return "", err
	}
	if st, ok := info.Sys().(*syscall.Stat_t); !ok || !info.IsDir() || int(st.Uid) != os.Getuid() {
		return "", fmt.Errorf("%s belongs to somebody else: remove it, or set XDG_RUNTIME_DIR", base)
	}
	return filepath.Join(base, id), os.MkdirAll(filepath.Join(base, id), 0o700)
}

// passFile makes sure that there is a password and returns the file with it.
func passFile(h *home.Home) (string, error) {
	name := h.Path("pgpass")
	if _, err := os.Stat(name); err == nil {
		_, err := role.ReadPassFile(name)
		return name, err
	}
	var random [18]byte
	if _, err := rand.Read(random[:]); err != nil {
		return "", err
	}
	password := base64.RawURLEncoding.EncodeToString(random[:])
	text := "127.0.0.1:*:*:postgres:" + password + "\nlocalhost:*:*:postgres:" + password + "\n"
	return name, home.WriteFile(name, []byte(text), 0o600)
}
