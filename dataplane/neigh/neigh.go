// Package neigh answers ARP and IPv6 neighbour solicitations in place, from the bindings: the box stands in for the
// whole segment, and questions that it can answer never cross the fabric (PROTOCOL.md#address-resolution). What it
// cannot, the guests settle among themselves (pass.go).
//
// An answer always overrides what the asker holds (NA with O set, unlike other proxies, RFC 4861, 7.2.8): the
// bindings are the authority for the segment, and a VIF's address that has moved to another MAC must not wait for the
// asker's unreachability detection.
package neigh

import (
	"penstock/dataplane/drop"
	"penstock/dataplane/fib"
	"penstock/dataplane/frame"
	"penstock/dataplane/stage"
	"penstock/dataplane/table"
	"penstock/dataplane/wire"
	"penstock/dataplane/wire/checksum"
)

const (
	naLen    = wire.NeighborLen + wire.NDLinkAddrLen                // ICMPv6 message of an answer
	naFrame  = wire.EthernetLen + wire.IPv6Len + naLen              // its frame
	hopLimit = 255                                                  // RFC 4861, 7.1
	override = uint32(wire.NAFlagOverride)                          // an answer to a multicast
	answered = uint32(wire.NAFlagOverride | wire.NAFlagSolicited)   // an answer to one asker
	keep     = frame.FlagFromFabric | frame.FlagL4 | frame.FlagIPv6 // flags of a solicitation that its answer keeps
)

// State is what one worker keeps between batches.
type State struct {
	*stage.Env
}

// Answer answers the packets that overlay.Ingress left at NextNeigh: ARP and neighbour discovery from access
// attachments, untagged, senders checked, with Seg, VIF and Attach set. An answer goes to NextDeliver with
// FlagGenerated, hence back to Attach; what the guests settle among themselves goes on; everything else is dropped.
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
			answerARP(mem, p, s)
		case p.Has(frame.FlagND):
			answerND(mem, p, s)
		default:
			p.DropFor(drop.ARPForeign)
		}
		todo |= p.Next.Bit()
	}
	return todo
}

func answerARP(mem []byte, p *frame.Packet, s *fib.Snapshot) {
	a := wire.ARP(mem[p.Off+uint32(p.L3) : p.Off+uint32(p.Len)])
	sender, senderIP, target := a.SenderMAC(), a.SenderIP(), a.TargetIP()
	flood := s.Segments[p.Seg].UnknownUnicast
	switch ours := box4(s, p.Seg, senderIP); {
	case announces(a) && !ours, a.Op() == wire.ARPReply && flood && !ours:
		pass(p, s)
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
		if mac, loc, ok = table.FindIP4(s.Bindings, s.Delta, p.Seg, target); ok && besides(s, p, mac, loc) {
			return
		}
	}
	switch {
	case ok && (mac == sender || mac == p.SrcMAC):
		p.DropFor(drop.ARPForeign) // a probe of the sender's own address
	case !ok && flood && target != 0 && !box4(s, p.Seg, senderIP):
		pass(p, s)
	case !ok:
		p.DropFor(drop.ARPUnresolved)
	default:
		a.Set(wire.ARPReply, mac, target, sender, senderIP)
		address(mem, p, p.SrcMAC, mac)
	}
}

// besides drops p if the VIF that was found hangs from the very attachment that asks: it hears the question itself.
func besides(s *fib.Snapshot, p *frame.Packet, mac uint64, loc fib.Loc) bool {
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

func answerND(mem []byte, p *frame.Packet, s *fib.Snapshot) {
	f := mem[p.Off : p.Off+uint32(p.Len)]
	asker := wire.IPv6(f[p.L3:]).Src()
	target := asker // of what speaks for its sender
	switch wire.ICMPv6(f[p.L4:]).Type() {
	case wire.ICMPv6NeighborAdvert, wire.ICMPv6NeighborSolicit:
		target = wire.NeighborSolicit(f[p.L4:]).Target()
	}
	if wire.ICMPv6(f[p.L4:]).Type() != wire.ICMPv6NeighborSolicit {
		if box6(s, p.Seg, target) || box6(s, p.Seg, asker) {
			p.DropFor(drop.SpoofND)
			return
		}
		pass(p, s)
		return
	}

	mac, router := s.Router6(p.Seg, target)
	if !router {
		var loc fib.Loc
		var ok bool
		if mac, loc, ok = table.FindIP6(s.Bindings, s.Delta, p.Seg, target[0], target[1]); !ok {
			mac, loc, ok = s.Station6(p.Seg, target)
		}
		if !ok {
			unknown6(p, s, asker, target)
			return
		}
		if besides(s, p, mac, loc) {
			return
		}
	}
	if mac == p.SrcMAC { // the sender's own address, as in its duplicate address detection
		p.DropFor(drop.ARPForeign)
		return
	}
	Advertise(mem, p, mac, router)
}

// unknown6 passes on a solicitation for an address that no table knows, where the guests are to settle it.
func unknown6(p *frame.Packet, s *fib.Snapshot, asker, target [2]uint64) {
	switch {
	case asker == target:
		p.DropFor(drop.ARPForeign)
	case box6(s, p.Seg, asker) || !wire.LinkLocal6(target) && !s.Segments[p.Seg].UnknownUnicast:
		p.DropFor(drop.ARPUnresolved)
	default:
		pass(p, s)
	}
}

// Advertise turns the neighbour solicitation p into its answer: the target is at mac, and a router or not. It goes to
// NextDeliver, untagged, with FlagGenerated.
func Advertise(mem []byte, p *frame.Packet, mac uint64, router bool) {
	if uint64(p.Off)+uint64(p.L3)+wire.IPv6Len+naLen > uint64(len(mem)) {
		p.DropFor(drop.FrameLong)
		return
	}
	f := mem[p.Off : p.Off+uint32(p.Len)]
	asker := wire.IPv6(f[p.L3:]).Src()
	target := wire.NeighborSolicit(f[p.L4:]).Target()
	flags, dst, dstMAC := answered, asker, p.SrcMAC
	if wire.Unspecified6(asker) {
		// Duplicate address detection for an address of somebody else: defend it (RFC 4861, 7.2.4).
		flags, dst = override, wire.AllNodes()
		dstMAC = wire.MulticastMAC(dst)
	}
	if router {
		flags |= wire.NAFlagRouter
	}
	advertise(mem, p, flags, target, mac, dst, dstMAC)
}

// advertise turns p into the neighbour advertisement of target at mac.
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
	p.DSCP = 0
	p.Flags = p.Flags & (keep | frame.FlagND)
	address(mem, p, dstMAC, mac)
}

// address puts an untagged Ethernet header in front of the answer and hands it to delivery.
func address(mem []byte, p *frame.Packet, dst, src uint64) {
	p.Pull(p.L3 - wire.EthernetLen) // the tag, should there be one
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
