package envtest

import (
	"bytes"
	"strings"

	"xenon/core/env"
)

// sector is the least that a crash takes or leaves.
const sector = 512

// fsCrashCases are the promises about what a crash leaves. Where the world
// cannot lose anything they hold trivially.
func fsCrashCases(lives func(...func(env.FS)) []Life) []Case {
	return []Case{
		{Name: "a synced file survives", Lives: lives(func(f env.FS) {
			putDurably(f, "a", "text")
			ok(f.Mkdir("d"))
			ok(f.SyncDir("."))
			putDurably(f, "d/b", "below")
		}, func(f env.FS) {
			want(text(f, "a"), "text", "a synced file")
			want(text(f, "d/b"), "below", "a synced file in a synced directory")
		})},

		{Name: "writes after a sync are there, gone or torn by sectors", Lives: lives(func(f env.FS) {
			h := file(f, "a")
			got(h.WriteAt(bytes.Repeat([]byte("o"), 8*sector), 0))
			ok(h.Sync(env.SyncData))
			ok(f.SyncDir("."))
			got(h.WriteAt(bytes.Repeat([]byte("n"), 8*sector), 4*sector))
		}, func(f env.FS) {
			t := text(f, "a")
			want(len(t) >= 8*sector && len(t) <= 12*sector, true, "size is an old or a new one")
			for i := 0; i < len(t); i += sector {
				s := t[i:min(i+sector, len(t))]
				old, grown := i < 8*sector, i >= 8*sector
				switch {
				case s == strings.Repeat("n", len(s)) && i >= 4*sector:
				case old && s == strings.Repeat("o", sector):
				case grown && s == strings.Repeat("\x00", len(s)):
				default:
					failf("sector at %d holds neither what was there nor what was written", i)
				}
			}
		})},

		{Name: "a second sync keeps what the first kept", Lives: lives(func(f env.FS) {
			h := file(f, "a")
			ok(f.SyncDir("."))
			for i := range 16 {
				got(h.WriteAt(bytes.Repeat([]byte{byte('a' + i)}, 100), int64(i)*100))
				ok(h.Sync(env.SyncData))
			}
			ok(h.Truncate(800))
			ok(h.Sync(env.SyncFull))
		}, func(f env.FS) {
			t := text(f, "a")
			want(len(t), 800, "size after a synced truncation")
			for i := range 8 {
				want(t[i*100:i*100+100], strings.Repeat(string(rune('a'+i)), 100), "a synced write")
			}
		})},

		{Name: "a file replaced by rename is the old or the new one", Lives: lives(func(f env.FS) {
			putDurably(f, "a", "old")
			h := file(f, "a.tmp")
			got(h.WriteAt([]byte("new text"), 0))
			ok(h.Sync(env.SyncData))
			ok(f.Rename("a.tmp", "a"))
		}, func(f env.FS) {
			if t := text(f, "a"); t != "old" && t != "new text" {
				failf("a holds %q, neither the old nor the new text", t)
			}
			putDurably(f, "a", "newest") // whatever was left of a.tmp
		}, func(f env.FS) {
			want(text(f, "a"), "newest", "after the next replacement")
		})},

		{Name: "a synced rename is done", Lives: lives(func(f env.FS) {
			ok(f.Mkdir("d"))
			ok(f.SyncDir("."))
			putDurably(f, "a", "text")
			ok(f.Rename("a", "d/b"))
			ok(f.SyncDir("d"))
			ok(f.SyncDir("."))
		}, func(f env.FS) {
			want(text(f, "d/b"), "text", "a renamed file")
			want(exists(f, "a"), false, "its old name exists")
		})},

		{Name: "a file between two directories is in one of them", Lives: lives(func(f env.FS) {
			ok(f.Mkdir("d"))
			ok(f.SyncDir("."))
			putDurably(f, "a", "text")
			ok(f.Rename("a", "d/b"))
			ok(f.SyncDir(".")) // of the old name alone
		}, func(f env.FS) {
			if exists(f, "d/b") {
				want(text(f, "d/b"), "text", "under the new name")
			} else {
				want(text(f, "a"), "text", "under the old name")
			}
		})},

		{Name: "a synced removal is done", Lives: lives(func(f env.FS) {
			putDurably(f, "a", "text")
			ok(f.Mkdir("d"))
			ok(f.SyncDir("."))
			ok(f.Remove("a"))
			ok(f.Remove("d"))
			ok(f.SyncDir("."))
		}, func(f env.FS) {
			want(exists(f, "a"), false, "a removed file exists")
			want(exists(f, "d"), false, "a removed directory exists")
		})},

		{Name: "allocated space survives", Lives: lives(func(f env.FS) {
			h := file(f, "a")
			ok(h.Allocate(0, 64<<10))
			ok(h.Sync(env.SyncFull))
			ok(f.SyncDir("."))
			got(h.WriteAt([]byte("text"), 4096))
			ok(h.Sync(env.SyncData))
		}, func(f env.FS) {
			t := text(f, "a")
			want(len(t), 64<<10, "size")
			want(t[4096:4100], "text", "a synced write into allocated space")
		})},
	}
}
