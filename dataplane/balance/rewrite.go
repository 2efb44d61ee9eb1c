package balance

import (
	"encoding/binary"

	"penstock/dataplane/drop"
	"penstock/dataplane/fib"
	"penstock/dataplane/frame"
	"penstock/dataplane/mss"
	"penstock/dataplane/stats"
	"penstock/dataplane/wire"
	"penstock/dataplane/wire/checksum"
)

// send rewrites p for a server and sends it there: the MACs, TTL, and the service's port change, nothing else. SrcMAC
// and OldPort stay the client's: an ICMP error about p needs them.
func (st *State) send(mem []byte, p *frame.Packet, s *fib.Snapshot, w *work, server uint32) {
	sv := &s.Servers[server]
	decrement(mem, p)
	port := w.port
	if sv.Port != 0 {
		port = sv.Port + w.port - s.Services[w.service].Port
	}
	switch w.kind {
	case whole:
		p.OldPort = w.port
		if port != w.port {
			checksum.SetPort(mem[p.Off+uint32(p.L4):p.Off+uint32(p.Len)], p.Proto, checksum.DstPort, port)
		}
	case about:
		if port != w.port {
			translateEmbedded(mem, p, w, port)
		}
	}
	e := (*[2 * wire.MACLen]byte)(mem[p.Off:])
	binary.BigEndian.PutUint64(e[:8], sv.MAC<<16|sv.Source>>32&0xffff)
	binary.BigEndian.PutUint32(e[8:12], uint32(sv.Source))
	p.DstMAC, p.Seg, p.Loc = sv.MAC, sv.Seg, sv.Loc
	p.Flags |= frame.FlagBalanced
	st.Services.AddPacket(int(w.service)*stats.ServiceLen+stats.ServiceIn, p.Len)
	st.Servers.AddPacket(int(server)*stats.ServerLen+stats.ServerIn, p.Len)
	switch {
	case sv.Direct:
		st.outOf(mem, p, s, w, sv.Out)
	case sv.Loc == fib.None || uint(sv.Seg) >= uint(len(s.Segments)):
		p.DropFor(drop.NoServer)
	case sv.Loc&fib.LocLocal == 0:
		p.Flags &^= frame.FlagFromFabric
		p.Next = frame.NextEncap
	case fib.LocBox(sv.Loc) || uint(sv.Loc&^fib.LocLocal) >= uint(len(s.VIFs)):
		p.DropFor(drop.NoServer)
	default:
		p.Next = frame.NextDeliver
	}
}

// outOf sends p untagged out of a port, to a station that is no VIF.
func (st *State) outOf(mem []byte, p *frame.Packet, s *fib.Snapshot, w *work, out uint16) {
	if uint(out) >= uint(len(s.Ports)) || !s.Ports[out].Up {
		p.DropFor(drop.TxPortDown)
		return
	}
	to := &s.Ports[out]
	if uint32(p.Len) > uint32(to.MTU)+wire.EthernetLen {
		// TooBig finds the service by its mark.
		wire.PutMAC(mem[p.Off+wire.MACLen:], fib.Mark|uint64(s.Services[w.service].ID))
		st.TooBig(p, to.MTU, drop.AccessMTU)
		return
	}
	if w.kind == whole && p.Proto == wire.ProtoTCP && s.Ports[p.Port].ClampMSS {
		mss.Clamp(mem, p, min(to.MTU, s.Ports[p.Port].MTU))
	}
	st.Send(p, out)
}

// decrement takes one from the TTL or hop limit of p, which is not 0.
func decrement(mem []byte, p *frame.Packet) {
	if p.Flags&frame.FlagIPv6 != 0 {
		h := wire.IPv6((*[wire.IPv6Len]byte)(mem[p.Off+uint32(p.L3):])[:])
		h.SetHopLimit(h.HopLimit() - 1)
		return
	}
	checksum.DecrementTTL((*[wire.IPv4Len]byte)(mem[p.Off+uint32(p.L3):])[:])
}
