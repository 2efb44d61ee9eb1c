package rig

import (
	"bytes"
	"net/netip"
	"testing"
	"time"

	"penstock/ctrl/alarm"
	"penstock/ctrl/compile"
	"penstock/ctrl/model"
	"penstock/ctrl/vtep"
	"penstock/dataplane/resolve"
)

// vtepTown is a rig with the learner of stations behind VTEPs, whose clock is set by hand.
type vtepTown struct {
	*Rig
	t       *testing.T
	learner *vtep.Learner
	reader  *resolve.Reader
	now     int64
	alarms  map[string]bool
	owners  map[compile.FabricKey]int64 // answers of other boxes
	asked   []compile.FabricKey
	options Options
}

func startTown(t *testing.T, o Options) *vtepTown {
	w := &vtepTown{Rig: startVTEPs(t, o), options: o, t: t, now: 1e18, alarms: map[string]bool{},
		owners: map[compile.FabricKey]int64{}}
	w.reader = resolve.NewReader(w.Rig.Resolve)
	w.learner = vtep.New(vtep.Config{Table: w.Compiler, Alarms: w, Owners: w, Changed: func() {},
		Now: func() int64 { return w.now }})
	return w
}

func (w *vtepTown) Raise(r alarm.Report)                    { w.alarms[string(r.Kind)+" "+r.Object] = true }
func (w *vtepTown) Clear(k alarm.Kind, object string)       { delete(w.alarms, string(k)+" "+object) }
func (w *vtepTown) Retain(func(string) bool, ...alarm.Kind) {}
func (w *vtepTown) AskOwner(key compile.FabricKey)          { w.asked = append(w.asked, key) }
func (w *vtepTown) Answered(key compile.FabricKey) int64    { return w.owners[key] }
func (w *vtepTown) at(tenant uint32, mac model.MAC) (v string, ok bool) {
	row, ok := w.Compiler.Learned(compile.FabricKey{Tenant: tenant, Segment: 1, MAC: mac})
	return w.Compiler.VTEPs()[row.At].Name, ok
}

// from lets a VTEP send frames, and control take what the packet path tells of them.
func (w *vtepTown) from(n int, vni uint32, frames ...[]byte) {
	w.t.Helper()
	for _, f := range frames {
		receive(w.t, w.Rig, vx4+n/2, inVXLAN(w.t, n, vni, f))
	}
	w.Rig.Resolve.Wake()
	w.reader.TakeEvents(func(e resolve.Event) { w.learner.Event(&e) })
}

// pass lets time pass, a second at a time.
func (w *vtepTown) pass(d time.Duration) {
	for ; d > 0; d -= time.Second {
		w.now += int64(time.Second)
		w.Tick(time.Second)
		w.learner.Tick()
	}
}

const stranger = model.MAC(0x020000000888)

// TestVXLANLearns: a station is learned from its first frame, with what it says in ARP; it moves with its first frame
// from elsewhere, and is forgotten when it is silent. The other tenant's station with the same MAC is another one.
func TestVXLANLearns(t *testing.T) {
	for _, v6 := range []int{0, 2} {
		w := startTown(t, vtepWorld(0, 0))
		hello := udp(t, localMAC, stranger, localIP, "10.1.8.8", 100)
		w.from(v6, vni, hello)
		w.from(v6+1, vni+1, hello)
		if a, _ := w.at(7, stranger); a != vtepNames[v6] {
			t.Fatalf("learned at %q, want %s", a, vtepNames[v6])
		}
		if a, _ := w.at(8, stranger); a != vtepNames[v6+1] {
			t.Errorf("the other tenant's at %q, want %s", a, vtepNames[v6+1])
		}
		w.from(v6, vni, arpAsks(t, stranger, "10.1.8.8", localIP))
		row, _ := w.Compiler.Learned(compile.FabricKey{Tenant: 7, Segment: 1, MAC: stranger})
		if len(row.Addresses) != 1 || row.Addresses[0] != netip.MustParseAddr("10.1.8.8") {
			t.Errorf("addresses %v, want 10.1.8.8", row.Addresses)
		}
		w.Sent(vx4)
		w.Sent(vx6)
		out := udp(t, stranger, localMAC, "10.1.8.8", localIP, 100)
		receive(t, w.Rig, acc0, out)
		sent := w.Sent(vx4 + v6/2)
		if len(sent) != 1 {
			t.Fatalf("%d frames to the station, want 1", len(sent))
		}
		if to, inner := outVXLAN(t, sent[0], vni); to != v6 || !bytes.Equal(inner, out) {
			t.Errorf("to VTEP %d, want %d", to, v6)
		}

		w.from(v6+1, vni, hello)
		if a, _ := w.at(7, stranger); a != vtepNames[v6+1] {
			t.Errorf("after the first frame from there: at %q, want %s", a, vtepNames[v6+1])
		}
		w.pass(200 * time.Second)
		w.from(v6+1, vni, hello)
		w.pass(200 * time.Second)
		if _, ok := w.at(7, stranger); !ok {
			t.Error("forgotten 200 s after its last frame, want it there for 300 s")
		}
		w.pass(101 * time.Second)
		if a, ok := w.at(7, stranger); ok {
			t.Errorf("300 s after its last frame at %q, want it forgotten", a)
		}
		if c := w.learner.Counters(); c.Learned != 2 || c.Moved != 1 || c.Aged != 2 {
			t.Errorf("counters %+v, want 2 learned, 1 moved, 2 aged", c)
		}
	}
}

// TestVXLANLearnsNot: no frame of a VTEP moves a pushed binding or a VIF of this box, which is a loop.
func TestVXLANLearnsNot(t *testing.T) {
	w := startTown(t, vtepWorld(0, 0))
	w.from(1, vni, udp(t, localMAC, farMAC, localIP, farIP, 100)) // pushed to VTEP 0
	if a, ok := w.at(7, farMAC); ok {
		t.Errorf("a pushed binding was learned at %q", a)
	}
	w.from(0, vni, udp(t, remoteMAC(0), localMAC, farIP, localIP, 100))
	const object = "vxlan_loop vif 7/1 02:00:00:00:00:11"
	if !w.alarms[object] {
		t.Errorf("alarms %v, want %s", w.alarms, object)
	}
	if d := dropped(w.Rig, vx4); d["vxlan_source"] != 1 {
		t.Errorf("dropped %v, want one for vxlan_source", d)
	}
	w.pass(61 * time.Second)
	if len(w.alarms) != 0 {
		t.Errorf("alarms %v a minute later, want none", w.alarms)
	}
	o := vtepWorld(0, 0)
	v, none := o.State.VTEPs["rack7"], model.Duration(0)
	v.Learning = &none
	o.State.VTEPs["rack7"] = v
	w = startTown(t, o)
	w.from(0, vni, udp(t, localMAC, stranger, localIP, "10.1.8.8", 100))
	if a, ok := w.at(7, stranger); ok {
		t.Errorf("learned at %q with learning 0s, want nothing learned", a)
	}
}

// TestVXLANOwners: a station that another box has told is learned only if that box does not answer for a second.
func TestVXLANOwners(t *testing.T) {
	w := startTown(t, vtepWorld(1, 0))
	key := compile.FabricKey{Tenant: 7, Segment: 1, MAC: stranger}
	told := compile.FabricRow{FabricKey: key, At: compile.Place{Switch: otherSwitch, Port: 9}, Static: true,
		Sequence: uint64(w.now) - 1e9}
	if v := w.Compiler.LearnRows([]compile.FabricRow{told}); v[0] != compile.Taken {
		t.Fatalf("the row of another box: %s", v[0])
	}
	hello := udp(t, localMAC, stranger, localIP, "10.1.8.8", 100)
	for i := range 5 { // it answers
		w.from(0, vni, hello)
		w.owners[key] = w.now
		w.pass(time.Second)
		if row, _ := w.Compiler.Learned(key); row.At != told.At {
			t.Fatalf("%d s: at %v, want %v: the other box answers", i, row.At, told.At)
		}
	}
	if out := w.Sent(acc0); len(out) != 0 || len(w.asked) == 0 {
		t.Errorf("%d frames delivered, %d questions; want none, and some", len(out), len(w.asked))
	}
	for range 3 { // it does not
		w.from(0, vni, hello)
		w.pass(time.Second)
	}
	if a, _ := w.at(7, stranger); a != "rack7" {
		t.Errorf("at %q, want rack7: the other box is silent", a)
	}
}

// TestVXLANOwns: a box between boxes and VTEPs owns the stations behind VTEPs, learned and pushed, until it gives way;
// without ports to boxes it owns none.
func TestVXLANOwns(t *testing.T) {
	hello := udp(t, localMAC, stranger, localIP, "10.1.8.8", 100)
	owned := func(w *vtepTown) map[model.MAC]compile.FabricRow {
		list := map[model.MAC]compile.FabricRow{}
		for _, r := range w.Compiler.OwnVIFs() {
			if r.Tenant == 7 && r.VTEP {
				list[r.MAC] = r
			}
		}
		return list
	}
	w := startTown(t, vtepWorld(1, 0))
	w.from(0, vni, hello, arpAsks(t, stranger, "10.1.8.8", localIP))
	got := owned(w)
	if x := got[stranger]; len(got) != 2 || x.Static || len(x.Addresses) != 1 || !got[farMAC].Static {
		t.Errorf("owned %v, want the station that was learned, with its address, and the one that was pushed", got)
	}
	w.pass(301 * time.Second)
	if got := owned(w); len(got) != 1 {
		t.Errorf("owned %v when the one is silent, want the other", got)
	}
	w.Compiler.Yield([]compile.FabricKey{{Tenant: 7, Segment: 1}})
	if got := owned(w); len(got) != 0 {
		t.Errorf("owned %v where another box stands, want none", got)
	}
	w.Compiler.Yield(nil)
	if err := w.Apply(w.options.State, model.BindingChanges{Deletes: []model.BindingKey{
		{Tenant: "red", Segment: "web", MAC: farMAC}}}); err != nil {
		t.Fatal(err)
	}
	if got := owned(w); len(got) != 0 {
		t.Errorf("owned %v after the binding was deleted, want none", got)
	}
	w = startTown(t, vtepWorld(0, 0))
	w.from(0, vni, hello)
	if got := owned(w); len(got) != 0 {
		t.Errorf("owned %v without a port to boxes, want none", got)
	}
}
