package integration

import (
	"bytes"
	"net/netip"
	"testing"
	"time"

	"github.com/google/gopacket/layers"

	"penstock/ctrl/status"
	"penstock/integration/endpoint"
	"penstock/integration/lab"
)

// edgeStand is edge switch A alone: the test plays the boxes on its downlinks and
// the switch at the far end of its trunks.
type edgeStand struct {
	*fabric
	box1, box3, trunk1, trunk2 *endpoint.Raw
	silence                    silence
}

func startEdge(t *testing.T) *edgeStand {
	t.Helper()
	o := town()
	o.fake, o.only = true, "swa"
	for i := range o.VMs {
		o.VMs[i].Raw = true
	}
	f := startFabric(t, o)
	s := &edgeStand{fabric: f, box1: f.open(t, "box1", "fab0"), box3: f.open(t, "box3", "fab0"),
		trunk1: f.open(t, "swb", "trunk1"), trunk2: f.open(t, "swb", "trunk2")}
	s.silence = silence{"box1": s.box1, "box3": s.box3, "trunk 1": s.trunk1, "trunk 2": s.trunk2}
	return s
}

// resolve answers the switch's ARP request for a box's address.
func (s *edgeStand) resolve(t *testing.T, box *lab.Node, r *endpoint.Raw) {
	t.Helper()
	var arp *layers.ARP
	_, err := r.Find(3*time.Second, func(frame []byte) bool {
		arp = endpoint.ParseARP(frame)
		return arp != nil && arp.Operation == layers.ARPRequest && endpoint.MACAt(frame[6:]) == box.SwitchMAC
	})
	if err != nil {
		t.Fatalf("the switch sends no ARP request for %s: %v", box.Name, err)
	}
	want := endpoint.Special(s.Options.Scheme, box.SwitchPort, 1)
	if got, _ := netip.AddrFromSlice(arp.DstProtAddress); got != want {
		t.Errorf("the switch requests %v, want %v", got, want)
	}
	asker := endpoint.Host{MAC: endpoint.MACAt(arp.SourceHwAddress)}
	asker.IPv4, _ = netip.AddrFromSlice(arp.SourceProtAddress)
	must(t, r.Send(bytesOf(endpoint.ARPReply(endpoint.Host{MAC: box.MAC, IPv4: want}, 0, asker))))
	// The box is resolved when a frame gets through.
	probe := s.fromTrunk(box.SwitchPort, []byte("is it resolved? so many octets make a frame"))
	for deadline := time.Now().Add(3 * time.Second); time.Now().Before(deadline); {
		must(t, s.trunk1.Send(probe.Encode()))
		if _, err := r.Find(10*time.Millisecond,
			func(frame []byte) bool { return bytes.HasSuffix(frame, probe.Inner) }); err == nil {
			must(t, r.Drain(20*time.Millisecond))
			return
		}
	}
	t.Fatalf("%s is not resolved: %v", box.Name, s.drops("swa"))
}

// fromTrunk returns an encapsulated frame of tenant red as it comes over trunk 1 for a box behind switch A.
func (s *edgeStand) fromTrunk(port uint8, inner []byte) *endpoint.Outer {
	return &endpoint.Outer{DstMAC: s.Node("swa").MAC, SrcMAC: s.Node("swb").MAC, Tagged: true, VID: 101, PCP: 5,
		DSCP: 46, ID: 101, Flags: 0x4000, TTL: 64,
		Proto: endpoint.Proto143, Src: endpoint.Special(s.Options.Scheme, 2, 7),
		Dst: endpoint.Special(s.Options.Scheme, port, 100), Inner: inner}
}

func TestEdgeSwitch(t *testing.T) {
	s := startEdge(t)
	box1, box3, swa, swb := s.Node("box1"), s.Node("box3"), s.Node("swa").MAC, s.Node("swb").MAC
	inner := bytesOf(endpoint.UDP4(s.host("red-vm2"), s.host("red-vm1"), 0, 1, 2, bytes.Repeat([]byte{7}, 60)))

	before := s.drops("swa")
	must(t, s.trunk1.Send(s.fromTrunk(1, inner).Encode()))
	s.expectDrops(t, "swa", before, map[string]uint64{"edge_neighbor": 1})
	s.resolve(t, box1, s.box1)
	s.resolve(t, box3, s.box3)

	local := s.fromTrunk(3, inner)
	local.SrcMAC, local.Src = box1.MAC, endpoint.Special(s.Options.Scheme, 1, 7)
	away := s.fromTrunk(2, inner)
	away.SrcMAC, away.DstMAC, away.Src = swa, swb, endpoint.Special(s.Options.Scheme, 1, 7)
	other := *away
	other.VID, other.ID = 102, 102
	routed := func(o *endpoint.Outer, box *lab.Node) []byte {
		r := *o
		r.Tagged, r.VID, r.PCP, r.TTL, r.SrcMAC, r.DstMAC = false, 0, 0, o.TTL-1, swa, box.MAC
		return r.Encode()
	}
	for _, tc := range []struct {
		name  string
		from  *endpoint.Raw
		frame []byte
		to    string
		want  []byte
	}{
		{"from a trunk to a box", s.trunk1, s.fromTrunk(1, inner).Encode(), "box1",
			routed(s.fromTrunk(1, inner), box1)},
		{"from box to box", s.box1, local.Encode(), "box3", routed(local, box3)},
		{"from a box by path 101", s.box1, away.Encode(), "trunk 1", away.Encode()},
		{"from a box by path 102", s.box1, other.Encode(), "trunk 2", other.Encode()},
		{"transit is flooded to no other port", s.box3, away.Encode(), "trunk 1", away.Encode()},
	} {
		t.Run(tc.name, func(t *testing.T) {
			must(t, tc.from.Send(tc.frame))
			got, err := s.silence[tc.to].Find(time.Second,
				func(frame []byte) bool { return endpoint.ParseARP(frame) == nil })
			must(t, err)
			if d := endpoint.Diff(tc.want, got); d != "" {
				t.Error(d)
			}
			s.silence.broken(t)
		})
	}

	with := func(o *endpoint.Outer, change func(*endpoint.Outer)) []byte {
		c := *o
		change(&c)
		return c.Encode()
	}
	good := s.fromTrunk(1, inner)
	t.Run("forged on a trunk", func(t *testing.T) {
		runForged(t, s.fabric, "swa", s.silence, s.trunk1, []forgery{
			{"untagged", with(good, func(o *endpoint.Outer) { o.Tagged = false }), "edge_untagged"},
			{"another trunk's VLAN", with(good, func(o *endpoint.Outer) { o.VID = 102 }), "edge_vlan"},
			{"VLAN without a port", with(good, func(o *endpoint.Outer) { o.VID = 999 }), "edge_vlan"},
			{"our own source", with(good, func(o *endpoint.Outer) { o.SrcMAC = swa }), "edge_loop"},
			{"no such downlink", with(good, func(o *endpoint.Outer) {
				o.Dst = endpoint.Special(s.Options.Scheme, 9, 100)
			}), "edge_no_route"},
			{"outside the scheme", with(good, func(o *endpoint.Outer) { o.Dst = netip.MustParseAddr("192.0.2.1") }),
				"edge_no_route"},
			{"TTL 1", with(good, func(o *endpoint.Outer) { o.TTL = 1 }), "edge_ttl"},
			{"TTL 0", with(good, func(o *endpoint.Outer) { o.TTL = 0 }), "edge_ttl"},
			{"not IP", altered(altered(good.Encode(), 16, 0x88), 17, 0xb6), "edge_not_ip"},
			{"checksum", altered(good.Encode(), 28, good.Encode()[28]^1), "edge_not_ip"},
			{"spanning tree", with(good, func(o *endpoint.Outer) { o.DstMAC = 0x0180c2000000 }), "link_local_group"},
			{"transit with no way on", with(good, func(o *endpoint.Outer) { o.DstMAC = 0x02000000fa77 }),
				"edge_hairpin"},
		})
		s.cutAnywhere(t, "swa", s.silence, s.trunk1, good.Encode()[:18+20])
	})
	t.Run("forged on a downlink", func(t *testing.T) {
		runForged(t, s.fabric, "swa", s.silence, s.box1, []forgery{
			{"foreign source", with(away, func(o *endpoint.Outer) { o.SrcMAC = 0x0200000000ee }), "edge_source_mac"},
			{"another box's source", with(away, func(o *endpoint.Outer) { o.SrcMAC = box3.MAC }), "edge_source_mac"},
			{"untagged", with(away, func(o *endpoint.Outer) { o.Tagged = false }), "edge_untagged"},
			{"VLAN without a port", with(away, func(o *endpoint.Outer) { o.VID = 999 }), "edge_vlan"},
			{"to itself", with(local, func(o *endpoint.Outer) { o.Dst = endpoint.Special(s.Options.Scheme, 1, 100) }),
				"edge_hairpin"},
			{"switch to switch", with(local, func(o *endpoint.Outer) { o.SrcMAC = swa }), "edge_source_mac"},
			{"an ARP request to the switch",
				bytesOf(endpoint.ARPRequest(endpoint.Host{MAC: box1.MAC, IPv4: netip.MustParseAddr("10.1.0.1")}, 0,
					netip.MustParseAddr("10.1.0.254"))), "punt_unwanted"},
		})
	})
}

// TestEdgePuntFlood floods the switch's control plane from a downlink; what others send must get through all the same.
func TestEdgePuntFlood(t *testing.T) {
	s := startEdge(t)
	box1, box3 := s.Node("box1"), s.Node("box3")
	s.resolve(t, box1, s.box1)
	s.resolve(t, box3, s.box3)
	template := s.fromTrunk(3,
		bytesOf(endpoint.UDP4(s.host("red-vm2"), s.host("red-vm4"), 0, 1, 2, endpoint.SteadyPayload(40)))).Encode()
	traffic, err := endpoint.StartSteady(s.trunk1, s.box3, 2000, template)
	must(t, err)
	flood := bytesOf(endpoint.ARPReply(endpoint.Host{MAC: box1.MAC, IPv4: netip.MustParseAddr("10.1.0.1")}, 0,
		endpoint.Host{MAC: box1.SwitchMAC, IPv4: netip.MustParseAddr("10.1.0.254")}))
	for range 200 {
		for range 50 {
			must(t, s.box1.Send(flood))
		}
		time.Sleep(2 * time.Millisecond)
	}
	if r := stop(t, traffic); r.Lost() != 0 {
		t.Errorf("frames lost: %v", r)
	}
	var totals status.Totals
	s.get("swa", "/v1/stats/box", &totals)
	limited := s.drops("swa")["punt_limit"] + s.drops("swa")["punt_full"]
	t.Logf("%d punted, %d kept away", totals.Punted, limited)
	if limited == 0 {
		t.Error("10,000 ARP replies all went to the control plane")
	}
}
