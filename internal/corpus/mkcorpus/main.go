// Command mkcorpus makes a corpus of a throwaway PostgreSQL by hand:
//
//	go run ./internal/corpus/mkcorpus -workload heap -rows 20000 /var/tmp/heap
//	xenon redo verify --corpus /var/tmp/heap
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"

	"xenon/internal/corpus"
)

func main() {
	var o corpus.Options
	workload := flag.String("workload", "smoke", "some of "+strings.Join(corpus.Workloads(), ", ")+", joined by +")
	flag.IntVar(&o.Major, "major", 15, "major version of PostgreSQL")
	flag.IntVar(&o.Rows, "rows", 20000, "rows of the tables")
	flag.IntVar(&o.Txns, "txns", 500, "transactions of each client")
	flag.StringVar(&o.Compression, "compression", "off", "wal_compression")
	flag.BoolVar(&o.FullPageWrites, "full-page-writes", false, "full_page_writes")
	flag.BoolVar(&o.Checksums, "checksums", false, "data checksums")
	flag.BoolVar(&o.HintsLogged, "hints", false, "wal_log_hints")
	flag.BoolVar(&o.Aged, "aged", false, "a million transactions ago")
	flag.BoolVar(&o.NoReplay, "no-replay", false, "leave replayed/ out")
	flag.Parse()
	if flag.NArg() != 1 {
		fmt.Fprintln(os.Stderr, "usage: mkcorpus [flags] DIR")
		flag.PrintDefaults()
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	dir, err := filepath.Abs(flag.Arg(0))
	if err == nil {
		err = corpus.Make(ctx, dir, *workload, o)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "mkcorpus:", err)
		os.Exit(1)
	}
}
