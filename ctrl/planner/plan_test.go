package planner

import (
	"fmt"
	"math/rand/v2"
	"os"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"penstock/ctrl/model"
)

func mac(n int) model.MAC { return model.MAC(0x020000000000 + n) }

// fatTree has k-port switches in three layers (Al-Fares et al., SIGCOMM 2008).
func fatTree(k int) *Topology {
	t := &Topology{}
	h := k / 2
	for pod := range k {
		for e := range h {
			t.Switches = append(t.Switches, Switch{fmt.Sprintf("edge%d-%d", pod, e), mac(pod*h + e + 1)})
		}
		for a := range h {
			t.Switches = append(t.Switches, Switch{Name: fmt.Sprintf("agg%d-%d", pod, a)})
			for e := range h {
				t.Links = append(t.Links, Link{A: fmt.Sprintf("edge%d-%d", pod, e), B: fmt.Sprintf("agg%d-%d", pod, a)})
			}
		}
	}
	for c := range h * h {
		t.Switches = append(t.Switches, Switch{Name: fmt.Sprintf("core%d", c)})
		for pod := range k {
			t.Links = append(t.Links, Link{A: fmt.Sprintf("core%d", c), B: fmt.Sprintf("agg%d-%d", pod, c/h)})
		}
	}
	return t
}

func clique(n int) *Topology {
	t := &Topology{}
	for i := range n {
		t.Switches = append(t.Switches, Switch{fmt.Sprint("s", i), mac(i + 1)})
		for j := range i {
			t.Links = append(t.Links, Link{A: fmt.Sprint("s", j), B: fmt.Sprint("s", i)})
		}
	}
	return t
}

// hyperX is a grid whose rows and columns are cliques.
func hyperX(n int) *Topology {
	t := &Topology{}
	name := func(r, c int) string { return fmt.Sprintf("s%d-%d", r, c) }
	for r := range n {
		for c := range n {
			t.Switches = append(t.Switches, Switch{name(r, c), mac(r*n + c + 1)})
			for k := range c {
				t.Links = append(t.Links, Link{A: name(r, k), B: name(r, c)})
			}
			for k := range r {
				t.Links = append(t.Links, Link{A: name(k, c), B: name(r, c)})
			}
		}
	}
	return t
}

// random is a connected random graph in which each switch has about degree links.
func random(n, degree int, seed uint64) *Topology {
	rng := rand.New(rand.NewPCG(seed, 2))
	t := &Topology{}
	has := map[[2]int]bool{}
	link := func(a, b int) {
		if a > b {
			a, b = b, a
		}
		if a != b && !has[[2]int{a, b}] {
			has[[2]int{a, b}] = true
			t.Links = append(t.Links, Link{A: fmt.Sprint("s", a), B: fmt.Sprint("s", b)})
		}
	}
	for i := range n {
		t.Switches = append(t.Switches, Switch{fmt.Sprint("s", i), mac(i + 1)})
		if i > 0 {
			link(i, rng.IntN(i))
		}
	}
	for len(t.Links) < n*degree/2 {
		link(rng.IntN(n), rng.IntN(n))
	}
	return t
}

func vids(from, to uint16) (list []uint16) {
	for v := from; v <= to; v++ {
		list = append(list, v)
	}
	return list
}

// TestPlans: VLANs of usual fabrics, each plan checked.
func TestPlans(t *testing.T) {
	for _, c := range []struct {
		name  string
		top   *Topology
		paths int
		most  int // VLANs
		last  int // paths of the last pair, at least
	}{
		{"fat tree, 4 ports", fatTree(4), 4, 4, 2},
		{"fat tree, 8 ports", fatTree(8), 4, 8, 4},
		{"fat tree, 8 ports, 16 paths", fatTree(8), 16, 16, 4},
		{"clique of 16", clique(16), 4, 16, 4},
		{"HyperX 6 × 6", hyperX(6), 4, 30, 4},
		{"random, 64 switches of 8 links", random(64, 8, 1), 4, 120, 3},
		{"two switches", clique(2), 4, 1, 1},
		{"ring of 5", ring(5), 4, 5, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			if faults := c.top.Check(); faults != nil {
				t.Fatal(faults)
			}
			o := Options{Paths: c.paths, Slack: 2, VLANs: vids(100, 1099), Seed: 1}
			began := time.Now()
			p, fault := Make(c.top, o)
			if fault != nil {
				t.Fatal(fault)
			}
			t.Logf("%d VLANs by %s in %v", len(p.VLANs), p.Method, time.Since(began))
			if len(p.VLANs) > c.most {
				t.Errorf("VLANs: got %d, want at most %d", len(p.VLANs), c.most)
			}
			check(t, c.top, p, o)
			if got := len(p.Pairs[len(p.Pairs)-1].Paths); got < c.last {
				t.Errorf("paths of the last pair: got %d, want %d", got, c.last)
			}
			again, _ := Make(c.top, o)
			if !reflect.DeepEqual(p.VLANs, again.VLANs) || !reflect.DeepEqual(p.Pairs, again.Pairs) {
				t.Error("the same input and seed gave another plan")
			}
			if r := p.Report(); !strings.Contains(r, fmt.Sprintf("VLANs           %d, by %s", len(p.VLANs), p.Method)) {
				t.Errorf("report: %s", r)
			}
		})
	}
}

func ring(n int) *Topology {
	t := &Topology{}
	for i := range n {
		t.Switches = append(t.Switches, Switch{fmt.Sprint("s", i), mac(i + 1)})
		t.Links = append(t.Links, Link{A: fmt.Sprint("s", i), B: fmt.Sprint("s", (i+1)%n)})
	}
	return t
}

// TestAllPaths: in a fat tree, pairs of different pods get the shortest path by each core, up to the number asked for.
func TestAllPaths(t *testing.T) {
	for _, c := range []struct{ ports, paths, want int }{{4, 4, 4}, {8, 4, 4}, {8, 16, 16}} {
		top := fatTree(c.ports)
		p, fault := Make(top, Options{Paths: c.paths, Slack: 2, VLANs: vids(100, 1099), Seed: 1})
		if fault != nil {
			t.Fatal(fault)
		}
		for _, x := range p.Pairs {
			a, b := top.Switches[x.A].Name, top.Switches[x.B].Name
			if a[:5] != b[:5] && len(x.Paths) < c.want {
				t.Fatalf("%d ports, %d paths: %s and %s have %d, want %d", c.ports, c.paths, a, b, len(x.Paths), c.want)
			}
		}
	}
}

// TestLarge plans 80 switches, or as many as PENSTOCK_SWITCHES says. The time is told, not judged.
func TestLarge(t *testing.T) {
	n := 80
	if text := os.Getenv("PENSTOCK_SWITCHES"); text != "" {
		var err error
		if n, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	top := random(n, 8, 3)
	o := Options{Paths: 4, Slack: 2, VLANs: vids(100, 1099), Seed: 1}
	began := time.Now()
	p, fault := Make(top, o)
	if fault != nil {
		t.Fatal(fault)
	}
	t.Logf("%d switches, %d links: %d VLANs by %s in %v", n, len(top.Links), len(p.VLANs), p.Method, time.Since(began))
	for _, m := range p.Table() {
		if len(m.VLANs) == 0 || len(m.VLANs) > 5 {
			t.Fatalf("pair %s: %d VLANs, want 1 to 5", m.Key(), len(m.VLANs))
		}
	}
}

// TestLargeBothMethods: in a large fabric, too, the better one of both methods is kept.
func TestLargeBothMethods(t *testing.T) {
	top := clique(120)
	o := Options{Paths: 4, Slack: 2, VLANs: vids(100, 1099), Seed: 1}
	began := time.Now()
	p, fault := Make(top, o)
	if fault != nil {
		t.Fatal(fault)
	}
	t.Logf("clique of 120: %d VLANs by %s in %v", len(p.VLANs), p.Method, time.Since(began))
	if p.Method != "packing" || len(p.VLANs) > 80 {
		t.Errorf("clique of 120: got %d VLANs by %s, want at most 80 by packing", len(p.VLANs), p.Method)
	}
}

// TestFaults: everything wrong is told at once.
func TestFaults(t *testing.T) {
	top := &Topology{
		Switches: []Switch{{"a", 1}, {"b", 2}, {"a", 3}, {"", 4}, {"c", 2}},
		Links:    []Link{{"a", "x", 0}, {"b", "b", 0}, {"a", "b", -1}}, // and c is alone
	}
	var got []string
	for _, f := range top.Check() {
		got = append(got, f.Where)
	}
	want := []string{"switch[2].name", "switch[3].name", "switch[4].mac", "link[0].b", "link[1]", "link[2].cost", ""}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("faults: got %v, want %v", got, want)
	}
	apart := clique(3)
	apart.Switches = append(apart.Switches, Switch{"lonely", 9})
	if f := apart.Check(); len(f) != 1 || !strings.Contains(f[0].Text, "lonely") ||
		!strings.Contains(f[0].Text, "s0, s") {
		t.Errorf("two components: got %v, want both named", f)
	}
	if f := (&Topology{Switches: []Switch{{"a", 1}}}).Check(); len(f) != 1 {
		t.Errorf("one edge switch: got %v, want a fault", f)
	}
	_, fault := Make(clique(16), Options{Paths: 4, Slack: 2, VLANs: vids(100, 101), Seed: 1})
	if fault == nil || !strings.Contains(fault.Text, "--vlans has 2") {
		t.Errorf("two VLANs for a clique of 16: got %v, want how many are needed", fault)
	}
}

// TestLosses: what a single link or switch cuts off.
func TestLosses(t *testing.T) {
	top := &Topology{Switches: []Switch{{"e1", 1}, {"e2", 2}, {"e3", 3}, {Name: "spine"}},
		Links: []Link{{"e1", "spine", 0}, {"e2", "spine", 0}, {"e3", "spine", 0}}}
	p, fault := Make(top, Options{Paths: 4, Slack: 2, VLANs: vids(100, 200), Seed: 1})
	if fault != nil {
		t.Fatal(fault)
	}
	want := []Loss{{"link e1 – spine", 2}, {"link e2 – spine", 2}, {"link e3 – spine", 2}, {"switch spine", 3}}
	if got := p.Losses(); !reflect.DeepEqual(got, want) {
		t.Errorf("losses: got %v, want %v", got, want)
	}
	if got := Ranges([]uint16{101, 103, 104, 105}); got != "101, 103-105" {
		t.Errorf("ranges: got %q", got)
	}
}
