package compile

import (
	"errors"
	"testing"

	"penstock/ctrl/model"
)

// TestApplyFails: a plan that does not go with what has changed since it was made is not applied, in no part, and Apply
// says so.
func TestApplyFails(t *testing.T) {
	w := newWorld(t, "", testPorts(), 100)
	small(w).commit()
	bind := func(mac model.MAC) {
		x := w.begin()
		x.bind(model.Binding{Tenant: "RED", Segment: "web", MAC: mac, Addresses: addrs("192.168.1.77"),
			SwitchMAC: switchX, SwitchPort: 4})
		x.commit()
	}
	bind(redVM1) // behind the VIF
	bind(0x020000000005)
	x := w.begin()
	delete(own(&x.next.VIFs), "RED/vm1") // makes a binding an owner again, whose age is read
	p, err := w.c.Plan(x.next, x.ch)
	if err != nil {
		t.Fatal(err)
	}
	lost := errors.New("the disk does not answer")
	w.c.SetAges(func([]model.BindingKey) ([]uint64, error) { return nil, lost })
	w.setLink(2, true, 1600, 7)
	before := w.c.Snapshot()
	if err := w.c.Apply(p); !errors.Is(err, lost) {
		t.Errorf("Apply: %v, want %v", err, lost)
	}
	if w.c.Snapshot() != before || !errors.Is(w.c.Err(), lost) {
		t.Errorf("a part of the plan is live, or Err returns %v, want nothing live and an error", w.c.Err())
	}
}

// TestNotLive: what the status of an object that is not live gives as the reason.
func TestNotLive(t *testing.T) {
	w := newWorld(t, "", testPorts()[:3], 100)
	small(w).commit()
	x := w.begin()
	x.bind(model.Binding{Tenant: "RED", Segment: "web", MAC: 0x020000000003, SwitchMAC: switchS, SwitchPort: 3})
	x.commit()
	for key, want := range map[string]string{
		"RED/web/02:00:00:00:00:03": "the location is this box, which has no VIF with this MAC", "RED/web/" +
			redVM2.String(): "",
	} {
		if got := w.c.Status(model.KindBinding, key).(*Status).NotLive(); got != want {
			t.Errorf("binding %s is not live because of %q, want %q", key, got, want)
		}
	}
}
