package integration

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"penstock/ctrl/model"
	"penstock/integration/endpoint"
)

// testBalancePathMTU has large answers go over a link with an MTU of 1300 that only the router before it knows: its
// ICMP errors come to the virtual address, and reach the server whose packet was too large.
func testBalancePathMTU(t *testing.T, b *balancer) {
	b.apply(t, b.document(httpService("v4", 7)))
	b.reachesOutside(t)
	for _, s := range webServers {
		must(t, b.flushRoutes(s))
	}
	errors := map[string]func() string{}
	for _, s := range []string{"web1", "web2", "web3"} {
		p, err := b.lab.Start(b.VM(s).Namespace, "tcpdump", "tcpdump", "-n", "-v", "-i", "eth0", "-Q", "in",
			"--immediate-mode", "-l", "icmp[icmptype] == icmp-unreach and icmp[icmpcode] == 4")
		must(t, err)
		b.eventually(t, "tcpdump", func() bool { return strings.Contains(p.Log(), "listening on") })
		errors[s] = p.Log
	}
	c := b.client(outsideNS, true)
	defer c.CloseIdleConnections()
	began := time.Now()
	body, err := fetch(c, "http://"+vip4+"/large")
	took := time.Since(began)
	if err != nil || len(body) != 1<<20 {
		t.Fatalf("a mebibyte over a link with an MTU of 1300: got %d octets and %v, want all of it", len(body), err)
	}
	if took > 2*time.Second {
		t.Errorf("a mebibyte over a link with an MTU of 1300: took %v, want at most 2 s", took)
	}
	b.eventually(t, "an ICMP error that quotes port 8080 at the server", func() bool {
		for _, log := range errors {
			if strings.Contains(log(), fmt.Sprintf("%s.%d > %s.", vip4, backPort, outsideIP)) {
				return true
			}
		}
		return false
	})
	pmtu := ""
	for _, s := range []string{"web1", "web2", "web3"} {
		out, err := b.lab.Run(b.VM(s).Namespace, "ss", "-tinH", "state", "established", "dst", outsideIP)
		must(t, err)
		pmtu += string(out)
	}
	if !strings.Contains(pmtu, "pmtu:1300") {
		t.Errorf("ss at the servers: got this, want a pmtu of 1300\n%s", pmtu)
	}
	t.Logf("a mebibyte over a link with an MTU of 1300 in %v", took.Round(time.Millisecond))
	t.Run("Request", func(t *testing.T) { testBalanceTooBig(t, b) })
}

// flushRoutes lets a guest forget path MTUs.
func (b *balancer) flushRoutes(vm string) error {
	_, err := b.lab.Run(b.VM(vm).Namespace, "ip", "route", "flush", "cache")
	return err
}

// testBalanceTooBig has requests that do not fit the director's fabric: the client is told by the virtual address, with
// its packet as it sent it. With MSS clamping there are none.
func testBalanceTooBig(t *testing.T, b *balancer) {
	b.apply(t, b.document(httpService("v6", 8)))
	for _, n := range b.Boxes {
		b.setMTU(t, n.Name, "fab0", 1500)
		defer b.setMTU(t, n.Name, "fab0", 1600)
	}
	raw := b.raw(t, "near")
	from := b.host("near")
	for _, tc := range []struct {
		name string
		vip  string
		mac  model.MAC
		mtu  string
	}{{"IPv4", vip4, vipMAC4, "1466"}, {"IPv6", vip6, 0x025600000100, "1466"}} {
		t.Run(tc.name, func(t *testing.T) {
			must(t, raw.Drain(20*time.Millisecond))
			must(t, raw.Send(bytesOf(segment(from, tc.mac, tc.vip, 1500))))
			got, err := raw.Find(2*time.Second, func(f []byte) bool { return tooBig(f) != nil })
			must(t, err)
			e := tooBig(got)
			if e.from != tc.vip || e.mtu != tc.mtu || e.quotedPort != httpPort || e.quotedTo != tc.vip {
				t.Errorf("error for a segment of 1500 octets: got %+v, want it from %s with MTU %s and port %d quoted",
					*e, tc.vip, tc.mtu, httpPort)
			}
			if err := endpoint.CheckSums(got); err != nil {
				t.Error(err)
			}
		})
	}
	c := b.client("near", false)
	for _, url := range []string{"http://" + vip4 + "/", "http://[" + vip6 + "]/"} {
		before := b.drops("d")["too_big"]
		resp, err := c.Post(url, "application/octet-stream", strings.NewReader(strings.Repeat("x", 100_000)))
		if err != nil {
			t.Errorf("POST of 100,000 octets to %s: got %v, want an answer", url, err)
			continue
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusMethodNotAllowed {
			t.Errorf("POST to %s: got %s, want 200 or 405", url, resp.Status)
		}
		if n := b.drops("d")["too_big"] - before; n != 0 {
			t.Errorf("packets too big from %s with MSS clamping: got %d, want 0", url, n)
		}
	}
}

// segment is a TCP segment with ACK to port 80 of a virtual address, with DF: a packet of size octets.
func segment(from endpoint.Host, mac model.MAC, vip string, size int) ([]byte, error) {
	tcp := &layers.TCP{SrcPort: 41000, DstPort: httpPort, Seq: 1, Ack: 1, ACK: true, Window: 64000}
	to := endpoint.Host{MAC: mac}
	if strings.Contains(vip, ":") {
		ip := &layers.IPv6{Version: 6, HopLimit: 64, NextHeader: layers.IPProtocolTCP, SrcIP: from.IPv6.AsSlice(),
			DstIP: addrOctets(vip)}
		if err := tcp.SetNetworkLayerForChecksum(ip); err != nil {
			return nil, err
		}
		return endpoint.Serialize(append(endpoint.Ethernet(from.MAC, to.MAC, 0, layers.EthernetTypeIPv6), ip, tcp,
			gopacket.Payload(make([]byte, size-60)))...)
	}
	ip := &layers.IPv4{Version: 4, TTL: 64, Flags: layers.IPv4DontFragment, Protocol: layers.IPProtocolTCP,
		SrcIP: from.IPv4.AsSlice(), DstIP: addrOctets(vip)}
	if err := tcp.SetNetworkLayerForChecksum(ip); err != nil {
		return nil, err
	}
	return endpoint.Serialize(append(endpoint.Ethernet(from.MAC, to.MAC, 0, layers.EthernetTypeIPv4), ip, tcp,
		gopacket.Payload(make([]byte, size-40)))...)
}

// tooBigError is what an ICMP error "fragmentation needed" or "packet too big" says.
type tooBigError struct {
	from, mtu, quotedTo string
	quotedPort          int
}

// tooBig reads such an error, nil if the frame is none.
func tooBig(frame []byte) *tooBigError {
	p := gopacket.NewPacket(frame, layers.LayerTypeEthernet, gopacket.Default)
	if ip, ok := p.Layer(layers.LayerTypeIPv4).(*layers.IPv4); ok {
		icmp, ok := p.Layer(layers.LayerTypeICMPv4).(*layers.ICMPv4)
		if !ok || icmp.TypeCode != layers.CreateICMPv4TypeCode(3, 4) || len(icmp.Payload) < 28 {
			return nil
		}
		q := icmp.Payload
		return &tooBigError{ip.SrcIP.String(), fmt.Sprint(icmp.Seq), addrText(q[16:20]), int(q[22])<<8 | int(q[23])}
	}
	ip, ok := p.Layer(layers.LayerTypeIPv6).(*layers.IPv6)
	if !ok {
		return nil
	}
	icmp, ok := p.Layer(layers.LayerTypeICMPv6).(*layers.ICMPv6)
	if !ok || icmp.TypeCode.Type() != layers.ICMPv6TypePacketTooBig || len(icmp.Payload) < 48 {
		return nil
	}
	q := icmp.Payload // MTU, then the packet
	mtu := int(q[0])<<24 | int(q[1])<<16 | int(q[2])<<8 | int(q[3])
	return &tooBigError{ip.SrcIP.String(), fmt.Sprint(mtu), addrText(q[4+24 : 4+40]), int(q[46])<<8 | int(q[47])}
}
