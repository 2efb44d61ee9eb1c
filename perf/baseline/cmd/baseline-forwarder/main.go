// Command baseline-forwarder forwards between two interfaces with package baseline.
//
//	baseline-forwarder -a IF -b IF [-duration 10s]
//
// It prints "ready" once it forwards, and its counters at the end, which is after the duration or at SIGINT or
// SIGTERM.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"time"

	"golang.org/x/sys/unix"

	"penstock/perf/baseline"
)

func main() {
	a := flag.String("a", "", "one `interface`")
	b := flag.String("b", "", "the other `interface`")
	duration := flag.Duration("duration", 0, "how long to forward; 0 means until a signal comes")
	flag.Parse()
	if *a == "" || *b == "" || flag.NArg() > 0 || *duration < 0 {
		flag.Usage()
		os.Exit(2)
	}
	if err := run(*a, *b, *duration); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(a, b string, duration time.Duration) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, unix.SIGTERM)
	defer stop()
	if duration > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, duration)
		defer cancel()
	}
	// The forwarding thread and the rest must not wait for each other.
	runtime.GOMAXPROCS(max(2, runtime.GOMAXPROCS(0)))
	f, err := baseline.Open(a, b)
	if err != nil {
		return err
	}
	fmt.Println("ready")
	c, err := f.Run(ctx)
	for _, d := range [...]struct {
		from, to string
		n        baseline.Direction
	}{{a, b, c.AtoB}, {b, a, c.BtoA}} {
		fmt.Printf("%s to %s: received %d frames, sent %d frames, dropped %d frames, %d octets\n",
			d.from, d.to, d.n.Received, d.n.Sent, d.n.Dropped, d.n.Octets)
	}
	if closed := f.Close(); err == nil {
		err = closed
	}
	return err
}
