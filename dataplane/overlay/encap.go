package overlay

import (
	"encoding/binary"
	"math/bits"

	"penstock/dataplane/drop"
	"penstock/dataplane/fib"
	"penstock/dataplane/frame"
	"penstock/dataplane/stats"
	"penstock/dataplane/table"
)

// overhead is the difference between the MTU of a path of form "ip" and the tenants'.
const overhead = ipLen + ethLen

// Encapsulate chooses each flow's path to its location and writes the outer header in front of the frame
// (PROTOCOL.md#encapsulation, PROTOCOL.md#path-choice).
//
//	 0      6     12     16   18                       38
//	[dst 6][src 6][tag 4][type][IPv4 20: proto 143 ... ][inner Ethernet …
//
// The source address is the prefix of the own port | segment ID, the destination address is the prefix of the other
// port | tenant ID, and the IPv4 ID is the VLAN ID.
//
// Paths of other forms have headers of their own, see udp.go and vxlan.go.
//
// It is a stage (stage.Func).
func (st *State) Encapsulate(b *frame.Batch) (todo uint32) {
	env, mem, s := st.Env, st.Mem, st.Snap
	choosePaths(b, s, st)
	for i := range b.Pkt[:min(uint(b.N), frame.BatchSize)] {
		p := &b.Pkt[i]
		if p.Next != frame.NextEncap {
			continue
		}
		sw, best := p.Loc>>8, uint(st.path[i])
		if uint(sw) >= uint(len(s.Switches)) || best >= uint(len(s.Switches[sw].Paths)) {
			p.DropFor(drop.NoPath)
			todo |= 1 << frame.NextDrop
			continue
		}
		path := &s.Switches[sw].Paths[best]
		total := uint32(p.Len) + ipLen
		if total > path.Head.Most {
			if path.Form != fib.FormIP {
				todo |= st.encapsulateOther(p, path)
				continue
			}
			st.TooBig(p, path.MTU-overhead, drop.TooBig)
			todo |= p.Next.Bit()
			continue
		}
		if p.Proto == protoTCP && p.Flags&frame.FlagL4 != 0 && s.Ports[p.Port].ClampMSS {
			st.clamp(p, min(path.MTU-overhead, s.Ports[p.Port].MTU))
		}
		src, dst := path.Addresses(p.Loc, &s.Segments[p.Seg])
		sum := path.Head.Sum + uint32(p.TOS) + total + src>>16 + src&0xffff + dst>>16 + dst&0xffff
		sum = sum>>16 + sum&0xffff
		sum = ^(sum>>16 + sum)

		off, n := p.Off-outerLen, p.Len+outerLen
		h := (*[outerLen]byte)(mem[off:])
		binary.LittleEndian.PutUint64(h[0:8], path.Head.W0)
		binary.LittleEndian.PutUint64(h[8:16], path.Head.W1|uint64(p.PCP)<<53)
		binary.LittleEndian.PutUint64(h[16:24],
			path.Head.W2|uint64(p.TOS)<<24|uint64(bits.ReverseBytes16(uint16(total)))<<32)
		binary.LittleEndian.PutUint64(h[24:32], fib.HeadW3|uint64(bits.ReverseBytes16(uint16(sum)))<<32)
		binary.BigEndian.PutUint64(h[30:38], uint64(src)<<32|uint64(dst))

		env.Paths.AddPacket(int(path.Stat)*stats.TrafficLen, n)
		if p.Off, p.Len = off, n; !env.Send(p, path.Port) {
			todo |= 1 << frame.NextTx
		}
	}
	return todo
}

// encapsulateOther encapsulates p in another form than "ip". It returns the bit of the next stage, 0 if p has been
// sent.
func (st *State) encapsulateOther(p *frame.Packet, path *fib.Path) (todo uint32) {
	if path.Form == fib.FormUDP {
		return st.encapsulateUDP(p, path)
	}
	return st.encapsulateVXLAN(p, path)
}

// choosePaths stores the index of each packet's path in st.path, as fib.Switch.Choose gives it. The choice has a loop
// of its own, because one loop for both the choice and the header would need more registers than there are.
func choosePaths(b *frame.Batch, s *fib.Snapshot, st *State) {
	for i := range b.Pkt[:min(uint(b.N), frame.BatchSize)] {
		p := &b.Pkt[i]
		sw := p.Loc >> 8
		if p.Next != frame.NextEncap || uint(sw) >= uint(len(s.Switches)) {
			continue
		}
		to := &s.Switches[sw]
		if to.Weighted {
			st.path[i] = to.Choose(p.Hash)
			continue
		}
		st.path[i] = table.Best(p.Hash, to.Seeds)
	}
}
