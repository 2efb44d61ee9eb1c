package compare_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"penstock/perf/compare"
)

// repository makes a repository with a module in a directory of it, whose second commit loops ten times as long.
func repository(t *testing.T) string {
	t.Helper()
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip("needs git")
	}
	top := t.TempDir()
	dir := filepath.Join(top, "module")
	write := func(name, text string) {
		t.Helper()
		file := filepath.Join(dir, name)
		err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(text), 0o644))
		if err != nil {
			t.Fatal(err)
		}
	}
	run := func(args ...string) {
		t.Helper()
		identity := []string{"-c", "user.name=n", "-c", "user.email=e@example.org", "-c", "commit.gpgsign=false"}
		cmd := exec.Command("git", append(identity, args...)...)
		cmd.Dir = top
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v\n%s", args, err, out)
		}
	}
	bench := func(loops string, more string) string {
		return "package p\n\nimport \"testing\"\n\nvar sink int\n\nfunc BenchmarkLoop(b *testing.B) {\n" +
			"\tfor range b.N {\n\t\tfor i := range " + loops +
			" {\n\t\t\tsink += i\n\t\t}\n\t}\n}\n" + more
	}
	run("init", "-q")
	write("go.mod", "module example.org/m\n\ngo 1.26\n")
	write("p/p_test.go", bench("1000", ""))
	run("add", ".")
	run("commit", "-q", "-m", "old")
	// This version is not committed: the work tree counts.
	write("p/p_test.go", bench("10000", "\nfunc BenchmarkOnlyNew(b *testing.B) {}\n"))
	return dir
}

// TestRun: what is ten times as slow is found, what is new is left out, and nothing stays behind.
func TestRun(t *testing.T) {
	dir := repository(t)
	var progress bytes.Buffer
	o := compare.Options{
		Tree: dir, Rev: "HEAD", Packages: []string{"p"}, Bench: ".", Time: "200x", Rounds: 4, Progress: &progress,
	}
	res, err := compare.Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if len(res.Noise) != 1 || !strings.HasPrefix(res.Noise[0].Name, "Loop") || res.Noise[0].New < 3*res.Noise[0].Old ||
		res.Noise[0].Self < 0 {
		t.Errorf("noise %+v, want Loop alone, three times as slow or more", res.Noise)
	}
	loop := []byte("BenchmarkLoop")
	if o, n := bytes.Count(res.Old, loop), bytes.Count(res.New, loop); o != 4 || n != 4 {
		t.Errorf("%d and %d rounds, want 4 of both", o, n)
	}
	var order []string
	for line := range strings.Lines(progress.String()) {
		order = append(order, strings.Fields(line)[4])
	}
	if got := strings.Join(order, " "); got != "old new new old old new new old" {
		t.Errorf("order %s", got)
	}
	gone(t, dir)
}

func gone(t *testing.T, dir string) {
	t.Helper()
	cmd := exec.Command("git", "worktree", "list")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil || bytes.Count(out, []byte("\n")) != 1 {
		t.Errorf("worktrees left behind: %v\n%s", err, out)
	}
}

func TestErrors(t *testing.T) {
	dir := repository(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for want, change := range map[string]func(*compare.Options){
		"no revision":        func(o *compare.Options) { o.Rev = "" },
		"hyphen":             func(o *compare.Options) { o.Rev = "--help" },
		`revision "nowhere"`: func(o *compare.Options) { o.Rev = "nowhere" },
		"must be 2":          func(o *compare.Options) { o.Rounds = 1 },
		"no package":         func(o *compare.Options) { o.Packages = nil },
		"tests of q, old":    func(o *compare.Options) { o.Packages = []string{"q"} },
		"benchmarks of p":    func(o *compare.Options) { o.Time = "long" },
	} {
		o := compare.Options{
			Tree: dir, Rev: "HEAD", Packages: []string{"p"}, Bench: ".",
			Time: "1x", Rounds: 2, Progress: &bytes.Buffer{},
		}
		change(&o)
		if _, err := compare.Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
		gone(t, dir)
		if _, err := compare.Run(ctx, o); err == nil {
			t.Errorf("%s: ended before it began: no error", want)
		}
	}
}

func TestReport(t *testing.T) {
	var out bytes.Buffer
	err := compare.Report(&out, []compare.Noise{
		{Name: "Fast-2", Old: 100e-9, New: 80e-9, Self: 0.05},
		{Name: "Same-2", Old: 100e-9, New: 108e-9, Self: 0.06},
	})
	text := strings.Join(strings.Fields(out.String()), " ")
	for _, want := range []string{
		"100.00 80.00 -20.0 % ±5.0 % differs Fast-2", "100.00 108.00 +8.0 % ±6.0 % within the noise Same-2",
		"differs from itself by up to 6.0 %",
	} {
		if err != nil || !strings.Contains(text, want) {
			t.Errorf("%v: no %q in\n%s", err, want, out.String())
		}
	}
}
