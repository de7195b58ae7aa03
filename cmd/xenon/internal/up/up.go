// Package up is a running installation: it starts the roles, makes the first
// branch, runs endpoints, takes commands, and stops in order.
//
// Start at [Run].
package up

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"xenon/cmd/xenon/internal/branch"
	"xenon/cmd/xenon/internal/cluster"
	"xenon/cmd/xenon/internal/home"
	"xenon/cmd/xenon/internal/pgdist"
	"xenon/cmd/xenon/internal/preflight"
	"xenon/cmd/xenon/internal/remote"
	"xenon/cmd/xenon/internal/role"
	"xenon/core/env"
	"xenon/core/objstore"
	"xenon/realio"
	"xenon/realio/host"
	"xenon/realio/warden"
)

// Options are what `xenon up` was asked for.
type Options struct {
	Dir       string
	Processes bool // every role in a process of its own
	Port      int  // 0 is the last one, or the default
	// PgBin are directories of PostgreSQL's binaries: the first for branch main,
	// the others for branches of other major versions. They are remembered.
	PgBin       []string
	Safekeepers int           // 0 is as many as there are, or three
	Remote      remote.Config // the object store; zero is the one of last time, or DIR/objects
	User        string
	Listen      string
	Locale      string
	// CrossCheck is how many percent of the pages that servers write are compared
	// with redo; nil is what xenon.toml says, or the default.
	CrossCheck *float64
	// Reads and ReadGate are what reads of endpoints promise; "" and nil are what
	// xenon.toml says, or the default.
	Reads    string
	ReadGate *bool
	// Settings are configuration parameters of every server.
	Settings map[string]string

	Log *slog.Logger
	// Ready is called once with the URL of main, password and all.
	Ready func(url string)
	// Say tells people what is being done.
	Say func(format string, args ...any)
}

// An installation is what runs.
type installation struct {
	opts   Options
	home   *home.Home
	dist   pgdist.Dist
	user   pgdist.User
	layout layout
	// members are the layout's safekeepers, for whoever is at work.
	members  cluster.Members
	changing sync.Mutex // of the members, by one at a time
	runDir   string
	pass     string // the file with the password
	objs     objects
	env      env.Env // of the control plane; its store is patient
	spawn    *spawner
	spare    *warden.Spare   // for endpoints that run here, nil if none do
	ctx      context.Context // ends the roles, after the endpoints

	ports    *ports
	loopback realio.Loopback // of the roles that run here

	branches *branches
	starting sync.Mutex // one start or import at a time
	resuming sync.Mutex // guards the list of endpoints to resume

	mu        sync.Mutex // guards what follows
	tasks     map[string]*task
	ends      map[string]context.CancelFunc // of roles, by name
	endpoints map[string]*endpoint
	stops     int // how often everything was asked to stop
}

// Run starts an installation and returns when it has stopped. The first value
// that stop gives asks for a fast shutdown, a second one ends servers at once.
func Run(ctx context.Context, o Options, stop <-chan struct{}) error {
	in, err := open(o)
	if err != nil {
		return err
	}
	defer in.close()
	rolesCtx, endRoles := context.WithCancel(ctx)
	defer in.awaitTasks()
	defer endRoles()
	in.ctx = rolesCtx
	if in.spare, err = in.keepSpare(); err != nil {
		return err
	}
	if in.spare != nil {
		defer in.spare.Close()
	}
	in.branches = newBranches(rolesCtx, in.cluster(), o.Log)
	in.branches.newest, in.branches.unused = in.newestHere, in.whileUnused
	upCtx, endUp := context.WithCancel(rolesCtx)
	halt := func() {
		endUp()
		in.stopEndpoints()
	}
	control, err := in.serveControl(halt)
	if err != nil {
		endUp()
		return err
	}
	defer control.close()
	go func() {
		for {
			select {
			case <-stop:
				halt()
			case <-rolesCtx.Done():
				return
			}
		}
	}()
	if err = in.bringUp(upCtx); err != nil && upCtx.Err() == nil {
		halt()
	} else {
		err = nil // it was stopped while it started, if at all
		<-upCtx.Done()
	}
	in.awaitEndpoints()
	return err
}

// open checks everything that can be checked before anything is made.
func open(o Options) (*installation, error) {
	dist, err := chooseDist(o)
	if err != nil {
		return nil, err
	}
	user, err := pgdist.RunAs(o.User)
	if err != nil {
		return nil, err
	}
	if pid := home.Holder(o.Dir); pid != 0 {
		return nil, home.InUseError{Dir: o.Dir, PID: pid}
	}
	listen := ""
	if o.Port != 0 {
		listen = role.ConnectHost(o.Listen) + ":" + strconv.Itoa(o.Port)
	}
	if err := preflight.Check(preflight.Plan{Dir: o.Dir, Listen: listen}); err != nil {
		return nil, err
	}
	place, err := choosePlace(o.Dir, o.Remote)
	if err != nil {
		return nil, err
	}
	if err := place.check(context.Background()); err != nil {
		return nil, err
	}
	h, err := home.Open(o.Dir, dist.Major)
	if err != nil {
		return nil, err
	}
	in := &installation{
		opts: o, home: h, dist: dist, user: user, objs: objects{place: place}, spawn: newSpawner(), ports: newPorts(role.ConnectHost(o.Listen)),
		tasks: map[string]*task{}, ends: map[string]context.CancelFunc{}, endpoints: map[string]*endpoint{},
	}
	if err := in.prepare(); err != nil {
		in.close()
		return nil, err
	}
	return in, nil
}

// prepare makes the directories, removes what a killed run left, and decides
// who listens where.
func (in *installation) prepare() (err error) {
	for _, dir := range []string{"run", "log", "conf"} {
		if err := os.MkdirAll(in.home.Path(dir), 0o700); err != nil {
			return err
		}
	}
	if in.runDir, err = runDir(in.home.Dir); err != nil {
		return err
	}
	if err := in.clean(); err != nil {
		return err
	}
	if err := removeSockets(in.home.Path("run")); err != nil {
		return err
	}
	if in.layout, err = loadLayout(in.home, in.opts.Safekeepers); err != nil {
		return err
	}
	in.members.Set(in.layout.Safekeepers, in.layout.Leaving)
	if err := in.rememberBinaries(); err != nil {
		return err
	}
	if err := in.layout.choosePort(in.ports, in.opts.Port); err != nil {
		return err
	}
	if err := in.layout.save(in.home); err != nil {
		return err
	}
	if in.pass, err = passFile(in.home); err != nil {
		return err
	}
	if in.objs.Store, err = in.objs.place.Open(context.Background()); err != nil {
		return err
	}
	if err := in.objs.place.claim(context.Background(), in.home, in.objs.Store); err != nil {
		return err
	}
	in.objs.process = realio.New(realio.Options{Root: in.home.Dir, Objects: in.objs.Store, Log: in.opts.Log, Loopback: &in.loopback})
	in.env = objstore.Over(in.objs.process, objstore.New(in.objs.process, in.objs.Store, objstore.Options{}))
	return nil
}

// clean removes mounts and servers of an earlier run: nobody else can use
// them, since the directory's lock is ours.
func (in *installation) clean() error {
	dirs, err := filepath.Glob(filepath.Join(in.runDir, "*"))
	if err != nil {
		return err
	}
	for _, dir := range dirs {
		if err := host.Clean(role.MountID(dir), dir); err != nil {
			return fmt.Errorf("remove what an earlier run left in %s: %w", dir, err)
		}
		os.Remove(dir)
	}
	return nil
}

// removeSockets removes what killed processes left in a directory that is ours.
func removeSockets(dir string) error {
	names, err := filepath.Glob(filepath.Join(dir, "*.sock"))
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := os.Remove(name); err != nil {
			return err
		}
	}
	return nil
}

func (in *installation) close() {
	if in.runDir != "" {
		if err := in.clean(); err != nil {
			in.opts.Log.Warn("something is left; the next start tries again", "error", err)
		}
		os.Remove(in.runDir)
	}
	if in.objs.process != nil {
		in.objs.process.Close()
	}
	if in.objs.Store != nil {
		in.objs.Close()
	}
	in.ports.keep(func(int) bool { return false })
	in.home.Close()
}

// bringUp starts the roles, makes main if there is none, and runs it.
func (in *installation) bringUp(ctx context.Context) error {
	if err := in.startRoles(ctx); err != nil {
		return err
	}
	if err := in.ensureMain(ctx); err != nil {
		return err
	}
	if err := in.attachMain(ctx); err != nil {
		return err
	}
	// Making main took a while: somebody may have the port by now.
	if err := in.layout.choosePort(in.ports, in.opts.Port); err != nil {
		return err
	}
	if err := in.layout.save(in.home); err != nil {
		return err
	}
	// Nothing else runs on this directory: its lock is ours. Whoever the
	// endpoint's register names was killed, and may have another name.
	e, err := in.startEndpoint(ctx, startRequest{Branch: branch.Main, Port: in.layout.Port, Takeover: true})
	if err != nil {
		return err
	}
	if err := e.awaitReady(ctx); err != nil {
		return err
	}
	u, err := in.url(e)
	if err != nil {
		return err
	}
	in.opts.Ready(u)
	go in.branches.sweep(ctx)
	go in.resume(ctx)
	go in.finishMembers(ctx)
	return nil
}

// url is where clients connect to an endpoint, with the password of main's
// superuser: an imported branch has passwords of its own.
func (in *installation) url(e *endpoint) (string, error) {
	u := url.URL{Scheme: "postgres", Path: "/postgres", User: url.User("postgres"),
		Host: role.ConnectHost(in.opts.Listen) + ":" + strconv.Itoa(e.cfg.Port)}
	if !e.branch.Imported {
		password, err := role.ReadPassFile(in.pass)
		if err != nil {
			return "", err
		}
		u.User = url.UserPassword("postgres", password)
	}
	return u.String(), nil
}

// startRoles starts safekeepers and pageserver and waits until they answer.
func (in *installation) startRoles(ctx context.Context) error {
	var all []func() error
	for _, m := range in.members.All() {
		t, err := in.startSafekeeper(m)
		if err != nil {
			return err
		}
		all = append(all, func() error { return in.awaitAnswer(ctx, t, m.Listen) })
	}
	c := role.Pageserver{Dir: in.home.Path("pageserver-1"), Remote: in.objs.place.Config}
	c.ID, c.Listen = 1, in.layout.Pageserver
	t, err := in.keepRole("pageserver-1", "pageserver", c, c.Run, in.attachAgain)
	if err != nil {
		return err
	}
	all = append(all, func() error { return in.awaitAnswer(ctx, t, c.Listen) })
	for _, await := range all {
		if err := await(); err != nil {
			return err
		}
	}
	return nil
}

// startSafekeeper keeps a safekeeper running.
func (in *installation) startSafekeeper(m role.Member) (*task, error) {
	name := safekeeperName(m.ID)
	s, err := in.home.Settings()
	if err != nil {
		return nil, err
	}
	c := role.Safekeeper{Dir: in.home.Path(name), Remote: in.objs.place.Config}
	c.NodeID, c.Listen, c.Limits, c.Backup = m.ID, m.Listen, s.Limits, s.Backup
	return in.keepRole(name, "safekeeper", c, c.Run, nil)
}

// process is what the roles that run here share: their connections stay in
// memory.
func (in *installation) process() role.Process {
	return role.Process{Log: in.opts.Log, Loopback: &in.loopback, Spare: in.spare}
}

// keepSpare keeps a warden ready for the endpoints of this process.
func (in *installation) keepSpare() (*warden.Spare, error) {
	if in.opts.Processes {
		return nil, nil
	}
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	return warden.NewSpare(exe), nil
}

// keepRole keeps a role running: here, or as a process with its configuration
// in DIR/conf. again, if there is one, runs beside every start but the first.
func (in *installation) keepRole(name, kind string, c any, here func(context.Context, role.Process) error, again func(context.Context)) (*task, error) {
	f := func(ctx context.Context, t *task) error { return here(ctx, in.process()) }
	if in.opts.Processes {
		file, err := in.writeConf(name, c)
		if err != nil {
			return nil, err
		}
		f = func(ctx context.Context, t *task) error {
			return in.spawn.child(ctx, t, in.home.Path("log", name+".log"), []string{"run", kind, "--config", file}, nil)
		}
	}
	ctx, end := context.WithCancel(in.ctx)
	t := keep(ctx, in.opts.Log, name, besideRestarts(neverDone(f), again))
	in.mu.Lock()
	in.tasks[name], in.ends[name] = t, end
	in.mu.Unlock()
	return t, nil
}

// stopRole ends a role for good.
func (in *installation) stopRole(name string) {
	in.mu.Lock()
	t, end := in.tasks[name], in.ends[name]
	delete(in.tasks, name)
	delete(in.ends, name)
	in.mu.Unlock()
	if t != nil {
		end()
		<-t.done
	}
}

// besideRestarts makes again run while f does, except the first time.
func besideRestarts(f func(context.Context, *task) error, again func(context.Context)) func(context.Context, *task) error {
	first := true
	return func(ctx context.Context, t *task) error {
		if !first && again != nil {
			ctx, stop := context.WithCancel(ctx)
			defer stop()
			go again(ctx)
		}
		first = false
		return f(ctx, t)
	}
}

// neverDone makes it an error that a role ends which nobody asked to: somebody
// sent its process a SIGTERM, and it is needed all the same.
func neverDone(f func(context.Context, *task) error) func(context.Context, *task) error {
	return func(ctx context.Context, t *task) error {
		err := f(ctx, t)
		if err == nil && ctx.Err() == nil {
			return errors.New("it ended although nobody stopped the installation")
		}
		return err
	}
}

// awaitTasks waits until nothing runs any more.
func (in *installation) awaitTasks() {
	in.mu.Lock()
	var tasks []*task
	for _, t := range in.tasks {
		tasks = append(tasks, t)
	}
	for _, e := range in.endpoints {
		tasks = append(tasks, e.task)
	}
	in.mu.Unlock()
	for _, t := range tasks {
		<-t.done
	}
}

// awaitAnswer waits until the node at addr answers.
func (in *installation) awaitAnswer(ctx context.Context, t *task, addr string) error {
	return t.await(ctx, func() bool {
		return in.cluster().Call(ctx, addr, "GET", "/v1/status", nil, nil) == nil
	})
}

// startPatience bounds the start of an endpoint that a command asked for.
const startPatience = 5 * time.Minute
