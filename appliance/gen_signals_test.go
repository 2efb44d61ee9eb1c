package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"penstock/dataplane/xsk/xsktest"
)

// TestGenSignals: a lost session ends the generator as Ctrl-C does, with what it has to put back; a second signal ends
// a command of --restore that hangs, and the result names that command.
func TestGenSignals(t *testing.T) {
	xsktest.Namespace(t)
	xsktest.Veth(t, "a", "b", xsktest.VethConfig{})
	// Whatever goes wrong, the signals are not this process's end.
	guard := make(chan os.Signal, 8)
	signal.Notify(guard, syscall.SIGHUP)
	defer signal.Stop(guard)
	dir := t.TempDir()
	began, hangs := filepath.Join(dir, "began"), filepath.Join(dir, "hangs")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	hup := func(file string) {
		for ctx.Err() == nil {
			if _, err := os.Stat(file); err == nil {
				break
			}
			time.Sleep(5 * time.Millisecond)
		}
		if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
			t.Error(err)
		}
	}
	go func() {
		hup(began)
		hup(hangs)
	}()
	a := command(t, "", "gen", "--tx", "a", "--rx", "b", "--profile", "size-64", "--rate", "1kpps", "--duration", "1h",
		"--lead", "50ms",
		"--blocked-time", "touch "+began+"; sleep 3600", "--restore", "touch "+hangs+"; sleep 3600 & sleep 3600")
	if a.code != exitFailure || !strings.Contains(a.err, "interrupted: the measurement is not whole") ||
		!strings.Contains(a.err, "a second signal ended it") || strings.Contains(a.err, "canceled") {
		t.Errorf("got %+v, want exit code %d, the interruption and the command that hung", a, exitFailure)
	}
	if ctx.Err() != nil {
		t.Error("the second signal ended nothing")
	}
	if xsktest.XDP(t, "a") != 0 || xsktest.XDP(t, "b") != 0 {
		t.Error("programs are left")
	}
}

// TestBeside: of an interruption's errors those stay that it did not make.
func TestBeside(t *testing.T) {
	gone := errors.New("port a: gone")
	canceled := fmt.Errorf("search: %w", context.Canceled)
	for _, tc := range []struct{ err, want error }{
		{nil, nil},
		{gone, gone},
		{canceled, nil},
		{errors.Join(canceled, context.DeadlineExceeded), nil},
		{errors.Join(errors.Join(gone, canceled), context.Canceled), gone},
	} {
		if got := beside(tc.err); (got == nil) != (tc.want == nil) || got != nil &&
			(got.Error() != tc.want.Error() || !errors.Is(got, tc.want)) {
			t.Errorf("%v: %v, want %v", tc.err, got, tc.want)
		}
	}
}
