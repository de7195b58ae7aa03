package up

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"xenon/cmd/xenon/internal/branch"
	"xenon/cmd/xenon/internal/cli/exit"
	"xenon/cmd/xenon/internal/ctl"
	"xenon/cmd/xenon/internal/role"
	"xenon/compute"
	"xenon/core"
)

// An endpoint is a compute that was started here, or has ended.
type endpoint struct {
	name   string
	branch branch.Branch
	cfg    role.Compute
	socket string // where its process tells how it is
	began  time.Time
	*task

	mu    sync.Mutex
	node  *role.Node // if it runs in this process
	stops int        // how often it was asked to stop: 1 is a fast shutdown, more an end at once
	ask   func()     // asks what runs now to stop, nil if nothing does
	asked int        // how often that was done
	last  ctl.Endpoint
}

// A startRequest is the body of POST /endpoint/start.
type startRequest struct {
	Branch   string `json:"branch"`
	Name     string `json:"name"`
	Port     int    `json:"port"`
	Takeover bool   `json:"takeover"`

	// lookBack makes a read-only endpoint at an LSN.
	lookBack core.LSN
}

// startEndpoint starts a compute. It returns at once; see awaitReady.
func (in *installation) startEndpoint(ctx context.Context, r startRequest) (*endpoint, error) {
	in.starting.Lock()
	defer in.starting.Unlock()
	if r.Name != "" && branch.CheckName(r.Name) != nil {
		return nil, fmt.Errorf("endpoint name %q: want 1 to 63 of a-z 0-9 . _ -, the first a letter or a digit", r.Name)
	}
	b, err := in.branches.load(ctx, r.Branch)
	if err != nil {
		return nil, err
	}
	if err := in.mayStart(r); err != nil {
		return nil, err
	}
	e := &endpoint{name: in.nameEndpoint(r), branch: b, began: time.Now()}
	if e.cfg, err = in.computeConfig(e, r); err != nil {
		return nil, err
	}
	if !r.Takeover && r.lookBack == 0 {
		if e.cfg.Takeover, err = in.holderIsGone(ctx, b); err != nil {
			return nil, err
		}
	}
	if e.cfg.CrossCheck, err = in.crossCheck(); err != nil {
		return nil, err
	}
	if e.cfg.Reads, e.cfg.ReadGate, err = in.reads(); err != nil {
		return nil, err
	}
	if err := in.mayListen(e.cfg); err != nil {
		return nil, err
	}
	if err := in.remember(e); err != nil {
		return nil, err
	}
	e.socket = in.home.Path("run", "compute-"+e.name+".sock")
	e.last = ctl.Endpoint{Name: e.name, Branch: b.Name, State: string(compute.Starting), Host: in.opts.Listen, Port: e.cfg.Port, ReadOnlyLSN: r.lookBack}
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.stops > 0 {
		return nil, errStopping
	}
	if e.task, err = in.keepCompute(e); err != nil {
		return nil, err
	}
	in.endpoints[e.name] = e
	go in.afterwards(e)
	return e, nil
}

// afterwards gives back what an endpoint that has ended used, and takes it off
// the list of those to resume once somebody else runs its branch.
func (in *installation) afterwards(e *endpoint) {
	<-e.done
	in.starting.Lock()
	in.freePorts()
	in.starting.Unlock()
	if _, why := e.state(); role.Superseded(why) && !e.readOnly() {
		in.forget(e.name)
	}
}

// errStopping is what a start gets that comes too late.
var errStopping = errors.New("xenon is being stopped")

// mayStart refuses what cannot run beside what runs: a second endpoint that
// writes to one branch, or a second one of a name.
func (in *installation) mayStart(r startRequest) error {
	for _, other := range in.listEndpoints() {
		switch {
		case !other.running():
		case r.Name == other.name:
			return fmt.Errorf("endpoint %s runs already, on branch %s", other.name, other.branch.Name)
		case other.branch.Name == r.Branch && !other.readOnly() && r.lookBack == 0 && !r.Takeover:
			return fmt.Errorf("branch %s has a running endpoint, %s: stop it with xenon endpoint stop %s, or take it over with --takeover", r.Branch, other.name, other.name)
		}
	}
	return nil
}

// readOnly tells whether the endpoint shows one moment of its branch.
func (e *endpoint) readOnly() bool { return e.cfg.LookBack != 0 }

// nameEndpoint is the name asked for, or the branch's, or that with a number.
// A read-only one is named after its moment too; its name is free once nothing
// is left of it.
func (in *installation) nameEndpoint(r startRequest) string {
	if r.Name != "" {
		return r.Name
	}
	base := r.Branch
	if r.lookBack != 0 {
		// Directories go by the name: no slash.
		base = fmt.Sprintf("%s@%X", r.Branch, uint64(r.lookBack))
	}
	name := base
	for n := 2; ; n++ {
		in.mu.Lock()
		e := in.endpoints[name]
		in.mu.Unlock()
		if e == nil || !e.running() && !e.readOnly() {
			return name
		}
		name = fmt.Sprintf("%s-%d", base, n)
	}
}

func (in *installation) computeConfig(e *endpoint, r startRequest) (role.Compute, error) {
	name := e.name
	dist, err := in.distFor(e.branch.Major())
	if err != nil {
		return role.Compute{}, fmt.Errorf("branch %s is of PostgreSQL %d: %w", e.branch.Name, e.branch.Major(), err)
	}
	c := role.Compute{
		Name: name, Branch: r.Branch, Takeover: r.Takeover, LookBack: r.lookBack,
		// The same at every start of this installation's endpoint, so that a
		// restart needs no take-over.
		Owner: in.owner(name),
		Dir:   in.home.Path("compute", name), RunDir: in.runDir + "/" + name,
		PgBin: dist.Dir, PgVersion: dist.Version, User: in.opts.User, Listen: in.opts.Listen, Port: r.Port, PassFile: in.pass,
		Safekeepers: in.members.All(), Pageserver: in.layout.Pageserver,
		Remote: in.objs.place.Config, Settings: in.opts.Settings,
	}
	c.Port, err = in.choosePort(r.Port)
	return c, err
}

// choosePort is the port asked for, or the first from the installation's on,
// that is free and that no endpoint has which does not listen yet.
func (in *installation) choosePort(asked int) (int, error) {
	given := map[int]bool{}
	for _, e := range in.listEndpoints() {
		if e.running() {
			given[e.cfg.Port] = true
		}
	}
	if asked != 0 {
		if given[asked] {
			return 0, fmt.Errorf("port %d is taken by an endpoint: %w", asked, errPort)
		}
		return asked, in.ports.take(asked)
	}
	return in.ports.firstFree(in.layout.Port, func(p int) bool { return given[p] })
}

// freePorts gives away the ports that no endpoint has any more. The caller
// holds starting: one that is being started may have taken its port already.
func (in *installation) freePorts() {
	used := map[int]bool{in.layout.Port: true}
	for _, e := range in.listEndpoints() {
		used[e.cfg.Port] = used[e.cfg.Port] || e.running()
	}
	in.ports.keep(func(port int) bool { return used[port] })
}

// mayListen refuses a port that we could bind as root and the server, which
// runs as another user, cannot. A gate listens in its place.
func (in *installation) mayListen(c role.Compute) error {
	if in.user.Switch && !c.ReadGate && c.Port < firstForAll() {
		return fmt.Errorf("port %d is for root alone, and PostgreSQL runs as %s: %w", c.Port, in.opts.User, errPort)
	}
	return nil
}

// keepCompute runs the compute, here or as a process. One that stopped or was
// superseded is not started again; one that died is.
func (in *installation) keepCompute(e *endpoint) (*task, error) {
	if !in.opts.Processes {
		return keep(in.ctx, in.opts.Log, e.name, func(ctx context.Context, t *task) error {
			err := e.cfg.Run(ctx, in.process(), e.runs)
			e.ended()
			return e.verdict(err)
		}), nil
	}
	cfg := e.cfg
	cfg.Takeover = false // a restart takes nothing over
	file, err := in.writeConf("compute-"+e.name, cfg)
	if err != nil {
		return nil, err
	}
	takeover := strconv.FormatBool(e.cfg.Takeover)
	return keep(in.ctx, in.opts.Log, e.name, func(ctx context.Context, t *task) error {
		args := []string{"run", "compute", "--config", file, "--socket", e.socket, "-c", "takeover=" + takeover}
		takeover = "false"
		err := in.spawn.child(ctx, t, in.home.Path("log", "compute-"+e.name+".log"), args, func(p *os.Process) {
			e.reach(func() { p.Signal(syscall.SIGTERM) })
		})
		e.reach(nil)
		return e.verdict(err)
	}), nil
}

// verdict decides whether a compute that ended with err is started again. It
// starts its server anew by itself: what it gives up over is not mended by
// trying again. One that was killed has given up nothing.
func (e *endpoint) verdict(err error) error {
	e.mu.Lock()
	stopped := e.stops > 0
	e.mu.Unlock()
	var child *exec.ExitError
	if err == nil || errors.Is(err, errFinal) || !stopped && errors.As(err, &child) && child.ExitCode() != exit.Failed {
		return err
	}
	return fmt.Errorf("%w: %w", errFinal, err)
}

// runs says that the compute runs in this process.
func (e *endpoint) runs(n *role.Node) {
	e.mu.Lock()
	e.node = n
	e.mu.Unlock()
	e.reach(n.Stop)
}

// ended keeps the last status of a compute that ran in this process.
func (e *endpoint) ended() {
	e.reach(nil)
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.node != nil {
		e.last, e.node = e.node.Describe(), nil
	}
}

// reach says how to ask what runs now to stop, and asks if it has to already.
func (e *endpoint) reach(ask func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.ask, e.asked = ask, 0
	e.passOn()
}

// passOn asks for what was not asked for yet. The caller holds mu.
func (e *endpoint) passOn() {
	for ; e.ask != nil && e.asked < e.stops; e.asked++ {
		e.ask()
	}
}

// stop asks for a fast shutdown (1), or an end at once (2), unless that was
// asked for already.
func (e *endpoint) stop(urgency int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.stops = max(e.stops, urgency)
	e.passOn()
}

func (e *endpoint) running() bool {
	select {
	case <-e.done:
		return false
	default:
		return true
	}
}

// describe tells how the endpoint is.
func (e *endpoint) describe(ctx context.Context) ctl.Endpoint {
	e.mu.Lock()
	node, last := e.node, e.last
	e.mu.Unlock()
	if node != nil {
		return node.Describe()
	}
	if d, err := askSocket(ctx, e.socket, "/endpoint"); err == nil {
		e.mu.Lock()
		e.last = d
		e.mu.Unlock()
		return d
	}
	last.PID, last.Warden, last.Postmaster = 0, 0, 0
	pid, why := e.state()
	switch {
	case e.running():
		last.State, last.PID = string(compute.Starting), pid
		if why != nil {
			last.Note = "its process ended: " + why.Error()
		}
	case role.Superseded(why):
		last.State, last.Note = string(compute.Superseded), why.Error()
	case why != nil:
		last.State, last.Note = string(compute.Failed), why.Error()
	default:
		last.State, last.Note = string(compute.Stopped), ""
	}
	return last
}

// askSocket asks a compute that runs in a process of its own.
func askSocket(ctx context.Context, socket, path string) (d ctl.Endpoint, err error) {
	ctx, cancel := context.WithTimeout(ctx, askPatience)
	defer cancel()
	err = ctl.CallSocket(ctx, socket, "GET", path, nil, &d)
	return d, err
}

// askPatience bounds a question to one node: it may be paused.
const askPatience = 2 * time.Second

// awaitReady waits until clients can connect, or it is sure that they never
// will.
func (e *endpoint) awaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startPatience)
	defer cancel()
	for {
		d := e.describe(ctx)
		switch {
		case d.State == string(compute.Ready):
			return nil
		case !e.running():
			return fmt.Errorf("endpoint %s is %s: %s", e.name, d.State, d.Note)
		}
		if e.awaitChange(ctx) {
			continue
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("endpoint %s is not ready (%s): %w", e.name, d.Note, context.Cause(ctx))
		case <-time.After(2 * time.Millisecond):
		}
	}
}

// awaitChange returns true once the compute is ready, and false after a while,
// or at once if there is nobody to ask yet.
func (e *endpoint) awaitChange(ctx context.Context) bool {
	e.mu.Lock()
	node := e.node
	e.mu.Unlock()
	if node == nil {
		d, err := askSocket(ctx, e.socket, "/endpoint?"+ctl.AwaitReady)
		return err == nil && d.State == string(compute.Ready)
	}
	ctx, cancel := context.WithTimeout(ctx, ctl.AwaitReadyFor)
	defer cancel()
	return node.AwaitReady(ctx) == nil
}

func (in *installation) listEndpoints() []*endpoint {
	in.mu.Lock()
	defer in.mu.Unlock()
	var all []*endpoint
	for _, e := range in.endpoints {
		all = append(all, e)
	}
	slices.SortFunc(all, func(a, b *endpoint) int { return strings.Compare(a.name, b.name) })
	return all
}

// stopEndpoints asks every endpoint to stop and lets no other start: the first
// time for a fast shutdown, the second for an end at once.
func (in *installation) stopEndpoints() {
	in.mu.Lock()
	in.stops++
	urgency := in.stops
	in.mu.Unlock()
	for _, e := range in.listEndpoints() {
		e.stop(urgency)
	}
}

// endpointPatience is longer than a sidecar takes that keeps its own bounds
// (30 s): one that does not is ended.
const endpointPatience = 45 * time.Second

// awaitEndpoints waits until no endpoint runs, within bounds.
func (in *installation) awaitEndpoints() {
	late := time.After(endpointPatience)
	for _, e := range in.listEndpoints() {
		select {
		case <-e.done:
		case <-late:
			return
		}
	}
}

// stopEndpoint stops an endpoint by its name, or else its branch's, and waits.
// It stays stopped when the installation starts the next time.
func (in *installation) stopEndpoint(ctx context.Context, name string) error {
	e := in.findEndpoint(name)
	if e == nil {
		if in.forget(name) {
			return nil
		}
		return fmt.Errorf("no endpoint %s runs", name)
	}
	in.forget(e.name)
	e.stop(1)
	select {
	case <-e.done:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// findEndpoint is the running endpoint of that name, else the one that writes
// to the branch of that name, or nil.
func (in *installation) findEndpoint(name string) (found *endpoint) {
	for _, e := range in.listEndpoints() {
		switch {
		case !e.running():
		case e.name == name:
			return e
		case e.branch.Name == name && !e.readOnly():
			found = e
		}
	}
	return found
}
