package agent_test

import (
	"bytes"
	"encoding/hex"
	"net"
	"strings"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"penstock/dataplane/drop"
	"penstock/dataplane/fib"
	"penstock/dataplane/wire"
)

const (
	tcp = wire.ProtoTCP
	udp = wire.ProtoUDP
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestReply compares a reply octet for octet.
func TestReply(t *testing.T) {
	const in = `02000000 010a0200 00000114 08004500 00280002 40004006 244d0a0a 01640a0a 010a1f90 8ca02222 22221111
		11125012 faf08bc8 0000`
	const out = `02000000 010a0200 00000114 08004500 00280002 40004006 244d0a0a 01640a0a 010a0050 8ca02222 22221111
		11125012 faf0ab08 0000`
	for _, policy := range []fib.Policy{fib.PolicyStrict, fib.PolicyMAC, fib.PolicyOff} {
		w := newWorld(t, policy, rule(vip4, tcp, 8080, 8080, 80, 7))
		for range 3 { // the station's cache must not let the following ones pass unchanged
			w.receive(srv, unhex(t, in))
			if got, want := w.one(cli), unhex(t, out); !bytes.Equal(got, want) {
				t.Fatalf("policy %d: the client received\n%x, want\n%x", policy, got, want)
			}
			own := tcp4(t, clientMAC, web1MAC, "10.10.1.20", 8080, "10.10.1.10", 36000, nil)
			w.receive(srv, own)
			if got := w.one(cli); !bytes.Equal(got, own) {
				t.Fatalf("policy %d: from the server's own address\n%x, want it unchanged\n%x", policy, got, own)
			}
		}
		if s := w.Servers.Server(1); s.Out.Packets != 3 || s.Out.Bytes != 3*54 {
			t.Errorf("policy %d: the server's replies counted as %+v, want 3 packets of 54 octets", policy, s.Out)
		}
	}
}

// TestRules: what is sent from the virtual address by which rules, and what is not.
func TestRules(t *testing.T) {
	rules := []fib.ReplyRule{
		rule(vip4, tcp, 8080, 8080, 80, 7), rule(vip4, tcp, 9000, 9099, 8000, 8), rule(vip4, udp, 5300, 5300, 53, 9),
		rule(vip6, tcp, 8080, 8080, 80, 10), rule(vip6, tcp, 8081, 8081, 443, 11),
	}
	type packet struct {
		name     string
		from, to uint16 // source port before and after; to 0 = dropped from a strict VIF, unchanged from another
	}
	for _, policy := range []fib.Policy{fib.PolicyStrict, fib.PolicyMAC} {
		w := newWorld(t, policy, rules...)
		for _, p := range []packet{
			{"exact", 8080, 80}, {"start of a range", 9000, 8000}, {"end of a range", 9099, 8099}, {"ssh", 22, 0},
			{"behind a range", 9100, 0}, {"port 0", 0, 0}, {"last port", 65535, 0}, {"udp's port", 5300, 0},
		} {
			f := tcp4(t, clientMAC, web1MAC, "10.10.1.100", p.from, "10.10.1.10", 36000, nil)
			w.receive(srv, f)
			if p.to == 0 && policy == fib.PolicyStrict {
				w.dropped(drop.VIPSource)
				continue
			}
			want := f
			if p.to != 0 {
				want = tcp4(t, clientMAC, web1MAC, "10.10.1.100", p.to, "10.10.1.10", 36000, nil)
			}
			if got := w.one(cli); !bytes.Equal(got, want) {
				t.Errorf("policy %d, %s: the client received\n%x, want\n%x", policy, p.name, got, want)
			}
		}
		for from, to := range map[uint16]uint16{8080: 80, 8081: 443} {
			w.receive(srv, tcp6(t, clientMAC, web1MAC, "fd00:10::100", from, "fd00:10::10", 36000))
			want := tcp6(t, clientMAC, web1MAC, "fd00:10::100", to, "fd00:10::10", 36000)
			if got := w.one(cli); !bytes.Equal(got, want) {
				t.Errorf("policy %d, IPv6 port %d: the client received\n%x, want\n%x", policy, from, got, want)
			}
		}
	}
}

// TestTagged: a server behind a tagged attachment, whose replies leave by an untagged one.
func TestTagged(t *testing.T) {
	w := newWorld(t, fib.PolicyStrict, rule(vip4, tcp, 8080, 8080, 80, 7))
	f := tcp4(t, clientMAC, web2MAC, "10.10.1.100", 8080, "10.10.1.10", 36000, nil)
	tagged := append(append(append([]byte(nil), f[:12]...), 0x81, 0, 0, 5), f[12:]...)
	w.receive(tag, tagged, tagged)
	want := tcp4(t, clientMAC, web2MAC, "10.10.1.100", 80, "10.10.1.10", 36000, nil)
	if len(w.sent[cli]) != 2 || !bytes.Equal(w.sent[cli][1], want) {
		t.Errorf("the client received\n%x, want twice\n%x", w.sent[cli], want)
	}
}

// TestUDPChecksums: a checksum that comes to 0 is sent as 0xffff, none stays none, and a wrong one stays wrong.
func TestUDPChecksums(t *testing.T) {
	w := newWorld(t, fib.PolicyStrict, rule(vip4, udp, 5300, 5300, 53, 7))
	head := "02000000010a 020000000114 0800 4500001e000300004011644b0a0a01640a0a010a "
	for _, c := range []struct{ in, out string }{
		{"14b48ca1000a ffff4803", "00358ca1000a 147f4803"}, {"14b48ca1000a 00004803", "00358ca1000a 00004803"},
		{"14b48ca1000a eb804803", "00358ca1000a ffff4803"}, {"14b48ca1000a 00014803", "00358ca1000a 14804803"},
	} {
		w.receive(srv, unhex(t, head+c.in))
		if got, want := w.one(cli), unhex(t, head+c.out); !bytes.Equal(got, want) {
			t.Errorf("%s: sent\n%x, want\n%x", c.in, got, want)
		}
	}
}

// TestMSS: the SYN-ACK's MSS is lowered to what fits the fabric (1400 - 34 octets), by family.
func TestMSS(t *testing.T) {
	w := newWorld(t, fib.PolicyStrict, rule(vip4, tcp, 8080, 8080, 80, 7))
	syn := func(mss uint16) func(*layers.TCP) {
		return func(l *layers.TCP) {
			l.SYN = true
			l.Options = []layers.TCPOption{{OptionType: layers.TCPOptionKindMSS, OptionLength: 4,
				OptionData: []byte{byte(mss >> 8), byte(mss)}}}
		}
	}
	w.receive(srv, tcp4(t, clientMAC, web1MAC, "10.10.1.100", 8080, "10.10.1.10", 36000, syn(1460)))
	want := tcp4(t, clientMAC, web1MAC, "10.10.1.100", 80, "10.10.1.10", 36000, syn(1400-34-40))
	if got := w.one(cli); !bytes.Equal(got, want) {
		t.Errorf("the client received\n%x, want\n%x", got, want)
	}
}

// TestQuoted: the port in a packet that the server's ICMP error quotes is the service's again, whether the error comes
// from the virtual address or from the server's own, with all of the packet or only 8 octets of its payload.
func TestQuoted(t *testing.T) {
	w := newWorld(t, fib.PolicyStrict, rule(vip4, udp, 5300, 5300, 53, 7), rule(vip4, tcp, 8080, 8080, 80, 7))
	for _, from := range []string{"10.10.1.100", "10.10.1.20"} {
		for _, proto := range []uint8{tcp, udp} {
			for _, n := range []int{8, 20, 1000} {
				server, service := uint16(5300), uint16(53)
				if proto == tcp {
					server, service = 8080, 80
				}
				w.receive(srv, unreachable(t, from, proto, server, n))
				if got, want := w.one(cli), unreachable(t, from, proto, service, n); !bytes.Equal(got, want) {
					t.Errorf("from %s, protocol %d, %d octets: the client received\n%x, want\n%x", from, proto, n, got,
						want)
				}
			}
		}
	}
}

// unreachable is the server's "port unreachable" about a request to its port, of which n octets of payload are quoted.
func unreachable(t testing.TB, from string, proto uint8, port uint16, n int) []byte {
	t.Helper()
	ip := &layers.IPv4{Version: 4, TTL: 63, Id: 1, Protocol: layers.IPProtocol(proto),
		SrcIP: net.ParseIP("10.10.1.10"), DstIP: net.ParseIP("10.10.1.100")}
	var quoted []byte
	if proto == tcp {
		l4 := &layers.TCP{SrcPort: 36000, DstPort: layers.TCPPort(port), SYN: true, Window: 1000}
		_ = l4.SetNetworkLayerForChecksum(ip)
		quoted = build(t, ip, l4, gopacket.Payload("0123456789abcdef"))
	} else {
		l4 := &layers.UDP{SrcPort: 36000, DstPort: layers.UDPPort(port)}
		_ = l4.SetNetworkLayerForChecksum(ip)
		quoted = build(t, ip, l4, gopacket.Payload("0123456789abcdef"))
	}
	quoted = quoted[:min(len(quoted), 20+n)]
	return build(t, &layers.Ethernet{DstMAC: hw(clientMAC), SrcMAC: hw(web1MAC), EthernetType: layers.EthernetTypeIPv4},
		&layers.IPv4{Version: 4, TTL: 64, Id: 2, Protocol: layers.IPProtocolICMPv4, SrcIP: net.ParseIP(from),
			DstIP: net.ParseIP("10.10.1.10")},
		&layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(3, 3)}, gopacket.Payload(quoted))
}

// TestMarkSpoof: only directors send from marks.
func TestMarkSpoof(t *testing.T) {
	w := newWorld(t, fib.PolicyOff, rule(vip4, tcp, 8080, 8080, 80, 7))
	w.receive(cli, tcp4(t, web1MAC, fib.Mark|7, "10.10.1.10", 36000, "10.10.1.100", 8080, nil))
	w.dropped(drop.MarkSpoof)
}
