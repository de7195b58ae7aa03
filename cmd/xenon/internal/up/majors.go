package up

import (
	"fmt"
	"strconv"

	"xenon/cmd/xenon/internal/conf"
	"xenon/cmd/xenon/internal/home"
	"xenon/cmd/xenon/internal/pgdist"
)

// binaries are the directories that were given with --pg-bin, by major version
// as in "15". They are part of the layout, so that the next start needs no flag.
type binaries struct {
	Bin map[string]string `toml:"bin" comment:"directories of binaries by major version; others are looked for where they usually are"`
}

// remember keeps where a major version is.
func (b *binaries) remember(d pgdist.Dist) {
	if b.Bin == nil {
		b.Bin = map[string]string{}
	}
	b.Bin[strconv.Itoa(d.Major)] = d.Dir
}

// dir is where a major version was, "" if nobody said.
func (b binaries) dir(major int) string { return b.Bin[strconv.Itoa(major)] }

// chooseDist is the PostgreSQL of branch main: the one that was asked for, else
// the major version that the installation was made with, else any for a new
// one.
func chooseDist(o Options) (pgdist.Dist, error) {
	if len(o.PgBin) > 0 {
		return pgdist.Find(o.PgBin[0])
	}
	major := home.Major(o.Dir)
	if major == 0 {
		return pgdist.Find("")
	}
	var known layout
	// Whatever is wrong with the file is said when it is needed.
	_ = conf.Load(layoutPath(o.Dir), nil, &known)
	return pgdist.ForMajor(major, known.Postgres.dir(major))
}

// rememberBinaries keeps what was given with --pg-bin.
func (in *installation) rememberBinaries() error {
	for i, dir := range in.opts.PgBin {
		d, err := pgdist.Find(dir)
		if err != nil {
			return err
		}
		if i > 0 && d.Major == in.dist.Major {
			return fmt.Errorf("--pg-bin names PostgreSQL %d twice, %s and %s: name each major version once", d.Major, in.dist.Dir, d.Dir)
		}
		in.layout.Postgres.remember(d)
	}
	return nil
}

// distFor is the binaries of a major version, which its data needs.
func (in *installation) distFor(major int) (pgdist.Dist, error) {
	if major == in.dist.Major {
		return in.dist, nil
	}
	in.mu.Lock()
	dir := in.layout.Postgres.dir(major)
	in.mu.Unlock()
	return pgdist.ForMajor(major, dir)
}

// distForImport is distFor for a cluster that is about to be imported, whose
// binaries may be given.
func (in *installation) distForImport(major int, dir string) (pgdist.Dist, error) {
	if dir == "" {
		return in.distFor(major)
	}
	d, err := pgdist.Find(dir)
	if err != nil {
		return pgdist.Dist{}, err
	}
	if d.Major != major {
		return pgdist.Dist{}, fmt.Errorf("the cluster is of PostgreSQL %d, and %s has PostgreSQL %s: name the binaries of %d with --pg-bin", major, d.Dir, d.Version, major)
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	in.layout.Postgres.remember(d)
	return d, in.layout.save(in.home)
}
