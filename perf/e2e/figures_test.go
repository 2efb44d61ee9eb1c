package e2e

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestSpread(t *testing.T) {
	for _, tc := range []struct {
		in   []float64
		want Spread
	}{{[]float64{3}, Spread{3, 3, 3}}, {[]float64{4, 1}, Spread{2.5, 1, 4}}, {[]float64{9, 1, 2}, Spread{2, 1, 9}}} {
		if got, ok := spread(tc.in); !ok || got != tc.want {
			t.Errorf("%v: %v, want %v", tc.in, got, tc.want)
		}
	}
	if _, ok := spread(nil); ok {
		t.Error("the middle of nothing")
	}
}

// TestRatio: of the same round, not of the medians.
func TestRatio(t *testing.T) {
	trials := []Trial{
		{Round: 1, Device: "a", Rate: 10}, {Round: 1, Device: "b", Rate: 5},
		{Round: 2, Device: "a", Rate: 30}, {Round: 2, Device: "b", Rate: 30},
		{Round: 3, Device: "a", Rate: 40}, {Round: 3, Device: "b", Rate: 10},
		{Round: 4, Device: "a", Rate: 1000},
	}
	if r, ok := Ratio(trials, "a", "b"); !ok || r != (Spread{2, 1, 4}) {
		t.Errorf("%v, %v", r, ok)
	}
	if r, ok := Ratio(trials, "a", "c"); ok {
		t.Errorf("ratio to nobody: %v", r)
	}
}

func TestReport(t *testing.T) {
	trial := func(device string, rate, cpu float64, received uint64) Trial {
		return Trial{Round: 1, Device: device, Size: 60, Quota: Half, Mode: "native, copy", Rate: rate, SentRate: 2e6, CPU: cpu, Sent: 1000, Received: received, Other: 3}
	}
	trials := []Trial{trial("penstock", 0.5e6, 0.5, 250), trial("asavie", 0.4e6, 0.3, 200), trial("testpmd", 0.25e6, 0.5, 999)}
	var out bytes.Buffer
	if err := Report(&out, []Device{{Name: "penstock"}, {Name: "asavie"}, {Name: "testpmd"}, {Name: "unmeasured"}}, trials); err != nil {
		t.Fatal(err)
	}
	text := strings.Join(strings.Fields(out.String()), " ")
	for _, want := range []string{
		"penstock native, copy 1 0.500 0.500 0.500 2.000 75.00 3 0.50 1.000 2.00 (2.00 … 2.00) 1.25 (1.25 … 1.25)",
		"asavie native, copy 1 0.400 0.400 0.400 2.000 80.00 3 0.30 1.333 1.60 (1.60 … 1.60) 1",
		"- asavie, 60 octets, half: used only 0.30 of its 0.5 of a core",
		"- testpmd, 60 octets, half: no more than 0.5 % loss",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
	if strings.Contains(text, "- penstock") || strings.Contains(text, "unmeasured") {
		t.Errorf("too much:\n%s", out.String())
	}
}

func TestAppend(t *testing.T) {
	file := filepath.Join(t.TempDir(), "r.csv")
	m := Machine{CPU: "Some, CPU", Cores: 2, Kernel: "6.1"}
	at := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	tr := Trial{Round: 1, Device: "d", Size: 60, Quota: Half, Mode: "native, copy", Seconds: 3, SentRate: 2, Rate: 1, CPU: 0.5, Load1: 0.25, Sent: 8, Received: 6, Other: 1}
	for range 2 {
		if err := Append(file, at, "abc", m, []Trial{tr}); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	row := `2030-01-02T03:04:05Z,abc,"Some, CPU",2,6.1,veth,"native, copy",d,60,half,1,3.000,1,2,0.250000,8,6,1,0.500,0.25` + "\n"
	if want := strings.Join(columns, ",") + "\n" + row + row; string(got) != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	if err := os.WriteFile(file, []byte("a,b\n1,2\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := Append(file, at, "abc", m, []Trial{tr}); err == nil || !strings.Contains(err.Error(), "other columns") {
		t.Errorf("another table: %v", err)
	}
}

func TestParseStat(t *testing.T) {
	got, err := parseStat([]byte("77 (a ) b) S 1 2 3 4 5 6 7 8 9 10 150 50 0 0 20 0 3"))
	if err != nil || got != 2*time.Second {
		t.Errorf("%v, %v", got, err)
	}
	for _, bad := range []string{"", "1 (x) S 1 2", "1 (x) S 1 2 3 4 5 6 7 8 9 10 y 50 0"} {
		if d, err := parseStat([]byte(bad)); err == nil {
			t.Errorf("%q: %v", bad, d)
		}
	}
}

func TestCPUController(t *testing.T) {
	unified := t.TempDir()
	if err := os.WriteFile(filepath.Join(unified, "cgroup.controllers"), []byte("cpuset cpu io\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	const other = "22 1 0:21 / /proc rw - proc proc rw\n"
	cpuset := "30 1 0:25 / /sys/fs/cgroup/cpuset rw shared:9 - cgroup cgroup rw,cpuset\n"
	v1 := "31 1 0:26 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid shared:9 - cgroup cgroup rw,cpu,cpuacct\n"
	v2 := "32 1 0:27 / " + unified + " rw - cgroup2 cgroup2 rw\n"
	bare := "33 1 0:28 / " + t.TempDir() + " rw - cgroup2 cgroup2 rw\n"
	for _, tc := range []struct {
		text, root string
		v2         bool
	}{
		{other + cpuset + v1, "/sys/fs/cgroup/cpu,cpuacct", false},
		{other + v2, unified, true},
		{other + bare + v1, "/sys/fs/cgroup/cpu,cpuacct", false}, // both mounted, the controller is on one of them
		{other + cpuset + bare, "", false},
	} {
		file := filepath.Join(t.TempDir(), "mountinfo")
		if err := os.WriteFile(file, []byte(tc.text), 0o644); err != nil {
			t.Fatal(err)
		}
		root, isV2, err := cpuController(file)
		if root != tc.root || isV2 != tc.v2 || (err == nil) != (tc.root != "") {
			t.Errorf("%q: %q, %v, %v", tc.text, root, isV2, err)
		}
	}
}

// TestGroupV2 writes what a group of version 2 is told into a directory that stands for it.
func TestGroupV2(t *testing.T) {
	g := &group{dir: t.TempDir(), v2: true}
	for q, want := range map[Quota]string{Half: "1000 2000", Unlimited: "max 2000", {"most", 0.9}: "1800 2000"} {
		if err := g.limit(q); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(filepath.Join(g.dir, "cpu.max")); err != nil || string(got) != want {
			t.Errorf("%s: %q, %v, want %q", q.Name, got, err, want)
		}
	}
}

// TestExpect: what the box owes is the template, moved by the outer headers; nothing else passes.
func TestExpect(t *testing.T) {
	tmpl, err := template(60, 1000)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := same(tmpl)
	if err != nil || !plain.Match(tmpl.Frame) {
		t.Fatalf("the frame itself does not pass: %v", err)
	}
	e, err := encapsulated(tmpl)
	if err != nil {
		t.Fatal(err)
	}
	// Written out by hand from spec/overlay.md.
	good := append([]byte{
		2, 0, 0, 0, 0, 0xbb, 2, 0, 0, 0, 0, 0xaa, 0x81, 0, 0, 102, 8, 0,
		0x45, 0, 0, 80, 0, 102, 0x40, 0, 64, 143, 0, 0, 10, 7, 0, 7, 10, 13, 0, 100,
	}, tmpl.Frame...)
	if !e.Match(good) {
		t.Fatal("an encapsulated frame does not pass")
	}
	if e.Match(tmpl.Frame) || plain.Match(good) {
		t.Error("the other form passes")
	}
	for _, at := range []int{0, 11, 12, 17, 18, 21, 27, 31, 33, 37, 38, 44, 50, 71, 75} {
		bad := bytes.Clone(good)
		bad[at] ^= 1
		if e.Match(bad) {
			t.Errorf("octet %d is wrong and passes", at)
		}
	}
}

func TestTail(t *testing.T) {
	if got := tail("one\ntwo\nthree\n", 8); got != "three\n" {
		t.Errorf("%q", got)
	}
	if got := tail("one\n", 8); got != "one\n" {
		t.Errorf("%q", got)
	}
}
