package compile

import (
	"testing"

	"penstock/ctrl/model"
	"penstock/dataplane/fib"
)

// TestTargets: a director's health checks know of each of its servers where it is and from where it is checked, and
// follow when it moves; a box that is no director checks nothing.
func TestTargets(t *testing.T) {
	b := newBalanced(t, "D")
	b.http(2)
	b.change(func(d *model.Draft) { d.Put(serverAt("web9", 99)) })
	list := b.c.Targets()
	if len(list) != 3 {
		t.Fatalf("%d servers are checked, want 3", len(list))
	}
	x := list[1]
	if x.Key != "red/http/web2" || x.Service.Name != "http" || x.VIP.Name != "www" || !x.Found || x.Tenant != 100 ||
		x.Segment != 1 || x.ServerSegment != 1 || x.Own.Address.String() != "10.10.1.101" ||
		x.Address.String() != "10.10.1.21" || x.Entry.MAC != 0x020000000115 || x.Entry.Source != fib.Mark|7 ||
		x.Entry.Port != 8080 {
		t.Errorf("web2 is checked as %+v", x)
	}
	if x := list[2]; x.Key != "red/http/web9" || x.Found {
		t.Errorf("a server that nobody knows: %+v, want it not found", x)
	}
	b.bind(0x020000009999, switchX, 9, "10.10.1.99")
	if x := b.c.Targets()[2]; !x.Found || x.Entry.MAC != 0x020000009999 {
		t.Errorf("it has a binding now: %+v, want it found", x)
	}
	other := newBalanced(t, "H1")
	other.http(2)
	if list := other.c.Targets(); len(list) != 0 {
		t.Errorf("a box that is no director checks %d servers, want none", len(list))
	}
}

// TestTargetAddress: the address of a server that is named by its VIF is the VIF's, of the VIP's family.
func TestTargetAddress(t *testing.T) {
	b := newBalanced(t, "D")
	b.http(1)
	b.change(func(d *model.Draft) {
		d.Put(model.VIF{Tenant: "red", Name: "vm1", Segment: "web", MAC: 0x020000000777, Port: "acc0",
			Addresses: addrs("fd00:10::77", "10.10.1.77")})
		d.Put(model.Server{Tenant: "red", Service: "http", Name: "here", VIF: "vm1"})
	})
	x := b.c.Targets()[0]
	if x.Key != "red/http/here" || x.Address.String() != "10.10.1.77" || !x.Found {
		t.Errorf("%+v, want it found, with address 10.10.1.77", x)
	}
}
