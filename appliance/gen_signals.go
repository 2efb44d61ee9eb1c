package main

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"syscall"
)

// genSignals returns two contexts. The first one ends with the first signal that asks the generator to stop, a lost
// session's SIGHUP included: it stops measuring and puts back what it changed, which runs --restore. The second one
// ends with the next signal: it does not wait for that command either. One more ends the process as it stands.
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

// beside returns what an error says besides that its context has ended, nil if that is all.
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
