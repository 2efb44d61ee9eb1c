package integration

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"penstock/ctrl/status"
	"penstock/integration/endpoint"
)

// TestFabricTooSmall runs tenants with an MTU of 1500 over a fabric with no more than that: 1466 octets of IP fit.
func TestFabricTooSmall(t *testing.T) {
	o := town()
	o.FabricMTU = 1500
	f := startFabric(t, o)

	t.Run("largest that fits", func(t *testing.T) {
		if out, err := f.ping("blue-vm1", "10.0.0.2", 2, "-M", "do", "-s", "1438"); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
		if out, err := f.ping("blue-vm1", "fd00::2", 2, "-M", "do", "-s", "1418"); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
	})
	t.Run("fragmentation needed", func(t *testing.T) {
		for _, tc := range []struct{ from, to string }{{"red-vm1", "10.0.0.2"}, {"red-vm1", "10.0.1.2"},
			{"red-vm1", "fd00::2"}, {"red-app1", "fd00::2"}} {
			out, _ := f.ping(tc.from, tc.to, 2, "-M", "do", "-s", "1440")
			if !strings.Contains(out, "mtu=1466") && !strings.Contains(out, "mtu = 1466") {
				t.Errorf("%s pings %s: no MTU of 1466 reported\n%s", tc.from, tc.to, out)
			}
		}
	})
	t.Run("no sender to answer", func(t *testing.T) {
		raw := f.raw(t, "red-raw1")
		before := f.drops("box1")
		from, to := f.host("red-raw1"), f.host("red-raw2")
		payload := make([]byte, 1480)
		must(t, raw.Send(bytesOf(endpoint.UDP4(from, to, 0, 1, 2, payload[:1460])))) // DF not set
		must(t,
			raw.Send(bytesOf(endpoint.Serialize(append(endpoint.Ethernet(from.MAC, to.MAC, 0, 0x88b6),
				gopacket.Payload(payload))...))))
		f.expectDrops(t, "box1", before, map[string]uint64{"too_big": 2})
	})
	t.Run("inside the box", func(t *testing.T) {
		if out, err := f.ping("red-vm1", "10.0.0.3", 2, "-M", "do", "-s", "1472"); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
	})
	t.Run("smaller access port", func(t *testing.T) {
		neighbor := f.VM("red-vm3")
		f.setMTU(t, "box1", neighbor.Port, 1000)
		defer f.setMTU(t, "box1", neighbor.Port, 1500)
		raw := f.raw(t, "red-raw1")
		before := f.drops("box1")
		from, to := f.host("red-raw1"), f.host("red-vm3")
		must(t,
			raw.Send(bytesOf(endpoint.Serialize(append(endpoint.Ethernet(from.MAC, to.MAC, 0, 0x88b6),
				gopacket.Payload(make([]byte, 1001)))...))))
		f.expectDrops(t, "box1", before, map[string]uint64{"access_mtu": 1})
	})
	t.Run("MTU changes while running", func(t *testing.T) {
		f.setMTU(t, "box1", "fab0", 1400)
		defer f.setMTU(t, "box1", "fab0", 1500)
		out, _ := f.ping("blue-vm1", "10.0.0.2", 2, "-M", "do", "-s", "1400")
		if !strings.Contains(out, "mtu = 1366") && !strings.Contains(out, "mtu=1366") {
			t.Errorf("no MTU of 1366 reported\n%s", out)
		}
	})
	for _, tc := range []struct {
		name, server, addr string
		mss                int // that the server is offered
	}{
		{"MSS", "red-vm2", "10.0.0.2", 1466 - 40},
		{"MSS, routed", "red-app2", "10.0.1.2", 1466 - 40},
		{"MSS, IPv6", "red-vm2", "fd00::2", 1466 - 60},
		{"MSS, same box", "red-vm3", "10.0.0.3", 1500 - 40},
	} {
		t.Run(tc.name, func(t *testing.T) {
			watch := f.raw(t, tc.server)
			f.exchange(t, "red-vm1", tc.server, netip.MustParseAddr(tc.addr), 300_000)
			syn, err := watch.Find(time.Second, func(frame []byte) bool { return mssOf(frame) != 0 })
			must(t, err)
			if got := mssOf(syn); got != tc.mss {
				t.Errorf("MSS of %d in the SYN, want %d", got, tc.mss)
			}
			if err := endpoint.CheckSums(syn); err != nil {
				t.Error(err)
			}
		})
	}
}

// setMTU changes the MTU of a box's port and waits until the box has noticed.
func (f *fabric) setMTU(t *testing.T, box, port string, mtu int) {
	t.Helper()
	must(t, f.lab.SetMTU(box, port, mtu))
	for deadline := time.Now().Add(2 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		var ports status.Items[status.Port]
		f.get(box, "/v1/stats/ports", &ports)
		if slices.ContainsFunc(ports.Items, func(p status.Port) bool { return p.Name == port && p.MTU == mtu }) {
			return
		}
	}
	t.Errorf("%s has not noticed that the MTU of %s is %d", box, port, mtu)
}

// mssOf returns the MSS option of a TCP SYN (RFC 9293, section 3.7.1), 0 if the frame is none.
func mssOf(frame []byte) int {
	tcp, ok := gopacket.NewPacket(frame, layers.LayerTypeEthernet,
		gopacket.Default).Layer(layers.LayerTypeTCP).(*layers.TCP)
	if !ok || !tcp.SYN {
		return 0
	}
	for _, o := range tcp.Options {
		if o.OptionType == layers.TCPOptionKindMSS && len(o.OptionData) == 2 {
			return int(o.OptionData[0])<<8 | int(o.OptionData[1])
		}
	}
	return 0
}
