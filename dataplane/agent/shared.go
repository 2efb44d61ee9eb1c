package agent

import (
	"encoding/binary"

	"penstock/dataplane/drop"
	"penstock/dataplane/fib"
	"penstock/dataplane/flow"
	"penstock/dataplane/frame"
	"penstock/dataplane/parse"
	"penstock/dataplane/wire"
)

// Note notes the flow of a marked packet p that is delivered to VIF vif, if several services share the server's port.
// It returns drop.ReplyCollision if the flow's addresses and ports are those of another service's live flow: the
// replies could not be told apart. It leaves packets alone that are no requests, or that no shared rule covers.
func (st *State) Note(p *frame.Packet, a *fib.Agent, vif uint32) drop.Reason {
	mem, s := st.Mem, st.Snap
	source := wire.MAC(mem[p.Off+wire.MACLen:])
	if st.Notes == nil || !fib.Marked(source) || parse.Inner(mem, p) != drop.None || !p.Has(frame.FlagL4) ||
		p.Proto != wire.ProtoTCP && p.Proto != wire.ProtoUDP {
		return drop.None
	}
	src, dst := addresses(mem, p)
	vip, ok := findVIP(a, p.Has(frame.FlagIPv6), dst)
	if !ok || uint(vip) >= uint(len(s.VIPs)) {
		return drop.None
	}
	l4 := mem[p.Off+uint32(p.L4) : p.Off+uint32(p.Len)]
	port := binary.BigEndian.Uint16(l4[2:])
	r := find(a.Rules, vip, p.Proto, port)
	if r == nil || !r.Shared {
		return drop.None
	}
	k := flow.NoteKey{
		Client: src, VIF: vif, VIP: s.VIPs[vip].Ref, Proto: p.Proto,
		ClientPort: binary.BigEndian.Uint16(l4), Port: port,
	}
	if !st.Notes.Request(&k, uint32(source&^fib.MarkMask), tcpFlags(p, l4), st.Now) {
		return drop.ReplyCollision
	}
	return drop.None
}

// noted returns the rule of the service that a reply belongs to, by the flow's note, nil without one. last is the last
// of the rules that cover the reply.
func (st *State) noted(p *frame.Packet, a *fib.Agent, last *fib.ReplyRule, l4 []byte) *fib.ReplyRule {
	if st.Notes == nil || uint(last.VIP) >= uint(len(st.Snap.VIPs)) {
		return nil
	}
	_, dst := addresses(st.Mem, p)
	id, ok := st.Notes.Reply(&flow.NoteKey{
		Client: dst, VIF: p.VIF, VIP: st.Snap.VIPs[last.VIP].Ref, ClientPort: binary.BigEndian.Uint16(l4[2:]),
		Port: binary.BigEndian.Uint16(l4), Proto: p.Proto,
	}, tcpFlags(p, l4), st.Now)
	if !ok {
		return nil
	}
	return byID(a.Rules, last, id)
}

// quotedRule is noted for the flow of a packet that an ICMP error quotes, which says nothing about the flow's state.
func (st *State) quotedRule(a *fib.Agent, last *fib.ReplyRule, of flow.NoteKey) *fib.ReplyRule {
	if st.Notes == nil || uint(last.VIP) >= uint(len(st.Snap.VIPs)) {
		return nil
	}
	of.VIP = st.Snap.VIPs[last.VIP].Ref
	id, ok := st.Notes.Look(&of, st.Now)
	if !ok {
		return nil
	}
	return byID(a.Rules, last, id)
}

// byID returns the rule of the service with this ID among those that cover what the rule last covers.
func byID(rules []fib.ReplyRule, last *fib.ReplyRule, id uint32) *fib.ReplyRule {
	for i := after(rules, order(last.VIP, last.Proto, last.First)) - 1; i >= 0; i-- {
		r := &rules[i]
		if r.VIP != last.VIP || r.Proto != last.Proto || r.First != last.First {
			return nil
		}
		if r.ID == id {
			return r
		}
	}
	return nil
}

// tcpFlags returns octet 13 of the TCP header, 0 for UDP.
func tcpFlags(p *frame.Packet, l4 []byte) uint8 {
	if p.Proto != wire.ProtoTCP || len(l4) < wire.TCPLen {
		return 0
	}
	return l4[13]
}

// addresses returns source and destination of an IP packet; IPv4 addresses stand in the low half.
func addresses(mem []byte, p *frame.Packet) (src, dst [2]uint64) {
	l3 := mem[p.Off+uint32(p.L3) : p.Off+uint32(p.Len)]
	if p.Has(frame.FlagIPv4) {
		return [2]uint64{0, uint64(wire.IPv4(l3).Src())}, [2]uint64{0, uint64(wire.IPv4(l3).Dst())}
	}
	return wire.IPv6(l3).Src(), wire.IPv6(l3).Dst()
}

// findVIP returns the index of the virtual address ip among those of a.
func findVIP(a *fib.Agent, v6 bool, ip [2]uint64) (vip uint32, ok bool) {
	if v6 {
		return fib.FindVIP6(a.VIPs6, ip)
	}
	return fib.FindVIP4(a.VIPs4, uint32(ip[1]))
}
