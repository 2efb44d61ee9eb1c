// Package overlay carries each tenant's Ethernet over the fabric (PROTOCOL.md#encapsulation).
//
// The files in the order of a packet from a tenant:
//
//	quick.go      parser and access stage in one pass, for nearly all frames; quick_udp.go for the form "udp"
//	access.go     attachment, segment and VIF; removes the tag
//	spoof.go      anti-spoofing
//	learn.go      stations that control is told of
//	server.go     what servers and strangers send from virtual addresses
//	checksum.go   checksums that the sender's stack left unfinished
//	spread.go     worker of the flow
//	virtual.go    masters of tenants' virtual routers
//	lookup.go     binding of the destination; nothere.go, where it is not on this box
//	deliver.go    to an attachment of this box
//	flood.go      copies of broadcasts
//	encap.go      path choice, outer header; udp.go, where it has UDP
//	vxlan.go      outer header of VXLAN
//	toobig.go     ICMP about packets that are too big
//
// A packet from the fabric passes fabric.go, ecn.go, then lookup.go and deliver.go; messages of other boxes end in
// message.go. One from a VTEP passes quick_vxlan.go or vxlan_in.go, and vtep.go.
// The packages neigh and route run between access and lookup.
//
// The stages rely on the lengths that package parse has checked.
package overlay

import (
	"penstock/dataplane/agent"
	"penstock/dataplane/await"
	"penstock/dataplane/fib"
	"penstock/dataplane/frame"
	"penstock/dataplane/resolve"
	"penstock/dataplane/stage"
	"penstock/dataplane/table"
)

// Octets of the headers that encapsulation adds: Ethernet and tag, IPv4; with form "udp" 8 more.
const (
	ethLen   = 14
	tagLen   = 4
	ipLen    = 20
	outerLen = ethLen + tagLen + ipLen

	protoEthernet = 143 // IANA: Ethernet (RFC 8986)
)

// State is what one worker keeps between batches.
type State struct {
	*stage.Env
	Events *Events
	Agent  *agent.State

	// Virtual holds the locations of the masters of virtual routers. All workers share it.
	Virtual *Virtuals
	// Messages carries binding messages to control; nil = they are dropped.
	Messages *resolve.Ring
	// Probe takes the frame of a PROBE or ECHO that another box has sent to the box address, and sets Next to a final
	// value; payload begins with the body, whose structure is right. L3 is the offset of the outer IPv4 header, which
	// has no options. nil = probes are dropped.
	Probe func(p *frame.Packet, payload []byte)
	// Outward sends p, which the box made, to the gateway group at p.Loc, and sets Next to a final value.
	Outward func(p *frame.Packet)

	cached   *fib.Snapshot // the tables that stations and segments were filled from
	stations [cachedStations]station
	segments [cachedSegments]segment
	tunnels  [cachedTunnels]tunnel
	senders  [cachedSenders]vtepSender

	lookups [frame.BatchSize]table.Lookup // of the batch
	pending uint                          // number of lookups
	path    [frame.BatchSize]uint16       // by packet at NextEncap: index of its path
	touched uint64                        // sum of the prefetching loads, so that the compiler keeps them

	told     await.Recent // packets for VIFs that are not here: senders and destinations
	learned  await.Recent // stations and their addresses
	relearn  int64        // when the stations that are learned are looked at again
	reported uint64       // by flooded packet of the batch, a bit: an ICMP error about it was sent
}

// Events counts events that do not discard a frame.
type Events struct {
	TooBigSent        uint64 // ICMP "fragmentation needed" and "packet too big"
	MSSClamped        uint64 // TCP SYNs whose MSS was lowered
	ChecksumCompleted uint64 // L4 checksums that the sender's stack left unfinished
}

// NewState returns the state of a worker with environment env.
func NewState(env *stage.Env) *State {
	return &State{Env: env, Events: &Events{}, Agent: agent.New(env), Virtual: &Virtuals{}}
}
