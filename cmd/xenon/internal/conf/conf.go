// Package conf reads a role's configuration: a TOML file, then key=value
// settings of the command line over it. A key that does not exist is an error
// that suggests the nearest one.
//
// Start at [Load].
package conf

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"
)

// Load fills into, a pointer to a struct with toml tags, from the file and
// then from settings of the form key=value, in which key may be dotted and
// value is a TOML value (a bare word is taken as a string). What is not
// mentioned keeps its value. The file may be empty to have settings only.
func Load(file string, settings []string, into any) error {
	if file != "" {
		b, err := os.ReadFile(file)
		if err != nil {
			return fmt.Errorf("read the configuration: %w", err)
		}
		if err := decode(b, into); err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
	}
	for _, s := range settings {
		if err := set(s, into); err != nil {
			return fmt.Errorf("-c %s: %w", s, err)
		}
	}
	return nil
}

func set(setting string, into any) error {
	key, value, ok := strings.Cut(setting, "=")
	key = strings.TrimSpace(key)
	if !ok || key == "" {
		return errors.New("want key=value")
	}
	err := decode([]byte(key+" = "+value+"\n"), into)
	if err == nil || isUnknown(err) {
		return err
	}
	// -c listen=127.0.0.1:5432 without the quotes that TOML wants.
	if quoted := decode(fmt.Appendf(nil, "%s = %q\n", key, value), into); quoted == nil || isUnknown(quoted) {
		return quoted
	}
	return err
}

// An unknownError is a key that no field has.
type unknownError struct {
	key     string
	line    int
	nearest string
}

func (e unknownError) Error() string {
	s := fmt.Sprintf("line %d: unknown key %s", e.line, e.key)
	if e.nearest != "" {
		s += ": did you mean " + e.nearest + "?"
	}
	return s
}

func isUnknown(err error) bool { return errors.As(err, new(unknownError)) }

func decode(b []byte, into any) error {
	err := toml.NewDecoder(bytes.NewReader(b)).DisallowUnknownFields().Decode(into)
	var strict *toml.StrictMissingError
	if errors.As(err, &strict) && len(strict.Errors) > 0 {
		first := strict.Errors[0]
		line, _ := first.Position()
		key := strings.Join(first.Key(), ".")
		return unknownError{key: key, line: line, nearest: nearestKey(key, keys(reflect.TypeOf(into), ""))}
	}
	var bad *toml.DecodeError
	if errors.As(err, &bad) {
		line, column := bad.Position()
		return fmt.Errorf("line %d, column %d: %s", line, column, strings.TrimPrefix(bad.Error(), "toml: "))
	}
	return err
}

// keys lists the dotted keys that a struct takes.
func keys(t reflect.Type, prefix string) []string {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct {
		return nil
	}
	var out []string
	for f := range t.Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("toml"), ",")
		switch {
		case f.Anonymous && name == "":
			out = append(out, keys(f.Type, prefix)...)
			continue
		case !f.IsExported() || name == "-":
			continue
		case name == "":
			name = strings.ToLower(f.Name)
		}
		out = append(out, prefix+name)
		out = append(out, keys(f.Type, prefix+name+".")...)
	}
	return out
}

// nearestKey is the dotted key that key most likely means. A key of an inline
// table is known by its last part alone.
func nearestKey(key string, all []string) string {
	if n := Nearest(key, all); n != "" {
		return n
	}
	var parts []string
	for _, k := range all {
		parts = append(parts, k[strings.LastIndexByte(k, '.')+1:])
	}
	if i := slices.Index(parts, Nearest(key, parts)); i >= 0 {
		return all[i]
	}
	return ""
}

// Nearest is the word of choices that s most likely means, or "".
func Nearest(s string, choices []string) string {
	best, at := "", len(s)/2+1
	for _, c := range choices {
		if d := distance(s, c); d < at {
			best, at = c, d
		}
	}
	return best
}

// distance is how many letters have to be changed to make b of a.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(diagonal+cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

// Write makes a TOML file of a configuration.
func Write(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := toml.NewEncoder(&b)
	enc.SetIndentTables(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return slices.Clip(b.Bytes()), nil
}
