package agent_test

import (
	"encoding/binary"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"penstock/dataplane/fib"
	"penstock/dataplane/frame"
	"penstock/dataplane/parse"
	"penstock/dataplane/wire"
	"penstock/dataplane/wire/checksum"
)

// sums returns the transport header's sum of the frame's packet, complete with its pseudo-header, which is 0xffff if
// the checksum is right; ok is false for what has no such checksum to compare.
func sums(f []byte) (p frame.Packet, sum uint16, ok bool) {
	p = frame.Packet{Len: uint16(len(f))}
	if !parse.Access(f, &p) || !p.Has(frame.FlagL4) || p.Has(frame.FlagFragment) {
		return p, 0, false
	}
	l3 := f[p.L3:]
	at := int(p.L4 - p.L3)
	if p.Has(frame.FlagIPv4) {
		h := wire.IPv4(l3)
		l4 := l3[at:h.TotalLen()]
		switch p.Proto {
		case wire.ProtoICMP:
			return p, checksum.Fold(checksum.Sum(l4, 0)), true
		case wire.ProtoTCP, wire.ProtoUDP:
			pseudo := checksum.PseudoIPv4(h.Src(), h.Dst(), p.Proto, uint16(len(l4)))
			none := p.Proto == wire.ProtoUDP && wire.UDP(l4).Checksum() == 0
			return p, checksum.Fold(checksum.Sum(l4, pseudo)), !none
		}
		return p, 0, false
	}
	h := wire.IPv6(l3)
	l4 := l3[at : wire.IPv6Len+int(h.PayloadLen())]
	if p.Proto == wire.ProtoUDP && wire.UDP(l4).Checksum() == 0 {
		return p, 0, false
	}
	return p, checksum.Fold(checksum.Sum(l4, checksum.Sum(h.Addrs(), uint32(p.Proto)+uint32(len(l4))))), true
}

// same reports whether two folded sums are equal: 0 and 0xffff are one number in ones' complement.
func same(a, b uint16) bool { return a == b || a^b == 0xffff && (a == 0 || b == 0) }

// FuzzReply: whatever a real server sends, the frame has one fate, the sum of what goes on is the sum of what came
// (right stays right, wrong stays wrong), and no packet leaves from the VIP and a port of a server.
func FuzzReply(f *testing.F) {
	quote := func(request []byte, typ, code uint8, keep int) []byte {
		ip := &layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolICMPv4, SrcIP: []byte{10, 10, 1, 100},
			DstIP: []byte{10, 10, 1, 10}}
		e := &layers.Ethernet{DstMAC: hw(clientMAC), SrcMAC: hw(web1MAC), EthernetType: layers.EthernetTypeIPv4}
		return build(f, e, ip, &layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(typ, code)},
			gopacket.Payload(request[14:][:keep]))
	}
	request := tcp4(f, web1MAC, clientMAC, "10.10.1.10", 36000, "10.10.1.100", 8080, nil)
	for _, seed := range [][]byte{
		tcp4(f, clientMAC, web1MAC, "10.10.1.100", 8080, "10.10.1.10", 36000, nil),
		tcp6(f, clientMAC, web1MAC, "fd00:10::100", 8080, "fd00:10::10", 36000),
		tcp4(f, clientMAC, web1MAC, "10.10.1.20", 8080, "10.10.1.10", 36000, nil),
		quote(request, 3, 3, 28), quote(request, 3, 4, 46), quote(request, 11, 0, 21),
	} {
		f.Add(seed, false)
		f.Add(seed, true)
	}
	f.Fuzz(func(t *testing.T, b []byte, off bool) {
		if len(b) > 1500 {
			return
		}
		policy := fib.PolicyStrict
		if off {
			policy = fib.PolicyOff
		}
		w := newWorld(t, policy, rule(vip4, tcp, 8080, 8080, 80, 7), rule(vip4, udp, 5300, 5399, 53, 7),
			rule(vip6, tcp, 8080, 8080, 80, 7))
		before, sum, summed := sums(append([]byte(nil), b...))
		w.receive(srv, b)
		for _, list := range w.sent[:fab] {
			for _, got := range list {
				p, after, ok := sums(append([]byte(nil), got...))
				if !ok || p.Has(frame.FlagARP|frame.FlagND) || p.SrcMAC != before.SrcMAC {
					continue // made by the box
				}
				if summed && !same(sum, after) {
					t.Errorf("the sum was %#04x, is %#04x; want it unchanged\n%x\n%x", sum, after, b, got)
				}
				if p.Proto != wire.ProtoTCP && p.Proto != wire.ProtoUDP {
					continue
				}
				port := binary.BigEndian.Uint16(got[p.L4:])
				vip := p.Has(frame.FlagIPv4) && wire.IPv4(got[p.L3:]).Src() == ip4("10.10.1.100")
				if vip && p.SrcMAC == web1MAC && (p.Proto == wire.ProtoTCP && port == 8080 ||
					p.Proto == wire.ProtoUDP && port >= 5300 && port <= 5399) {
					t.Errorf("a packet leaves from the VIP and the server's port %d, want the service's: %x", port, got)
				}
			}
		}
	})
}
