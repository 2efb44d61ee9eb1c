package balance

import (
	"encoding/binary"
	"math/bits"

	"penstock/dataplane/fib"
	"penstock/dataplane/flow"
	"penstock/dataplane/frame"
	"penstock/dataplane/stats"
	"penstock/dataplane/wire"
	"penstock/dataplane/wire/checksum"
)

// plans is the number of plans of a worker: of pairs of a server and a path. Flows to further ones go without.
const plans = 2048

// Octets of an outer header of form "ip", and the octets of it that count for the length of the outer IP packet.
const (
	outerLen  = wire.EthernetLen + wire.VLANTagLen + wire.IPv4Len
	outerIP   = wire.IPv4Len
	planProbe = 8 // places that are looked at for a pair
)

// plan is what is equal for all packets of established flows to one server by one path. One cache line.
//
// Values are as they are stored in little-endian order. count is packets ≪ countShift | octets of the packets that
// Count has not counted.
type plan struct {
	w0, w1, w2 uint64 // outer header, as fib.Head has it
	addrs      uint64 // outer addresses
	mac0       uint64 // inner MACs, octets 0 to 7, and 8 to 11
	count      uint64
	mac1       uint32
	sum        uint16 // outer checksum without TOS and length, in host order
	most       uint16 // largest length of the inner frame
	port       uint16 // of the server
	delta      uint16 // what the port adds to the checksum
	out        uint16 // port of this box
	udp        bool
	local      bool // to a VIF of this box: no outer header
}

const countShift = 40

// pair is the key of a plan, and what Count counts for.
type pair struct {
	server fib.Ref // 0 = none
	path   uint16  // index of the path among those to the server's edge switch
	vif    uint32  // local VIF
	stat   uint32  // counters of the path
	svc    uint32
}

// planned are the plans of a worker. They hold for one snapshot: plan numbers that flows have noted
// (flow.Table.SetPlan) count under its stamp only.
type planned struct {
	snap  *fib.Snapshot
	stamp uint32
	list  []plan // by plan number; 0 is none
	pairs []pair
	used  []uint16
	dirty []uint16 // plans whose count is not 0
}

func newPlanned() planned {
	return planned{
		list: make([]plan, plans), pairs: make([]pair, plans), used: make([]uint16, 0, plans),
		dirty: make([]uint16, 0, plans),
	}
}

// without is the plan number of flows that have no plan under the stamp: they need not look for one.
const without = plans

// sync forgets all plans when the tables have changed.
func (st *State) sync(s *fib.Snapshot) {
	pl := &st.plan
	if pl.snap == s {
		return
	}
	st.Count()
	for _, n := range pl.used {
		pl.pairs[n] = pair{}
	}
	pl.used = pl.used[:0]
	if pl.stamp++; pl.stamp == 0 {
		pl.stamp = 1
	}
	pl.snap = s
}

// Count adds what went by plans to the counters of services, servers, paths and VIFs. The pipeline calls it before it
// publishes the counters.
func (st *State) Count() {
	pl := &st.plan
	for _, n := range pl.dirty {
		r, k := &pl.list[n], &pl.pairs[n]
		t := stats.Traffic{Packets: r.count >> countShift, Bytes: r.count & (1<<countShift - 1)}
		r.count = 0
		st.Services.AddTraffic(int(k.svc)*stats.ServiceLen+stats.ServiceIn, t)
		st.Servers.AddTraffic(int(k.server&fib.RefMask)*stats.ServerLen+stats.ServerIn, t)
		if r.local {
			st.VIFs.AddTraffic(int(k.vif)*stats.RxTxLen+stats.Tx, t)
			continue
		}
		t.Bytes += t.Packets * outerLen
		st.Paths.AddTraffic(int(k.stat)*stats.TrafficLen, t)
	}
	pl.dirty = pl.dirty[:0]
}

// planFor finds or makes the plan for the flow of p, and notes it with the flow: without, if there can be none.
func (st *State) planFor(p *frame.Packet, s *fib.Snapshot, h *flow.Hit) (n uint32) {
	port := binary.BigEndian.Uint16(st.Mem[p.Off+uint32(p.L4)+2:])
	if n = st.find(p, s, st.Flows.Entry(h.Slot).Server(), port); n == 0 {
		n = without
	}
	st.Flows.SetPlan(h.Slot, st.plan.stamp, n)
	return n
}

// find returns the number of the plan for flows to a server that have the hash of p, 0 if there can be none.
func (st *State) find(p *frame.Packet, s *fib.Snapshot, server fib.Ref, port uint16) (n uint32) {
	i := server & fib.RefMask
	if uint(i) >= uint(len(s.Servers)) {
		return 0
	}
	sv := &s.Servers[i]
	if sv.Ref != server || !quickServer(sv, s) {
		return 0
	}
	svc := &s.Services[sv.Service]
	if !quickService(svc, p, port) || !keeps(sv, flow.Established, p.Proto, 0) {
		return 0
	}
	k := pair{server: server, svc: sv.Service}
	if sv.Loc&fib.LocLocal != 0 {
		k.vif = sv.Loc &^ fib.LocLocal
	} else if sw := sv.Loc >> 8; uint(sw) >= uint(len(s.Switches)) || len(s.Switches[sw].Paths) == 0 {
		return 0
	} else {
		k.path = s.Switches[sw].Choose(p.Hash)
		k.stat = s.Switches[sw].Paths[k.path].Stat
	}
	pl := &st.plan
	at := i*4 + uint32(k.path)
	for range planProbe {
		at = at % plans
		switch q := &pl.pairs[at]; {
		case at == 0:
		case *q == k:
			return at
		case q.server == 0:
			if !pl.list[at].make(s, sv, svc, &k) {
				return 0
			}
			*q = k
			pl.used = append(pl.used, uint16(at))
			return at
		}
		at++
	}
	return 0
}

// quickServer reports whether the server is a VIF that was found: of this box, or behind an edge switch.
func quickServer(sv *fib.Server, s *fib.Snapshot) bool {
	return uint(sv.Service) < uint(len(s.Services)) && !sv.Direct && uint(sv.Seg) < uint(len(s.Segments)) &&
		(sv.Loc&fib.LocLocal == 0 || uint(sv.Loc&^fib.LocLocal) < uint(len(s.VIFs))) // an index beyond is no VIF's
}

// quickService reports whether packets p to the port need nothing of the service but a flow's server.
func quickService(svc *fib.Service, p *frame.Packet, port uint16) bool {
	return svc.VIP == fib.LocVIPIndex(p.Loc) && svc.Proto == p.Proto && svc.Port == port && svc.PortEnd == port &&
		svc.Hash != fib.HashQUIC && !svc.OnePacket
}

// make fills a plan. It returns false if the packets need more than a plan says.
func (r *plan) make(s *fib.Snapshot, sv *fib.Server, svc *fib.Service, k *pair) bool {
	*r = plan{
		mac0: bits.ReverseBytes64(sv.MAC<<16 | sv.Source>>32&0xffff), mac1: bits.ReverseBytes32(uint32(sv.Source)),
		udp: svc.Proto == wire.ProtoUDP, port: bits.ReverseBytes16(svc.Port),
	}
	if sv.Port != 0 && sv.Port != svc.Port {
		r.port = bits.ReverseBytes16(sv.Port)
		r.delta = bits.ReverseBytes16(checksum.Fold(uint32(^svc.Port) + uint32(sv.Port)))
	}
	if sv.Loc&fib.LocLocal != 0 {
		return r.deliver(s, &s.VIFs[k.vif])
	}
	path := &s.Switches[sv.Loc>>8].Paths[k.path]
	if path.Form != fib.FormIP || path.Head.Most <= outerIP {
		return false
	}
	seg := &s.Segments[sv.Seg]
	src, dst := path.Addresses(sv.Loc, seg)
	r.w0, r.w1, r.w2 = path.Head.W0, path.Head.W1, path.Head.W2
	r.addrs = bits.ReverseBytes64(uint64(src)<<32 | uint64(dst))
	r.sum = checksum.Fold(path.Head.Sum + src>>16 + src&0xffff + dst>>16 + dst&0xffff)
	r.most, r.out = uint16(path.Head.Most-outerIP), path.Port
	return true
}

// deliver fills the plan for a VIF of this box. It returns false if the frames get a tag, or need the agent's notes.
func (r *plan) deliver(s *fib.Snapshot, v *fib.VIF) bool {
	if v.Agent != nil && v.Agent.Shared || uint(v.Attach) >= uint(len(s.Attachments)) {
		return false
	}
	a := &s.Attachments[v.Attach]
	if a.VID != 0 || uint(a.Port) >= uint(len(s.Ports)) || !s.Ports[a.Port].Up {
		return false
	}
	r.local, r.out = true, a.Port
	r.most = uint16(min(uint32(s.Ports[a.Port].MTU)+wire.EthernetLen, 1<<16-1))
	return true
}
