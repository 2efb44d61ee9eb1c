// Package neigh answers ARP requests and IPv6 neighbour solicitations in place, from the bindings. The box answers for
// all stations of a segment: a request that it can answer never crosses the fabric (PROTOCOL.md#address-resolution).
// forward.go forwards the messages that the box does not answer and that stations need; director.go those between
// directors and servers.
//
// An answer always overrides the neighbour cache of the requesting station (NA with O set, unlike other proxies, RFC
// 4861, 7.2.8). The bindings are the authority for the segment: when an address moves to another MAC, stations must not
// wait for unreachability detection.
package neigh

import (
	"penstock/dataplane/drop"
	"penstock/dataplane/fib"
	"penstock/dataplane/frame"
	"penstock/dataplane/resolve"
	"penstock/dataplane/stage"
	"penstock/dataplane/table"
	"penstock/dataplane/wire"
	"penstock/dataplane/wire/checksum"
)

const (
	naLen    = wire.NeighborLen + wire.NDLinkAddrLen   // octets of a neighbour advertisement
	naFrame  = wire.EthernetLen + wire.IPv6Len + naLen // octets of its frame
	hopLimit = 255                                     // RFC 4861, 7.1

	// Flags of an advertisement to all nodes, and of one to the source of the solicitation.
	override  = uint32(wire.NAFlagOverride)
	solicited = uint32(wire.NAFlagOverride | wire.NAFlagSolicited)

	// keptFlags are the packet flags of a solicitation that its answer keeps.
	keptFlags = frame.FlagFromFabric | frame.FlagL4 | frame.FlagIPv6
)

// State is what one worker keeps between batches.
type State struct {
	*stage.Env
}

// Answer processes the packets that overlay.Access has set to NextNeigh: ARP and neighbour discovery messages from
// access attachments, untagged, with Seg, VIF and Attach set, whose senders have been checked. An answer is at
// NextDeliver with FlagGenerated, and hence goes back to Attach. forward.go lists the messages that are forwarded.
// All others are dropped.
//
// It is a stage (stage.Func).
func (st *State) Answer(b *frame.Batch) (todo uint32) {
	mem, s := st.Mem, st.Snap
	for i := range b.Pkt[:min(uint(b.N), frame.BatchSize)] {
		p := &b.Pkt[i]
		if p.Next != frame.NextNeigh {
			continue
		}
		switch {
		case uint(p.Seg) >= uint(len(s.Segments)):
			p.DropFor(drop.ARPForeign)
		case p.Has(frame.FlagARP):
			st.answerARP(mem, p, s)
		case p.Has(frame.FlagND):
			st.answerND(mem, p, s)
		default:
			p.DropFor(drop.ARPForeign)
		}
		todo |= p.Next.Bit()
	}
	return todo
}

func (st *State) answerARP(mem []byte, p *frame.Packet, s *fib.Snapshot) {
	a := wire.ARP(mem[p.Off+uint32(p.L3) : p.Off+uint32(p.Len)])
	sender, senderIP, target := a.SenderMAC(), a.SenderIP(), a.TargetIP()
	flood := s.Segments[p.Seg].UnknownUnicast
	ours := boxAddress4(s, p.Seg, senderIP) || virtual4(s, p, senderIP)
	if v, ok := answers4(p, a, s); ok && !ours {
		toDirector(p, s, v)
		return
	}
	switch {
	case announces(a) && !ours, a.Op() == wire.ARPReply && flood && !ours:
		forward(p, s)
		return
	case ours && a.Op() == wire.ARPReply:
		p.DropFor(drop.SpoofARP)
		return
	case a.Op() != wire.ARPRequest:
		p.DropFor(drop.ARPForeign)
		return
	}
	mac, ok := s.Router4(p.Seg, target)
	if !ok {
		var loc fib.Loc
		if vip, virtual := s.VIP4(p.Seg, target); virtual {
			if s.VIPs[vip].Silent {
				p.DropFor(drop.VIPSilent)
				return
			}
			mac, ok = s.VIPs[vip].MAC, true
		} else if mac, loc, ok = table.FindIP4(s.Bindings, s.Delta, p.Seg, target); ok &&
			sameAttachment(s, p, mac, loc) {
			return
		}
	}
	switch {
	case ok && (mac == sender || mac == p.SrcMAC):
		p.DropFor(drop.ARPForeign) // the sender probes its own address
	case !ok && flood && target != 0 && !ours:
		st.tell(p, resolve.MissIP4, 0, uint64(target))
		forward(p, s)
	case !ok && target != 0 && !ours && toVTEPs(p, s):
		st.tell(p, resolve.MissIP4, 0, uint64(target))
	case !ok && target != 0 && !ours:
		st.Unresolved(p, stage.Missed{Kind: resolve.MissIP4, Seg: p.Seg, Lo: uint64(target), Again: frame.NextNeigh},
			drop.ARPUnresolved)
	case !ok:
		p.DropFor(drop.ARPUnresolved)
	default:
		a.Set(wire.ARPReply, mac, target, sender, senderIP)
		readdress(mem, p, p.SrcMAC, mac)
	}
}

// sameAttachment drops p and returns true if the requested VIF is behind the attachment of p: that VIF has received the
// request itself.
func sameAttachment(s *fib.Snapshot, p *frame.Packet, mac uint64, loc fib.Loc) bool {
	if loc&fib.LocLocal == 0 || mac == p.SrcMAC {
		return false
	}
	vif := loc &^ fib.LocLocal
	if uint(vif) >= uint(len(s.VIFs)) || s.VIFs[vif].Attach != p.Attach {
		return false
	}
	p.DropFor(drop.Hairpin)
	return true
}

func (st *State) answerND(mem []byte, p *frame.Packet, s *fib.Snapshot) {
	f := mem[p.Off : p.Off+uint32(p.Len)]
	source := wire.IPv6(f[p.L3:]).Src()
	target := source // of messages without a target field
	switch wire.ICMPv6(f[p.L4:]).Type() {
	case wire.ICMPv6NeighborAdvert, wire.ICMPv6NeighborSolicit:
		target = wire.NeighborSolicit(f[p.L4:]).Target()
	}
	if wire.ICMPv6(f[p.L4:]).Type() != wire.ICMPv6NeighborSolicit {
		if boxAddress6(s, p.Seg, target) || boxAddress6(s, p.Seg, source) {
			p.DropFor(drop.SpoofND)
			return
		}
		if v, ok := answers6(p, wire.IPv6(f[p.L3:]), wire.ICMPv6(f[p.L4:]).Type(), s); ok {
			toDirector(p, s, v)
			return
		}
		forward(p, s)
		return
	}

	mac, router := s.Router6(p.Seg, target)
	if vip, virtual := s.VIP6(p.Seg, target); virtual && !router {
		if s.VIPs[vip].Silent {
			p.DropFor(drop.VIPSilent)
			return
		}
		mac = s.VIPs[vip].MAC
	} else if !router {
		var loc fib.Loc
		var ok bool
		if mac, loc, ok = table.FindIP6(s.Bindings, s.Delta, p.Seg, target[0], target[1]); !ok {
			mac, loc, ok = s.Station6(p.Seg, target)
		}
		if !ok {
			st.forwardUnknown6(p, s, source, target)
			return
		}
		if sameAttachment(s, p, mac, loc) {
			return
		}
	}
	if mac == p.SrcMAC { // the sender's own address, as in its duplicate address detection
		p.DropFor(drop.ARPForeign)
		return
	}
	Advertise(mem, p, mac, router)
}

// tell tells control of a question for an address that other boxes are asked for all the same.
func (st *State) tell(p *frame.Packet, kind resolve.EventKind, hi, lo uint64) {
	if st.Miss != nil {
		st.Miss(p, stage.Missed{Kind: kind, Seg: p.Seg, Hi: hi, Lo: lo, Tell: true})
	}
}

// forwardUnknown6 forwards a solicitation for an address without binding, if forward.go allows it.
func (st *State) forwardUnknown6(p *frame.Packet, s *fib.Snapshot, source, target [2]uint64) {
	switch {
	case source == target:
		p.DropFor(drop.ARPForeign)
	case boxAddress6(s, p.Seg, source) || virtual6(s, p, source):
		p.DropFor(drop.ARPUnresolved)
	case wire.LinkLocal6(target):
		forward(p, s)
	case !s.Segments[p.Seg].UnknownUnicast && toVTEPs(p, s):
		st.tell(p, resolve.MissIP6, target[0], target[1])
	case !s.Segments[p.Seg].UnknownUnicast:
		st.Unresolved(p, stage.Missed{Kind: resolve.MissIP6, Seg: p.Seg, Hi: target[0], Lo: target[1],
			Again: frame.NextNeigh}, drop.ARPUnresolved)
	default:
		st.tell(p, resolve.MissIP6, target[0], target[1])
		forward(p, s)
	}
}

// Advertise turns the neighbour solicitation p into its answer: the target has address mac, and is a router or not. The
// answer is at NextDeliver, untagged, with FlagGenerated.
func Advertise(mem []byte, p *frame.Packet, mac uint64, router bool) {
	if uint64(p.Off)+uint64(p.L3)+wire.IPv6Len+naLen > uint64(len(mem)) {
		p.DropFor(drop.FrameLong)
		return
	}
	f := mem[p.Off : p.Off+uint32(p.Len)]
	source := wire.IPv6(f[p.L3:]).Src()
	target := wire.NeighborSolicit(f[p.L4:]).Target()
	flags, dst, dstMAC := solicited, source, p.SrcMAC
	if wire.Unspecified6(source) {
		// Duplicate address detection for an address that another station has: defend the address (RFC 4861, 7.2.4).
		flags, dst = override, wire.AllNodes()
		dstMAC = wire.MulticastMAC(dst)
	}
	if router {
		flags |= wire.NAFlagRouter
	}
	advertise(mem, p, flags, target, mac, dst, dstMAC)
}

// advertise turns p into the neighbour advertisement with these flags, which states that target has address mac.
func advertise(mem []byte, p *frame.Packet, flags uint32, target [2]uint64, mac uint64, dst [2]uint64, dstMAC uint64) {
	p.Len = p.L3 + wire.IPv6Len + naLen
	h := wire.IPv6(mem[p.Off+uint32(p.L3) : p.Off+uint32(p.Len)])
	h.SetFlow(0, 0)
	h.SetPayloadLen(naLen)
	h.SetNextHeader(wire.ProtoICMPv6)
	h.SetHopLimit(hopLimit)
	h.SetSrc(target)
	h.SetDst(dst)
	a := wire.NeighborAdvert(h.Payload())
	a.Set(flags, target, mac)
	wire.ICMPv6(a).SetChecksum(checksum.Checksum(a, checksum.Sum(h.Addrs(), wire.ProtoICMPv6+naLen)))
	p.L4 = p.L3 + wire.IPv6Len
	p.Proto = wire.ProtoICMPv6
	p.TOS = 0
	p.Flags = p.Flags & (keptFlags | frame.FlagND)
	readdress(mem, p, dstMAC, mac)
}

// readdress writes an untagged Ethernet header in front of the answer and sets it to NextDeliver.
func readdress(mem []byte, p *frame.Packet, dst, src uint64) {
	p.Pull(p.L3 - wire.EthernetLen) // removes the tag, if there is one
	p.DstMAC, p.SrcMAC = dst, src
	p.Flags = p.Flags&^(frame.FlagGroup|frame.FlagTagged) | frame.FlagGenerated
	if wire.GroupMAC(dst) {
		p.Flags |= frame.FlagGroup
	}
	e := wire.Ethernet(p.Bytes(mem))
	e.SetDst(dst)
	e.SetSrc(src)
	e.SetType(p.EtherType)
	p.Next = frame.NextDeliver
}
