package fib

import (
	"sync/atomic"

	"penstock/dataplane/gateway"
)

// Group is a gateway group: upstream gateways of which one is active (PROTOCOL.md#gateway-groups). Snapshot.Groups[0]
// is never used, so that an index of 0 means "none". A free entry has Live == nil.
//
// Live and Member.Live hold what a switch to another member changes. They stay the same objects as long as the group
// and the member exist: a switch is a store to one word that all workers read, and needs no new snapshot.
type Group struct {
	Live *GroupLive
	MAC  uint64    // virtual MAC: towards tenants and towards the gateways, for every active member
	IP4  uint32    // address inside the tenant network, host order; 0 = none
	IP6  [2]uint64 // likewise

	Members []Member // by slot; a member keeps its slot while it exists; a free slot has Live == nil
	Order   []uint8  // slots of all members, the preferred one first

	// The tenants' subnets that are reachable from outside through this group, each list sorted by Start, without
	// overlaps. Packets from outside to any other address are dropped.
	Subnets4 []Subnet4
	Subnets6 []Subnet6

	Policy gateway.Policy
}

// Member is one upstream gateway of a group.
type Member struct {
	Live    *MemberLive
	Port    uint16    // uplink port; members may share one
	VID     uint16    // VLAN on that port, 0 = untagged
	IP      uint32    // of the gateway, host order
	Source  uint32    // the box's address on that network: sender of the probes, and next hop of the gateway's routes
	Source6 [2]uint64 // likewise for IPv6; 0 = none (IPv6 gateways are not probed: the IPv4 probe stands for both)
	Static  uint64    // configured MAC of the gateway, which replaces resolution; 0 = resolve the MAC by ARP
	Senders []uint64  // further MACs that the gateway sends from: their frames show that the gateway is alive
	Locked  bool      // accept frames at Port and VID only from the gateway's MAC or Senders, else from any station
	Stat    uint32    // index of the member's counters, see stats.RxTxLen; stable while the member exists
}

// Sends reports whether mac is one of the member's Senders.
func (m *Member) Sends(mac uint64) bool {
	for _, s := range m.Senders {
		if s == mac {
			return true
		}
	}
	return false
}

// GroupLive is the state of a group that changes without a new snapshot. Control makes GroupLive with the group and
// sets Start, StartChosen and Disabled before it first publishes the group. Only the first worker writes the other
// fields. Any goroutine may read them at any time.
type GroupLive struct {
	Start       uint32 // slot of the member that was active when the box stopped; gateway.None = not known
	StartChosen bool   // by an operator
	Disabled    uint32 // bit per slot: members that were disabled when the box stopped

	Active    atomic.Uint32 // slot of the active member, gateway.None = none: the word that every worker reads
	Since     atomic.Int64  // when Active changed last: nanoseconds on the engine's clock
	Why       atomic.Uint32 // gateway.Why of that change
	Chosen    atomic.Bool   // an operator chose the active member: preemption is suspended
	Switches  atomic.Uint64 // changes of the active member
	Announced atomic.Uint64 // announcements sent
}

// NewGroupLive returns the live state of a new group, without active member.
func NewGroupLive() *GroupLive {
	l := &GroupLive{Start: gateway.None}
	l.Active.Store(gateway.None)
	return l
}

// MemberLive is the state of a member that changes without a new snapshot. Any goroutine may read it at any time. Times
// are nanoseconds on the engine's clock, 0 = never.
type MemberLive struct {
	word atomic.Uint64 // the gateway's MAC << 16 | bit 0: frames from it are accepted | bit 1: see Eager

	// Written by the first worker.
	State   atomic.Uint32 // gateway.State
	Since   atomic.Int64  // when State changed last
	Why     atomic.Uint32 // gateway.Why of that change
	Held    atomic.Int64  // end of the hold by flap damping
	Probed  atomic.Int64  // last probe
	RTT     atomic.Int64  // nanoseconds, of the last answer that matches a probe; 0 = none yet
	RTTs    atomic.Uint64 // measurements of RTT
	Probes  atomic.Uint64 // probes sent
	Answers atomic.Uint64 // probes answered
	Missed  atomic.Uint64 // probes not answered
	Excused atomic.Uint64 // probes not answered while data arrived (Policy.DataLiveness)
	Late    atomic.Uint64 // timers of this member that ran late; the answer then has more time
	Fails   atomic.Uint64 // failures of the member

	// Written by any worker: received frames.
	Answered atomic.Int64  // last valid answer with the MAC in use as ARP sender
	Twin     atomic.Int64  // the first of the last two such answers that came together
	Data     atomic.Int64  // last other frame from that MAC or one of Senders; to the millisecond
	Other    atomic.Uint64 // another MAC that a valid answer had as sender, until the first worker has processed it
	Hint     atomic.Int64  // last gratuitous ARP for the gateway's IP from another MAC
}

// Bits of MemberLive.word.
const (
	acceptBit = 1 << iota
	eagerBit
)

// Gateway returns the gateway's MAC, 0 = not resolved, and whether frames from it are accepted.
func (m *MemberLive) Gateway() (mac uint64, accept bool) {
	w := m.word.Load()
	return w >> 16, w&acceptBit != 0
}

// Eager reports whether a worker that receives an answer has to wake the first worker at once. Otherwise the first
// worker reads the answer when the next probe is due. Eager members are those of a group without a working member.
func (m *MemberLive) Eager() bool { return m.word.Load()&eagerBit != 0 }

// SetGateway sets what Gateway and Eager return. Only the first worker calls it (and tests without workers).
func (m *MemberLive) SetGateway(mac uint64, accept, eager bool) {
	w := mac << 16
	if accept {
		w |= acceptBit
	}
	if eager {
		w |= eagerBit
	}
	if m.word.Load() != w {
		m.word.Store(w)
	}
}

// UplinkMember is a member of a group in the table of its uplink port.
type UplinkMember struct {
	VID   uint16
	Slot  uint16
	Group uint32
}
