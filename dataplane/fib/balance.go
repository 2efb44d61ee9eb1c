package fib

import "penstock/dataplane/table"

// LocVIP and LocLocal together mark a virtual address of this box: the other bits are the index into Snapshot.VIPs. The
// packets are for the balancer (a virtual service's address) or for control (a director's own address).
const LocVIP Loc = 1 << 29

// VIPLoc returns the location of a virtual address that this box serves.
func VIPLoc(vip uint32) Loc { return LocLocal | LocVIP | vip }

// LocBox reports whether the box itself is at a location: a virtual address or a gateway group, not a VIF.
func LocBox(l Loc) bool { return l >= VIPLoc(0) }

// Directed4 returns the IPv4 virtual address at a location that has LocLocal and LocVIP set, nil unless this box
// directs it.
func (s *Snapshot) Directed4(l Loc) *VIP {
	i := LocVIPIndex(l)
	if uint(i) >= uint(len(s.VIPs)) || !s.VIPs[i].Here || s.VIPs[i].Own || s.VIPs[i].V6 {
		return nil
	}
	return &s.VIPs[i]
}

// LocVIPIndex returns the index into Snapshot.VIPs of a location that has LocLocal and LocVIP set.
func LocVIPIndex(l Loc) uint32 { return l &^ (LocLocal | LocVIP) }

// Ref is a dense index with a count of the index's owners. So what outlives a table (a flow's entry, a frame on its way
// to another worker) never means the index's next owner. Bits 0–19 are the index, bits 20–31 the count, from 1.
type Ref = uint32

// RefBits is the number of bits of a Ref that are the index, and RefMask selects them.
const (
	RefBits = 20
	RefMask = 1<<RefBits - 1
)

// Ping says when a virtual address answers echo requests.
type Ping uint8

// The values of Ping.
const (
	PingUp Ping = iota // while a service of the VIP has a usable server
	PingAlways
	PingNever
)

// VIP is a virtual address of a segment (balancer). All boxes have all VIPs: each box answers ARP and neighbour
// discovery for them and checks what its VIFs send from them. A free entry has Ref == 0.
type VIP struct {
	Ref    Ref
	Tenant uint32 // tenant ID
	Seg    uint32 // segment index
	MAC    uint64
	V6     bool
	IP4    uint32    // host order
	IP6    [2]uint64 // high and low half
	Own    bool      // a director's own address in the segment: health checks leave from it
	Here   bool      // this box directs the VIP now, or has the own address
	Silent bool      // nobody is answered who asks for the address
	Ping   Ping
	Usable bool // a service has a usable server
	Exact  *table.Static
	Ranges []ServiceRange // of services with a range of ports, and with all ports, in the order of the search
}

// ServiceKey is the key of VIP.Exact, whose values are indices into Snapshot.Services.
func ServiceKey(proto uint8, port uint16) uint64 { return 1<<32 | uint64(proto)<<16 | uint64(port) }

// ServiceRange is a service of several ports, or of all (0 to 65535).
type ServiceRange struct {
	Proto       uint8
	First, Last uint16
	Service     uint32
}

// Scheduler selects a server for a new flow.
type Scheduler uint8

// The schedulers.
const (
	SchedMaglev Scheduler = iota
	SchedRR
	SchedLC
)

// HashMode says what of a packet selects the server.
type HashMode uint8

// The hash modes.
const (
	HashTuple HashMode = iota
	HashClient
	HashQUIC
)

// Service is a virtual service: a VIP, a protocol and ports. A free entry has Ref == 0.
type Service struct {
	Ref       Ref
	ID        uint32 // 24 bits, not 0: in the mark
	Tenant    uint32
	VIP       uint32 // index into VIPs
	Proto     uint8
	Port      uint16 // of an exact service, or the first of a range; 0 = all ports
	PortEnd   uint16 // = Port for an exact service, 65535 for all
	Scheduler Scheduler
	Hash      HashMode
	Reject    bool // answer when there is no server; else drop
	OnePacket bool // each datagram alone, no flow

	// Members are the servers that new flows may use now (usable, enabled, of positive weight; in panic all), with
	// their effective weights. Table holds positions in Members (maglev; its length is a prime); nil without members.
	Members []uint32 // indices into Servers
	Weights []uint16
	Table   []uint16

	QUICLen uint8        // octets of the servers' IDs, 0 = none
	QUIC    []QUICServer // sorted by ID
}

// QUICServer is a server's ID in QUIC connection IDs, its octets in the high bits of ID (at most 16).
type QUICServer struct {
	ID     [2]uint64
	Server uint32
}

// Accept says which packets a server still gets.
type Accept uint8

// The values of Accept.
const (
	AcceptNone  Accept = iota // down, disabled, not found: its flows are scheduled anew
	AcceptTCP                 // draining for longer than the UDP time: flows of TCP only
	AcceptFlows               // draining: flows that it has
	AcceptAll                 // and new ones
)

// Server is a real server of one service. A free entry has Ref == 0. 64 octets: one cache line.
type Server struct {
	MAC     uint64 // destination MAC of requests
	Source  uint64 // source MAC of requests: the mark, or the port's own (Out)
	Ref     Ref
	Service uint32 // index into Services
	Seg     uint32 // segment of the server's VIF
	Loc     Loc    // of the server's VIF; None = not found
	Port    uint16 // destination port for the first port of the service; 0 = the port stays
	Accept  Accept
	Direct  bool   // a station that is no VIF: untagged out of port Out, no agent
	Out     uint16 // with Direct
	_       [26]byte
}

// Agent is what this box knows of a VIF that serves, or served lately, as a real server, or that has virtual addresses
// (VIF.Agent). The virtual addresses may be of another segment of the tenant than the VIF.
type Agent struct {
	VIPs4 []SegmentVIP4 // virtual addresses that the VIF may have, sorted
	VIPs6 []SegmentVIP6
	// Rules are sorted by VIP, protocol, first port, service. Their ranges are equal or do not overlap; equal ones are
	// Shared.
	Rules  []ReplyRule
	Shared bool // a rule is Shared
}

// ReplyRule puts the service's port back into replies from (VIP, protocol, server's ports).
type ReplyRule struct {
	VIP         uint32 // index into Snapshot.VIPs
	Proto       uint8
	Shared      bool   // the agent's notes of flows name the service
	First, Last uint16 // ports of the server
	To          uint16 // the service's port for First
	ID          uint32 // of the service, as in the mark
	Service     uint32 // index into Services, None when the rule outlives the service
	Server      uint32 // index into Servers, for counters, None when the rule outlives the server
}

// Mark is the source MAC of requests between director and agent: 02:4d:4b and the service's ID (PROTOCOL.md#balancer).
const (
	Mark     uint64 = 0x024d4b << 24
	MarkMask uint64 = 0xffffff << 24
)

// Marked reports whether mac is a mark.
func Marked(mac uint64) bool { return mac&MarkMask == Mark }

// SegmentVIP4 is an IPv4 virtual address of a segment, host order, and its index into Snapshot.VIPs.
type SegmentVIP4 struct {
	IP  uint32
	VIP uint32
}

// SegmentVIP6 is SegmentVIP4 for IPv6.
type SegmentVIP6 struct {
	IP  [2]uint64
	VIP uint32
}

// VIP4 returns the index of the virtual address ip of segment seg.
func (s *Snapshot) VIP4(seg, ip uint32) (vip uint32, ok bool) {
	vip, ok = FindVIP4(s.Segments[seg].VIPs4, ip)
	return vip, ok && uint(vip) < uint(len(s.VIPs))
}

// VIP6 is VIP4 for IPv6.
func (s *Snapshot) VIP6(seg uint32, ip [2]uint64) (vip uint32, ok bool) {
	vip, ok = FindVIP6(s.Segments[seg].VIPs6, ip)
	return vip, ok && uint(vip) < uint(len(s.VIPs))
}

// FindVIP4 returns the index of the virtual address ip in a sorted list.
func FindVIP4(list []SegmentVIP4, ip uint32) (vip uint32, ok bool) {
	lo, hi := 0, len(list)
	for lo < hi {
		if mid := int(uint(lo+hi) / 2); list[mid].IP < ip {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	if lo < len(list) && list[lo].IP == ip {
		return list[lo].VIP, true
	}
	return 0, false
}

// FindVIP6 is FindVIP4 for IPv6.
func FindVIP6(list []SegmentVIP6, ip [2]uint64) (vip uint32, ok bool) {
	lo, hi := 0, len(list)
	for lo < hi {
		if mid := int(uint(lo+hi) / 2); less6(list[mid].IP, ip) {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	if lo < len(list) && list[lo].IP == ip {
		return list[lo].VIP, true
	}
	return 0, false
}

// Pings reports whether the virtual address answers echo requests.
func (v *VIP) Pings() bool { return v.Ping == PingAlways || v.Ping == PingUp && v.Usable }

// Service finds the service of a packet to the VIP: exact ports before ranges before all ports.
func (v *VIP) Service(proto uint8, port uint16) (service uint32, ok bool) {
	if service, ok = v.Exact.Get(ServiceKey(proto, port)); ok {
		return service, true
	}
	for i := range v.Ranges {
		if r := &v.Ranges[i]; r.Proto == proto && r.First <= port && port <= r.Last {
			return r.Service, true
		}
	}
	return 0, false
}
