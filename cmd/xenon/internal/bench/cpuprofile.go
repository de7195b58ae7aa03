package bench

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"runtime/pprof"
)

// A stack is the functions that a processor was in when it was looked at, the
// innermost first, and for how many nanoseconds that stands.
type stack struct {
	functions []string
	nanos     int64
}

// profiled calls f and tells where the processor was meanwhile.
func profiled(f func() error) ([]stack, error) {
	var raw bytes.Buffer
	if err := pprof.StartCPUProfile(&raw); err != nil {
		return nil, err
	}
	err := f()
	pprof.StopCPUProfile()
	if err != nil {
		return nil, err
	}
	return readProfile(&raw)
}

// readProfile reads what runtime/pprof has written: a compressed message in the
// format of github.com/google/pprof/proto/profile.proto.
func readProfile(r io.Reader) ([]stack, error) {
	z, err := gzip.NewReader(r)
	if err != nil {
		return nil, fmt.Errorf("profile: %w", err)
	}
	b, err := io.ReadAll(z)
	if err != nil {
		return nil, fmt.Errorf("profile: %w", err)
	}
	p := profile{functions: map[uint64]uint64{}, locations: map[uint64][]uint64{}}
	if err := eachField(b, p.field); err != nil {
		return nil, fmt.Errorf("profile: %w", err)
	}
	return p.stacks(), nil
}

// A profile is the parts of the message that are of use here.
type profile struct {
	strings   []string
	functions map[uint64]uint64   // number of the name, by id
	locations map[uint64][]uint64 // ids of functions, innermost first, by id
	samples   []sample
}

type sample struct {
	locations []uint64 // innermost first
	values    []uint64 // how often, nanoseconds
}

// The fields of Profile.
const (
	fieldSample   = 2
	fieldLocation = 4
	fieldFunction = 5
	fieldString   = 6
)

func (p *profile) field(n int, v uint64, b []byte) error {
	switch n {
	case fieldString:
		p.strings = append(p.strings, string(b))
	case fieldFunction: // 1 is its id, 2 its name
		var id, name uint64
		err := eachField(b, func(n int, v uint64, _ []byte) error {
			switch n {
			case 1:
				id = v
			case 2:
				name = v
			}
			return nil
		})
		p.functions[id] = name
		return err
	case fieldLocation: // 1 is its id, each 4 a line, whose 1 is a function
		var id uint64
		var functions []uint64
		err := eachField(b, func(n int, v uint64, line []byte) error {
			switch n {
			case 1:
				id = v
			case 4:
				return eachField(line, func(n int, v uint64, _ []byte) error {
					if n == 1 {
						functions = append(functions, v)
					}
					return nil
				})
			}
			return nil
		})
		p.locations[id] = functions
		return err
	case fieldSample: // 1 is its locations, 2 its values
		var s sample
		err := eachField(b, func(n int, v uint64, list []byte) (err error) {
			switch n {
			case 1:
				s.locations, err = appendNumbers(s.locations, v, list)
			case 2:
				s.values, err = appendNumbers(s.values, v, list)
			}
			return err
		})
		p.samples = append(p.samples, s)
		return err
	}
	return nil
}

func (p *profile) stacks() []stack {
	all := make([]stack, 0, len(p.samples))
	for _, s := range p.samples {
		if len(s.values) < 2 {
			continue
		}
		st := stack{nanos: int64(s.values[1])}
		for _, l := range s.locations {
			for _, f := range p.locations[l] {
				if name := p.functions[f]; name < uint64(len(p.strings)) {
					st.functions = append(st.functions, p.strings[name])
				}
			}
		}
		all = append(all, st)
	}
	return all
}

var errProtobuf = errors.New("not a protocol buffer")

// eachField calls f for each field of a message: with its number, or with its
// bytes if it has a length.
func eachField(b []byte, f func(n int, v uint64, b []byte) error) error {
	for len(b) > 0 {
		tag, k := binary.Uvarint(b)
		if k <= 0 {
			return errProtobuf
		}
		b = b[k:]
		var v uint64
		var part []byte
		switch tag & 7 {
		case 0:
			if v, k = binary.Uvarint(b); k <= 0 {
				return errProtobuf
			}
			b = b[k:]
		case 2:
			if v, k = binary.Uvarint(b); k <= 0 || v > uint64(len(b)-k) {
				return errProtobuf
			}
			part, b = b[k:k+int(v)], b[k+int(v):]
		default: // no other kind is in these messages
			return errProtobuf
		}
		if err := f(int(tag>>3), v, part); err != nil {
			return err
		}
	}
	return nil
}

// appendNumbers takes a repeated number, packed or not.
func appendNumbers(list []uint64, v uint64, packed []byte) ([]uint64, error) {
	if packed == nil {
		return append(list, v), nil
	}
	for len(packed) > 0 {
		v, k := binary.Uvarint(packed)
		if k <= 0 {
			return nil, errProtobuf
		}
		list, packed = append(list, v), packed[k:]
	}
	return list, nil
}
