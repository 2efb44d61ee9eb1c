package resolve

import (
	"testing"
	"time"

	"penstock/ctrl/compile"
)

func (n *node) Between(segment compile.FabricKey) bool { return n.between }

func (n *node) TellsVTEP(segment compile.FabricKey, at compile.Place) bool {
	for _, r := range n.rows {
		if r.VTEP && r.At == at && r.Tenant == segment.Tenant && r.Segment == segment.Segment {
			return true
		}
	}
	return false
}

// Yield takes back what the box owns of stations behind VTEPs, as the tables do.
func (n *node) Yield(segments []compile.FabricKey) {
	n.yielded = segments
	for key, r := range n.vifs {
		if r.VTEP && len(segments) > 0 {
			delete(n.vifs, key)
		}
	}
}

// behind gives the box a station behind a VTEP.
func (n *node) behind(key compile.FabricKey) {
	n.forget(key)
	n.vifs[key] = compile.FabricRow{FabricKey: key, VTEP: true, Sequence: uint64(n.w.now)}
	n.s.Refresh()
}

// TestGateway: a box between boxes and VTEPs tells the others of stations behind VTEPs as its own, with flag 4.
func TestGateway(t *testing.T) {
	w := newWorld(t, 3)
	w.nodes[0].between = true
	w.nodes[0].behind(vif(100, 1))
	w.pass(2 * time.Second)
	for _, n := range w.nodes[1:] {
		if r := n.rows[vif(100, 1)]; r.At != w.nodes[0].at || !r.VTEP || r.Static {
			t.Errorf("box %d has %+v, want the station at box 0, behind a VTEP, not static", n.n, r)
		}
		if len(n.alarms) != 0 {
			t.Errorf("box %d: alarms %v, want none", n.n, n.alarms)
		}
	}
}

// TestTwoGateways: of two boxes between boxes and VTEPs the one at the larger place gives way, and comes back when the
// other one is silent.
func TestTwoGateways(t *testing.T) {
	w := newWorld(t, 3)
	small, large := w.nodes[0], w.nodes[1]
	if small.at.Compare(large.at) > 0 {
		small, large = large, small
	}
	small.between, large.between = true, true
	small.behind(vif(100, 1))
	large.behind(vif(100, 2))
	w.pass(2 * time.Second)
	if len(small.yielded) != 0 || len(large.yielded) != 1 || large.yielded[0].Tenant != 100 ||
		large.yielded[0].Segment != 7 {
		t.Fatalf("the small one gives way in %v, the large one in %v; want none, and 100/7", small.yielded,
			large.yielded)
	}
	if large.alarms["vxlan_two_gateways"] == "" {
		t.Errorf("alarms %v, want vxlan_two_gateways", large.alarms)
	}
	large.s.Refresh()
	w.pass(2 * time.Second)
	if r, ok := w.nodes[2].rows[vif(100, 2)]; ok {
		t.Errorf("box 2 has %+v of the box that gave way, want nothing", r)
	}
	w.pass(150 * time.Second) // the small one goes on
	if len(large.yielded) != 1 {
		t.Error("the large one came back while the small one lives")
	}
	small.stop()
	w.pass(150 * time.Second)
	if len(large.yielded) != 0 || large.alarms["vxlan_two_gateways"] != "" {
		t.Errorf("when the other one is silent: gives way in %v, alarms %v; want none", large.yielded, large.alarms)
	}
}
