package pageserver

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"xenon/diskdrv"
)

// foundAndLost has a process die between making directories and their sync. The
// next one finds them, and is to have them durable all the same.
func foundAndLost(seed uint64) error {
	disk := diskdrv.NewDisk(diskdrv.DiskOptions{Rand: rand.New(rand.NewPCG(seed, 1))})
	files := disk.FS(nil)
	for _, dir := range []string{"a", "a/b"} {
		if err := files.Mkdir(dir); err != nil {
			return err
		}
	}
	var dirs directories
	for range 2 {
		if err := dirs.make(files, "a/b/c"); err != nil {
			return err
		}
	}
	disk.CutPower()
	if _, err := disk.FS(nil).Stat("a/b/c"); err != nil {
		return fmt.Errorf("after a power cut: %w", err)
	}
	return nil
}

func TestFoundDirectoriesAreDurable(t *testing.T) {
	for seed := range uint64(20) {
		if err := foundAndLost(seed); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
}
