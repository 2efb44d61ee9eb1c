package integration

import (
	"net/netip"
	"testing"

	"penstock/ctrl/model"
	"penstock/integration/lab"
)

// town is the fabric most tests run on. Beside the demo's VMs (two tenants with equal MACs and addresses on box1 behind
// switch A and box2 behind switch B) tenant red has
//   - red-vm3 on box1, a neighbour on the same box, and red-vm4 on box3, behind the same switch as box1;
//   - a second segment, app, with the same MACs as in the first: red-app1 on box1, red-app2 on box2;
//   - red-raw1 on box1 and red-raw2 on box2, which have no stack: tests send and receive for them; behind each
//     a VIF of segment app with VLAN 30.
func town() options {
	o := options{}
	o.Boxes = append(lab.DemoBoxes(), lab.BoxSpec{Name: "box3", Switch: "swa", Port: 3})
	o.Segments = append(lab.DemoSegments(), model.Segment{Tenant: "red", Name: "app", ID: 8})
	o.Subnets = append(lab.DemoSubnets(),
		model.Subnet{Tenant: "red", Name: "app4", Segment: "app", Prefix: netip.MustParsePrefix("10.0.1.0/24"),
			Router: netip.MustParseAddr("10.0.1.254")},
		model.Subnet{Tenant: "red", Name: "app6", Segment: "app", Prefix: netip.MustParsePrefix("fd00:1::/64"),
			Router: netip.MustParseAddr("fd00:1::fe")})
	vm := func(name, segment, box string, m model.MAC, addresses ...string) lab.VMSpec {
		spec := lab.VMSpec{Tenant: "red", Segment: segment, Name: name, Box: box, MAC: m}
		for _, a := range addresses {
			spec.Addresses = append(spec.Addresses, netip.MustParsePrefix(a))
		}
		return spec
	}
	raw1 := vm("red-raw1", "web", "box1", 0x020000000011, "10.0.0.11/24", "fd00::11/64")
	raw2 := vm("red-raw2", "web", "box2", 0x020000000012, "10.0.0.12/24", "fd00::12/64")
	raw1.Raw, raw2.Raw = true, true
	tag1 := vm("red-tag1", "app", "box1", 0x020000000031, "10.0.1.31/24", "fd00:1::31/64")
	tag2 := vm("red-tag2", "app", "box2", 0x020000000032, "10.0.1.32/24", "fd00:1::32/64")
	tag1.VLAN, tag2.VLAN = 30, 30
	tag1.Behind, tag2.Behind = raw1.Name, raw2.Name
	o.VMs = append(lab.DemoVMs(),
		vm("red-vm3", "web", "box1", 0x020000000003, "10.0.0.3/24", "fd00::3/64"),
		vm("red-vm4", "web", "box3", 0x020000000004, "10.0.0.4/24", "fd00::4/64"),
		vm("red-app1", "app", "box1", 0x020000000001, "10.0.1.1/24", "fd00:1::1/64"),
		vm("red-app2", "app", "box2", 0x020000000002, "10.0.1.2/24", "fd00:1::2/64"),
		raw1, raw2, tag1, tag2)
	return o
}

// TestTown runs what can share one fabric; after each of its tests every box has to be balanced.
func TestTown(t *testing.T) {
	f := startFabric(t, town())
	for _, tc := range []struct {
		name string
		run  func(*testing.T, *fabric)
	}{
		{"Ping", testPing},
		{"TCP", testTCP},
		{"UDP", testUDP},
		{"Isolation", testIsolation},
		{"Router", testRouter},
		{"Traceroute", testTraceroute},
		{"Unreachable", testUnreachable},
		{"Mix", testMix},
		{"Flood", testFlood},
		{"Proxy", testProxy},
	} {
		ok := t.Run(tc.name, func(t *testing.T) {
			tc.run(t, f)
			for _, n := range f.Boxes {
				f.balanced(n.Name)
			}
			for _, n := range f.Switches {
				f.balanced(n.Name)
			}
		})
		if !ok {
			for _, n := range f.Boxes {
				t.Logf("drops of %s after %s: %s", n.Name, tc.name, f.dropsIfUp(n.Name))
			}
			for _, n := range f.Switches {
				t.Logf("drops of %s after %s: %s", n.Name, tc.name, f.dropsIfUp(n.Name))
			}
		}
	}
}
