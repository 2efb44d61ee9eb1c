package fib

import (
	"sync/atomic"

	"penstock/dataplane/gateway"
)

// Group is a gateway group: upstream gateways of which one is active (PROTOCOL.md#gateway-groups). Snapshot.Groups[0] is never
// used, so that an index of 0 means "none"; a free entry has Live == nil.
//
// What a switch changes is not here but behind Live and Member.Live, which stay the same objects for as long as the
// group and the member exist: a switch is a store to one word that all workers read, and no new snapshot.
type Group struct {
	Live *GroupLive
	MAC  uint64    // virtual MAC: towards tenants and towards the gateways, whichever member is active
	IP4  uint32    // address inside the tenant network, host order; 0 = none
	IP6  [2]uint64 // likewise

	Members []Member // by slot; a slot stays a member's while the member exists; a free one has Live == nil
	Order   []uint8  // slots of all members, the preferred one first

	// The tenants' subnets that are reachable from outside through this group, each list sorted by Start, without
	// overlaps. A packet to anything else is dropped.
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
	Static  uint64    // configured MAC of the gateway: never resolved by broadcast, never taken over; 0 = resolve it
	Senders []uint64  // MACs that the gateway also sends from: their frames are signs of its life
	Locked  bool      // frames by Port and VID come from the gateway's MAC or Senders; otherwise from any station
	Stat    uint32    // index of the member's counters, see stats.MemberStride; stable while the member exists
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

// GroupLive is what changes of a group without a new snapshot. Control makes it with the group and sets Start,
// StartChosen and Disabled before the group is first published; everything else is written by the first worker only, and may be read by
// anybody at any time.
type GroupLive struct {
	Start       uint32 // slot of the member that was active when the box stopped; gateway.None = not known
	StartChosen bool   // by an operator
	Disabled    uint32 // bit per slot: members that were disabled when the box stopped

	Active    atomic.Uint32 // slot of the active member, gateway.None = none: the word that every worker reads
	Since     atomic.Int64  // when it became so: nanoseconds on the engine's clock
	Why       atomic.Uint32 // gateway.Why
	Chosen    atomic.Bool   // by an operator: preemption rests
	Switches  atomic.Uint64 // how often the active member changed
	Announced atomic.Uint64 // announcements sent
}

// NewGroupLive returns the live part of a new group, without active member.
func NewGroupLive() *GroupLive {
	l := &GroupLive{Start: gateway.None}
	l.Active.Store(gateway.None)
	return l
}

// MemberLive is what changes of a member without a new snapshot. Anybody may read it at any time. Times are nanoseconds
// on the engine's clock, 0 = never.
type MemberLive struct {
	word atomic.Uint64 // the gateway's MAC << 16 | bit 0: frames from it are accepted | bit 1: see Eager

	// Written by the first worker.
	State   atomic.Uint32 // gateway.State
	Since   atomic.Int64  // of the state
	Why     atomic.Uint32 // gateway.Why, of the state
	Held    atomic.Int64  // until when flap damping holds it down
	Asked   atomic.Int64  // last probe
	RTT     atomic.Int64  // of the last answer whose probe is known, nanoseconds; 0 = none yet
	RTTs    atomic.Uint64 // how often RTT was measured
	Probes  atomic.Uint64 // probes sent
	Answers atomic.Uint64 // probes answered
	Missed  atomic.Uint64 // probes not answered
	Excused atomic.Uint64 // probes not answered, but data came (Policy.DataLiveness)
	Late    atomic.Uint64 // timers of this member that ran late: each gives the answer more time
	Fails   atomic.Uint64 // times it failed

	// Written by any worker: what arrived.
	Answered atomic.Int64  // last valid answer with the MAC in use as ARP sender
	Twin     atomic.Int64  // the first of the last two such answers that came together
	Data     atomic.Int64  // last frame of another kind from that MAC or one of Senders; to the millisecond
	Other    atomic.Uint64 // another MAC that a valid answer named, until the first worker has dealt with it
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

// Eager reports whether the first worker wants to hear of an answer at once, and not at the next probe: nothing else
// carries the group's traffic.
func (m *MemberLive) Eager() bool { return m.word.Load()&eagerBit != 0 }

// SetGateway is for the first worker (and for tests without one).
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

// UplinkMember is a member of a group as its port sees it.
type UplinkMember struct {
	VID   uint16
	Slot  uint16
	Group uint32
}
