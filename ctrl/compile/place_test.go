package compile

import (
	"testing"

	"penstock/ctrl/model"
)

// TestPlace: a port without a configured place gets addresses and paths with its place; pushed bindings that lead there
// are held back until it has another one; a reload keeps it.
func TestPlace(t *testing.T) {
	w := newWorld(t, "", testPorts(), 100)
	w.setLink(4, true, 1600, 5)
	small(w).commit()
	x := w.begin()
	x.bind(model.Binding{Tenant: "RED", Segment: "web", MAC: 0x020000000003, SwitchMAC: switchX, SwitchPort: 17})
	x.commit()
	key := "RED/web/" + model.MAC(0x020000000003).String()
	if f := w.c.Snapshot().Ports[4].Fabric; f.BoxIP != 0 || f.SwitchMAC != 0 {
		t.Errorf("the port without a place has the addresses %+v, want none", f)
	}

	w.setPlace(4, Place{switchX, 17})
	w.check()
	if f := w.c.Snapshot().Ports[4].Fabric; f.BoxIP != 0x0a110001 || f.SwitchMAC != uint64(switchX) || f.Number != 17 {
		t.Errorf("the port with a place has the addresses %+v, want 10.17.0.1 and the switch", f)
	}
	held := `{"live":false,"local":false,"switch_mac":"02:aa:00:00:00:11","switch_port":17,"reachable":false,` +
		`"origin":"pushed",` +
		`"reason":"the location is this box, which has no VIF with this MAC"}`
	w.wantStatus(model.KindBinding, key, held)

	if err := w.c.Reconfigure(func(c *Config) { c.FloodRate++ }); err != nil {
		t.Fatal(err)
	}
	w.check()
	w.wantStatus(model.KindBinding, key, held)

	before := w.published
	w.setPlace(4, Place{switchX, 17})
	if w.published != before {
		t.Error("the same place again was published")
	}
	w.setPlace(4, Place{switchX, 18})
	w.check()
	w.wantStatus(model.KindBinding, key,
		`{"live":true,"local":false,"switch_mac":"02:aa:00:00:00:11","switch_port":17,"reachable":true,`+
			`"origin":"pushed","paths":2}`)
	w.setPlace(4, Place{})
	w.check()

	if err := w.c.SetPlace(2, Place{switchZ, 9}); err != nil {
		t.Fatal(err)
	}
	if f := w.c.Snapshot().Ports[2].Fabric; f.Number != 3 {
		t.Errorf("a port with a configured place got the number %d, want 3 as before", f.Number)
	}
}
