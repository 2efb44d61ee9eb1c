package overlay

import (
	"encoding/binary"

	"penstock/dataplane/drop"
	"penstock/dataplane/fib"
	"penstock/dataplane/frame"
	"penstock/dataplane/icmp"
	"penstock/dataplane/stats"
	"penstock/dataplane/table"
	"penstock/dataplane/wire"
)

// encapsulate chooses the flow's path to loc and writes the outer header in front of p (spec/overlay.md,
// "Encapsulation"; seed 003, paragraphs 46 and 47).
//
//	 0      6     12     16   18                       38
//	[dst 6][src 6][tag 4][type][IPv4 20: proto 143 ... ][inner Ethernet …
//
// Source address = prefix of our port | segment ID, destination = prefix of the other port | tenant ID, ID = VLAN ID.
func encapsulate(mem []byte, p *frame.Packet, s *fib.Snapshot, st *State, loc fib.Loc) {
	sw := loc >> 8
	if uint(sw) >= uint(len(s.Switches)) || len(s.Switches[sw].Paths) == 0 {
		p.DropFor(drop.NoPath)
		return
	}
	path := choosePath(&s.Switches[sw], p.Hash)
	if uint32(p.Len)+ipLen > uint32(path.MTU) {
		tooBig(mem, p, s, st, path)
		return
	}
	if p.Has(frame.FlagL4) && p.Proto == protoTCP && s.Ports[p.Port].ClampMSS {
		clampMSS(mem, p, path.MTU, st)
	}
	seg := &s.Segments[p.Seg]
	src := path.SrcPrefix | seg.ID&path.HostMask
	dst := path.DstBase | (loc&0xff)<<path.DstShift | seg.Tenant&path.HostMask

	p.Push(outerLen)
	h := mem[p.Off : p.Off+outerLen : p.Off+outerLen]
	binary.BigEndian.PutUint64(h[0:8], path.DstMAC<<16|path.SrcMAC>>32)
	binary.BigEndian.PutUint64(h[8:16], path.SrcMAC<<32|0x81000000|uint64(p.PCP)<<13|uint64(path.VID))
	tos := uint32(p.DSCP) << 2
	total := uint32(p.Len) - ethLen - tagLen
	vid := uint32(path.VID)
	binary.BigEndian.PutUint64(h[16:24], 0x0800_4500_0000_0000|uint64(tos)<<32|uint64(total)<<16|uint64(vid))
	sum := 0x4500 + tos + total + vid + 0x4000 + (64<<8 | protoEthernet) + src>>16 + src&0xffff + dst>>16 + dst&0xffff
	sum = sum>>16 + sum&0xffff
	sum = ^(sum>>16 + sum) & 0xffff
	binary.BigEndian.PutUint64(h[24:32], 0x4000<<48|(64<<8|protoEthernet)<<32|uint64(sum)<<16|uint64(src>>16))
	binary.BigEndian.PutUint64(h[30:38], uint64(src)<<32|uint64(dst))

	st.Paths.AddPacket(int(path.Stat)*stats.PathStride+stats.PathPackets, p.Len)
	p.SendTo(path.Port)
}

// choosePath is rendezvous hashing: the flow goes by the path with the highest score, so that a path that comes or goes
// moves only the flows it must.
//
// Score and index are compared as one number, without a branch: which path wins is exactly what no branch predictor knows.
func choosePath(sw *fib.Switch, hash uint32) *fib.Path {
	if len(sw.Paths) == 1 {
		return &sw.Paths[0]
	}
	if sw.Weighted {
		return chooseWeighted(sw.Paths, hash)
	}
	var best uint64
	for i, seed := range sw.Seeds {
		best = max(best, uint64(table.Mix(hash, seed))<<32|uint64(uint32(i)))
	}
	return &sw.Paths[uint32(best)]
}

func chooseWeighted(paths []fib.Path, hash uint32) *fib.Path {
	best := &paths[0]
	score := table.WeightedScore(table.Mix(hash, best.Seed), best.Weight)
	for i := 1; i < len(paths); i++ {
		c := &paths[i]
		if m := table.WeightedScore(table.Mix(hash, c.Seed), c.Weight); m > score {
			best, score = c, m
		}
	}
	return best
}

// tooBig answers a packet that does not fit the fabric with ICMP, where ICMP can (RFC 1191, RFC 8201), on behalf of the
// segment's router, or of the destination where the segment has none.
func tooBig(mem []byte, p *frame.Packet, s *fib.Snapshot, st *State, path *fib.Path) {
	l3 := mem[p.Off+uint32(p.L3) : p.Off+uint32(p.Len)]
	v4 := p.Has(frame.FlagIPv4)
	if v4 && l3[6]&0x40 == 0 || !v4 && !p.Has(frame.FlagIPv6) || p.Attach == frame.NoIndex {
		p.DropFor(drop.TooBig)
		return
	}
	if !icmp.MayReply(mem, p, icmp.TooBig) { // before a token is spent on it
		p.DropFor(drop.ICMPSuppressed)
		return
	}
	home := &s.Segments[s.Attachments[p.Attach].Seg]
	var src4 uint32
	var src6 [2]uint64
	srcMAC := p.DstMAC
	if v4 {
		src4 = binary.BigEndian.Uint32(l3[ip4DestinationOff:])
		if len(home.Subnets4) > 0 && home.Subnets4[0].RouterIP != 0 {
			src4 = home.Subnets4[0].RouterIP
		}
	} else {
		src6 = [2]uint64{binary.BigEndian.Uint64(l3[24:]), binary.BigEndian.Uint64(l3[32:])}
		if len(home.Subnets6) > 0 && home.Subnets6[0].RouterIP != [2]uint64{} {
			src6 = home.Subnets6[0].RouterIP
		}
	}
	if home.Router != fib.None {
		srcMAC = s.Routers[home.Router].MAC
	}
	if !v4 && wire.Multicast6(src6) { // a group is nobody's address to answer from
		p.DropFor(drop.TooBig)
		return
	}
	if !st.ICMP.Allow(st.Now, s.ICMPRate, s.ICMPBurst) {
		p.DropFor(drop.ICMPLimit)
		return
	}
	if !icmp.Reply(mem, p, icmp.TooBig, path.MTU-Overhead, src4, src6, srcMAC) {
		p.DropFor(drop.ICMPSuppressed)
		return
	}
	st.Events.TooBigSent++
	toAttachment(mem, p, s, st, p.Attach)
}
