package up

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"xenon/cmd/xenon/internal/branch"
	"xenon/cmd/xenon/internal/ctl"
	"xenon/cmd/xenon/internal/moment"
	"xenon/compute"
	"xenon/compute/filetree"
	"xenon/core/pageserver/bootset"
)

// An exportRequest is the body of POST /export.
type exportRequest struct {
	Branch string        `json:"branch"`
	At     moment.Moment `json:"at"`
}

// describeExport tells what is to be exported. The directory is written by
// whoever asked: it is his, and he sees how far it is.
func (in *installation) describeExport(ctx context.Context, r exportRequest) (*ctl.Export, error) {
	b, err := in.branches.load(ctx, r.Branch)
	if err != nil {
		return nil, err
	}
	lsn, err := in.branches.resolve(ctx, b, r.At)
	if err != nil {
		return nil, err
	}
	x := &ctl.Export{Branch: b.Name, Tenant: b.Tenant, Timeline: b.Timeline, LSN: startAt(b, lsn), Pageserver: in.layout.Pageserver}
	x.Conf, err = in.exportConf(ctx, b)
	return x, err
}

// exportConf are the settings files of an exported directory: those of the
// branch as they are now, whatever the moment.
func (in *installation) exportConf(ctx context.Context, b branch.Branch) ([]bootset.File, error) {
	conf := "# Exported by xenon from branch " + b.Name + ".\n" +
		"password_encryption = 'scram-sha-256'\ntimezone = 'UTC'\nlog_timezone = 'UTC'\n"
	for _, k := range slices.Sorted(maps.Keys(b.Settings)) {
		conf += fmt.Sprintf("%s = %s\n", k, b.Settings[k])
	}
	// The socket of a server of ours is in a directory of its own; that of any
	// other is not, so whoever comes that way has to be whom he says he is.
	hba := "local all all peer\nlocal replication all peer\n" +
		"host all all 127.0.0.1/32 scram-sha-256\nhost all all ::1/128 scram-sha-256\n"
	files := []bootset.File{{Path: "postgresql.conf", Content: []byte(conf)}, {Path: "pg_hba.conf", Content: []byte(hba)}}
	for _, name := range filetree.KeptFiles {
		content, there, err := compute.KeptFile(ctx, in.env, b.RegisterName(), name)
		if err != nil {
			return nil, err
		}
		if there {
			files = append(files, bootset.File{Path: name, Content: content})
		}
	}
	return files, nil
}
