package export

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"xenon/compute/boot"
)

// vet refuses a directory that is not missing and not empty, or whose disk has
// no room for so many bytes.
func vet(dir string, bytes int64) error {
	entries, err := os.ReadDir(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case errors.Is(err, unix.ENOTDIR):
		return fmt.Errorf("%s is no directory: name one that is missing or empty", dir)
	case err != nil:
		return err
	case len(entries) > 0:
		return notEmpty(dir, entries)
	}
	free, err := freeBytes(dir)
	if err == nil && free < bytes {
		err = fmt.Errorf("%s: %d MiB are free there, the export needs %d MiB", dir, free>>20, bytes>>20)
	}
	return err
}

func notEmpty(dir string, entries []os.DirEntry) error {
	for _, e := range entries {
		switch e.Name() {
		case Unfinished:
			what, _ := os.ReadFile(filepath.Join(dir, Unfinished))
			return fmt.Errorf("%s holds an export that did not end (%s): remove it, or name another directory", dir, firstLine(string(what)))
		case "PG_VERSION":
			return fmt.Errorf("%s is a data directory already: name one that is missing or empty", dir)
		}
	}
	return fmt.Errorf("%s is not empty (it holds %s): name a directory that is missing or empty", dir, entries[0].Name())
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}

// freeBytes is what the caller may still write where dir is or will be.
func freeBytes(dir string) (int64, error) {
	dir, err := filepath.Abs(dir)
	for err == nil {
		var st unix.Statfs_t
		if err = unix.Statfs(dir, &st); err == nil {
			return int64(st.Bavail) * st.Bsize, nil
		}
		if up := filepath.Dir(dir); errors.Is(err, unix.ENOENT) && up != dir {
			dir, err = up, nil
		}
	}
	return 0, fmt.Errorf("%s: %w", dir, err)
}

// A directory is a data directory that is being written.
type directory struct {
	path  string
	owner *Owner
	files int
}

// create makes the directory, and in it the word that it is not whole.
func create(o Options) (*directory, error) {
	d := &directory{path: o.Dir, owner: o.Owner}
	if err := os.MkdirAll(filepath.Dir(o.Dir), 0o777); err != nil {
		return nil, err
	}
	if err := os.Mkdir(o.Dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	if err := os.Chmod(o.Dir, 0o700); err != nil {
		return nil, err
	}
	if err := d.own(o.Dir); err != nil {
		return nil, err
	}
	text := o.Source + " as of " + o.LSN.String() + "\nThis export did not end. No server starts from it: remove the directory.\n"
	if err := d.write(Unfinished, []byte(text), 0); err != nil {
		return nil, err
	}
	return d, d.sync()
}

func (d *directory) own(name string) error {
	if d.owner == nil {
		return nil
	}
	return os.Lchown(name, d.owner.UID, d.owner.GID)
}

// mkdir makes a directory whose parent is there.
func (d *directory) mkdir(name string) error {
	name = filepath.Join(d.path, name)
	if err := os.Mkdir(name, 0o700); err != nil {
		return err
	}
	return d.own(name)
}

// write writes a part of a file, which begins at an offset, and makes the file
// if it is not there.
func (d *directory) write(name string, b []byte, at int64) error {
	name = filepath.Join(d.path, name)
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	if d.owner != nil {
		err = f.Chown(d.owner.UID, d.owner.GID)
	}
	if err == nil {
		_, err = f.WriteAt(b, at)
	}
	return errors.Join(err, f.Close())
}

// sync makes everything durable that was written: one call for the thousands
// of files of a cluster.
func (d *directory) sync() error {
	f, err := os.Open(d.path)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := unix.Syncfs(int(f.Fd())); err != nil {
		return fmt.Errorf("sync %s: %w", d.path, err)
	}
	return nil
}

// finish writes the control file, once all else is durable, and takes back the
// word that the export did not end.
func (d *directory) finish(control []byte) error {
	if err := d.sync(); err != nil {
		return err
	}
	const part = boot.ControlFile + ".part"
	if err := d.write(part, control, 0); err != nil {
		return err
	}
	if err := d.sync(); err != nil {
		return err
	}
	if err := os.Rename(filepath.Join(d.path, part), filepath.Join(d.path, boot.ControlFile)); err != nil {
		return err
	}
	d.files++
	if err := os.Remove(filepath.Join(d.path, Unfinished)); err != nil {
		return err
	}
	return d.sync()
}
