package integration

import (
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"penstock/ctrl/alarm"
	"penstock/ctrl/status"
	"penstock/integration/endpoint"
	"penstock/integration/lab"
)

// pathFlows is how many UDP flows cross while a path dies.
const pathFlows = 1000

// flowView is what is seen of the flows on the trunks, from box1 to box2, before any trunk is cut.
type flowView struct {
	mu   sync.Mutex
	vlan [pathFlows]uint16
	last map[uint16]time.Time // by VLAN: the last frame of a tenant
}

// watch notes the flows that a tap sees, until stop is set.
func (v *flowView) watch(r *endpoint.Raw, stop *atomic.Bool) {
	for !stop.Load() {
		b, err := r.Receive(50 * time.Millisecond)
		if err != nil || len(b) < 100 || b[27] != endpoint.Proto143 {
			continue
		}
		port := int(binary.BigEndian.Uint16(b[72:])) - 10_000
		if port < 0 || port >= pathFlows {
			continue
		}
		vlan := binary.BigEndian.Uint16(b[14:]) & 0xfff
		v.mu.Lock()
		v.vlan[port], v.last[vlan] = vlan, time.Now()
		v.mu.Unlock()
	}
}

// settled waits until every flow was seen again, and returns the VLANs of all.
func (v *flowView) settled(t *testing.T) (at [pathFlows]uint16) {
	t.Helper()
	v.mu.Lock()
	v.vlan = [pathFlows]uint16{}
	v.mu.Unlock()
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		v.mu.Lock()
		at = v.vlan
		v.mu.Unlock()
		missing := 0
		for _, x := range at {
			if x == 0 {
				missing++
			}
		}
		if missing == 0 {
			return at
		}
	}
	t.Fatal("not every flow was seen within 30 s")
	return at
}

// TestPathDiesSilently: one of four paths loses everything in one direction, with all links up.
func TestPathDiesSilently(t *testing.T) {
	full := os.Getenv("PENSTOCK_PATHS") == "full"
	// Keys of which the first one is not the only one: a change is under way.
	const keys = `keys = [{ id = 9, key = "000102030405060708090a0b0c0d0e0f" }, ` +
		`{ id = 8, key = "ff0102030405060708090a0b0c0d0e0f" }]`
	t.Run("50 ms with keys", func(t *testing.T) { testPathDies(t, "50ms", keys, 250*time.Millisecond, full) })
	if full {
		t.Run("50 ms", func(t *testing.T) { testPathDies(t, "50ms", "", 250*time.Millisecond, full) })
		t.Run("300 ms", func(t *testing.T) { testPathDies(t, "300ms", "", 1300*time.Millisecond, full) })
		t.Run("300 ms with keys", func(t *testing.T) { testPathDies(t, "300ms", keys, 1300*time.Millisecond, full) })
	}
}

func testPathDies(t *testing.T, interval, keys string, bar time.Duration, full bool) {
	o := town()
	o.Fabric = keys
	o.Trunks, o.Tap, o.Probe = []uint16{101, 102, 103, 104}, true, fmt.Sprintf("interval = %q", interval)
	f := startFabric(t, o)
	v := &flowView{last: map[uint16]time.Time{}}
	tap := ""
	var stop atomic.Bool
	var threads sync.WaitGroup
	for _, trunk := range f.Trunks {
		r := f.open(t, lab.TapNamespace, trunk.Tap)
		threads.Go(func() { v.watch(r, &stop) })
		if trunk.VLAN == 102 {
			tap = trunk.Tap
		}
	}
	raw := f.raw(t, "red-raw1")
	threads.Go(func() {
		for i := 0; !stop.Load(); i++ {
			b, err := endpoint.UDP4(f.host("red-raw1"), f.host("red-raw2"), 0, uint16(10_000+i%pathFlows), 9,
				make([]byte, 64))
			if err == nil {
				err = raw.Send(b)
			}
			if err != nil {
				t.Error(err)
				return
			}
			time.Sleep(500 * time.Microsecond)
		}
	})
	defer func() { stop.Store(true); threads.Wait() }()

	f.pathsAre(t, "box1", 20*time.Second, "up", "up", "up", "up")
	f.pathsAre(t, "box2", 20*time.Second, "up", "up", "up", "up")
	before := v.settled(t)
	rounds := 2
	if full {
		rounds = 5
	}
	for round := range rounds {
		f.tap(t, "add table netdev cut")
		cut := time.Now()
		f.tap(t, "add chain netdev cut c { type filter hook ingress device "+tap+
			" priority 0; policy drop; }")
		f.pathsAre(t, "box1", 20*time.Second, "up", "down", "up", "up")
		after := v.settled(t)
		v.mu.Lock()
		blocked := v.last[102].Sub(cut)
		v.mu.Unlock()
		moved, others := 0, 0
		for i := range before {
			switch {
			case before[i] == 102 && after[i] != 102:
				moved++
			case before[i] != after[i]:
				others++
			}
		}
		t.Logf("%s, round %d: blocked for %v, %d of %d flows moved, %d of other paths", interval, round,
			blocked.Round(time.Millisecond), moved, pathFlows, others)
		if moved < 100 || others > 0 {
			t.Errorf("%d flows of the dead path moved, want all of a quarter; %d of other paths, want 0", moved, others)
		}
		if limit := bar; full && blocked > limit || blocked > 10*limit {
			t.Errorf("round %d: blocked for %v, want at most %v", round, blocked, limit)
		}
		undone := time.Now()
		f.tap(t, "delete table netdev cut")
		f.pathsAre(t, "box1", 60*time.Second, "up", "up", "up", "up")
		hold := time.Second << round
		if back := time.Since(cut); back < hold {
			t.Errorf("round %d: back %v after it was cut, want %v at least", round, back, hold)
		}
		t.Logf("%s, round %d: back %v after it was mended", interval, round, time.Since(undone).Round(time.Millisecond))
		if v.settled(t) != before {
			t.Errorf("round %d: the flows are not where they were", round)
		}
	}
	f.pathHistory(t, rounds)
	if n := f.active("box1", alarm.SwitchSilent) + f.active("box1", alarm.PathsAllDown); n > 0 {
		t.Errorf("%d alarms about a whole switch, want none", n)
	}
}

// tap runs nft where the trunks can be seen.
func (f *fabric) tap(t *testing.T, commands ...string) {
	t.Helper()
	for _, c := range commands {
		if out, err := f.lab.Run(lab.TapNamespace, append([]string{"nft"}, strings.Fields(c)...)...); err != nil {
			t.Fatalf("nft %s: %v\n%s", c, err, out)
		}
	}
}

// paths returns the paths of a box to the switch that it does not hang from.
func (f *fabric) paths(node string) (list []status.Path) {
	f.t.Helper()
	var all status.Items[status.Path]
	f.get(node, "/v1/stats/paths", &all)
	for _, p := range all.Items {
		if p.Switch != f.Node(node).SwitchMAC.String() {
			list = append(list, p)
		}
	}
	return list
}

// pathsAre waits until the paths of a box have these states, by VLAN.
func (f *fabric) pathsAre(t *testing.T, node string, limit time.Duration, want ...string) {
	t.Helper()
	var got []string
	for end := time.Now().Add(limit); time.Now().Before(end); time.Sleep(2 * time.Millisecond) {
		got = got[:0]
		right := true
		for i, p := range f.paths(node) {
			state := strings.Replace(p.State, "suspect", "up", 1) // one probe may be lost
			right = right && i < len(want) && state == want[i] && p.Live == (state == "up")
			got = append(got, fmt.Sprintf("%s %v", p.State, p.Live))
		}
		if right && len(got) == len(want) {
			return
		}
	}
	for _, n := range []string{"box1", "box2", "swa", "swb"} {
		t.Logf("drops of %s: %v", n, f.drops(n))
	}
	t.Fatalf("paths of %s are %v after %v, want %v\n%+v", node, got, limit, want, f.paths(node))
}

// pathHistory looks at what `penstock show paths` has to say about VLAN 102.
func (f *fabric) pathHistory(t *testing.T, rounds int) {
	t.Helper()
	for _, p := range f.paths("box1") {
		if p.VID != 102 {
			continue
		}
		downs := 0
		for _, c := range p.Changes {
			if c.To == "down" && c.From != "down" && c.Reason == "silent" {
				downs++
			}
		}
		if downs != rounds || p.Failures != uint64(rounds) || p.RTT == nil || p.Missed == 0 {
			t.Errorf("path 102 is %+v, want %d times down in its history, round trips, and misses", p, rounds)
		}
	}
	out, err := exec.Command(program, "show", "paths", f.Node("swb").MAC.String(), "-s",
		f.Node("box1").Socket).CombinedOutput()
	if err != nil || strings.Count(string(out), "→ down") < rounds {
		t.Errorf("show paths: %v\n%s\nwant %d falls", err, out, rounds)
	}
}
