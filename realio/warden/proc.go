package warden

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A process is named by its pid and the clock tick it started at: a pid alone
// may be somebody else's by now.
type process struct {
	PID   int    `json:"pid"`
	Start uint64 `json:"start"` // field 22 of /proc/PID/stat
}

// A record is what a warden leaves for the case that it is killed itself.
type record struct {
	Warden process `json:"warden"`
	Server process `json:"server"`
	Spec   Spec    `json:"spec"`
}

// note writes the record of this warden.
func (w *ward) note() error {
	if w.spec.Record == "" {
		return nil
	}
	self, err := lookup(os.Getpid())
	if err != nil {
		return err
	}
	server, err := lookup(w.pid)
	if err != nil {
		return err
	}
	b, err := json.Marshal(record{Warden: self, Server: server, Spec: w.spec})
	if err != nil {
		return err
	}
	tmp := w.spec.Record + ".tmp"
	if err := os.WriteFile(tmp, b, 0o600); err != nil {
		return fmt.Errorf("note the server's processes: %w", err)
	}
	return os.Rename(tmp, w.spec.Record)
}

// A stat is the part of /proc/PID/stat that tells families apart.
type stat struct {
	pid, parent int
	state       byte
	start       uint64
}

func readStat(pid int) (stat, error) {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return stat{}, err
	}
	// The second field is the program's name in parentheses, with anything in it.
	at := bytes.LastIndexByte(b, ')')
	if at < 0 {
		return stat{}, fmt.Errorf("/proc/%d/stat: no name", pid)
	}
	f := strings.Fields(string(b[at+1:]))
	if len(f) < 20 {
		return stat{}, fmt.Errorf("/proc/%d/stat: %d fields", pid, len(f))
	}
	parent, perr := strconv.Atoi(f[1])
	start, serr := strconv.ParseUint(f[19], 10, 64)
	return stat{pid: pid, parent: parent, state: f[0][0], start: start}, errors.Join(perr, serr)
}

func lookup(pid int) (process, error) {
	s, err := readStat(pid)
	return process{PID: pid, Start: s.start}, err
}

// alive tells whether the process still runs and is the same one.
func (p process) alive() bool {
	s, err := readStat(p.PID)
	return err == nil && s.start == p.Start && s.state != 'Z'
}

func (p process) kill() {
	if p.alive() {
		syscall.Kill(p.PID, syscall.SIGKILL)
	}
}

// allProcesses reads every process there is.
func allProcesses() []stat {
	dir, err := os.Open("/proc")
	if err != nil {
		return nil
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(-1)
	var all []stat
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		if s, err := readStat(pid); err == nil {
			all = append(all, s)
		}
	}
	return all
}

// descendants are the living processes below root, zombies left out.
func descendants(root int) []int {
	all := allProcesses()
	family := []int{root}
	for i := 0; i < len(family); i++ {
		for _, s := range all {
			if s.parent == family[i] && s.pid != root && !slices.Contains(family, s.pid) {
				family = append(family, s.pid)
			}
		}
	}
	return slices.DeleteFunc(family[1:], func(pid int) bool {
		i := slices.IndexFunc(all, func(s stat) bool { return s.pid == pid })
		return all[i].state == 'Z'
	})
}

// Clean removes what the record in the file name describes: the processes of
// a warden that was killed with its server, their mounts and shared memory.
// A record whose processes are all gone still names what they left. It is no
// error if there is no such file.
func Clean(name string) error {
	b, err := os.ReadFile(name)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var r record
	if err := json.Unmarshal(b, &r); err != nil {
		// A warden renames a whole record into place.
		return fmt.Errorf("%s is no record of a server: %w; remove it", name, err)
	}
	family := family(r)
	for deadline := time.Now().Add(endPatience); ; time.Sleep(5 * time.Millisecond) {
		left := slices.DeleteFunc(slices.Clone(family), func(p process) bool { return !p.alive() })
		if len(left) == 0 {
			break
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("process %d of an earlier run does not end: kill it, then go on", left[0].PID)
		}
		for _, p := range left {
			p.kill()
		}
		for _, m := range r.Spec.Mounts {
			abortMount(m)
		}
	}
	r.Spec.Record = name
	return r.Spec.remove(r.Server.PID)
}

// family is the warden, the server, and who else belongs to the server: its
// descendants and, since its backends may have lost their parent, processes
// whose working directory is on its mounts.
func family(r record) []process {
	var out []process
	for _, p := range []process{r.Warden, r.Server} {
		if !p.alive() {
			continue
		}
		out = append(out, p)
		for _, pid := range descendants(p.PID) {
			if q, err := lookup(pid); err == nil {
				out = append(out, q)
			}
		}
	}
	for _, s := range allProcesses() {
		p := process{PID: s.pid, Start: s.start}
		if s.start >= r.Server.Start && !slices.Contains(out, p) && touches(s.pid, r.Spec.Mounts) {
			out = append(out, p)
		}
	}
	return out
}

// touches tells whether a process has its working directory on one of the
// mounts; every process of a server has.
func touches(pid int, mounts []string) bool {
	wd, err := os.Readlink("/proc/" + strconv.Itoa(pid) + "/cwd")
	if err != nil {
		return false
	}
	return slices.ContainsFunc(mounts, func(m string) bool { return wd == m || strings.HasPrefix(wd, m+"/") })
}
