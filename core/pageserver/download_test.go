package pageserver_test

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strings"
	"testing"
	"time"

	"xenon/core"
	"xenon/core/env"
	"xenon/core/layer"
	"xenon/core/pageserver"
	"xenon/core/wire/http1"
)

// damagedDownload has layers opened from the object store, since their files are
// gone, and brought to the disk by reads; then no sector of those files can be
// read any more. Pages are to be right all the same.
func damagedDownload(t *testing.T) error {
	s, sc, disk, ps := withSmall(t)
	var files env.FS
	start := func() {
		ps.Start(func(ctx context.Context, e env.Env) error {
			files = e.FS()
			return pageserver.Run(ctx, e, pageserver.Config{ID: 7, Listen: smallAddr, WaitLSNSeconds: 600, CheckpointDistance: 4000, CacheBytes: 1})
		})
	}
	start()
	for i := range s.sks {
		s.startSK(i)
	}
	return s.test.Do(time.Hour, func(ctx context.Context, e env.Env) error {
		k := &safekeeperAt{env: e, addr: skAddr(0)}
		if err := errors.Join(k.create(ctx, s.im, 1), k.elect(ctx, members(1), testServer, 1), k.push(sc, sc.begin, sc.last()), attach(ctx, e, smallAddr)); err != nil {
			return err
		}
		if err := errors.Join(sc.check(ctx, e, smallAddr, sc.last()), http1.Call(ctx, e, smallAddr, "PUT", routeOf(testTimeline)+"/checkpoint?wait_upload=true", nil, nil)); err != nil {
			return err
		}
		stored := layersOn(files)
		ps.Kill()
		for _, name := range stored {
			if err := disk.FS(nil).Remove(name); err != nil {
				return err
			}
		}
		start()
		if err := sc.check(ctx, e, smallAddr, sc.last()); err != nil {
			return err
		}
		fetched := layersOn(files)
		if len(fetched) == 0 {
			return errors.New("reads bring no layer to the disk")
		}
		for _, name := range fetched {
			for off := int64(0); disk.BadSector(name, off) == nil; off += 512 {
			}
		}
		for i := 0; i < len(sc.lsns); i += 20 {
			if err := sc.check(ctx, e, smallAddr, sc.lsns[i]); err != nil {
				return fmt.Errorf("with %d damaged files: %w", len(fetched), err)
			}
		}
		if disk.Harm().BadReads == 0 {
			return errors.New("no damaged sector was read")
		}
		return nil
	})
}

// layersOn names the files of delta layers on a disk.
func layersOn(files env.FS) (names []string) {
	dir := strings.TrimSuffix(layer.TimelinePrefix(testTimeline, core.Unsharded), "/")
	entries, _ := files.ReadDir(dir)
	for _, x := range entries {
		if _, err := layer.ParseExtent(x.Name); err == nil {
			names = append(names, path.Join(dir, x.Name))
		}
	}
	return names
}

func TestDamagedDownload(t *testing.T) {
	if err := damagedDownload(t); err != nil {
		t.Fatal(err)
	}
}
