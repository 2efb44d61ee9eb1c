package integration

import (
	"bytes"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/gopacket/layers"

	"penstock/ctrl/model"
	"penstock/integration/endpoint"
)

// testFlood expects one copy of a broadcast and of a multicast at every other VIF of the segment, and none elsewhere.
func testFlood(t *testing.T, f *fabric) {
	members := []string{"red-vm1", "red-vm2", "red-vm3", "red-vm4", "red-raw2"}
	others := []string{"red-raw1", "blue-vm1", "blue-vm2", "red-app1", "red-app2"}
	rx := make(map[string]*endpoint.Raw)
	for _, vm := range append(members, others...) {
		rx[vm] = f.raw(t, vm)
	}
	from := f.host("red-raw1")
	for name, dst := range map[string]model.MAC{"broadcast": endpoint.Broadcast, "multicast": 0x01005e000101} {
		t.Run(name, func(t *testing.T) {
			const n = 20
			frames, err := endpoint.Mix(endpoint.MixOptions{Seed: 5, From: from,
				To: endpoint.Host{MAC: dst, IPv4: netip.MustParseAddr("239.0.1.1"),
					IPv6: netip.MustParseAddr("ff05::101")}, Probe: true}, n)
			must(t, err)
			for _, frame := range frames {
				must(t, rx["red-raw1"].Send(frame))
			}
			for _, vm := range append(members, others...) {
				e := endpoint.Expect(frames)
				member := slices.Contains(members, vm)
				want := 0
				if member {
					want = n
				}
				got, err := rx[vm].Gather(want, time.Second, func(frame []byte) bool {
					_, ok := endpoint.MixSequence(frame)
					return ok
				})
				must(t, err)
				count := 0
				for _, frame := range got {
					if _, ok := endpoint.MixSequence(frame); ok {
						count++
						e.Arrived(frame)
					}
				}
				if !member && count != 0 {
					t.Errorf("%s receives %d frames of another segment's", vm, count)
				}
				if member {
					if err := e.Err(); err != nil {
						t.Errorf("%s: got %v, want every frame once", vm, err)
					}
				}
			}
		})
	}
}

// testProxy expects the box to answer ARP and neighbour solicitations from the bindings: for VIFs near and far, and for
// the router; no other station may receive the request.
func testProxy(t *testing.T, f *fabric) {
	asker := f.host("red-raw1")
	raw := f.raw(t, "red-raw1")
	watchers := map[string]*endpoint.Raw{}
	for _, vm := range []string{"red-vm3", "red-vm2", "red-raw2", "blue-vm1"} {
		watchers[vm] = f.raw(t, vm)
	}
	for _, tc := range []struct {
		name, addr string
		want       model.MAC // 0: no answer
	}{
		{"remote", "10.0.0.2", 0x020000000002},
		{"same switch", "10.0.0.4", 0x020000000004},
		{"same box", "10.0.0.3", 0x020000000003},
		{"router", "10.0.0.254", model.DefaultRouterMAC},
		{"itself", "10.0.0.11", 0},
		{"unknown", "10.0.0.99", 0},
		{"other segment", "10.0.1.2", 0},
		{"remote IPv6", "fd00::2", 0x020000000002},
		{"same box IPv6", "fd00::3", 0x020000000003},
		{"router IPv6", "fd00::fe", model.DefaultRouterMAC},
		{"unknown IPv6", "fd00::99", 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			addr := netip.MustParseAddr(tc.addr)
			request := endpoint.ARPRequest
			if addr.Is6() {
				request = endpoint.NeighborSolicitation
			}
			frame, err := request(asker, 0, addr)
			must(t, err)
			must(t, raw.Send(frame))
			want := 1
			if tc.want == 0 {
				want = 0
			}
			got, err := raw.Gather(want, time.Second, func(frame []byte) bool {
				_, ok := answerFor(addr, frame)
				return ok
			})
			must(t, err)
			var answers []model.MAC
			for _, frame := range got {
				if m, ok := answerFor(addr, frame); ok {
					answers = append(answers, m)
					if err := endpoint.CheckSums(frame); err != nil {
						t.Error(err)
					}
				}
			}
			if tc.want == 0 && len(answers) != 0 || tc.want != 0 && (len(answers) != 1 || answers[0] != tc.want) {
				t.Errorf("%s is at %v, want %v", addr, answers, tc.want)
			}
		})
	}
	for vm, w := range watchers {
		got, err := w.Collect(0)
		must(t, err)
		for _, frame := range got {
			if endpoint.MACAt(frame[6:]) != asker.MAC {
				continue
			}
			if strings.HasPrefix(vm, "blue") || !announces(frame, asker) {
				t.Errorf("%s receives a request of red-raw1's: % x", vm, frame)
			}
		}
	}
}

// announces reports whether an untagged frame announces h's address and MAC, and is no request.
func announces(frame []byte, h endpoint.Host) bool {
	a := endpoint.ParseARP(frame)
	return a != nil && bytes.Equal(a.SourceProtAddress, h.IPv4.AsSlice()) &&
		bytes.Equal(a.DstProtAddress, h.IPv4.AsSlice())
}

// TestFabricSeesNoRequests expects ARP and neighbour discovery of tenants to stay off the fabric, answered or not,
// except for announcements.
func TestFabricSeesNoRequests(t *testing.T) {
	f := startFabric(t, oneBox())
	edge, raw := f.edge(t, "box1"), f.raw(t, "red-raw1")
	asker := f.host("red-raw1")
	for _, addr := range []string{"10.0.0.2", "10.0.0.4", "10.0.0.3", "10.0.0.254", "10.0.0.99", "10.0.0.11"} {
		must(t, raw.Send(bytesOf(endpoint.ARPRequest(asker, 0, netip.MustParseAddr(addr)))))
	}
	for _, addr := range []string{"fd00::2", "fd00::3", "fd00::fe", "fd00::99", "fd00::11"} {
		must(t, raw.Send(bytesOf(endpoint.NeighborSolicitation(asker, 0, netip.MustParseAddr(addr)))))
	}
	// gratuitous
	must(t, raw.Send(bytesOf(endpoint.ARPReply(asker, 0, endpoint.Host{MAC: endpoint.Broadcast, IPv4: asker.IPv4}))))
	answers, err := raw.Gather(7, time.Second, func([]byte) bool { return true })
	must(t, err)
	got, err := edge.Collect(50 * time.Millisecond)
	must(t, err)
	announced := 0
	for _, frame := range got {
		if o, err := endpoint.DecodeOuter(frame); err == nil && announces(o.Inner, asker) {
			announced++
			continue
		}
		t.Errorf("the fabric sees % x", frame)
	}
	if announced != 4 {
		t.Errorf("the fabric sees %d announcements, want 4: two, each to two boxes", announced)
	}
	if len(answers) != 7 {
		t.Errorf("%d answers, want 7: four for ARP, three for neighbour discovery", len(answers))
	}
}

// TestBoxAddress expects the box to answer ARP for its own address, to its edge switch alone.
func TestBoxAddress(t *testing.T) {
	f := startFabric(t, oneBox())
	edge := f.edge(t, "box1")
	box := f.Node("box1")
	gateway := netip.MustParseAddr("10.1.255.254") // the edge switch's own address is up to its configuration
	for _, tc := range []struct {
		name string
		from model.MAC
		addr string
		want bool
	}{
		{"a request by the switch", edge.MAC, "10.1.0.1", true},
		{"for a special address", edge.MAC, "10.1.0.100", false},
		{"for another port's box", edge.MAC, "10.2.0.1", false},
		{"a request by another station", edge.MAC + 1, "10.1.0.1", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			must(t,
				edge.Send(bytesOf(endpoint.ARPRequest(endpoint.Host{MAC: tc.from, IPv4: gateway}, 0,
					netip.MustParseAddr(tc.addr)))))
			want := 1
			if !tc.want {
				want = 0
			}
			got, err := edge.Gather(want, time.Second, func([]byte) bool { return true })
			must(t, err)
			if !tc.want {
				if len(got) != 0 {
					t.Errorf("answered: % x", got)
				}
				return
			}
			if len(got) != 1 {
				t.Fatalf("%d answers", len(got))
			}
			if m, ok := answerFor(netip.MustParseAddr(tc.addr), got[0]); !ok || m != box.MAC ||
				endpoint.MACAt(got[0]) != edge.MAC {
				t.Errorf("answer % x", got[0])
			}
		})
	}
}

// answerFor returns the MAC that a frame gives for an address; false if it is no answer for it.
func answerFor(addr netip.Addr, frame []byte) (model.MAC, bool) {
	if addr.Is6() {
		target, m, ok := endpoint.ParseNeighborAdvertisement(frame)
		return m, ok && target == addr
	}
	arp := endpoint.ParseARP(frame)
	if arp == nil || arp.Operation != layers.ARPReply {
		return 0, false
	}
	from, _ := netip.AddrFromSlice(arp.SourceProtAddress)
	return endpoint.MACAt(arp.SourceHwAddress), from == addr
}
