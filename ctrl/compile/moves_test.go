package compile

import (
	"fmt"
	"slices"
	"testing"

	"penstock/ctrl/announce"
	"penstock/ctrl/model"
)

const otherVM model.MAC = 0x020000000005

// TestMoves: a move is reported when an address has another MAC than before, in any way, and only then.
func TestMoves(t *testing.T) {
	bind := func(mac model.MAC, ips ...string) model.Binding {
		return model.Binding{Tenant: "RED", Segment: "web", MAC: mac, Addresses: addrs(ips...),
			SwitchMAC: switchX, SwitchPort: 44}
	}
	unbind := func(x *tx, mac model.MAC) { x.unbind(model.BindingKey{Tenant: "RED", Segment: "web", MAC: mac}) }
	vif := func(x *tx, change func(*model.VIF)) {
		v := x.next.VIFs["RED/vm1"]
		change(&v)
		x.vif(v)
	}
	const a, b model.MAC = 0x020000000003, 0x020000000004
	for _, tt := range []struct {
		name  string
		steps []func(x *tx)
		want  []string // of the last step
	}{
		{"a new address", []func(*tx){func(x *tx) { x.bind(bind(a, "192.168.1.50")) }}, nil},
		{"the same again", []func(*tx){
			func(x *tx) { x.bind(bind(a, "192.168.1.50")) }, func(x *tx) { x.bind(bind(a, "192.168.1.50")) }}, nil},
		{"from binding to binding in one push", []func(*tx){
			func(x *tx) { x.bind(bind(a, "192.168.1.50", "fd00::50")) },
			func(x *tx) { unbind(x, a); x.bind(bind(b, "192.168.1.50", "fd00::50")) },
		}, []string{"192.168.1.50 " + b.String(), "fd00::50 " + b.String()}},
		{"in two pushes", []func(*tx){
			func(x *tx) { x.bind(bind(a, "192.168.1.50")) }, func(x *tx) {
				unbind(x,
					a)
			}, func(x *tx) { x.bind(bind(b, "192.168.1.50")) },
		}, []string{"192.168.1.50 " + b.String()}},
		{"in two pushes, an address of several", []func(*tx){
			func(x *tx) { x.bind(bind(a, "192.168.1.50", "192.168.1.51")) },
			func(x *tx) {
				x.bind(bind(a, "192.168.1.51"))
			},
			func(x *tx) { x.bind(bind(b, "192.168.1.50")) },
		}, []string{"192.168.1.50 " + b.String()}},
		{"away and back", []func(*tx){
			func(x *tx) { x.bind(bind(a, "192.168.1.50")) }, func(x *tx) {
				unbind(x,
					a)
			}, func(x *tx) { x.bind(bind(a, "192.168.1.50")) },
		}, nil},
		{"exchanged", []func(*tx){
			func(x *tx) { x.bind(bind(a, "192.168.1.50")); x.bind(bind(b, "192.168.1.51")) },
			func(x *tx) { x.bind(bind(a, "192.168.1.51")); x.bind(bind(b, "192.168.1.50")) },
		}, []string{"192.168.1.50 " + b.String(), "192.168.1.51 " + a.String()}},
		{"to a VIF of this box", []func(*tx){
			func(x *tx) { x.bind(bind(a, "192.168.1.50")) },
			func(x *tx) { unbind(x, a); vif(x, func(v *model.VIF) { v.Addresses = addrs("192.168.1.50") }) },
		}, []string{"192.168.1.50 " + redVM1.String()}},
		{"from a VIF whose MAC changes", []func(*tx){func(x *tx) { vif(x, func(v *model.VIF) { v.MAC = otherVM }) }},
			[]string{"192.168.1.10 " + otherVM.String(), "fd00::10 " + otherVM.String()}},
		{"the router's MAC", []func(*tx){func(x *tx) {
			v, m := x.next.Tenants["RED"], otherVM
			v.RouterMAC = &m
			x.tenant(v)
		}}, []string{"192.168.1.1 " + otherVM.String()}},
		{"from a VIF to the router", []func(*tx){
			func(x *tx) { x.bind(bind(a, "192.168.1.50")) },
			func(x *tx) {
				unbind(x, a)
				n := x.next.Subnets["RED/web4"]
				n.Router = addrs("192.168.1.50")[0]
				x.subnet(n)
			},
		}, []string{"192.168.1.50 " + model.DefaultRouterMAC.String()}},
		{"in a segment without VIFs here", []func(*tx){
			func(x *tx) {
				x.segment(model.Segment{Tenant: "RED", Name: "far", ID: 9})
				f := bind(a, "192.168.1.50")
				f.Segment = "far"
				x.bind(f)
			},
			func(x *tx) {
				x.unbind(model.BindingKey{Tenant: "RED", Segment: "far", MAC: a})
				f := bind(b, "192.168.1.50")
				f.Segment = "far"
				x.bind(f)
			},
		}, nil},
		{"another tenant's", []func(*tx){
			func(x *tx) {
				x.tenant(model.Tenant{Name: "BLUE", ID: 9})
				x.segment(model.Segment{Tenant: "BLUE", Name: "web", ID: 7})
				f := bind(b, "192.168.1.10")
				f.Tenant = "BLUE"
				x.bind(f)
			},
		}, nil},
	} {
		for _, bulk := range []bool{false, true} {
			w := newWorld(t, "", testPorts()[:3], 100)
			var got []string
			w.c.cfg.Moved = func(m []announce.Move) {
				for _, m := range m {
					got = append(got, fmt.Sprintf("%s %s", m.Addr, m.MAC))
				}
			}
			w.setLink(0, true, 1500, 1)
			w.setLink(2, true, 1600, 2)
			small(w).commit()
			if len(got) > 0 {
				t.Errorf("%s: moves %v at the first push, want none", tt.name, got)
			}
			for _, step := range tt.steps {
				x := w.begin()
				step(x)
				got = nil
				if !bulk || !onlyBindings(x) {
					x.commit()
					continue
				}
				if err := w.c.BulkDelete(x.ch.Deletes); err != nil {
					t.Fatal(err)
				}
				if err := w.c.BulkPut(x.ch.Puts); err != nil {
					t.Fatal(err)
				}
				w.c.BulkEnd()
				x.done()
			}
			slices.Sort(got)
			if got = slices.Compact(got); !slices.Equal(got, tt.want) {
				t.Errorf("%s, bulk %t: moves %v, want %v", tt.name, bulk, got, tt.want)
			}
		}
	}
}

// onlyBindings reports whether a transaction changes nothing else, so that a bulk push can do the same.
func onlyBindings(x *tx) bool {
	a, b := x.next, x.w.state
	return fmt.Sprint(a.Tenants, a.Segments, a.Subnets, a.VIFs) == fmt.Sprint(b.Tenants, b.Segments, b.Subnets, b.VIFs)
}

// TestDeparted: addresses without owner are remembered up to a bound.
func TestDeparted(t *testing.T) {
	var d departed
	for i := range 2*maxDeparted + 1 {
		d.put(addrKey{lo: uint64(i)}, 1)
		d.put(addrKey{lo: uint64(i)}, uint64(i)+2)
	}
	if len(d.mac) != maxDeparted || len(d.ring) != maxDeparted {
		t.Fatalf("%d remembered in %d places, want %d", len(d.mac), len(d.ring), maxDeparted)
	}
	for i := maxDeparted + 1; i < 2*maxDeparted+1; i++ {
		if d.mac[addrKey{lo: uint64(i)}] != uint64(i)+2 {
			t.Fatalf("address %d of the last %d is forgotten", i, maxDeparted)
		}
	}
}
