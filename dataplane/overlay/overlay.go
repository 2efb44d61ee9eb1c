// Package overlay carries each tenant's Ethernet over the fabric (PROTOCOL.md#encapsulation).
//
// The files in the order of a packet's way from a tenant: access.go (which attachment, tag off; quick.go does parser and
// this in one for nearly all frames), spoof.go, checksum.go (sums that the sender's stack left unfinished), spread.go (which
// worker), lookup.go (binding of the destination), deliver.go (to an attachment of this box), encap.go (path choice, outer
// header), toobig.go, flood.go (copies of broadcasts); and back from the fabric: fabric.go, then lookup.go and
// deliver.go again. Between access and delivery the packages neigh and route have their turn.
//
// Stages expect what package parse has checked and never look at lengths again.
package overlay

import (
	"penstock/dataplane/fib"
	"penstock/dataplane/frame"
	"penstock/dataplane/stage"
	"penstock/dataplane/table"
)

// Octets of the headers that encapsulation "ip" adds: Ethernet and tag, IPv4.
const (
	ethLen   = 14
	tagLen   = 4
	ipLen    = 20
	outerLen = ethLen + tagLen + ipLen

	protoEthernet = 143 // IANA: Ethernet (RFC 8986)
)

// Overhead is by how many octets the fabric's MTU must exceed a tenant's: outer IPv4 and inner Ethernet header.
const Overhead = ipLen + ethLen

// State is what one worker keeps between batches.
type State struct {
	*stage.Env
	Events *Events

	// Virtual is where the masters of virtual routers are; one for all workers.
	Virtual *Virtuals
	// Outward sends p, which the box made, to the gateway group at p.Loc, and sets Next to something final.
	Outward func(p *frame.Packet)

	of       *fib.Snapshot // what senders and segments were found in
	senders  [senders]sender
	segments [remembered]segment

	lookups [frame.BatchSize]table.Lookup // of the batch
	pending uint                          // how many there are
	path    [frame.BatchSize]uint16       // index of the path by packet, where one is needed
	touched uint64                        // keeps the touching loads alive

	told uint64 // bit for each flooded packet of the batch whose sender has had his ICMP error
}

// Events counts what happened without a frame being discarded.
type Events struct {
	TooBigSent        uint64 // ICMP "fragmentation needed" and "packet too big"
	MSSClamped        uint64 // TCP SYNs whose MSS was lowered
	ChecksumCompleted uint64 // L4 checksums finished for the sender
}

// NewState returns the state of the worker with that environment.
func NewState(env *stage.Env) *State {
	return &State{Env: env, Events: &Events{}, Virtual: &Virtuals{}}
}
