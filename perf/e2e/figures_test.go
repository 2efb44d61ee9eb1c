package e2e

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"penstock/perf/load"
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
	g := Group{Trials: []Trial{
		{Round: 1, Device: "a", Rate: 10}, {Round: 1, Device: "b", Rate: 5},
		{Round: 2, Device: "a", Rate: 30}, {Round: 2, Device: "b", Rate: 30},
		{Round: 3, Device: "a", Rate: 40}, {Round: 3, Device: "b", Rate: 10},
		{Round: 4, Device: "a", Rate: 1000},
	}}
	if r, ok := g.Ratio("a", "b"); !ok || r != (Spread{2, 1, 4}) {
		t.Errorf("ratio %v, %v, want {2 1 4}", r, ok)
	}
	if r, ok := g.Ratio("a", "c"); ok {
		t.Errorf("ratio to nobody: %v", r)
	}
}

func TestReport(t *testing.T) {
	trial := func(device string, rate, cpu float64, received uint64) Trial {
		return Trial{
			Measure: Throughput, Round: 1, Device: device, Size: 60, Place: Half, Sink: SinkInline,
			Mode: "native, copy", Rate: rate, SentRate: 2e6, CPU: cpu, Sent: 1000, Received: received, Other: 3,
		}
	}
	trials := []Trial{
		trial("penstock", 0.5e6, 0.5, 250), trial("asavie", 0.4e6, 0.3, 200), trial("testpmd", 0.25e6, 0.5, 999),
	}
	trials[1].SinkDrops = 51 // of 254 that it sent
	var out bytes.Buffer
	program := func(*Bed) ([]string, error) { return nil, nil }
	devices := []Device{
		{Name: "penstock", Command: program}, {Name: "asavie", Command: program},
		{Name: "testpmd", Command: program}, {Name: "none", Command: program}, {Name: "route"},
	}
	if err := Report(&out, devices, trials, nil); err != nil {
		t.Fatal(err)
	}
	text := strings.Join(strings.Fields(out.String()), " ")
	for _, want := range []string{
		"penstock native, copy 1 0.500 0.500 0.500 2.000 75.00 0.50 1.000 3 2.00 (2.00 … 2.00) – 1.25 (1.25 … 1.25)",
		"asavie native, copy 1 0.400 0.400 0.400 2.000 80.00 0.30 1.333 3 1.60 (1.60 … 1.60) – 1",
		"none not measured", "route not comparable",
		"- asavie, throughput, 60 octets, half, sink inline: used only 0.30 of its 0.5 of a core",
		"- asavie, throughput, 60 octets, half, sink inline: up to 20.1 % of what it sent was lost at the sink's door",
		"- testpmd, throughput, 60 octets, half, sink inline: no more than 0.5 % loss",
		"- route: no throughput under half: it works within the kernel's reception",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
	// Lower is better here, and the ratio the other way round says so by itself: it is of the 99.9th percentiles.
	slow := trial("penstock", 30e3, 0.2, 900)
	slow.Measure, slow.Place, slow.SourceLimited = Latency, Unlimited, true
	slow.Delay = Delay{3000, 8000, 50_000, 90_000, 900}
	fast := slow
	fast.Device, fast.Delay.P999, fast.SourceLimited = "testpmd", 40_000, false
	pdr := trial("penstock", 0.3e6, 0, 998)
	pdr.Measure, pdr.PDRUpper = PDR, 0.31e6
	out.Reset()
	if err := Report(&out, devices, []Trial{slow, fast, pdr}, nil); err != nil {
		t.Fatal(err)
	}
	later := strings.Join(strings.Fields(out.String()), " ")
	for _, want := range []string{
		"Rate at no more than 0.5 % loss, 60 octets, half: the device's process held to 0.5 of a core",
		"penstock native, copy 1 0.300 0.300 0.300 0.310 0.20 3 – – –",
		"One-way latency, 60 octets, unlimited: the device's process has a core",
		"penstock native, copy 1 50.0 50.0 50.0 2000.0 3.0 8.0 90 10.00 0.20 3 1.25 (1.25 … 1.25) – –",
		"route not measured", "penstock, latency, 60 octets, unlimited, sink inline: the source did not keep its rate",
		"penstock, latency, 60 octets, unlimited, sink inline: up to 10.0 % of the frames were lost",
	} {
		if !strings.Contains(later, want) {
			t.Errorf("no %q in\n%s", want, later)
		}
	}
	if strings.Contains(text, "- penstock") {
		t.Errorf("too much:\n%s", out.String())
	}
}

func row() Row {
	return Row{
		Date: time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC), Commit: "abc",
		Machine: Machine{CPU: "Some, CPU", Cores: 2, Kernel: "6.1"},
		Trial: Trial{
			Round: 1, Device: "d", Size: 60, Place: Half, Sink: SinkThreaded, Mode: "native, copy", Seconds: 3,
			SentRate: 2, Rate: 1, CPU: 0.5, Load1: 0.25,
			Sent: 8, Received: 6, Other: 1, DoorDrops: 3, SinkDrops: 4,
			Measure: PDR, PDRUpper: 5, SourceLimited: true,
			Delay: Delay{
				P50: 1500 * time.Nanosecond, P99: 2 * time.Microsecond,
				P999: time.Millisecond, Max: time.Second, Frames: 6,
			},
		},
	}
}

const (
	oldHeader = "date,commit,machine,cores,kernel,driver,mode,dut,size,quota,round," +
		"seconds,rx_pps,sent_pps,loss,sent,received,other,cpu,load1"
	oldRow = `2030-01-02T03:04:05Z,abc,"Some, CPU",2,6.1,veth,"native, copy",d,60,half,1,` +
		`3.000,1,2,0.250000,8,6,1,0.500,0.25`
	newHeader = oldHeader + ",sink_napi,door_drops,sink_drops,measure," +
		"pdr_upper_pps,source_limited,p50_us,p99_us,p999_us,max_us,delays"
	newRow = oldRow + ",threaded,3,4,pdr,5,true,1.500,2.000,1000.000,1000000.000,6"
)

func TestAppend(t *testing.T) {
	file := filepath.Join(t.TempDir(), "r.csv")
	hold := func(want ...string) {
		t.Helper()
		got, err := os.ReadFile(file)
		if want := strings.Join(want, "\n") + "\n"; err != nil || string(got) != want {
			t.Errorf("got\n%s%v\nwant\n%s", got, err, want)
		}
	}
	for range 2 {
		if err := Append(file, []Row{row()}); err != nil {
			t.Fatal(err)
		}
	}
	hold(newHeader, newRow, newRow)
	// A file from before the last columns gets them, and keeps what it has.
	if err := os.WriteFile(file, []byte(oldHeader+"\n"+oldRow+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := Append(file, []Row{row()}); err != nil {
		t.Fatal(err)
	}
	hold(newHeader, oldRow+strings.Repeat(",", 11), newRow)
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	rows, err := ReadResults(bytes.NewReader(text))
	old := row()
	old.Sink, old.DoorDrops, old.SinkDrops = SinkInline, 0, 0
	old.Measure, old.PDRUpper, old.SourceLimited, old.Delay = Throughput, 0, false, Delay{}
	if want := []Row{old, row()}; err != nil || !slices.Equal(rows, want) {
		t.Errorf("%v\ngot  %+v\nwant %+v", err, rows, want)
	}
	for _, other := range []string{"a,b\n1,2\n", newHeader + ",more\n", oldHeader + "\n1,2\n"} {
		if err := os.WriteFile(file, []byte(other), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := Append(file, []Row{row()}); err == nil || !strings.Contains(err.Error(), file) {
			t.Errorf("file with %q: %v, want an error that names the file", other, err)
		}
		hold(strings.TrimSuffix(other, "\n"))
	}
}

// TestFigure: of a run, and of the same run from its file.
func TestFigure(t *testing.T) {
	var rows []Row
	for round := 1; round <= 2; round++ {
		for i, name := range []string{"penstock", "testpmd", "kernel-route"} {
			r := row()
			r.Round, r.Device, r.Measure, r.Rate = round, name, Throughput, float64(1000*(i+1)*round)
			if name == "kernel-route" {
				r.Mode, r.Place = "kernel", OneCore
			}
			rows = append(rows, r)
			r.Measure, r.Place = Latency, Unlimited
			rows = append(rows, r)
		}
	}
	old := row()
	old.Date = old.Date.AddDate(-1, 0, 0)
	var live, filed bytes.Buffer
	if err := Figure(&live, rows, Named(rows), nil); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "r.csv")
	if err := Append(file, append([]Row{old}, rows...)); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	read, err := ReadResults(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	last := Last(read)
	if err := Figure(&filed, last, Named(last), nil); err != nil || len(last) != len(rows) {
		t.Fatalf("%d rows, %v", len(last), err)
	}
	if live.String() != filed.String() {
		t.Errorf("another figure from the file:\n%s\n%s", live.String(), filed.String())
	}
	for _, want := range []string{
		"One-way latency, 60 octets, unlimited", "Throughput under overload, 60 octets, one-core", "not comparable",
		"× 0.50 · 0.002 Mpps (0.001 … 0.002)", "aim 1.25", "commit abc", "p50 1.50, p99 2.00, p99.9 1000 µs",
	} {
		if !strings.Contains(live.String(), want) {
			t.Errorf("no %q in\n%s", want, live.String())
		}
	}
	if err := Figure(&live, nil, nil, nil); err == nil {
		t.Error("a figure of nothing")
	}
}

// TestResults: every row that was ever kept can be read.
func TestResults(t *testing.T) {
	text, err := os.ReadFile("../results/e2e.csv")
	if err != nil {
		t.Fatal(err)
	}
	rows, err := ReadResults(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	if n := bytes.Count(text, []byte("\n")) - 1; n != len(rows) || n < 75 {
		t.Errorf("%d rows of %d lines", len(rows), n)
	}
	for i, r := range rows {
		if r.Date.IsZero() || r.Commit == "" || r.Device == "" || r.Round < 1 || r.Rate <= 0 || r.Sent < r.Received ||
			r.Place.Name == "" {
			t.Errorf("row %d: %+v", i+1, r)
		}
	}
}

func FuzzResults(f *testing.F) {
	f.Add([]byte(oldHeader + "\n" + oldRow + "\n"))
	f.Add([]byte(newHeader + "\n" + newRow + "\n" + oldRow + ",,,\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		rows, err := ReadResults(bytes.NewReader(text))
		if err != nil || len(rows) == 0 {
			return
		}
		file := filepath.Join(t.TempDir(), "r.csv")
		if err := Append(file, rows); err != nil {
			t.Fatal(err)
		}
	})
}

func TestParseStat(t *testing.T) {
	got, err := parseStat([]byte("77 (a ) b) S 1 2 3 4 5 6 7 8 9 10 150 50 0 0 20 0 3"))
	if err != nil || got != 2*time.Second {
		t.Errorf("time %v, error %v, want 2s", got, err)
	}
	for _, bad := range []string{"", "1 (x) S 1 2", "1 (x) S 1 2 3 4 5 6 7 8 9 10 y 50 0"} {
		if d, err := parseStat([]byte(bad)); err == nil {
			t.Errorf("stat %q: time %v, want an error", bad, d)
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
			t.Errorf("%q: root %q, v2 %v, error %v, want root %q, v2 %v", tc.text, root, isV2, err, tc.root, tc.v2)
		}
	}
}

// TestGroupV2 writes the settings of a group of version 2 into a directory in its place.
func TestGroupV2(t *testing.T) {
	g := &group{dir: t.TempDir(), v2: true}
	for share, want := range map[float64]string{0.5: "1000 2000", 0: "max 2000", 0.9: "1800 2000"} {
		if err := g.limit(share); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(filepath.Join(g.dir, "cpu.max")); err != nil || string(got) != want {
			t.Errorf("%g: %q, %v, want %q", share, got, err, want)
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
	// Written out by hand from PROTOCOL.md#encapsulation.
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

// TestExpectPeers: what the peers owe, written out by hand from RFC 1812 and RFC 7348.
func TestExpectPeers(t *testing.T) {
	hold := func(name string, e load.Expect, err error, good []byte, fixed ...int) {
		t.Helper()
		if err != nil || !e.Match(good) {
			t.Fatalf("%s: %v; a right frame does not pass", name, err)
		}
		for _, at := range fixed {
			bad := bytes.Clone(good)
			bad[at] ^= 1
			if e.Match(bad) {
				t.Errorf("%s: octet %d is wrong and passes", name, at)
			}
		}
	}
	tmpl, err := KernelRoute().Frames(60, 1000)
	if err != nil {
		t.Fatal(err)
	}
	good := bytes.Clone(tmpl.Frame)
	copy(good, []byte{2, 0, 0, 0, 0xee, 2, 2, 0, 0, 0, 0xaa, 0x0b})
	good[22] = 63
	// Of RFC 1624: one less in the upper octet of a word is one more in the upper octet of the sum, with carry.
	sum := uint32(good[24])<<8 | uint32(good[25])
	sum += 0x100
	sum = sum&0xffff + sum>>16
	good[24], good[25] = byte(sum>>8), byte(sum)
	e, err := routed(tmpl)
	hold("routed", e, err, good, 0, 11, 12, 22, 25, 33, 36, 41)
	if tmpl, err = template(60, 1000); err != nil {
		t.Fatal(err)
	}
	good = append([]byte{
		2, 0, 0, 0, 0xee, 3, 2, 9, 9, 9, 9, 9, 8, 0,
		0x45, 0, 0, 96, 0, 0, 0x40, 0, 64, 17, 1, 2, 172, 16, 0, 1, 172, 16, 0, 2,
		0xc1, 0x23, 0x12, 0xb5, 0, 76, 0, 0,
		8, 0, 0, 0, 0, 0, 100, 0,
	}, tmpl.Frame...)
	e, err = tunnelled(tmpl)
	hold("tunnelled", e, err, good, 0, 12, 14, 23, 33, 37, 42, 48, 50, 56, 62, 91)
}

func TestTail(t *testing.T) {
	if got := tail("one\ntwo\nthree\n", 8); got != "three\n" {
		t.Errorf("tail of three lines %q, want the last one", got)
	}
	if got := tail("one\n", 8); got != "one\n" {
		t.Errorf("tail of one short line %q, want all of it", got)
	}
}
