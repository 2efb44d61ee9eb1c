package main

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"syscall"
)

// genSignals returns two contexts. The first context ends with the first stop signal (SIGHUP of a lost session
// included): the generator stops measuring, undoes its changes and runs --restore. The second context ends with the
// second signal: the generator no longer waits for that command. A third signal kills the process.
func genSignals(parent context.Context) (measuring, restoring context.Context, stop func()) {
	measuring, first := context.WithCancel(parent)
	restoring, second := context.WithCancel(context.WithoutCancel(parent))
	which := []os.Signal{syscall.SIGINT, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) { // nohup
		which = append(which, syscall.SIGHUP)
	}
	came, over := make(chan os.Signal, 1), make(chan struct{})
	signal.Notify(came, which...)
	go func() {
		for _, end := range []func(){first, second} {
			select {
			case <-came:
				end()
			case <-over:
				return
			}
		}
		signal.Reset(which...)
	}()
	return measuring, restoring, func() {
		signal.Stop(came)
		close(over)
		first()
		second()
	}
}

// beside returns the parts of an error that are not the end of its context; nil if there are none.
func beside(err error) error {
	if !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return nil
	}
	var rest []error
	for _, e := range joined.Unwrap() {
		rest = append(rest, beside(e))
	}
	return errors.Join(rest...)
}
