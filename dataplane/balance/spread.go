package balance

import (
	"encoding/binary"

	"penstock/dataplane/drop"
	"penstock/dataplane/fib"
	"penstock/dataplane/frame"
	"penstock/dataplane/parse"
)

// A packet goes on at the worker of its flow. A fragment goes to the worker of its addresses first, which knows the
// fragments of one packet from the others, and from there to the worker of its flow. Each of the two is a hop, and no
// packet makes a hop twice. The packet's Kind is the last hop that it has made.
const (
	fragmentHop = 1
	flowHop     = 2
)

// Metadata in front of a frame that is handed over in the middle of the packet path: what the parser cannot find again.
//
//	flags 2 | VID 2 | PCP 1 | 0 3 | source MAC 8 | VIF 4 | attachment 4 | VIP's Ref 4
const carriedLen = 28

// carried are the flags that say where a frame came from.
const carried = frame.FlagFromFabric | frame.FlagFromUplink | frame.FlagInjected

// elsewhere hands p over, if the worker of hash is another, and reports whether it does.
func (st *State) elsewhere(mem []byte, p *frame.Packet, s *fib.Snapshot, w *work, hash uint32, hop uint8) bool {
	if st.Affinity.Workers < 2 || p.Kind >= hop {
		return false
	}
	return st.handTo(mem, p, s, w.vip, st.Affinity.Target(hash), hop)
}

// handTo hands p over to a worker, unless that is this one.
func (st *State) handTo(mem []byte, p *frame.Packet, s *fib.Snapshot, vip, to uint32, hop uint8) bool {
	if to == st.Affinity.Self {
		return false
	}
	if p.Off < carriedLen { // a received frame has headroom
		p.DropFor(drop.FrameLong)
		return true
	}
	m := (*[carriedLen]byte)(mem[p.Off-carriedLen:])
	binary.LittleEndian.PutUint16(m[0:], p.Flags&carried)
	binary.LittleEndian.PutUint16(m[2:], p.VID)
	binary.LittleEndian.PutUint32(m[4:], uint32(p.PCP))
	binary.LittleEndian.PutUint64(m[8:], p.SrcMAC)
	binary.LittleEndian.PutUint32(m[16:], p.VIF)
	binary.LittleEndian.PutUint32(m[20:], p.Attach)
	binary.LittleEndian.PutUint32(m[24:], s.VIPs[vip].Ref)
	p.HandOver(uint16(to), hop)
	return true
}

// Resume sets the fields of the packets of a batch as they were on the worker that has handed them over, with Kind as
// the hop: to NextBalance. It returns the set of their Next values.
func (st *State) Resume(b *frame.Batch) (todo uint32) {
	mem, s := st.Mem, st.Snap
	for i := range b.Pkt[:min(uint(b.N), frame.BatchSize)] {
		p := &b.Pkt[i]
		hop := p.Kind
		if parse.Access(mem, p) {
			m := (*[carriedLen]byte)(mem[p.Off-carriedLen:])
			p.Flags |= binary.LittleEndian.Uint16(m[0:]) & carried
			p.VID, p.PCP = binary.LittleEndian.Uint16(m[2:]), m[4]
			p.SrcMAC = binary.LittleEndian.Uint64(m[8:])
			p.VIF, p.Attach = binary.LittleEndian.Uint32(m[16:]), binary.LittleEndian.Uint32(m[20:])
			p.Kind = hop
			revive(p, s, binary.LittleEndian.Uint32(m[24:]))
		}
		todo |= p.Next.Bit()
	}
	return todo
}

// revive sets p, which was set aside when other tables may have been in use, to NextBalance at the virtual address with
// this Ref. Attachment and VIF count only if they are still of this port and tenant.
func revive(p *frame.Packet, s *fib.Snapshot, ref fib.Ref) {
	vip := ref & fib.RefMask
	if uint(vip) >= uint(len(s.VIPs)) || s.VIPs[vip].Ref != ref || uint(s.VIPs[vip].Seg) >= uint(len(s.Segments)) {
		p.DropFor(drop.NoService)
		return
	}
	v := &s.VIPs[vip]
	p.Seg, p.Loc, p.Next = v.Seg, fib.VIPLoc(vip), frame.NextBalance
	at := p.Attach
	if uint(at) >= uint(len(s.Attachments)) || s.Attachments[at].Port != p.Port ||
		uint(s.Attachments[at].Seg) >= uint(len(s.Segments)) || s.Segments[s.Attachments[at].Seg].Tenant != v.Tenant {
		p.Attach, p.VIF = frame.NoIndex, frame.NoIndex
		return
	}
	if uint(p.VIF) >= uint(len(s.VIFs)) || s.VIFs[p.VIF].Attach != at {
		p.VIF = frame.NoIndex
	}
}
