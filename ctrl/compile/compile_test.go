package compile

import (
	"encoding/json"
	"errors"
	"testing"

	"penstock/ctrl/core"
	"penstock/ctrl/model"
	"penstock/dataplane/fib"
)

const redVM1, redVM2 model.MAC = 0x020000000001, 0x020000000002

func (w *world) status(kind model.Kind, key string) string {
	w.t.Helper()
	b, err := json.Marshal(w.c.Status(kind, key))
	if err != nil {
		w.t.Fatal(err)
	}
	return string(b)
}

func (w *world) wantStatus(kind model.Kind, key, want string) {
	w.t.Helper()
	if got := w.status(kind, key); got != want {
		w.t.Errorf("status of %s/%s\n got %s\nwant %s", kind, key, got, want)
	}
}

// TestShadow pushes a binding of a local VIF, by transaction and in bulk, and takes the VIF away.
func TestShadow(t *testing.T) {
	for _, bulk := range []bool{false, true} {
		w := newWorld(t, "", testPorts()[:3], 100)
		w.setLink(0, true, 1500, 1)
		w.setLink(2, true, 1600, 2)
		small(w).commit()
		b := model.Binding{Tenant: "RED", Segment: "web", MAC: redVM1, Addresses: addrs("192.168.1.99"),
			SwitchMAC: switchX, SwitchPort: 44}
		x := w.begin()
		x.bind(b)
		if bulk {
			if err := w.c.BulkPut(x.ch.Puts); err != nil {
				t.Fatal(err)
			}
			w.c.BulkEnd()
			x.done()
			w.check()
		} else {
			x.commit()
		}
		w.wantStatus(model.KindBinding, "RED/web/"+redVM1.String(),
			`{"live":true,"local":true,"port":"acc0","vlan":5,"reachable":true,"origin":"pushed",`+
				`"reason":"a VIF of this box has this MAC and wins over the pushed location"}`)

		x = w.begin()
		delete(own(&x.next.VIFs), "RED/vm1")
		x.commit()
		w.wantStatus(model.KindBinding, "RED/web/"+redVM1.String(),
			`{"live":true,"local":false,"switch_mac":"02:aa:00:00:00:11","switch_port":44,"reachable":true,`+
				`"origin":"pushed","paths":2}`)
		if mac, loc, ok := w.cfg.Bindings.FindIP4(0, 0xc0a80163); !ok || mac != uint64(redVM1) || loc&0xff != 44 {
			t.Errorf("the pushed address leads to %x at %x, %t", mac, loc, ok)
		}
		if _, _, ok := w.cfg.Bindings.FindIP4(0, 0xc0a8010a); ok {
			t.Error("the address of the deleted VIF is still found")
		}
	}
}

// TestSelf pushes a binding that names this box, which has no such VIF; then the port moves to another place.
func TestSelf(t *testing.T) {
	w := newWorld(t, "", testPorts()[:3], 100)
	w.setLink(2, true, 1600, 2)
	small(w).commit()
	x := w.begin()
	x.bind(model.Binding{Tenant: "RED", Segment: "web", MAC: 0x020000000003, SwitchMAC: switchS, SwitchPort: 3})
	x.commit()
	key := "RED/web/" + model.MAC(0x020000000003).String()
	w.wantStatus(model.KindBinding, key,
		`{"live":false,"local":false,"switch_mac":"02:aa:00:00:00:01","switch_port":3,"reachable":false,`+
			`"origin":"pushed","reason":"the location is this box, which has no VIF with this MAC"}`)
	if n := len(w.c.Snapshot().Segments[0].Remote); n != 1 {
		t.Errorf("flooding to %d boxes", n)
	}
	w.links[2].SwitchPort = 4
	if err := w.c.Reconfigure(func(c *Config) { c.Ports[2].SwitchPort = 4 }); err != nil {
		t.Fatal(err)
	}
	w.check()
	w.wantStatus(model.KindBinding, key,
		`{"live":true,"local":false,"switch_mac":"02:aa:00:00:00:01","switch_port":3,"reachable":true,`+
			`"origin":"pushed","paths":2}`)

	// And back: the row that is live now would lead to this box again.
	if err := w.c.Reconfigure(func(c *Config) { c.Ports[2].SwitchPort = 3 }); !errors.Is(err, ErrFixed) {
		t.Errorf("moved to a place that bindings lead to: %v", err)
	}
	w.check()
	x = w.begin()
	x.unbind(model.BindingKey{Tenant: "RED", Segment: "web", MAC: 0x020000000003})
	x.commit()
	w.links[2].SwitchPort = 3
	if err := w.c.Reconfigure(func(c *Config) { c.Ports[2].SwitchPort = 3 }); err != nil {
		t.Fatal(err)
	}
	w.check()
}

func TestLink(t *testing.T) {
	w := newWorld(t, "", testPorts(), 100)
	small(w).commit()
	key := "RED/web/" + redVM2.String()
	w.wantStatus(model.KindBinding, key,
		`{"live":true,"local":false,"switch_mac":"02:aa:00:00:00:11","switch_port":9,"reachable":false,`+
			`"origin":"pushed","paths":0,"reason":"no live path to the edge switch"}`)
	w.wantStatus(model.KindVIF, "RED/vm1",
		`{"live":true,"port":"acc0","vlan":5,"up":false,"reason":"the port is down"}`)
	path := switchS.String() + "/" + switchX.String()
	w.wantStatus(model.KindPath, path, `{"live":false,"paths":0,"reason":"the fabric ports that use it are down"}`)
	stats := w.c.PathStats()
	before := w.c.Snapshot()
	w.setLink(2, true, 1600, 5)
	w.check()
	if before.Ports[2].Up || len(before.Switches[1].Paths) != 0 {
		t.Error("a published snapshot was changed")
	}
	w.wantStatus(model.KindBinding, key,
		`{"live":true,"local":false,"switch_mac":"02:aa:00:00:00:11","switch_port":9,"reachable":true,`+
			`"origin":"pushed","paths":2}`)
	w.wantStatus(model.KindPath, path, `{"live":true,"paths":2,"ports":["fab0"]}`)
	up := w.c.PathStats()
	for i := range stats {
		if stats[i].Used || !up[i].Used || stats[i].Stat != up[i].Stat || stats[i].VID != up[i].VID {
			t.Errorf("counters of %+v moved to %+v", stats[i], up[i])
		}
	}
	n := w.published
	w.setLink(2, true, 1600, 5)
	w.c.SetLink(99, true, 1, 1)
	if w.published != n {
		t.Error("published although nothing changed")
	}
	w.setLink(2, false, 1600, 5)
	w.check()
	if n := len(w.c.Snapshot().Switches[1].Paths); n != 0 {
		t.Errorf("%d paths over a port that is down", n)
	}
}

func TestErrors(t *testing.T) {
	w := newWorld(t, "", testPorts(), 1)
	small(w).commit() // a VIF, which needs no room, and a binding
	bind := func(mac model.MAC, segment string) func(*tx) {
		return func(x *tx) {
			x.bind(model.Binding{Tenant: "RED", Segment: segment, MAC: mac, SwitchMAC: switchY, SwitchPort: 1})
		}
	}
	vif := func(v model.VIF) func(*tx) {
		return func(x *tx) { v.Tenant, v.Name = "RED", "vm9"; x.vif(v) }
	}
	for name, c := range map[string]struct {
		change func(*tx)
		want   error
		text   string
	}{
		"full": {bind(0x0209, "web"), core.ErrCapacity,
			"2 bindings, room for 1: the dataplane's table is full"},
		"binding segment": {bind(0x0209, "nope"), ErrReference,
			"bindings/RED/nope/00:00:00:00:02:09: segment: refers to something that does not exist"},
		"vif segment": {vif(model.VIF{Segment: "nope", Port: "acc0"}), ErrReference,
			"vifs/RED/vm9: segment: refers to something that does not exist"},
		"vif port": {vif(model.VIF{Segment: "web", Port: "fab0"}), ErrPort,
			`vifs/RED/vm9: port: "fab0": not an access port of this box`},
		"attachment": {func(x *tx) {
			x.segment(model.Segment{Tenant: "RED", Name: "db", ID: 8})
			vif(model.VIF{Segment: "db", Port: "acc0", VLAN: 5})(x)
		}, ErrAttachment, "vifs/RED/vm9: vlan: port and VLAN already belong to another segment"},
		"subnet segment": {func(x *tx) {
			x.subnet(model.Subnet{Tenant: "RED", Name: "web4", Segment: "nope",
				Prefix: x.next.Subnets["RED/web4"].Prefix})
		}, ErrReference, "subnets/RED/web4: segment: refers to something that does not exist"},
		"segment tenant": {func(x *tx) { x.segment(model.Segment{Tenant: "NO", Name: "x", ID: 8}) }, ErrReference,
			"segments/NO/x: tenant: refers to something that does not exist"},
		"segment with bindings": {func(x *tx) {
			delete(own(&x.next.Segments), "RED/web")
			delete(own(&x.next.Subnets), "RED/web4")
			delete(own(&x.next.VIFs), "RED/vm1")
		}, ErrInUse, "segments/RED/web: still has bindings"},
		"segment with VIFs": {func(x *tx) {
			delete(own(&x.next.Segments), "RED/web")
			delete(own(&x.next.Subnets), "RED/web4")
			x.unbind(model.BindingKey{Tenant: "RED", Segment: "web", MAC: redVM2})
		}, ErrReference, "segments/RED/web: a VIF refers to something that does not exist"},
		"tenant with segments": {func(x *tx) { delete(own(&x.next.Tenants), "RED") }, ErrReference,
			"segment 7 of deleted tenant 4660: refers to something that does not exist"},
	} {
		t.Run(name, func(t *testing.T) {
			x := w.begin()
			c.change(x)
			_, err := w.c.Plan(x.next, x.ch)
			if !errors.Is(err, c.want) || err.Error() != c.text {
				t.Errorf("got %v, want %s", err, c.text)
			}
			w.check()
		})
	}
	if err := w.c.BulkBegin(core.BulkSize{Added: 1}); !errors.Is(err, core.ErrCapacity) {
		t.Errorf("BulkBegin beyond the capacity: %v", err)
	}
	if err := w.c.BulkBegin(core.BulkSize{Added: 1, Removed: 1}); err != nil {
		t.Errorf("BulkBegin within the capacity: %v", err)
	}
	if err := w.c.BulkBegin(core.BulkSize{Added: 9, Stored: true}); err != nil {
		t.Errorf("BulkBegin of stored bindings beyond the capacity: %v", err)
	}
	x := w.begin()
	bind(0x0209, "nope")(x)
	if err := w.c.BulkPut(x.ch.Puts); !errors.Is(err, ErrReference) {
		t.Errorf("BulkPut of an unknown segment: %v", err)
	}
	w.c.BulkEnd()
	w.check()

	// A replaced row needs no room.
	x = w.begin()
	bind(redVM2, "web")(x)
	x.commit()
	for name, change := range map[string]func(*Config){
		"scheme": func(c *Config) { c.Scheme = model.Scheme24 },
		"role":   func(c *Config) { c.Ports[0].Role = fib.RoleFabric },
		"name":   func(c *Config) { c.Ports[0].Name = "x" },
		"count":  func(c *Config) { c.Ports = c.Ports[:1] },
	} {
		if err := w.c.Reconfigure(change); !errors.Is(err, ErrFixed) {
			t.Errorf("Reconfigure %s: %v", name, err)
		}
		w.check()
	}
}

func TestReconfigure(t *testing.T) {
	w := newWorld(t, "", testPorts(), 10)
	small(w).commit()
	err := w.c.Reconfigure(func(c *Config) {
		c.FloodRate, c.ICMPRate, c.MessageVLAN = 1, 2, 4001
		c.Ports[0].ClampMSS, c.Ports[0].CompleteChecksums = false, false
		c.Ports[1].ClampMSS = true
	})
	if err != nil {
		t.Fatal(err)
	}
	s := w.c.Snapshot()
	if s.FloodRate != 1 || s.ICMPRate != 2 || s.ControlVID != 4001 || s.FloodBurst != 200 || s.Ports[0].ClampMSS ||
		s.Ports[0].CompleteChecksums || !s.Ports[1].ClampMSS {
		t.Errorf("not taken over: %d %d %+v", s.FloodRate, s.ICMPRate, s.Ports[:2])
	}
	w.check()
	n := w.published
	x := w.begin()
	x.tenant(model.Tenant{Name: "RED", ID: 0x1234, Labels: map[string]string{"note": "x"}})
	x.commit()
	if w.published != n {
		t.Error("a label was published to the dataplane")
	}
}

func TestStatus(t *testing.T) {
	w := newWorld(t, "", testPorts(), 10)
	w.setLink(0, true, 1500, 1)
	small(w).commit()
	w.wantStatus(model.KindTenant, "RED", `{"live":true}`)
	w.wantStatus(model.KindSegment, "RED/web", `{"live":true,"vifs":1,"bindings":1,"boxes":1}`)
	w.wantStatus(model.KindSubnet, "RED/web4", `{"live":true}`)
	w.wantStatus(model.KindVIF, "RED/vm1", `{"live":true,"port":"acc0","vlan":5,"up":true}`)
	for kind, key := range map[model.Kind]string{model.KindTenant: "X", model.KindSegment: "RED/x",
		model.KindSubnet: "x",
		model.KindVIF:    "x", model.KindBinding: "RED/web/02:00:00:00:00:99", model.KindPath: "x", "nonsense": "x"} {
		if w.c.Status(kind, key) != nil {
			t.Errorf("%s/%s has a status", kind, key)
		}
	}
	x := w.begin()
	x.path(model.Path{A: switchX, B: switchY, VLANs: []model.PathVLAN{{VID: 1}}})
	x.commit()
	w.wantStatus(model.KindPath, switchX.String()+"/"+switchY.String(),
		`{"live":false,"paths":0,"reason":"no fabric port of this box hangs from either switch"}`)
}
