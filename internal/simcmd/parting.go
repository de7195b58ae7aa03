package simcmd

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"

	"xenon/fuzz"
	"xenon/netsim"
)

// Events runs what o says once and writes its events as lines, those of the steps
// from and after it, as many as asked for.
func Events(o Options, from, steps uint64, to io.Writer) error {
	if o.Mutant != "" {
		undo, err := plant(o.Mutant)
		if err != nil {
			return err
		}
		defer undo()
	}
	w := bufio.NewWriter(to)
	step := uint64(0)
	fuzz.Run(fuzz.Options{
		Seed: o.From, Plan: o.Plan, Classes: o.Classes, Judge: o.Judge, Until: fuzz.Until{Step: from + steps},
		Observe: func(e netsim.Event) {
			if e.Kind == "step" {
				step++
			}
			if step >= from && step < from+steps {
				fmt.Fprintf(w, "step %d at %d ns: %s %x %x %x %x, bytes %x\n", step, e.At, e.Kind, e.A, e.B, e.C, e.D, e.Hash)
			}
		},
	})
	return w.Flush()
}

// parting finds the first event in which two processes differ that both run the
// same seed: one as this process was started, one as the second of [Twice] is.
// args make exe write events. It is "" if they did not differ this time.
func parting(exe string, args []string) (string, error) {
	var outs [2]io.ReadCloser
	var cmds [2]*exec.Cmd
	for i := range cmds {
		cmd := exec.Command(exe, args...)
		cmd.Env = os.Environ()
		if i == 1 {
			cmd.Env = append(cmd.Env, otherwise...)
		}
		out, err := cmd.StdoutPipe()
		if err == nil {
			err = cmd.Start()
		}
		if err != nil {
			return "", err
		}
		cmds[i], outs[i] = cmd, out
	}
	defer func() {
		for i, cmd := range cmds {
			outs[i].Close()
			cmd.Process.Kill()
			cmd.Wait()
		}
	}()
	a, b := bufio.NewReader(outs[0]), bufio.NewReader(outs[1])
	for {
		one, errA := a.ReadString('\n')
		two, errB := b.ReadString('\n')
		switch {
		case errA != nil && errB != nil:
			if errors.Is(errA, io.EOF) && errors.Is(errB, io.EOF) {
				return "", nil
			}
			return "", errors.Join(errA, errB)
		case one != two:
			return fmt.Sprintf("the first event that differs:\n  here   %s\n  there  %s", line(one), line(two)), nil
		}
	}
}

func line(s string) string {
	if s == "" {
		return "(it ends)"
	}
	return s[:len(s)-1]
}
