package up

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"xenon/cmd/xenon/internal/branch"
	"xenon/cmd/xenon/internal/cluster"
	"xenon/compute"
	"xenon/core"
	"xenon/core/env"
	"xenon/core/pageserver"
	"xenon/core/wal"
	"xenon/realio"
)

// ensureMain makes branch main of a fresh cluster if there is none.
func (in *installation) ensureMain(ctx context.Context) error {
	_, err := branch.Load(ctx, in.env, branch.Main)
	if !errors.Is(err, branch.ErrMissing) {
		return err
	}
	dir, err := in.template(ctx)
	if err != nil {
		return err
	}
	in.opts.Say("importing it as branch %s", branch.Main)
	_, err = in.importDir(ctx, importRequest{Dir: dir, Name: branch.Main, PgBin: in.dist.Dir}, false)
	return err
}

// template is a fresh cluster, made once. PostgreSQL's user may not be able to
// reach DIR, so it is made elsewhere and moved there.
func (in *installation) template(ctx context.Context) (string, error) {
	dir := in.home.Path("template", strconv.Itoa(in.dist.Major)+"-"+fileName(in.opts.Locale))
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	in.opts.Say("making a cluster with initdb")
	tmp, err := os.MkdirTemp("/var/tmp", "xenon-initdb-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(tmp)
	if err := os.Chmod(tmp, 0o711); err != nil {
		return "", err
	}
	made := filepath.Join(tmp, "data")
	if err := in.dist.InitDB(ctx, in.user, made, in.opts.Locale); err != nil {
		return "", err
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o700); err != nil {
		return "", err
	}
	// A copy under another name first: a crash leaves no half of a template.
	half := dir + ".new"
	if err := os.RemoveAll(half); err != nil {
		return "", err
	}
	if err := os.CopyFS(half, os.DirFS(made)); err != nil {
		return "", fmt.Errorf("keep the fresh cluster: %w", err)
	}
	if err := syncFS(half); err != nil {
		return "", fmt.Errorf("keep the fresh cluster: %w", err)
	}
	return dir, os.Rename(half, dir)
}

// syncFS makes the file system durable that dir is on: one call for the
// thousand files of a cluster.
func syncFS(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return unix.Syncfs(int(d.Fd()))
}

var notInNames = regexp.MustCompile(`[^A-Za-z0-9._-]`)

func fileName(s string) string { return notInNames.ReplaceAllString(s, "_") }

// importDir makes a branch of a cluster that was shut down cleanly. Whatever
// is wrong with it is said before anything is written; the name is entered
// last, so a crash leaves an orphan and no half of a branch.
func (in *installation) importDir(ctx context.Context, r importRequest, foreignCluster bool) (*importResult, error) {
	dir, name := r.Dir, r.Name
	if err := branch.CheckName(name); err != nil {
		return nil, err
	}
	release, err := in.branches.hold(ctx, name)
	if err != nil {
		return nil, err
	}
	defer release()
	entry, err := in.branches.free(ctx, name)
	if err != nil {
		return nil, err
	}
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return nil, fmt.Errorf("%s is not a data directory: give the directory that holds PG_VERSION", dir)
	}
	b := branch.Branch{Name: name, Imported: foreignCluster}
	if b.Tenant, err = core.NewTenantID(in.env.Entropy()); err != nil {
		return nil, err
	}
	if b.Timeline, err = core.NewTimelineID(in.env.Entropy()); err != nil {
		return nil, err
	}
	b.OwnRegisters()
	src := realio.New(realio.Options{Root: dir, Log: in.opts.Log})
	defer src.Close()
	if foreignCluster {
		// First whether it is a cluster of ours to read: the catalogs of other
		// versions look different.
		if err := pageserver.CheckImport(src.FS()); err != nil {
			return nil, fmt.Errorf("import %s: %w", dir, err)
		}
	}
	ctl, err := readControl(src.FS())
	if err != nil {
		return nil, err
	}
	if foreignCluster {
		if err := checkLocales(dir, ctl.Version().Major); err != nil {
			return nil, err
		}
	}
	dist, err := in.distForImport(ctl.Version().Major, r.PgBin)
	if err != nil {
		return nil, fmt.Errorf("import %s: %w", dir, err)
	}
	b.PGVersion, b.Settings = pgVersionNum(dist.Version), controlSettings(ctl)
	c, cancel := cluster.Foreign(ctx)
	defer cancel(nil)
	made, err := pageserver.Import(c, in.env, src.FS(), b.TTID())
	if err != nil {
		return nil, fmt.Errorf("import %s: %w", dir, err)
	}
	b.SystemID, b.SegmentSize, b.Start = made.Index.SystemID, made.Index.SegmentSize, made.Index.LSN
	missing, err := in.cluster().CreateWAL(ctx, b, made.WAL)
	if err == nil && len(missing) > 0 {
		// The WAL that it begins with is here only now.
		err = fmt.Errorf("import %s: it needs all safekeepers, and %v do not answer", dir, missing)
	}
	if err != nil {
		return nil, err
	}
	if err := in.cluster().Attach(ctx, b); err != nil {
		return nil, err
	}
	if foreignCluster {
		if err := in.keepSettings(ctx, dir, b); err != nil {
			return nil, err
		}
	}
	b.Created = time.Now().UTC()
	if _, err := entry.Set(ctx, in.env, b); err != nil {
		return nil, taken(err, name)
	}
	return &importResult{Branch: b, Pages: made.Pages, Checksums: made.Checksums, Unlogged: made.Unlogged}, nil
}

// keepSettings takes over what the cluster's users set by ALTER SYSTEM.
func (in *installation) keepSettings(ctx context.Context, dir string, to branch.Branch) error {
	const auto = "postgresql.auto.conf"
	b, err := os.ReadFile(filepath.Join(dir, auto))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return compute.KeepFile(ctx, in.env, to.RegisterName(), auto, b)
}

// readControl reads the control file of a data directory.
func readControl(f env.FS) (*wal.Control, error) {
	file, err := f.Open("global/pg_control", 0)
	if err != nil {
		return nil, fmt.Errorf("not a data directory: %w", err)
	}
	defer file.Close()
	page := make([]byte, core.PageSize)
	if n, err := file.ReadAt(page, 0); n < len(page) {
		return nil, fmt.Errorf("global/pg_control has %d bytes, want %d: %w", n, len(page), err)
	}
	return wal.DecodeControl(page)
}

// controlSettings are the parameters that pg_control remembers because a
// server must not have less of them than its WAL was written with.
func controlSettings(ctl *wal.Control) map[string]string {
	s := ctl.Settings
	return map[string]string{
		"max_connections":           strconv.Itoa(int(s.MaxConnections)),
		"max_worker_processes":      strconv.Itoa(int(s.MaxWorkerProcesses)),
		"max_wal_senders":           strconv.Itoa(int(s.MaxWALSenders)),
		"max_prepared_transactions": strconv.Itoa(int(s.MaxPreparedXacts)),
		"max_locks_per_transaction": strconv.Itoa(int(s.MaxLocksPerXact)),
	}
}

// pgVersionNum is PG_VERSION_NUM of a version such as 15.18.
func pgVersionNum(version string) uint32 {
	var major, minor uint32
	fmt.Sscanf(version, "%d.%d", &major, &minor)
	return major*10000 + minor
}

// An importRequest is the body of POST /import.
type importRequest struct {
	Dir  string `json:"dir"`
	Name string `json:"name"`
	// PgBin is the directory of the binaries of the cluster's major version; ""
	// to look for them.
	PgBin string `json:"pg_bin"`
}

// An importResult tells people what an import did.
type importResult struct {
	branch.Branch
	Pages     uint64 `json:"pages"`
	Checksums bool   `json:"checksums"`
	Unlogged  int    `json:"unlogged"`
}
