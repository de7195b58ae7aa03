package crosscheck

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"time"

	"xenon/core"
	"xenon/core/env"
	"xenon/core/pageserver/pagechain"
	"xenon/core/redo"
)

// A Report is what is known of a mismatch, as the file [ReportFile] of a
// directory of its own. Beside it lie the pages, 8,192 bytes each, and the
// records.
type Report struct {
	Format int       `json:"format"` // ReportFormat
	Time   time.Time `json:"time"`
	Branch string    `json:"branch"`

	Tenant   core.TenantID     `json:"tenant"`
	Timeline core.TimelineID   `json:"timeline"`
	Rel      pagechain.RelName `json:"rel"`
	Block    uint32            `json:"block"`
	// LSN is that of the page, the end of the last record that changed it. The
	// WAL was committed up to CommitLSN when the page was written; StartLSN is
	// where the server had started.
	LSN       core.LSN `json:"lsn"`
	CommitLSN core.LSN `json:"commit_lsn"`
	StartLSN  core.LSN `json:"start_lsn"`

	Difference string `json:"difference"`
}

// ReportFormat is the version of what is stored.
const ReportFormat = 0

// The files of a report. Where the pageserver made no page or did not say of
// what, there is none.
const (
	ReportFile  = "report.json"
	WrittenFile = "written.page" // by the server
	RebuiltFile = "redo.page"
	ChainFile   = "chain.json" // a [pagechain.Chain]
)

const (
	// maxReports bounds the reports of an endpoint: the first ones tell most.
	maxReports = 32
	// maxChain bounds the records in one report, in bytes.
	maxChain = 1 << 20
)

func (s *Sampler) reportOf(m *Mismatch) *Report {
	return &Report{
		Format: ReportFormat, Time: s.c.env.Clock().Now().UTC(), Branch: s.life.Branch,
		Tenant: s.life.TTID.Tenant, Timeline: s.life.TTID.Timeline,
		Rel: pagechain.RelName(m.Rel), Block: m.Block, LSN: m.LSN, CommitLSN: m.Commit, StartLSN: m.Boot, Difference: m.Diff,
	}
}

// name is the directory of a report: one for each version of a page.
func (r *Report) name() string {
	return fmt.Sprintf("%016X-%d-%d-%d-%d", uint64(r.LSN), r.Rel.Spc, r.Rel.DB, r.Rel.Node, r.Block)
}

// store puts a report to the others, unless it is among them or there are
// enough. report.json comes last: a directory without it is of a crash.
func (c *Checker) store(r *Report, m *Mismatch) (stored bool, err error) {
	disk := c.env.FS()
	if err := mkdir(disk, c.cfg.Dir); err != nil {
		return false, err
	}
	have, err := disk.ReadDir(c.cfg.Dir)
	if err != nil || len(have) >= maxReports {
		return false, err
	}
	dir := path.Join(c.cfg.Dir, r.name())
	if err := disk.Mkdir(dir); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return true, nil
		}
		return false, err
	}
	files := []struct {
		name string
		page *redo.Page
	}{{WrittenFile, m.Written}, {RebuiltFile, m.Rebuilt}}
	for _, f := range files {
		if f.page != nil {
			if err := write(disk, path.Join(dir, f.name), f.page[:]); err != nil {
				return false, err
			}
		}
	}
	if m.Chain != nil {
		if err := m.Chain.Fold(maxChain); err != nil && !errors.Is(err, pagechain.ErrNoReplay) {
			return false, err
		}
		if err := writeJSON(disk, path.Join(dir, ChainFile), m.Chain); err != nil {
			return false, err
		}
	}
	if err := writeJSON(disk, path.Join(dir, ReportFile), r); err != nil {
		return false, err
	}
	return true, errors.Join(disk.SyncDir(dir), disk.SyncDir(c.cfg.Dir))
}

func mkdir(disk env.FS, dir string) error {
	if err := disk.Mkdir(dir); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}

func writeJSON(disk env.FS, name string, v any) error {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return write(disk, name, append(b, '\n'))
}

func write(disk env.FS, name string, b []byte) error {
	f, err := disk.Open(name, env.Write|env.Create|env.Trunc)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(b, 0)
	if err == nil {
		err = f.Sync(env.SyncFull)
	}
	return errors.Join(err, f.Close())
}

// ParseReport reads a report.
func ParseReport(b []byte) (*Report, error) {
	r := &Report{Format: -1}
	if err := json.Unmarshal(b, r); err != nil {
		return nil, fmt.Errorf("report of a mismatch: %w: %w", env.ErrCorrupt, err)
	}
	if r.Format != ReportFormat {
		return nil, fmt.Errorf("report of a mismatch has format %d, this xenon reads format %d: use the xenon that wrote it", r.Format, ReportFormat)
	}
	return r, nil
}
