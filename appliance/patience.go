package main

import (
	"context"
	"fmt"
	"time"
)

// Limits of waits that other processes, disks and file systems may block.
const (
	stopLimit  = 7 * time.Second // between a signal and the end, whatever hangs; TimeoutStopSec in the unit is longer
	printLimit = time.Second     // for a message to standard error
)

// interruptible runs fn, which may hang in a system call, until fn ends, or until ctx is done and a grace period is
// over.
func interruptible(ctx context.Context, grace time.Duration, fn func() error) error {
	ended := make(chan error, 1)
	go func() { ended <- fn() }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	select {
	case err := <-ended:
		return err
	case <-time.After(grace):
		return fmt.Errorf("it was told to end, and did not within %s: it waits for a disk, a file or another process",
			grace)
	}
}
