package agent

import (
	"penstock/dataplane/fib"
	"penstock/dataplane/flow"
	"penstock/dataplane/frame"
	"penstock/dataplane/parse"
	"penstock/dataplane/wire"
	"penstock/dataplane/wire/checksum"
)

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
			st.quoted(m, false, a, p.VIF)
		}
	case p.Has(frame.FlagIPv6) && p.Proto == wire.ProtoICMPv6:
		if m := l3[at : wire.IPv6Len+int(wire.IPv6(l3).PayloadLen())]; len(m) > wire.ICMPLen && error6(m[0]) {
			st.quoted(m, true, a, p.VIF)
		}
	}
}

// quoted processes the packet that ICMP message m quotes, sent by VIF vif.
func (st *State) quoted(m []byte, v6 bool, a *fib.Agent, vif uint32) {
	q, ok := parse.Embedded(m, v6)
	if !ok || q.Proto != wire.ProtoTCP && q.Proto != wire.ProtoUDP {
		return
	}
	vip, ok := findVIP(a, v6, q.Dst)
	if !ok {
		return
	}
	port := uint16(q.Ports)
	r := find(a.Rules, vip, q.Proto, port)
	if r != nil && r.Shared {
		r = st.quotedRule(a, r, flow.NoteKey{
			Client: q.Src, VIF: vif, ClientPort: uint16(q.Ports >> 16), Port: port, Proto: q.Proto,
		})
	}
	if r != nil {
		checksum.SetQuotedPort(m, q.L4, q.Proto, checksum.DstPort, r.To+(port-r.First))
	}
}

// error4 reports whether the ICMPv4 type t is an error (RFC 1122, 3.2.2.1 to 3.2.2.5) that quotes a packet.
func error4(t uint8) bool {
	return t == wire.ICMPv4Unreachable || t == wire.ICMPv4TimeExceeded || t == wire.ICMPv4Parameter ||
		t == wire.ICMPv4SourceQuench
}

// error6 reports whether the ICMPv6 type t is an error (RFC 4443, 2.1).
func error6(t uint8) bool { return t < wire.ICMPv6Echo }
