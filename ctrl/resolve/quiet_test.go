package resolve

import (
	"net/netip"
	"testing"
	"time"

	"penstock/ctrl/compile"
	"penstock/ctrl/model"
	"penstock/dataplane/resolve"
)

// many gives the box VIFs at once.
func (n *node) many(tenant uint32, count int) {
	for k := range count {
		key := vif(tenant, model.MAC(k))
		n.vifs[key] = compile.FabricRow{FabricKey: key, Static: true,
			Addresses: []netip.Addr{netip.AddrFrom4([4]byte{10, byte(k >> 16), byte(k >> 8), byte(k)})}}
	}
	n.s.Refresh()
}

// TestNoPullForChanges: a change that every box has heard makes nobody pull.
func TestNoPullForChanges(t *testing.T) {
	w := newWorld(t, 4)
	w.nodes[0].many(100, 50)
	w.settle(5 * time.Second)
	w.pass(30 * time.Second)
	before := w.count[resolve.OpPull]
	for k := range model.MAC(40) {
		w.nodes[0].put(vif(100, 100+k))
		w.pass(1700 * time.Millisecond)
		w.nodes[0].delete(vif(100, 100+k))
		w.pass(1300 * time.Millisecond)
	}
	if n := w.count[resolve.OpPull] - before; n != 0 {
		t.Errorf("pulls while 80 changes were heard by all: got %d, want 0", n)
	}
	if text := w.agree(); text != "" {
		t.Error(text)
	}
}

// TestRestless: a box whose bindings change all the time is compared, too.
func TestRestless(t *testing.T) {
	w := newWorld(t, 2)
	w.nodes[0].many(100, 20)
	w.settle(5 * time.Second)
	w.pass(30 * time.Second)
	w.loss = 1
	w.nodes[0].put(vif(100, 1000))
	w.pass(time.Second)
	w.loss = 0
	for k := range model.MAC(200) {
		w.nodes[0].put(vif(100, 2000+k))
		w.pass(300 * time.Millisecond)
	}
	if _, ok := w.nodes[1].rows[vif(100, 1000)]; !ok {
		t.Error("a binding whose HERE was lost is not known after a minute of other changes")
	}
}

// TestPullLoss: what is lost of a pull is asked for again at once, not after a time.
func TestPullLoss(t *testing.T) {
	w := newWorld(t, 2)
	w.nodes[1].stop()
	w.nodes[0].many(100, 10_000)
	w.pass(5 * time.Second)
	w.loss = 0.02
	w.nodes[1].start()
	if took := w.settle(20 * time.Second); took > 4*time.Second {
		t.Errorf("10,000 bindings of one box with 2 %% loss came in %s, want 4 s at most", took)
	}
	if n := w.count[resolve.OpWhere]; n != 0 {
		t.Errorf("questions: got %d, want 0", n)
	}
}

// TestSyncRate: a box pulls no faster than it is told to.
func TestSyncRate(t *testing.T) {
	w := newWorld(t, 3)
	w.nodes[2].stop()
	w.nodes[2].cfg.SyncRate = 2000
	w.nodes[0].many(100, 5000)
	w.nodes[1].many(101, 5000)
	w.pass(5 * time.Second)
	w.nodes[2].start()
	begin := w.now
	for len(w.nodes[2].rows) < 10_000 && w.now-begin < 60*second {
		w.pass(100 * time.Millisecond)
	}
	if took := time.Duration(w.now - begin); took < 3500*time.Millisecond || took > 8*time.Second {
		t.Errorf("10,000 bindings at 2,000 a second took %s, want about 5 s", took)
	}
}

// TestServed: a box serves eight pullers at once, and pulls from eight boxes at once; in the end all know all.
func TestServed(t *testing.T) {
	w := newWorld(t, 20)
	for i, n := range w.nodes {
		n.stop()
		n.many(100+uint32(i), 100)
	}
	w.loss = 1
	for _, n := range w.nodes {
		n.start()
	}
	w.pass(5 * time.Second) // nobody hears what is announced
	w.loss = 0
	most, served := 0, 0
	for range 1200 {
		w.pass(time.Duration(tick))
		for _, n := range w.nodes {
			most, served = max(most, len(n.s.pulls)), max(served, len(n.s.serving))
		}
		if w.now%(100*tick) == 0 && w.agree() == "" {
			break
		}
	}
	if most > 8 || served > 8 {
		t.Errorf("at once: pulled from %d boxes, served %d, want 8 of each at most", most, served)
	}
	w.settle(time.Minute)
}

// TestReclaim: a VIF that another box has claimed is claimed again when that box no longer has it, whether that was
// heard or is found out later.
func TestReclaim(t *testing.T) {
	for _, heard := range []bool{true, false} {
		w := newWorld(t, 3)
		w.nodes[1].skew = -3 * second
		w.pass(5 * time.Second)
		w.loss = 1
		w.nodes[0].put(vif(100, 1))
		w.nodes[1].put(vif(100, 1)) // it has not heard of the other one, and its clock is slow
		w.pass(time.Second)
		w.loss = 0
		w.pass(30 * time.Second)
		if w.nodes[1].alarms["vif_conflict"] == "" {
			t.Fatal("two owners raise no alarm at the one with the older claim")
		}
		if !heard {
			w.loss = 1
		}
		w.nodes[0].delete(vif(100, 1))
		w.pass(200 * time.Millisecond)
		w.loss = 0
		if !heard {
			w.pass(30 * time.Second)
		}
		for _, i := range []int{0, 2} {
			if r := w.nodes[i].rows[vif(100, 1)]; r.At != w.nodes[1].at {
				t.Errorf("NOT-HERE heard %v: box %d has %s, want it at box 1", heard, i, &r)
			}
		}
		if n := len(w.nodes[1].alarms); n != 0 {
			t.Errorf("NOT-HERE heard %v: alarms %v, want none", heard, w.nodes[1].alarms)
		}
	}
}

// TestLearnedElsewhere: a claim of a VIF that is only learned does not displace a configured one, however new it is.
func TestLearnedElsewhere(t *testing.T) {
	w := newWorld(t, 2)
	w.nodes[0].put(vif(100, 1))
	w.settle(3 * time.Second)
	before := w.count[resolve.OpHere]
	m := body{Op: resolve.OpHere, Sequence: uint64(w.now + second), Tenant: 100, Segment: 7,
		MAC: uint64(vif(100, 1).MAC), Switch: 2 << 40, Port: 77}
	for range 10 {
		w.nodes[0].s.Message(resolve.Arrival{Broadcast: true, Payload: m.Append(nil)})
		w.pass(100 * time.Millisecond)
	}
	if len(w.nodes[0].alarms) != 0 || w.nodes[0].s.own[vif(100, 1)].elsewhere.Sequence != 0 {
		t.Errorf("a learned claim: alarms %v, want none, and the VIF here", w.nodes[0].alarms)
	}
	if n := w.count[resolve.OpHere] - before; n != 1 {
		t.Errorf("answers to 10 claims in a second: got %d, want 1", n)
	}
}

// TestDeny: a HERE that is sent once more after its VIF was deleted brings it back for a moment only.
func TestDeny(t *testing.T) {
	w := newWorld(t, 3)
	var old []byte
	w.spy = func(_ *node, payload []byte, _ bool) {
		if payload[3] == resolve.OpHere {
			old = append([]byte(nil), payload...)
		}
	}
	w.pass(4 * time.Second)
	w.nodes[0].put(vif(100, 1))
	w.settle(3 * time.Second)
	w.spy = nil
	w.nodes[0].delete(vif(100, 1))
	w.pass(2 * time.Second)
	for range 5 {
		for _, n := range w.nodes {
			n.s.Message(resolve.Arrival{Broadcast: true, Payload: old})
		}
	}
	w.pass(100 * time.Millisecond)
	if text := w.agree(); text != "" {
		t.Errorf("after a HERE was replayed: %s", text)
	}
}

// TestPace: while more than 100,000 HEREs a second are heard, this box sends fewer and fewer, 50 a second at least.
func TestPace(t *testing.T) {
	w := newWorld(t, 1)
	n := w.nodes[0]
	n.unknown[999] = true
	m := body{Op: resolve.OpHere, Sequence: 1, Tenant: 999, Segment: 7, MAC: 0x020000000001, Switch: 2 << 40, Port: 3}
	var b []byte
	for range 36 {
		b = m.Append(b)
	}
	flood := func(seconds int) {
		for range seconds * 50 {
			for range 57 { // 102,600 a second
				n.s.Message(resolve.Arrival{Broadcast: true, Payload: b})
			}
			w.pass(time.Duration(tick))
		}
	}
	sent := func() int {
		before := w.count[resolve.OpHere]
		flood(1)
		return w.count[resolve.OpHere] - before
	}
	n.many(100, 40_000)
	flood(3)
	if got := sent(); got > 1300 {
		t.Errorf("HEREs in the fourth second of a flood: got %d, want 1,300 at most", got)
	}
	flood(8)
	if got := sent(); got < 20 || got > 100 {
		t.Errorf("HEREs in a second of a long flood: got %d, want about 50", got)
	}
	w.pass(10 * time.Second) // doubled every second
	n.many(101, 20_000)
	before := w.count[resolve.OpHere]
	w.pass(2 * time.Second)
	if got := w.count[resolve.OpHere] - before; got < 9_000 || got > 11_000 {
		t.Errorf("HEREs in two seconds after the flood: got %d, want about 10,000", got)
	}
}

// TestClockBack: a box whose clock is an hour behind the one that it had before its restart is heard at once.
func TestClockBack(t *testing.T) {
	w := newWorld(t, 2)
	w.pass(5 * time.Second)
	w.nodes[0].stop()
	w.nodes[0].skew = -3600 * second
	w.loss = 1
	w.nodes[0].start()
	w.nodes[0].put(vif(100, 1))
	w.pass(500 * time.Millisecond)
	w.loss = 0
	if took := w.settle(time.Minute); took > 5*time.Second {
		t.Errorf("a binding of a box whose clock was set back is known after %s, want 5 s at most", took)
	}
	if w.nodes[1].alarms["clock_skew"] == "" {
		t.Error("a clock that is an hour off raises no alarm")
	}
}

// TestManyBoxes: boxes that nobody has heard of again make room for others.
func TestManyBoxes(t *testing.T) {
	w := newWorld(t, 1)
	n := w.nodes[0]
	hello := func(i int) {
		m := body{Op: resolve.OpHello, Sequence: uint64(w.now), MAC: uint64(0x020000100000 + i),
			Switch: uint64(0x020000001000 + i), Port: 3}
		m.SetSummary(resolve.Summary{})
		n.s.Message(resolve.Arrival{Broadcast: true, Payload: m.Append(nil)})
	}
	for i := range maxBoxes + 10 {
		hello(i)
	}
	if got := len(n.s.boxes); got != maxBoxes || n.s.counters.Stranger != 10 {
		t.Errorf("boxes: got %d, and %d refused, want %d and 10", got, n.s.counters.Stranger, maxBoxes)
	}
	w.pass(40 * time.Second)
	hello(maxBoxes + 20)
	if n.s.boxes[compile.Place{Switch: model.MAC(0x020000001000 + maxBoxes + 20), Port: 3}] == nil {
		t.Error("a new box is not followed, though others are silent")
	}
}

// TestChirp: each path VLAN gets a HELLO as soon as the box has a place, and then once a minute.
func TestChirp(t *testing.T) {
	w := newWorld(t, 1)
	n := w.nodes[0]
	for v := range uint16(100) {
		n.paths = append(n.paths, 1000+v)
	}
	w.pass(10 * time.Minute)
	for v := range uint16(100) {
		times := n.chirped[1000+v]
		if len(times) < 8 || len(times) > 14 {
			t.Fatalf("VLAN %d: got %d HELLOs in ten minutes, want about 10", 1000+v, len(times))
		}
		for i := 1; i < len(times); i++ {
			if gap := time.Duration(times[i] - times[i-1]); gap < 44*time.Second || gap > 76*time.Second {
				t.Fatalf("VLAN %d: got a HELLO after %s, want it after 45 to 75 s", 1000+v, gap)
			}
		}
	}
	n.s.SetSelf(Self{})
	n.chirped = map[uint16][]int64{}
	w.pass(3 * time.Minute)
	if len(n.chirped) != 0 {
		t.Errorf("without a place: HELLOs in %d VLANs, want none", len(n.chirped))
	}
}

// TestStuck: what a port does not take, since its queue is full, is sent once there is room.
func TestStuck(t *testing.T) {
	w := newWorld(t, 2)
	w.nodes[0].put(vif(100, 9999))
	w.settle(3 * time.Second)
	w.nodes[0].stuck = true
	w.nodes[0].many(100, 1000)
	w.nodes[0].delete(vif(100, 9999))
	w.pass(300 * time.Millisecond)
	if n := len(w.nodes[1].rows); n != 1 {
		t.Fatalf("rows while the port is stuck: got %d, want 1", n)
	}
	pulls := w.count[resolve.OpPull]
	w.nodes[0].stuck = false
	w.settle(500 * time.Millisecond)
	if n := w.count[resolve.OpPull] - pulls; n != 0 {
		t.Errorf("pulls: got %d, want none", n)
	}
}
