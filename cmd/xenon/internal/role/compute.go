package role

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"xenon/cmd/xenon/internal/branch"
	"xenon/cmd/xenon/internal/pgdist"
	"xenon/cmd/xenon/internal/remote"
	"xenon/compute"
	"xenon/compute/crosscheck"
	"xenon/consensus"
	"xenon/consensus/membership"
	"xenon/core"
	"xenon/core/pageserver/bootset"
	"xenon/core/wire"
	"xenon/core/xsync"
	"xenon/realio"
	"xenon/realio/host"
)

// A Member is a safekeeper and where it listens.
type Member struct {
	ID     core.NodeID `toml:"id"`
	Listen string      `toml:"listen"`
}

// Compute is the configuration of a compute: one endpoint on one branch.
type Compute struct {
	Name   string `toml:"name" comment:"of the endpoint"`
	Branch string `toml:"branch"`
	// Owner names this compute in the branch's endpoint register. It is the
	// same at every start, so that a restart needs no take-over.
	Owner    string `toml:"owner" comment:"names this compute in the endpoint's register"`
	Takeover bool   `toml:"takeover" comment:"fence whoever runs the branch"`
	// LookBack makes it a read-only compute, which takes nothing over.
	LookBack core.LSN `toml:"look_back" comment:"show the branch as of this LSN, read-only; 0/0 to run it"`

	Dir    string `toml:"dir" comment:"scratch files and the server's log"`
	RunDir string `toml:"run_dir" comment:"mount points and sockets; short, and the server's user can reach it"`

	PgBin string `toml:"pg_bin" comment:"directory of PostgreSQL's binaries; none: those found of the branch's version"`
	// PgVersion spares a start the question to the binaries.
	PgVersion string `toml:"pg_version" comment:"of the binaries in pg_bin, such as 15.18; none: they are asked"`
	User      string `toml:"user" comment:"who the server runs as, if we are root"`
	Listen    string `toml:"listen" comment:"addresses the server listens on, as listen_addresses"`
	Port      int    `toml:"port"`
	// PassFile holds the password of the superuser of a branch that was not
	// imported, in the format of .pgpass.
	PassFile string `toml:"pass_file"`

	// CrossCheck is how many percent of the pages that the server writes are
	// compared with what redo makes of its WAL.
	CrossCheck float64 `toml:"cross_check" comment:"percent of the written pages that are compared with redo; 0 for none"`

	// Reads and ReadGate are what reads promise while another compute takes over.
	Reads    string `toml:"reads" comment:"available, or linearizable: answers under a lease of the safekeepers only"`
	ReadGate bool   `toml:"read_gate" comment:"with linearizable reads, hold answers back that would leave after the lease"`

	Safekeepers []Member          `toml:"safekeepers"`
	Pageserver  string            `toml:"pageserver" comment:"host:port"`
	Remote      remote.Config     `toml:"remote_storage"`
	Settings    map[string]string `toml:"settings" comment:"configuration parameters on the server's command line"`
}

// DefaultCrossCheck is the percentage where nobody says otherwise.
const DefaultCrossCheck = 100 * crosscheck.DefaultRate

// reports is the directory of a compute for pages that redo makes differently.
const reports = "crosscheck"

func (c Compute) check() error {
	var missing []string
	for _, f := range []struct {
		key string
		ok  bool
	}{
		{"branch", c.Branch != ""}, {"owner", c.Owner != ""}, {"run_dir", c.RunDir != ""},
		{"cross_check from 0 to 100", c.CrossCheck >= 0 && c.CrossCheck <= 100},
		{"port", c.Port > 0 && c.Port < 1<<16}, {"safekeepers", len(c.Safekeepers) > 0}, {"pageserver", c.Pageserver != ""},
	} {
		if !f.ok {
			missing = append(missing, f.key)
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("compute: no %s in the configuration", strings.Join(missing, ", "))
	}
	if _, err := compute.ParseReads(c.Reads); err != nil {
		return fmt.Errorf("compute: %w", err)
	}
	return nil
}

// A Node is a compute that runs.
type Node struct {
	cfg      Compute
	branch   branch.Branch
	env      *realio.Env
	host     *host.Host
	endpoint *compute.Endpoint
}

// Run is a compute until it is stopped, superseded, or ctx ends. started is
// called once with what to ask and to stop.
func (c Compute) Run(ctx context.Context, p Process, started func(*Node)) error {
	if err := c.check(); err != nil {
		return err
	}
	return p.run(ctx, c.Name, c.Dir, &c.Remote, func(ctx context.Context, e *realio.Env) error {
		n, serverLog, err := c.open(ctx, e, p)
		if err != nil {
			return err
		}
		defer serverLog.Close()
		defer n.host.Close()
		if started != nil {
			started(n)
		}
		return n.endpoint.Run(ctx)
	})
}

// open prepares the endpoint.
func (c Compute) open(ctx context.Context, e *realio.Env, p Process) (*Node, *os.File, error) {
	user, err := pgdist.RunAs(c.User)
	if err != nil {
		return nil, nil, err
	}
	b, err := branch.Load(ctx, e, c.Branch)
	if err != nil {
		return nil, nil, err
	}
	dist, err := c.dist(b)
	if err != nil {
		return nil, nil, err
	}
	members, err := c.members(ctx, e, b)
	if err != nil {
		return nil, nil, err
	}
	postgres, err := dist.Path("postgres")
	if err != nil {
		return nil, nil, err
	}
	exe, err := os.Executable()
	if err != nil {
		return nil, nil, err
	}
	name, err := filepath.Abs(filepath.Join(c.Dir, "postgres.log"))
	if err != nil {
		return nil, nil, err
	}
	log, err := os.OpenFile(name, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, nil, err
	}
	h, err := host.New(e, host.Options{
		ID: MountID(c.RunDir), Dir: c.RunDir, Exe: exe, Spare: p.Spare,
		Postgres: postgres, Env: pgdist.Environ(user), UID: user.UID, GID: user.GID, Switch: user.Switch,
		Listen: c.Listen, Port: c.Port, Gate: c.ReadGate, Log: log,
		Override: "start with xenon up -c NAME=VALUE, which wins over it, and then ALTER SYSTEM RESET NAME",
	})
	if err != nil {
		log.Close()
		return nil, nil, err
	}
	n := &Node{cfg: c, branch: b, env: e, host: h}
	config := n.config(members)
	if config.Reads == compute.Available {
		h.Prewarm(config.CommandLine(b.Major()))
	}
	n.endpoint = compute.New(e, h, config)
	return n, log, nil
}

// dist is the binaries that the configuration names, else those found of the
// major version that the branch is of.
func (c Compute) dist(b branch.Branch) (pgdist.Dist, error) {
	if c.PgBin == "" {
		return pgdist.ForMajor(b.Major())
	}
	d, err := c.named()
	if err == nil && d.Major != b.Major() {
		err = fmt.Errorf("branch %s is of PostgreSQL %d, and %s has PostgreSQL %s: name the binaries of %d with pg_bin", b.Name, b.Major(), d.Dir, d.Version, b.Major())
	}
	return d, err
}

// named is the binaries in PgBin.
func (c Compute) named() (pgdist.Dist, error) {
	if c.PgVersion != "" {
		return pgdist.Known(c.PgBin, c.PgVersion)
	}
	return pgdist.Find(c.PgBin)
}

// MountID names the mounts of the compute with this run directory. It ends
// with a slash, so that no name is the beginning of another.
func MountID(runDir string) string {
	return filepath.Base(filepath.Dir(runDir)) + "/" + filepath.Base(runDir) + "/"
}

// members are those that are entered for the branch's timeline, where the
// configuration says that they listen if it knows them, or those of the
// configuration if nothing is entered.
func (c Compute) members(ctx context.Context, e *realio.Env, b branch.Branch) (consensus.Configuration, error) {
	own, err := Configuration(c.Safekeepers)
	if err != nil {
		return own, err
	}
	found, err := membership.Find(ctx, e, b.TTID())
	if errors.Is(err, membership.ErrUnknown) {
		return own, nil
	}
	for _, set := range [][]consensus.Member{found.Config.Members, found.Config.NewMembers} {
		for i := range set {
			if at := slices.IndexFunc(own.Members, func(m consensus.Member) bool { return m.ID == set[i].ID }); at >= 0 {
				set[i] = own.Members[at]
			}
		}
	}
	return found.Config, err
}

// Configuration is the members that a timeline is created with, of
// generation 1.
func Configuration(safekeepers []Member) (consensus.Configuration, error) {
	c := consensus.Configuration{Generation: 1}
	for _, m := range safekeepers {
		name, text, err := net.SplitHostPort(m.Listen)
		if err != nil {
			return c, fmt.Errorf("safekeeper %d: %w", m.ID, err)
		}
		port, err := strconv.ParseUint(text, 10, 16)
		if err != nil {
			return c, fmt.Errorf("safekeeper %d: port %q: %w", m.ID, text, err)
		}
		c.Members = append(c.Members, consensus.Member{ID: m.ID, Host: name, Port: uint16(port)})
	}
	return c, c.Check()
}

func (n *Node) config(members consensus.Configuration) compute.Config {
	c, b := n.cfg, n.branch
	var settings []compute.Setting
	for _, k := range slices.Sorted(maps.Keys(c.Settings)) {
		settings = append(settings, compute.Setting{Name: k, Value: c.Settings[k]})
	}
	return compute.Config{
		Branch: c.Branch, Registers: b.RegisterName(), TTID: b.TTID(),
		Owner: c.Owner, Takeover: c.Takeover, Static: c.LookBack, Pageserver: c.Pageserver,
		Quorum:   c.quorum(b, members),
		Reads:    compute.Reads(cmp.Or(c.Reads, string(compute.Available))),
		Settings: settings, Files: files(b), Scratch: "scratch", Prepare: n.prepare,
		CrossCheck: crosscheck.Config{Rate: c.CrossCheck / 100, Dir: reports},
	}
}

// sharedBuffers is what initdb chooses. A page that the server does not hold
// costs a round trip, but a server sets up the headers of all its buffers
// before it starts, with memory touched for the first time: that of 512 MB took
// as long as the rest of a start. Whoever has more to keep says so with ALTER
// SYSTEM, which is kept for the branch.
const sharedBuffers = "128MB"

// files are the settings files that a branch begins with; what its users
// change is kept for it.
func files(b branch.Branch) []bootset.File {
	conf := "# Written by xenon at every start. Change settings with ALTER SYSTEM:\n# postgresql.auto.conf is kept for the branch.\n" +
		"password_encryption = 'scram-sha-256'\n" +
		"shared_buffers = '" + sharedBuffers + "'\n" +
		"timezone = 'UTC'\nlog_timezone = 'UTC'\n"
	for _, k := range slices.Sorted(maps.Keys(b.Settings)) {
		conf += fmt.Sprintf("%s = %s\n", k, b.Settings[k])
	}
	// Whoever can enter the directory of the socket is trusted.
	hba := "local all all trust\nlocal replication all trust\n" +
		"host all all 0.0.0.0/0 scram-sha-256\nhost all all ::/0 scram-sha-256\n" +
		"host replication all 0.0.0.0/0 scram-sha-256\nhost replication all ::/0 scram-sha-256\n"
	return []bootset.File{
		{Path: "postgresql.conf", Content: []byte(conf)},
		{Path: "pg_hba.conf", Content: []byte(hba)},
		{Path: "postgresql.auto.conf"},
	}
}

// prepare gives the superuser his password, the first time that a server of
// the branch runs.
func (n *Node) prepare(ctx context.Context, s compute.Server) error {
	if n.branch.Imported || n.cfg.PassFile == "" || n.cfg.LookBack != 0 {
		return nil
	}
	password, err := ReadPassFile(n.cfg.PassFile)
	if err != nil {
		return err
	}
	c, err := s.(*host.Server).Connect(ctx, "postgres")
	if err != nil {
		return err
	}
	defer c.Close()
	// Without a quorum the answer may never come.
	defer wire.CloseOn(ctx, c)()
	r, err := c.Query("SELECT rolpassword IS NULL FROM pg_authid WHERE rolname = 'postgres'")
	if err != nil || len(r.Rows) != 1 || string(r.Rows[0][0]) != "t" {
		return err
	}
	_, err = c.Query("ALTER ROLE postgres PASSWORD '" + strings.ReplaceAll(password, "'", "''") + "'")
	return err
}

// ReadPassFile is the password in the last line of a file in the format of
// .pgpass, host:port:database:user:password.
func ReadPassFile(name string) (string, error) {
	b, err := os.ReadFile(name)
	if err != nil {
		return "", err
	}
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	f := strings.SplitN(lines[len(lines)-1], ":", 5)
	if len(f) != 5 || f[4] == "" {
		return "", fmt.Errorf("%s: want lines host:port:database:user:password", name)
	}
	return f[4], nil
}

// Stop asks for a fast shutdown; a second call ends the server at once.
func (n *Node) Stop() { n.endpoint.Stop() }

// AwaitReady returns once clients can connect, or with the reason why none
// ever will.
func (n *Node) AwaitReady(ctx context.Context) error {
	wctx, cancel := xsync.WithCancel(context.Background())
	defer cancel(nil)
	stop := context.AfterFunc(ctx, func() { cancel(context.Cause(ctx)) })
	defer stop()
	return n.endpoint.AwaitReady(wctx)
}

// Superseded tells whether an error of Run says that somebody else runs the
// branch now, or did already when it started.
func Superseded(err error) bool {
	return errors.Is(err, compute.ErrSuperseded) || errors.Is(err, compute.ErrNotOwner)
}
