package simcmd

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"reflect"
	"strconv"
	"sync"
	"time"
)

// Fleet runs a process for each of so many workers, and adds up what they say.
// args are the arguments that make the program in exe explore and print its
// [Summary] as the last line; which share is whose, and where its seeds begin,
// is added to them.
//
// Each process has one thread that runs worlds: nothing is shared, a world that
// breaks its process takes no other one along, and garbage is collected more
// seldom.
func Fleet(o Options, exe string, args []string, workers int, stderr io.Writer) (*Summary, error) {
	sums, errs := make([]*Summary, workers), make([]error, workers)
	out := &lockedWriter{w: stderr}
	var wg sync.WaitGroup
	for i := range workers {
		wg.Go(func() {
			mine := append(args[:len(args):len(args)], "--worker", fmt.Sprintf("%d/%d", i, workers),
				"--first-seed", strconv.FormatUint(o.From+uint64(i)*seedsApart, 10))
			if sums[i], errs[i] = worker(exe, mine, out); errs[i] != nil {
				errs[i] = fmt.Errorf("worker %d: %w", i, errs[i])
			}
		})
	}
	wg.Wait()
	s := newSummary(o)
	for _, x := range sums {
		if x != nil {
			s.merge(x)
		}
	}
	s.finish(time.Duration(s.CPUSeconds * float64(time.Second)))
	return s, errors.Join(errs...)
}

// seedsApart is how far the first seeds of two workers are from each other:
// further than one gets.
const seedsApart = 1 << 24

// worker runs one process to its end.
func worker(exe string, args []string, stderr io.Writer) (*Summary, error) {
	cmd := exec.Command(exe, args...)
	cmd.Env = append(os.Environ(), "GOMAXPROCS=1", fmt.Sprintf("GOGC=%d", garbage), "XENON_SIM_WORKER=1")
	cmd.Stderr = stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, err
	}
	lines := bytes.Split(bytes.TrimSpace(out), []byte("\n"))
	s := new(Summary)
	if err := json.Unmarshal(lines[len(lines)-1], s); err != nil {
		return nil, fmt.Errorf("its summary: %w", err)
	}
	return s, nil
}

type lockedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

// Write implements io.Writer.
func (l *lockedWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}

// merge adds what another process counted.
func (s *Summary) merge(x *Summary) {
	least := map[string]float64{}
	for name, g := range s.Gates {
		least[name] = g.Least
	}
	addUp(reflect.ValueOf(s).Elem(), reflect.ValueOf(x).Elem())
	for name, g := range s.Gates { // finish makes the ratios anew
		g.Ratio, g.Least = 0, least[name]
		s.Gates[name] = g
	}
	s.ClassesEffective = 0
	s.simulated = time.Duration(s.SimSeconds * float64(time.Second))
}

// addUp adds numbers to numbers, lists to lists, and so on within structs and
// maps. What is neither stays as it is.
func addUp(to, from reflect.Value) {
	switch to.Kind() {
	case reflect.Int, reflect.Int64:
		to.SetInt(to.Int() + from.Int())
	case reflect.Uint64:
		to.SetUint(to.Uint() + from.Uint())
	case reflect.Float64:
		to.SetFloat(to.Float() + from.Float())
	case reflect.Slice:
		to.Set(reflect.AppendSlice(to, from))
	case reflect.Struct:
		for i := range to.NumField() {
			if to.Type().Field(i).IsExported() {
				addUp(to.Field(i), from.Field(i))
			}
		}
	case reflect.Map:
		for _, key := range from.MapKeys() {
			sum := reflect.New(to.Type().Elem()).Elem()
			if had := to.MapIndex(key); had.IsValid() {
				sum.Set(had)
			}
			addUp(sum, from.MapIndex(key))
			to.SetMapIndex(key, sum)
		}
	}
}
