package resolve

import (
	"strings"
	"testing"
	"time"

	"penstock/ctrl/compile"
	"penstock/ctrl/model"
	"penstock/dataplane/resolve"
)

// hear has a box hear a station behind one of its ports.
func (n *node) station(key compile.FabricKey, port uint16, ip ...byte) {
	list := []resolve.Event{{Kind: resolve.LearnMAC, Tenant: key.Tenant, Segment: key.Segment, MAC: uint64(key.MAC),
		Port: port}}
	if len(ip) == 4 {
		e := list[0]
		e.Kind = resolve.LearnIP4
		copy(e.IP[:], ip)
		list = append(list, e)
	}
	n.s.Events(list)
}

// TestStation: a station that is heard is announced without flag 3, answered, counted, pulled by who joins, and said to
// be not here when it was silent for 300 s; one that goes on sending stays.
func TestStation(t *testing.T) {
	w := newWorld(t, 3)
	w.pass(5 * time.Second)
	heres := map[uint16]int{} // HEREs of the station, by flags
	gone := 0
	w.spy = func(from *node, b []byte, broadcast bool) {
		if m, _, ok := resolve.Parse(b); ok && broadcast && from.n == 0 && m.MAC == uint64(vif(100, 1).MAC) {
			switch m.Op {
			case resolve.OpHere:
				heres[m.Flags]++
			case resolve.OpNotHere:
				gone++
			}
		}
	}
	w.nodes[0].station(vif(100, 1), 0, 10, 0, 0, 1)
	w.nodes[0].station(vif(100, 2), 0)
	if took := w.settle(time.Second); took > 200*time.Millisecond {
		t.Errorf("the station is known everywhere after %s, want 200 ms", took)
	}
	if len(heres) != 1 || heres[0] == 0 {
		t.Errorf("HEREs of the station by flags: %v, want some with none", heres)
	}
	w.nodes[1].forget(vif(100, 1))
	w.nodes[1].s.Events([]resolve.Event{{Kind: resolve.MissIP4, Tenant: 100, Segment: 7, IP: [16]byte{10, 0, 0, 1}}})
	w.settle(time.Second)
	w.nodes[2].stop()
	w.nodes[2].start()
	w.settle(5 * time.Second)
	for range 100 {
		w.pass(4 * time.Second)
		w.nodes[0].station(vif(100, 2), 0)
	}
	w.settle(20 * time.Second)
	if gone != 1 || w.nodes[0].s.own[vif(100, 1)] != nil || w.nodes[0].s.own[vif(100, 2)] == nil {
		t.Errorf("after 400 s: %d NOT-HERE of the silent station, want 1; the other one has to stay", gone)
	}
	if _, ok := w.nodes[1].rows[vif(100, 1)]; ok {
		t.Error("another box has the silent station still")
	}
	if _, claimed := w.nodes[0].s.claims[vif(100, 2)]; claimed {
		t.Error("the claim of a station is kept over a restart, want only those of configured VIFs")
	}
}

// TestStationMoves: a station that sends behind another box is there, without NOT-HERE, and the box that had it says
// nothing; a VIF that is configured elsewhere stays there, even if it was heard first.
func TestStationMoves(t *testing.T) {
	w := newWorld(t, 3)
	w.pass(5 * time.Second)
	gone := 0
	w.spy = func(from *node, b []byte, _ bool) {
		if m, _, ok := resolve.Parse(b); ok && m.Op == resolve.OpNotHere {
			gone++
		}
	}
	key := vif(100, 1)
	w.nodes[0].station(key, 0, 10, 0, 0, 1)
	w.settle(time.Second)
	w.nodes[1].station(key, 0, 10, 0, 0, 1)
	w.settle(time.Second)
	if w.nodes[2].rows[key].At != w.nodes[1].at || w.nodes[0].rows[key].At != w.nodes[1].at || gone != 0 {
		t.Errorf("moved: at %v and %v with %d NOT-HEREs, want the second box everywhere, and none",
			w.nodes[2].rows[key].At, w.nodes[0].rows[key].At, gone)
	}
	if w.nodes[0].s.own[key] != nil || w.nodes[1].s.own[key] == nil || w.nodes[0].alarms["vif_conflict"] != "" {
		t.Error("the station is not at the second box alone, without an alarm")
	}
	// The clock of the first box is slow: the station comes back all the same.
	w.nodes[0].skew = -int64(time.Hour)
	w.nodes[0].station(key, 0, 10, 0, 0, 1)
	w.settle(time.Second)
	if w.nodes[2].rows[key].At != w.nodes[0].at {
		t.Errorf("back behind a slow clock: at %v, want the first box", w.nodes[2].rows[key].At)
	}
	w.nodes[0].skew = 0

	// A configured VIF, with a claim that is older than that of the station, which is heard before that is known.
	fixed := vif(100, 2)
	w.nodes[1].put(fixed)
	w.nodes[0].station(fixed, 0)
	w.settle(3 * time.Second)
	if w.nodes[2].rows[fixed].At != w.nodes[1].at || !w.nodes[2].rows[fixed].Static || w.nodes[0].s.own[fixed] != nil {
		t.Errorf("configured and heard: at %v, want where it is configured", w.nodes[2].rows[fixed].At)
	}
	w.nodes[0].station(fixed, 0)
	w.pass(time.Second)
	if w.nodes[0].s.own[fixed] != nil || w.nodes[1].s.own[fixed].elsewhere.Sequence != 0 {
		t.Error("a station takes a VIF that is configured elsewhere")
	}
}

// TestStationFlaps: a station behind two attachments, and one behind two boxes, are held after five moves; so is an
// address of two stations. A frame of what is held keeps it from ageing.
func TestStationFlaps(t *testing.T) {
	w := newWorld(t, 3)
	w.pass(5 * time.Second)
	key := vif(100, 1)
	for i := range 20 {
		w.nodes[0].station(key, uint16(i%2))
		w.pass(time.Second)
	}
	at := w.nodes[0].heardAt[key]
	if w.nodes[0].alarms["vif_flapping"] == "" || w.nodes[0].s.counters.Stations[compile.HeardMoved] != flapMoves {
		t.Errorf("behind two attachments: %d moves, want %d and an alarm",
			w.nodes[0].s.counters.Stations[compile.HeardMoved], flapMoves)
	}
	for range 60 {
		w.pass(7 * time.Second)
		w.nodes[0].s.Events([]resolve.Event{{Kind: resolve.LearnMAC, Tenant: key.Tenant, Segment: key.Segment,
			MAC: uint64(key.MAC), Port: at}})
	}
	if w.nodes[0].s.own[key] == nil {
		t.Error("a held station that sends is gone after 300 s")
	}
	w = newWorld(t, 3)
	w.pass(5 * time.Second)
	here := 0
	w.spy = func(_ *node, b []byte, broadcast bool) {
		if m, _, ok := resolve.Parse(b); ok && broadcast && m.Op == resolve.OpHere {
			here++
		}
	}
	for i := range 60 {
		w.nodes[i%2].station(key, 0)
		w.pass(time.Second)
	}
	if here > 20 || w.nodes[2].alarms["vif_flapping"] == "" {
		t.Errorf("behind two boxes: %d HEREs within a minute, want 20 at most, and an alarm", here)
	}
}

// TestClaimAgain: a configured VIF that another box has claimed is claimed again by a frame behind an attachment that
// learns.
func TestClaimAgain(t *testing.T) {
	w := newWorld(t, 3)
	w.pass(5 * time.Second)
	key := vif(100, 1)
	w.nodes[0].put(key)
	w.pass(time.Second)
	w.nodes[1].put(key)
	w.settle(2 * time.Second)
	if w.nodes[0].s.own[key].elsewhere.Sequence == 0 || w.nodes[2].rows[key].At != w.nodes[1].at {
		t.Fatal("the later one does not have the VIF")
	}
	w.nodes[0].station(key, 0)
	w.settle(2 * time.Second)
	if w.nodes[1].s.own[key].elsewhere.Sequence == 0 || w.nodes[2].rows[key].At != w.nodes[0].at {
		t.Errorf("after a frame the VIF is at %v, want where it sends", w.nodes[2].rows[key].At)
	}
}

// TestPushedAgain: a configured VIF that another box has claimed is claimed again when it is pushed, though nothing of
// it has changed; while it is held it is not.
func TestPushedAgain(t *testing.T) {
	w := newWorld(t, 3)
	w.pass(5 * time.Second)
	key := vif(100, 1)
	for i := range 2 {
		w.nodes[i].put(key)
		w.settle(2 * time.Second)
	}
	w.nodes[1].s.Again(key) // which has it
	w.pass(time.Second)
	for i := range 3 { // the third and the following moves
		n := w.nodes[i%2]
		n.s.Again(key)
		w.settle(2 * time.Second)
		if w.nodes[2].rows[key].At != n.at || n.s.own[key].elsewhere.Sequence != 0 {
			t.Fatalf("pushed again at box %d: the VIF is at %v, want there", i%2, w.nodes[2].rows[key].At)
		}
	}
	for i := range 4 {
		w.nodes[(i+1)%2].s.Again(key)
		w.pass(2 * time.Second)
	}
	sequence := w.nodes[0].s.own[key].row.Sequence
	w.nodes[0].s.Again(key)
	if _, held := w.nodes[0].s.Held(key); !held || w.nodes[0].s.own[key].row.Sequence != sequence {
		t.Errorf("after more moves: held %v, claimed again %v, want held and not claimed", held,
			w.nodes[0].s.own[key].row.Sequence != sequence)
	}
}

// TestSilentBox: it is told when a box is heard first, when it becomes silent, and when it speaks again; once each.
func TestSilentBox(t *testing.T) {
	w := newWorld(t, 2)
	w.pass(20 * time.Second)
	w.nodes[1].stop()
	w.pass(60 * time.Second)
	w.nodes[1].start()
	w.pass(20 * time.Second)
	if got := strings.Join(w.nodes[0].heardOf, ", "); got != "2 heard, 2 silent, 2 heard" {
		t.Errorf("told: %s, want: 2 heard, 2 silent, 2 heard", got)
	}
}

// TestPulledIsNotHeard: what a box pulls does not count as HEREs that are heard, which slow its own ones down.
func TestPulledIsNotHeard(t *testing.T) {
	w := newWorld(t, 2)
	for i := range 300 {
		w.nodes[1].put(vif(100, model.MAC(i+1)))
	}
	w.pass(5 * time.Second)
	w.nodes[0].rows = map[compile.FabricKey]compile.FabricRow{}
	w.nodes[0].version++
	w.nodes[0].s.Sync(w.nodes[1].at)
	most := 0
	for range 50 {
		w.pass(20 * time.Millisecond)
		most = max(most, w.nodes[0].s.heard)
	}
	if len(w.nodes[0].rows) != 300 || most != 0 {
		t.Errorf("pulled %d bindings, %d count as heard; want 300 and none", len(w.nodes[0].rows), most)
	}
}
