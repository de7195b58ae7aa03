package realio

import (
	"fmt"
	"io/fs"
	"path"
	"strings"
)

const (
	// maxKey is the length of an S3 key at most, in bytes.
	maxKey = 1024
	// maxFileName is NAME_MAX of Linux (linux/limits.h).
	maxFileName = 255
	// objectSuffix tells the file of key a/b from the directory of key a/b/c.
	objectSuffix = ".obj"
	upperHex     = "0123456789ABCDEF"
)

// fileOf is the file that holds key. Each part of the key between slashes is
// a directory, the last one a file; bytes other than letters, digits and
// a few signs are written %XX.
func (d *ObjectDir) fileOf(key string) (string, error) {
	if key == "" || len(key) > maxKey {
		return "", fmt.Errorf("a key has 1 to %d bytes, not %d: %w", maxKey, len(key), fs.ErrInvalid)
	}
	parts := strings.Split(key, "/")
	for i, part := range parts {
		if i < len(parts)-1 {
			parts[i] = escapeDir(part)
		} else {
			parts[i] = escapePart(part) + objectSuffix
		}
		if len(parts[i]) > maxFileName {
			return "", fmt.Errorf("the part %.20s… of the key is too long for a file name: %w", part, fs.ErrInvalid)
		}
	}
	return path.Join(d.dir, objectsDir, path.Join(parts...)), nil
}

// dirOf is the deepest directory that holds every key with a prefix, and what
// of the prefix leads to it.
func (d *ObjectDir) dirOf(prefix string) (dir, leads string) {
	dir = path.Join(d.dir, objectsDir)
	for {
		part, _, more := strings.Cut(prefix[len(leads):], "/")
		name := escapeDir(part)
		if !more || len(name) > maxFileName {
			return dir, leads
		}
		dir, leads = path.Join(dir, name), leads+part+"/"
	}
}

// escapeDir is the directory of a part. A part that ends like an object's
// file has its dot escaped; an empty one is a lone %.
func escapeDir(part string) string {
	if part == "" {
		return "%"
	}
	esc := escapePart(part)
	if stem, ok := strings.CutSuffix(esc, objectSuffix); ok {
		return stem + "%2E" + objectSuffix[1:]
	}
	return esc
}

// escapePart escapes one part of a key. A leading dot is escaped, so that no
// part means the directory itself or the one above, nor hides the file.
func escapePart(part string) string {
	var b strings.Builder
	for i := range len(part) {
		c := part[i]
		if isPlain(c) && !(c == '.' && i == 0) {
			b.WriteByte(c)
			continue
		}
		b.WriteByte('%')
		b.WriteByte(upperHex[c>>4])
		b.WriteByte(upperHex[c&15])
	}
	return b.String()
}

func isPlain(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' ||
		strings.IndexByte("-_.=+@,", c) >= 0
}

// partOf inverts the two escapes: which part of a key a directory entry is.
// What no key maps to (somebody else's file) is none.
func partOf(name string, dir bool) (part string, ok bool) {
	esc := name
	if !dir {
		if esc, ok = strings.CutSuffix(name, objectSuffix); !ok {
			return "", false
		}
	}
	if dir && name == "%" {
		return "", true
	}
	var b strings.Builder
	for i := 0; i < len(esc); i++ {
		if esc[i] != '%' {
			b.WriteByte(esc[i])
			continue
		}
		if i+2 >= len(esc) {
			return "", false
		}
		hi, lo := strings.IndexByte(upperHex, esc[i+1]), strings.IndexByte(upperHex, esc[i+2])
		if hi < 0 || lo < 0 {
			return "", false
		}
		b.WriteByte(byte(hi<<4 | lo))
		i += 2
	}
	part = b.String()
	if dir {
		return part, escapeDir(part) == name
	}
	return part, escapePart(part)+objectSuffix == name
}
