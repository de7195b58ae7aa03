package s3

import (
	"errors"
	"fmt"
	"testing"

	"xenon/core/env"
)

func FuzzContentRange(f *testing.F) {
	f.Add("bytes 10-19/100", int64(10), int64(10), int64(10))
	f.Add("bytes 10-14/15", int64(10), int64(10), int64(5))
	f.Add("bytes 0-9223372036854775807/9223372036854775807", int64(0), int64(0), int64(-1))
	f.Add("bytes */100", int64(0), int64(1), int64(0))
	f.Add("", int64(0), int64(0), int64(0))
	f.Fuzz(func(t *testing.T, text string, off, n, length int64) {
		if off < 0 || n < 0 || off > 1<<60 || n > 1<<60 {
			return // refused before it is asked for
		}
		size, err := sizeOf(text, env.GetOpts{Off: off, Len: n}, length)
		if err != nil {
			if !errors.Is(err, env.ErrCorrupt) {
				t.Fatal(err)
			}
			return
		}
		// What is believed is the range that was asked for, as long as it goes.
		if length < 0 || off+length > size || n > 0 && length > n || (n == 0 || length < n) && off+length != size {
			t.Fatalf("%q in answer to %d+%d with %d bytes: an object of %d", text, off, n, length, size)
		}
		if want := fmt.Sprintf("bytes %d-%d/%d", off, off+length-1, size); text != want {
			t.Logf("%q is taken for %q", text, want)
		}
	})
}
