package fusemount

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// A Left is a mount of ours that exists.
type Left struct {
	ID, Path string
	// Connection is the number of its directory below
	// /sys/fs/fuse/connections, "" if unknown.
	Connection string
}

// List finds all mounts of ours, without touching any.
func List() ([]Left, error) {
	b, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	return parseMountInfo(string(b)), nil
}

// parseMountInfo reads /proc/PID/mountinfo (proc(5)): id, parent, major:minor,
// root, mount point, options, tags up to "-", type, source, options.
func parseMountInfo(text string) (list []Left) {
	for line := range strings.Lines(text) {
		before, after, ok := strings.Cut(line, " - ")
		f, g := strings.Fields(before), strings.Fields(after)
		if !ok || len(f) < 5 || len(g) < 2 || !strings.HasPrefix(g[1], SourcePrefix) {
			continue
		}
		_, minor, _ := strings.Cut(f[2], ":")
		list = append(list, Left{ID: unescape(strings.TrimPrefix(g[1], SourcePrefix)), Path: unescape(f[4]), Connection: minor})
	}
	return list
}

// unescape undoes the kernel's \ooo for blanks and backslashes.
func unescape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if v, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(v))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// Remove takes a mount away whoever uses it: it aborts the connection, so that
// every waiting process gets an error, and detaches the mount.
func Remove(l Left) error {
	var aborted error
	if l.Connection != "" {
		aborted = os.WriteFile("/sys/fs/fuse/connections/"+l.Connection+"/abort", []byte("1"), 0)
	}
	err := unix.Unmount(l.Path, unix.MNT_DETACH)
	if err != nil && os.Geteuid() != 0 {
		err = fusermount("-u", "-z", l.Path)
	}
	if err == nil || errors.Is(err, unix.EINVAL) {
		return nil // gone, or no mount point any more
	}
	return fmt.Errorf("unmount %s: %w", l.Path, errors.Join(err, aborted))
}
