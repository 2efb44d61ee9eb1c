// Package uplink joins tenants and the outside through gateway groups (PROTOCOL.md#gateway-groups).
//
// A group is a station in a segment, or the default route of virtual routers. It has one virtual MAC, which never
// changes; what changes with the active member is where frames go:
//
//	tenants ──▶ NextUplink ──▶ Egress ── group's active member ──▶ its port, its VLAN, its gateway's MAC
//	tenants ◀── NextDeliver, NextEncap ◀── Ingress ◀── any member whose gateway is healthy
//	                                        └─ ARP ──▶ Keeper: probes, state machine, announcements
//
// Files in the order of a packet's way: egress.go (to the outside), ingress.go (from outside: which group, which tenant),
// arp.go and nd.go (questions and answers on the gateways' networks), own.go (what is for the group's own addresses, and
// ICMP), header.go. Beside it, on the first worker's thread between two turns: keeper.go (follows the tables, runs the
// timers), probe.go (asks gateways and judges them), announce.go (tells the network after a switch), message.go (the
// frames of both).
//
// # MAC addresses on the uplink
//
// Everything that leaves by the active member's port has the virtual MAC as its source. By other ports (probes of the
// standby, answers to it) frames leave with the port's own MAC: were two ports in one Ethernet, their switch would see
// the virtual MAC jump between them with every probe. Frames to either are accepted on every port.
//
// # Who writes what
//
// Workers share nothing but the words of fib.GroupLive and fib.MemberLive. The active member's slot is one of them: all
// workers follow a switch with their next batch. What workers hear (answers, data) they note in such words as well; they
// hold the last one only, so that a flood of answers costs no memory and cannot crowd out anything. The times in them are
// read from the clock when they are noted: the turn in which a worker hears something may have begun long before the
// Keeper asked for it.
package uplink

import (
	"sync/atomic"

	"penstock/dataplane/fib"
	"penstock/dataplane/stage"
)

// State is what one worker keeps between batches.
type State struct {
	*stage.Env
	Clock  func() int64 // the clock of Now, read afresh: for what the Keeper compares with times of its own turns
	Shared *Shared

	touched uint64 // keeps the touching loads alive
}

// Shared is what the workers tell the first one, besides what is in fib.MemberLive.
type Shared struct {
	news   atomic.Uint32  // grows when there is something to look at at once
	faults []atomic.Int32 // by port: workers whose transmit calls the kernel refuses
	open   []atomic.Bool  // by port: frames can be sent by it, and what it receives is steered to the workers
	Wake   func()         // ends the first worker's nap; nil = it has none
}

// NewShared returns the shared state for a number of ports, none of them open.
func NewShared(ports int) *Shared {
	return &Shared{faults: make([]atomic.Int32, ports), open: make([]atomic.Bool, ports)}
}

// Tell makes the first worker look around.
func (h *Shared) Tell() {
	h.news.Add(1)
	if h.Wake != nil {
		h.Wake()
	}
}

// Fault says that a worker's transmit calls on a port have begun (or ceased) to be refused.
func (h *Shared) Fault(port uint16, refused bool) {
	d := int32(-1)
	if refused {
		d = 1
	}
	h.faults[port].Add(d)
	h.Tell()
}

// Open says that a port has been opened, or is about to be closed. By one that is not open no gateway is asked or judged;
// that is no fault: whether a port can be used is for SetCarrier to say.
func (h *Shared) Open(port int, open bool) {
	h.open[port].Store(open)
	h.Tell()
}

// mac returns the MAC that the box uses on a port for a group: the virtual one by the active member's port, the port's
// own by any other.
func mac(s *fib.Snapshot, g *fib.Group, port uint16) uint64 {
	if a := g.Live.Active.Load(); uint64(a) < uint64(len(g.Members)) && g.Members[a].Live != nil && g.Members[a].Port == port {
		return g.MAC
	}
	if int(port) < len(s.Ports) {
		return s.Ports[port].MAC
	}
	return g.MAC
}
