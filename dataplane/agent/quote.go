package agent

import (
	"encoding/binary"

	"penstock/dataplane/fib"
	"penstock/dataplane/flow"
	"penstock/dataplane/frame"
	"penstock/dataplane/wire"
	"penstock/dataplane/wire/checksum"
)

// extensions is the number of IPv6 extension headers that Quote looks behind in a quoted packet.
const extensions = 8

// Quote puts the service's port into the packet that the ICMP error p quotes, if that is a request to a VIP of a as the
// server has received it. It leaves any other packet unchanged, also one that the message cuts off before the ports.
// The client finds its connection by these ports (RFC 792, RFC 4443, 2.4).
func (st *State) Quote(p *frame.Packet, a *fib.Agent) {
	if !p.Has(frame.FlagL4) {
		return
	}
	l3 := st.Mem[p.Off+uint32(p.L3) : p.Off+uint32(p.Len)]
	at := int(p.L4 - p.L3)
	switch {
	case p.Has(frame.FlagIPv4) && p.Proto == wire.ProtoICMP:
		if m := l3[at:wire.IPv4(l3).TotalLen()]; len(m) > wire.ICMPLen && error4(m[0]) {
			st.quoted4(m, a, p.VIF)
		}
	case p.Has(frame.FlagIPv6) && p.Proto == wire.ProtoICMPv6:
		if m := l3[at : wire.IPv6Len+int(wire.IPv6(l3).PayloadLen())]; len(m) > wire.ICMPLen && error6(m[0]) {
			st.quoted6(m, a, p.VIF)
		}
	}
}

// quoted4 processes the packet that ICMP message m quotes.
func (st *State) quoted4(m []byte, a *fib.Agent, vif uint32) {
	h := wire.IPv4(m[wire.ICMPLen:])
	if len(h) < wire.IPv4Len || h.Version() != 4 || h.HeaderLen() < wire.IPv4Len || h.HeaderLen() > len(h) ||
		h.FlagsFragment()&wire.IPv4OffsetMask != 0 {
		return
	}
	if vip, ok := fib.FindVIP4(a.VIPs4, h.Dst()); ok {
		of := flow.NoteKey{Client: [2]uint64{0, uint64(h.Src())}, VIF: vif, Proto: h.Proto()}
		st.quoted(m, h[h.HeaderLen():], a, vip, of)
	}
}

// quoted6 is quoted4 for ICMPv6.
func (st *State) quoted6(m []byte, a *fib.Agent, vif uint32) {
	h := wire.IPv6(m[wire.ICMPLen:])
	if len(h) < wire.IPv6Len || h.Version() != 6 {
		return
	}
	vip, ok := fib.FindVIP6(a.VIPs6, h.Dst())
	if !ok {
		return
	}
	proto, rest := h.NextHeader(), []byte(h[wire.IPv6Len:])
	for range extensions {
		n := 0
		switch proto {
		case wire.ProtoTCP, wire.ProtoUDP:
			st.quoted(m, rest, a, vip, flow.NoteKey{Client: h.Src(), VIF: vif, Proto: proto})
			return
		case wire.ProtoHopByHop, wire.ProtoRouting, wire.ProtoDestOptions:
			if len(rest) >= 8 {
				n = int(rest[1])*8 + 8
			}
		case wire.ProtoAH:
			if len(rest) >= 8 {
				n = int(rest[1])*4 + 8
			}
		case wire.ProtoFragment:
			if len(rest) >= 8 && binary.BigEndian.Uint16(rest[2:])&wire.IPv6FragOffsetMask == 0 {
				n = 8
			}
		}
		if n == 0 || n > len(rest) {
			return
		}
		proto, rest = rest[0], rest[n:]
	}
}

// quoted rewrites the destination port of a quoted transport header, which may be cut off anywhere, and the checksums
// of that header and of the ICMP message m. of is the flow of the quoted packet, without ports.
func (st *State) quoted(m, l4 []byte, a *fib.Agent, vip uint32, of flow.NoteKey) {
	proto := of.Proto
	if proto != wire.ProtoTCP && proto != wire.ProtoUDP || len(l4) < 4 {
		return
	}
	port := binary.BigEndian.Uint16(l4[2:])
	r := find(a.Rules, vip, proto, port)
	if r != nil && r.Shared {
		of.ClientPort, of.Port = binary.BigEndian.Uint16(l4), port
		r = st.quotedRule(a, r, of)
	}
	if r == nil {
		return
	}
	to := r.To + (port - r.First)
	sumAt := wire.TCPChecksumOffset
	if proto == wire.ProtoUDP {
		sumAt = wire.UDPChecksumOffset
	}
	// All headers before have an even number of octets, so that port and checksum are whole words of the message.
	c := checksum.Update16(wire.ICMPv4(m).Checksum(), port, to)
	binary.BigEndian.PutUint16(l4[2:], to)
	if len(l4) >= sumAt+2 {
		old := binary.BigEndian.Uint16(l4[sumAt:])
		updateChecksum(l4, proto, port, to)
		c = checksum.Update16(c, old, binary.BigEndian.Uint16(l4[sumAt:]))
	}
	wire.ICMPv4(m).SetChecksum(c)
}

// error4 reports whether the ICMPv4 type t is an error (RFC 1122, 3.2.2.1 to 3.2.2.5) that quotes a packet.
func error4(t uint8) bool {
	return t == wire.ICMPv4Unreachable || t == wire.ICMPv4TimeExceeded || t == wire.ICMPv4Parameter ||
		t == wire.ICMPv4SourceQuench
}

// error6 reports whether the ICMPv6 type t is an error (RFC 4443, 2.1).
func error6(t uint8) bool { return t < wire.ICMPv6Echo }
