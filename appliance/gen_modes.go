package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"time"

	"penstock/perf/gen"
	"penstock/perf/gen/search"
)

// once is one run.
func (f *genFlags) once(ctx context.Context, e *gen.Engine, s *genSetup) (*gen.Report, error) {
	rates, err := e.Frames(s.rate, s.weights)
	if err != nil {
		return nil, err
	}
	l := gen.Load{Rates: rates, Count: f.count, Duration: f.duration}
	if f.count > 0 && !f.timed {
		l.Duration = 0
	}
	return e.Run(ctx, l)
}

// search searches for NDR and PDR.
func (f *genFlags) search(ctx context.Context, e *gen.Engine, s *genSetup, p *genProgress) (*gen.ThroughputReport,
	error) {
	most, err := s.highest(e, s.rate)
	if err != nil {
		return nil, err
	}
	t := gen.Throughput{Options: search.Options{Max: most, Goals: f.goals(), Limit: f.limit, Progress: p.trial},
		Shares: s.shares(), Measuring: p.measuring}
	if f.minRate != "" {
		if t.Min, err = s.highest(e, s.minRate); err != nil {
			return nil, err
		}
		if most > 0 && t.Min > most {
			return nil, &exitError{exitRefused, fmt.Errorf("--min-rate %s is more than --rate %s", f.minRate, f.rate)}
		}
	}
	if f.latency {
		t.Latency = []float64{0.1, 0.5, 0.9}
	}
	return e.Throughput(ctx, t)
}

// disturb measures blocked time.
func (f *genFlags) disturb(ctx context.Context, e *gen.Engine, s *genSetup, p *genProgress) (*gen.Blocked, error) {
	rates, err := e.Frames(s.rate, s.weights)
	if err != nil {
		return nil, err
	}
	d := gen.Disturbance{Rates: rates, Lead: f.lead, Length: f.duration, Runs: f.runs, Progress: p.blocked,
		Do: f.shell(f.blocked)}
	if f.restore != "" {
		restore := f.shell(f.restore)
		d.Undo = func(_ context.Context, run int) error {
			err := restore(f.restoring, run)
			if f.restoring.Err() != nil {
				return fmt.Errorf("%s: a second signal ended it", f.restore)
			}
			return err
		}
	}
	return e.Blocked(ctx, d)
}

// shell returns a function that runs a command. The command's output goes to standard error.
func (f *genFlags) shell(command string) func(context.Context, int) error {
	return func(ctx context.Context, run int) error {
		c := exec.CommandContext(ctx, "sh", "-c", command)
		c.Env = append(os.Environ(), fmt.Sprintf("PENSTOCK_RUN=%d", run))
		c.Stdout, c.Stderr = f.stderr, f.stderr
		// A process group of its own: Ctrl-C reaches the generator only, which ends the command and its children.
		c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		c.Cancel = func() error { return syscall.Kill(-c.Process.Pid, syscall.SIGKILL) }
		c.WaitDelay = time.Second
		err := c.Run()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil && !errors.Is(err, exec.ErrWaitDelay) {
			return fmt.Errorf("%s: %w", command, err)
		}
		return nil
	}
}

// genProgress shows a measurement's progress on a terminal: a line that is overwritten each second, and a line for each
// part that is done.
type genProgress struct {
	out   io.Writer // nil: standard error is no terminal
	stop  chan struct{}
	ended chan struct{}
	lines chan string
}

// watch starts the display of progress, if standard error is a terminal.
func (f *genFlags) watch(e *gen.Engine) *genProgress {
	p := &genProgress{stop: make(chan struct{}), ended: make(chan struct{}), lines: make(chan string, 16)}
	if isTerminal(f.stderr) {
		p.out = f.stderr
	}
	go p.follow(e.Watch(), time.Second)
	return p
}

func (p *genProgress) follow(w *gen.Watch, every time.Duration) {
	defer close(p.ended)
	tick := time.NewTicker(every)
	defer tick.Stop()
	print := func(format string, args ...any) {
		if p.out != nil {
			fmt.Fprintf(p.out, "\r\x1b[K"+format, args...)
		}
	}
	for {
		select {
		case <-p.stop:
			for len(p.lines) > 0 {
				print("%s\n", <-p.lines)
			}
			print("")
			return
		case l := <-p.lines:
			print("%s\n", l)
		case <-tick.C:
			if p.out == nil {
				continue
			}
			if l, ok := w.Look(); ok {
				print("%s", cut(p.out, liveLine(&l)))
			}
		}
	}
}

func (p *genProgress) end() {
	close(p.stop)
	<-p.ended
}

// line prints that a part is done.
func (p *genProgress) line(format string, args ...any) {
	select {
	case p.lines <- fmt.Sprintf(format, args...):
	case <-p.ended:
	}
}

func (p *genProgress) trial(t search.Trial) {
	what := t.Goal
	if what == "" {
		what = "first"
	}
	s := fmt.Sprintf("%-5s  %s for %v: %s of %s lost", what, rateText(t.Rate), t.Duration.Round(time.Millisecond),
		thousands(t.Lost), thousands(t.Sent))
	if t.Fault != "" {
		s += "; does not count: " + t.Fault
	}
	p.line("%s", s)
}

func (p *genProgress) measuring(rate float64) { p.line("latency at %s", rateText(rate)) }

func (p *genProgress) blocked(r gen.BlockedRun) {
	s := fmt.Sprintf("run %d: nothing arrived for %s, lost ÷ rate %s", r.Run, timeText(r.Gap), timeText(r.ByLoss))
	if r.Error != "" {
		s += "; does not count: " + r.Error
	}
	p.line("%s", s)
}
