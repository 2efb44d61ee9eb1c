// Package compare runs the benchmarks of two states of the code in turns, an older revision and the work tree, and says
// what differs beyond the noise. `make bench-compare REV=…` runs it.
//
//	git worktree of REV ─▶ go test -c ─▶ old ┐
//	work tree           ─▶ go test -c ─▶ new ┴▶ old new │ new old │ old new │ …  ─▶ benchstat, and the noise
//
// A machine that grows slower while it measures would make the one that comes last look slower: so they alternate, and
// the one that begins changes from round to round. The noise is what the same code differs by from itself, its odd
// rounds compared with its even ones: a difference that is not clearly larger is none, whatever its p-value.
package compare

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Options of a comparison.
type Options struct {
	Tree     string // the work tree: a directory within a git repository, with go.mod
	Rev      string // what it is compared with, as git names it
	Packages []string
	Bench    string // which benchmarks: a regular expression
	Time     string // -benchtime of each
	Rounds   int
	Progress io.Writer
}

func (o *Options) check() error {
	switch {
	case o.Rev == "":
		return errors.New("compare: no revision to compare with: name one (make bench-compare REV=HEAD~1)")
	case strings.HasPrefix(o.Rev, "-"):
		return fmt.Errorf("compare: revision %q begins with a hyphen", o.Rev)
	case o.Rounds < 2:
		return fmt.Errorf("compare: %d rounds: must be 2 or more, else nothing says what is noise", o.Rounds)
	case len(o.Packages) == 0:
		return errors.New("compare: no package")
	}
	return nil
}

// Result is what a comparison measured: the benchmarks' output of all rounds, in Go's benchmark format.
type Result struct {
	Commit   string // of Rev
	Old, New []byte
	Noise    []Noise
}

// Run compares. The worktree it makes is gone when it returns, also if ctx ended.
func Run(ctx context.Context, o Options) (res *Result, err error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "penstock-compare-")
	if err != nil {
		return nil, fmt.Errorf("compare: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	commit, err := git(ctx, o.Tree, "rev-parse", "--verify", "--short=12", o.Rev+"^{commit}")
	if err != nil {
		return nil, fmt.Errorf("compare: revision %q: %w", o.Rev, err)
	}
	top, err := git(ctx, o.Tree, "rev-parse", "--show-toplevel")
	if err != nil {
		return nil, fmt.Errorf("compare: %w", err)
	}
	tree, err := filepath.EvalSymlinks(o.Tree)
	if err != nil {
		return nil, fmt.Errorf("compare: %w", err)
	}
	within, err := filepath.Rel(top, tree)
	if err != nil {
		return nil, fmt.Errorf("compare: %w", err)
	}
	old := filepath.Join(dir, "tree")
	if _, err := git(ctx, o.Tree, "worktree", "add", "--quiet", "--detach", old, commit); err != nil {
		return nil, fmt.Errorf("compare: check out %s: %w", commit, err)
	}
	defer func() {
		_, rerr := git(context.WithoutCancel(ctx), o.Tree, "worktree", "remove", "--force", old)
		err = errors.Join(err, rerr)
	}()
	sides := [2]side{
		{name: "old", tree: filepath.Join(old, within), binaries: filepath.Join(dir, "old")},
		{name: "new", tree: o.Tree, binaries: filepath.Join(dir, "new")},
	}
	for i := range sides {
		if err := sides[i].build(ctx, &o); err != nil {
			return nil, err
		}
	}
	for round := range o.Rounds {
		for i := range sides {
			s := &sides[(i+round)%2]
			fmt.Fprintf(o.Progress, "round %d of %d  %s\n", round+1, o.Rounds, s.name)
			if err := s.run(ctx, &o); err != nil {
				return nil, err
			}
		}
	}
	res = &Result{Commit: commit, Old: bytes.Join(sides[0].rounds, nil), New: bytes.Join(sides[1].rounds, nil)}
	res.Noise, err = noise(sides[0].rounds, sides[1].rounds)
	return res, err
}

// side is one of the two states of the code.
type side struct {
	name, tree, binaries string
	rounds               [][]byte // the output of each
}

func (s *side) binary(n int) string { return filepath.Join(s.binaries, fmt.Sprintf("%d.test", n)) }

func (s *side) build(ctx context.Context, o *Options) error {
	for n, p := range o.Packages {
		cmd := exec.CommandContext(ctx, "go", "test", "-c", "-o", s.binary(n), "./"+p)
		cmd.Dir = s.tree
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("compare: build the tests of %s, %s: %w\n%s", p, s.name, err, out)
		}
	}
	return nil
}

// run runs all benchmarks once, each package's in its directory, as go test does.
func (s *side) run(ctx context.Context, o *Options) error {
	var all bytes.Buffer
	for n, p := range o.Packages {
		cmd := exec.CommandContext(ctx, s.binary(n), "-test.run=^$", "-test.bench="+o.Bench, "-test.benchmem",
			"-test.benchtime="+o.Time)
		cmd.Dir = filepath.Join(s.tree, p)
		var out, errOut bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &errOut
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("compare: benchmarks of %s, %s: %w\n%s%s", p, s.name, err, out.Bytes(), errOut.Bytes())
		}
		all.Write(out.Bytes())
	}
	s.rounds = append(s.rounds, all.Bytes())
	return nil
}

// git runs git in a directory of any owner, and returns the first line of the output.
func git(ctx context.Context, dir string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "git", append([]string{"-c", "safe.directory=*"}, args...)...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("git %s: %w: %s", args[0], err, bytes.TrimSpace(out))
	}
	return strings.TrimSpace(string(out)), nil
}
