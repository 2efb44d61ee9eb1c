package integration

import (
	"encoding/binary"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"penstock/ctrl/alarm"
	"penstock/ctrl/model"
	"penstock/dataplane/wire"
	"penstock/integration/endpoint"
	"penstock/integration/lab"
)

// vipTown has a client and the director at box1, and at box2 a real server as Linux ships it (arp_ignore and
// arp_announce 0, the virtual addresses on lo), a VM that may send what it likes, and one that listens.
func vipTown() options {
	var o options
	for i, v := range []struct{ name, box, policy string }{
		{"client", "box1", ""}, {"server", "box2", ""}, {"stranger", "box2", "off"}, {"listener", "box2", ""},
	} {
		o.VMs = append(o.VMs, lab.VMSpec{
			Tenant: "red", Segment: "web", Name: v.name, Box: v.box, AntiSpoof: v.policy,
			MAC: 0x020000000001 + model.MAC(i),
			Addresses: []netip.Prefix{
				netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(i + 1)}), 24),
				netip.MustParsePrefix("fd00::" + string(rune('1'+i)) + "/64"),
			},
		})
	}
	o.VMs[1].Virtual = []netip.Prefix{netip.MustParsePrefix("10.0.0.100/32"), netip.MustParsePrefix("fd00::100/128")}
	o.Balancer = `key = "000102030405060708090a0b0c0d0e0f"`
	for i, v := range []struct{ name, vip, own string }{
		{"http", "10.0.0.100", "10.0.0.101"}, {"http6", "fd00::100", "fd00::101"},
	} {
		o.VIPs = append(o.VIPs, model.VIP{
			Tenant: "red", Name: v.name, Segment: "web", Address: netip.MustParseAddr(v.vip),
			Directors: []model.Director{{Box: "box1", Address: netip.MustParseAddr(v.own)}},
		})
		o.Services = append(o.Services, model.Service{
			Tenant: "red", Name: v.name, VIP: v.name, ID: uint32(7 + i), Port: 80, Check: &model.Check{Type: "none"},
		})
		o.Servers = append(o.Servers, model.Server{
			Tenant: "red", Service: v.name, Name: "web1", Address: netip.MustParseAddr("10.0.0.2"), Port: 8080,
		})
	}
	return o
}

// arpOf returns an ARP message of a station about an address.
func arpOf(t *testing.T, op uint16, mac model.MAC, sender, target string) []byte {
	t.Helper()
	b := make([]byte, 6)
	wire.PutMAC(b, uint64(mac))
	buf := gopacket.NewSerializeBuffer()
	must(t, gopacket.SerializeLayers(buf, gopacket.SerializeOptions{},
		&layers.Ethernet{DstMAC: layers.EthernetBroadcast, SrcMAC: b, EthernetType: layers.EthernetTypeARP},
		&layers.ARP{
			AddrType: layers.LinkTypeEthernet, Protocol: layers.EthernetTypeIPv4, HwAddressSize: 6, ProtAddressSize: 4,
			Operation: op, SourceHwAddress: b, SourceProtAddress: net.ParseIP(sender).To4(),
			DstHwAddress: make([]byte, 6), DstProtAddress: net.ParseIP(target).To4(),
		}))
	return buf.Bytes()
}

// TestServerAsLinuxShipsIt: a real server whose guest is not set up for direct routing serves, in both families. Nobody
// hears another MAC of the VIP than the director's, whatever guests send.
func TestServerAsLinuxShipsIt(t *testing.T) {
	f := startFabric(t, vipTown())
	const vipMAC = "02:56:0a:00:00:64"
	server := f.VM("server")
	for _, name := range []string{"arp_ignore", "arp_announce"} {
		if got := strings.TrimSpace(f.run(t, "server", "sysctl", "-n", "net.ipv4.conf.all."+name)); got != "0" {
			t.Fatalf("%s of the guest is %s, want Linux's default 0", name, got)
		}
	}
	_, err := f.lab.Nginx(server.Namespace, "web1", netip.MustParseAddrPort("10.0.0.100:8080"),
		netip.MustParseAddrPort("[fd00::100]:8080"))
	must(t, err)
	ears := map[string]*endpoint.Raw{"client": f.raw(t, "client"), "listener": f.raw(t, "listener")}
	fetch := func(url string) (string, error) {
		out, err := f.lab.Run(f.VM("client").Namespace, "curl", "-sS", "-g", "--max-time", "3", url)
		return string(out), err
	}
	flush := func(vm string) { f.run(t, vm, "ip", "neigh", "flush", "dev", "eth0") }

	flush("server")
	for _, url := range []string{"http://10.0.0.100/", "http://[fd00::100]/"} {
		if out, err := fetch(url); err != nil || out != "web1\n" {
			t.Fatalf("%s: got %q, %v; want the name of web1", url, out, err)
		}
	}
	if got := f.neighbor(t, "client", "10.0.0.100"); got != vipMAC {
		t.Errorf("the client has the VIP at %q, want %s", got, vipMAC)
	}
	if got := f.neighbor(t, "server", "10.0.0.1"); got != f.VM("client").MAC.String() {
		t.Errorf("the server has the client at %q, want %s: its request from the VIP is answered",
			got, f.VM("client").MAC)
	}

	// The server's announcements.
	before := f.drops("box2")
	raw := f.raw(t, "server")
	must(t, raw.Send(arpOf(t, wire.ARPRequest, server.MAC, "10.0.0.100", "10.0.0.100")))
	must(t, raw.Send(arpOf(t, wire.ARPReply, server.MAC, "10.0.0.100", "10.0.0.100")))
	f.eventually(t, "both announcements are dropped as vip_arp", func() bool {
		return f.drops("box2")["vip_arp"] == before["vip_arp"]+2
	})

	// What no rule covers.
	before = f.drops("box2")
	ssh := endpointTCP(t, f, "server", "client", "10.0.0.100", "10.0.0.1", 22)
	must(t, raw.Send(ssh))
	f.eventually(t, "TCP from the VIP's port 22 is dropped as vip_source", func() bool {
		return f.drops("box2")["vip_source"] == before["vip_source"]+1
	})

	// A stranger.
	stranger := f.raw(t, "stranger")
	for range 3 {
		must(t, stranger.Send(arpOf(t, wire.ARPRequest, f.VM("stranger").MAC, "10.0.0.100", "10.0.0.100")))
		must(t, stranger.Send(arpOf(t, wire.ARPReply, f.VM("stranger").MAC, "10.0.0.100", "10.0.0.1")))
	}
	f.eventually(t, "an alarm names the stranger", func() bool {
		l := f.alarms("box2", alarm.VIPConflict)
		return len(l) == 1 && strings.Contains(l[0].Text, f.VM("stranger").MAC.String()) &&
			strings.Contains(l[0].Text, "10.0.0.100")
	})
	if got := f.neighbor(t, "client", "10.0.0.100"); got != vipMAC {
		t.Errorf("after a stranger's claim the client has the VIP at %q, want %s", got, vipMAC)
	}
	if out, err := fetch("http://10.0.0.100/"); err != nil || out != "web1\n" {
		t.Errorf("after a stranger's claim: got %q, %v; want the name of web1", out, err)
	}

	// What the others have heard.
	for name, ear := range ears {
		frames, err := ear.Collect(500 * time.Millisecond)
		must(t, err)
		for _, b := range frames {
			if len(b) >= 42 && binary.BigEndian.Uint16(b[12:]) == wire.EtherTypeARP {
				a := wire.ARP(b[14:])
				own := wire.MAC(b[6:]) == uint64(f.VM(name).MAC)
				if mac := model.MAC(a.SenderMAC()); !own && a.SenderIP() == 0x0a000064 && mac.String() != vipMAC {
					t.Errorf("%s heard that the VIP is at %v, want nothing but %s", name, mac, vipMAC)
				}
			}
		}
	}

	// A VIP that answers nobody.
	for _, n := range f.Boxes {
		v := f.Options.VIPs[0]
		v.ARP = "drop"
		f.push(n.Name, []lab.Operation{{Op: "put", Kind: model.KindVIP, Key: "red/http", Value: v}})
	}
	before = f.drops("box1")
	flush("client")
	if out, err := fetch("http://10.0.0.100/"); err == nil {
		t.Errorf("with arp: drop the client got %q, want no answer", out)
	}
	if n := f.drops("box1")["vip_silent"] - before["vip_silent"]; n < 2 {
		t.Errorf("%d requests for the VIP were dropped as vip_silent in 3 s, want one a second", n)
	}
}

// endpointTCP returns a TCP segment between two VMs, from a port of an address.
func endpointTCP(t *testing.T, f *fabric, from, to, src, dst string, port uint16) []byte {
	t.Helper()
	ip := &layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolTCP,
		SrcIP: net.ParseIP(src).To4(), DstIP: net.ParseIP(dst).To4()}
	tcp := &layers.TCP{SrcPort: layers.TCPPort(port), DstPort: 40000, ACK: true}
	must(t, tcp.SetNetworkLayerForChecksum(ip))
	macs := make([]byte, 12)
	wire.PutMAC(macs, uint64(f.VM(to).MAC))
	wire.PutMAC(macs[6:], uint64(f.VM(from).MAC))
	buf := gopacket.NewSerializeBuffer()
	must(t, gopacket.SerializeLayers(buf, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true},
		&layers.Ethernet{DstMAC: macs[:6], SrcMAC: macs[6:], EthernetType: layers.EthernetTypeIPv4}, ip, tcp))
	return slices.Clone(buf.Bytes())
}
