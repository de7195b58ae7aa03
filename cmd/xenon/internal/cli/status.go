package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"xenon/cmd/xenon/internal/branch"
	"xenon/cmd/xenon/internal/ctl"
	"xenon/cmd/xenon/internal/home"
)

type statusCommand struct{}

// askStatus asks the running installation how it is.
func askStatus(g *Globals) (s ctl.Status, err error) {
	dir, err := g.Dir()
	if err != nil {
		return s, err
	}
	return askStatusWithin(g, dir, statusPatience)
}

// statusPatience is longer than an installation takes that runs, however its
// nodes are.
const statusPatience = time.Minute

// askStatusWithin asks once, and says who does not answer: its process may stand
// still.
func askStatusWithin(g *Globals, dir string, patience time.Duration) (s ctl.Status, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	slow := time.AfterFunc(tellAfter, func() {
		fmt.Fprintf(g.Stderr, "waiting; xenon with pid %d has not answered yet\n", home.Holder(dir))
	})
	defer slow.Stop()
	err = ctl.Call(ctx, dir, "GET", "/status", nil, &s)
	if errors.Is(err, context.DeadlineExceeded) {
		err = fmt.Errorf("xenon with pid %d does not answer within %v: it is stopped (ps tells T), or the machine is very slow", home.Holder(dir), patience)
	}
	return s, err
}

func (statusCommand) Run(g *Globals) error {
	s, err := askStatus(g)
	if err != nil {
		return err
	}
	return g.Result(s, statusText(s))
}

// statusText is a status for people.
func statusText(s ctl.Status) string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 4, 2, ' ', 0)
	fmt.Fprintf(w, "%s, pid %d\n\n", s.Dir, s.PID)
	fmt.Fprintln(w, "ENDPOINT\tBRANCH\tSTATE\tURL\tTERM\tSTART\tCOMMIT\tSTARTS")
	for _, e := range s.Endpoints {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d\t%s\t%s\t%d\n", e.Name, e.Branch, e.State, e.URL, e.Term, e.StartLSN, e.CommitLSN, e.Starts)
	}
	crossCheckText(w, s.Endpoints)
	fmt.Fprintln(w, "\nBRANCH\tPARENT\tPOSTGRES\tTENANT\tTIMELINE\tSTART\tCOMMIT")
	for _, r := range s.Branches {
		fmt.Fprintf(w, "%s\t%s\t%d\t%s\t%s\t%s\t%s\n", r.Name, dash(r.Parent), r.Postgres, r.Tenant, r.Timeline, r.StartLSN, r.CommitLSN)
	}
	fmt.Fprintln(w, "\nSAFEKEEPER\tLISTEN\tPID\tTIMELINE\tTERM\tFLUSH\tCOMMIT\tIN OBJECTS\tWAL ON DISK")
	for _, k := range s.Safekeepers {
		if len(k.Timelines) == 0 {
			fmt.Fprintf(w, "%d\t%s\t%d\t%s\n", k.ID, k.Listen, k.PID, k.State)
		}
		for _, t := range k.Timelines {
			fmt.Fprintf(w, "%d\t%s\t%d\t%.8s…\t%d\t%s\t%s\t%s\t%s\n", k.ID, k.Listen, k.PID, t.Timeline, t.Term, t.FlushLSN, t.CommitLSN, t.BackupLSN, onDisk(t))
		}
	}
	fmt.Fprintln(w, "\nPAGESERVER\tLISTEN\tPID\tTIMELINE\tHAS\tON DISK\tIN OBJECTS\tLAYERS")
	for _, p := range s.Pageservers {
		for _, t := range p.Timelines {
			fmt.Fprintf(w, "%d\t%s\t%d\t%.8s…\t%s\t%s\t%s\t%d, %s\n", p.ID, p.Listen, p.PID, t.Timeline,
				t.LastRecordLSN, t.DiskConsistentLSN, t.RemoteConsistentLSN, t.Layers, bytesText(uint64(max(0, t.LayerBytes))))
		}
	}
	w.Flush()
	for _, n := range s.Notes {
		fmt.Fprintf(&b, "\nnote: %s\n", n)
	}
	if line := followLine(s); line != "" {
		fmt.Fprintf(&b, "\nfollow the WAL: %s\n", line)
	}
	return b.String()
}

// onDisk is how much WAL a safekeeper has, and from where on.
func onDisk(t ctl.SafekeeperTL) string {
	if t.Evicted {
		return "none, idle"
	}
	return fmt.Sprintf("%s from %s", bytesText(t.WALBytes), t.LocalStart)
}

// crossCheckText says how many written pages were compared with redo.
func crossCheckText(w io.Writer, endpoints []ctl.Endpoint) {
	head := "\nCROSS-CHECK\tOF PAGES\tCHECKED\tMISMATCHED\tSKIPPED\tREPORTS\n"
	for _, e := range endpoints {
		c := e.CrossCheck
		if c == nil {
			continue
		}
		skipped := make([]string, 0, len(c.Skipped))
		for _, why := range slices.Sorted(maps.Keys(c.Skipped)) {
			skipped = append(skipped, fmt.Sprintf("%d %s", c.Skipped[why], why))
		}
		fmt.Fprintf(w, "%s%s\t%g%%\t%d\t%d\t%s\t%d in %s\n", head, e.Name, c.Percent, c.Checked, c.Mismatched, dash(strings.Join(skipped, ", ")), c.Stored, c.Reports)
		head = ""
	}
}

// followLine is one pg_receivewal line, of the first safekeeper that takes part:
// for main if it can be.
func followLine(s ctl.Status) (line string) {
	main, _ := findBranch(s, branch.Main)
	for _, k := range s.Safekeepers {
		for _, t := range k.Timelines {
			if t.State == "active" && t.Timeline == main.Timeline {
				return t.Receive
			}
			if t.State == "active" && line == "" {
				line = t.Receive
			}
		}
	}
	return line
}

// bytesText is a count of bytes for people.
func bytesText(n uint64) string {
	const unit = 1024
	if n < unit {
		return fmt.Sprintf("%d B", n)
	}
	v, i := float64(n)/unit, 0
	for v >= unit && i < 3 {
		v, i = v/unit, i+1
	}
	return fmt.Sprintf("%.1f %ciB", v, "KMGT"[i])
}
