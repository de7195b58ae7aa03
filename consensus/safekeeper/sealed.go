package safekeeper

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"path"

	"xenon/core/env"
	"xenon/core/faults"
)

// A sealed file is replaced as a whole and checked as a whole:
//
//	8 bytes  magic, different for each kind of file
//	4 bytes  format version, little-endian
//	4 bytes  length of the body, little-endian
//	body
//	4 bytes  CRC-32C of all before it, little-endian
const (
	sealedHead = 16
	// No body is longer: a control file with the longest history that goes
	// over the wire (wire.ProposerLimit), each term with its place as JSON.
	sealedMax     = 96 << 20
	sealedVersion = 0
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func seal(magic string, body []byte) []byte {
	b := make([]byte, 0, sealedHead+len(body)+4)
	b = append(b, magic...)
	b = binary.LittleEndian.AppendUint32(b, sealedVersion)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(body)))
	b = append(b, body...)
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

// unseal checks a sealed file and returns its body. Its errors are
// env.ErrCorrupt, but for a version that a newer program wrote.
func unseal(magic string, b []byte) ([]byte, error) {
	if len(b) < sealedHead+4 {
		return nil, fmt.Errorf("%d bytes are too few: %w", len(b), env.ErrCorrupt)
	}
	if got := string(b[:len(magic)]); got != magic {
		return nil, fmt.Errorf("begins with %q, want %q: %w", got, magic, env.ErrCorrupt)
	}
	if v := binary.LittleEndian.Uint32(b[8:]); v != sealedVersion {
		return nil, fmt.Errorf("format version %d, this program reads version %d", v, sealedVersion)
	}
	if n := binary.LittleEndian.Uint32(b[12:]); int64(n) != int64(len(b)-sealedHead-4) {
		return nil, fmt.Errorf("%d bytes for a body of %d: %w", len(b), n, env.ErrCorrupt)
	}
	end := len(b) - 4
	want, got := binary.LittleEndian.Uint32(b[end:]), crc32.Checksum(b[:end], castagnoli)
	if want != got {
		return nil, fmt.Errorf("checksum %08X, want %08X: %w", got, want, env.ErrCorrupt)
	}
	return b[sealedHead:end], nil
}

// writeSealed replaces dir/name: once it returned nil the new content
// survives a power cut, and until then the old one does. A failure before the
// rename leaves the old content in force.
func writeSealed(disk env.FS, dir, name, magic string, body []byte) error {
	temp, final := path.Join(dir, name+".tmp"), path.Join(dir, name)
	if err := writeWhole(disk, temp, seal(magic, body)); err != nil {
		disk.Remove(temp)
		return fmt.Errorf("write %s: %w", final, err)
	}
	if err := disk.Rename(temp, final); err != nil {
		return fmt.Errorf("write %s: %w", final, err)
	}
	if faults.On && faults.Hit(faults.RenameNotSynced) {
		return nil
	}
	if err := disk.SyncDir(dir); err != nil {
		return fmt.Errorf("write %s: %w: %w", final, errUnsynced, err)
	}
	return nil
}

// errUnsynced marks a failure after which nobody knows what a power cut would
// leave.
var errUnsynced = errors.New("not made durable")

// writeWhole makes a file of exactly b, synced; its name is not.
func writeWhole(disk env.FS, name string, b []byte) error {
	f, err := disk.Open(name, env.Write|env.Create|env.Trunc)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(b, 0)
	if err == nil && !(faults.On && faults.Hit(faults.ControlNotSynced)) {
		err = f.Sync(env.SyncFull)
	}
	return errors.Join(err, f.Close())
}

// readSealed reads a sealed file's body; a missing file is fs.ErrNotExist.
func readSealed(disk env.FS, dir, name, magic string) ([]byte, error) {
	file := path.Join(dir, name)
	f, err := disk.Open(file, 0)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", file, err)
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", file, err)
	}
	if size > sealedHead+sealedMax+4 {
		return nil, fmt.Errorf("read %s: %d bytes, want at most %d: %w", file, size, sealedMax, env.ErrCorrupt)
	}
	b := make([]byte, size)
	if n, err := f.ReadAt(b, 0); n < len(b) {
		if err == nil || errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, fmt.Errorf("read %s: %w", file, err)
	}
	body, err := unseal(magic, b)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", file, err)
	}
	return body, nil
}

// mkdirs makes a directory and those above it, each durably.
func mkdirs(disk env.FS, dir string) error {
	if dir == "." {
		return nil
	}
	parent := path.Dir(dir)
	if err := mkdirs(disk, parent); err != nil {
		return err
	}
	if err := disk.Mkdir(dir); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	// Also if it existed: the crash that left it may have come before this.
	return disk.SyncDir(parent)
}
