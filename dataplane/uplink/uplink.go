// Package uplink joins tenants and the outside through gateway groups (PROTOCOL.md#gateway-groups).
//
// A group is a station in a segment, or the default route of virtual routers. It has one virtual MAC, which never
// changes; what changes with the active member is where frames go:
//
//	tenants ──▶ NextUplink ──▶ Egress ── group's active member ──▶ its port, its VLAN, its gateway's MAC
//	tenants ◀── NextDeliver, NextEncap ◀── Ingress ◀── any member whose gateway is healthy
//	                                        └─ ARP ──▶ Prober: probes, state machine, announcements
//
// Files in the order of a packet's way: egress.go (to the outside), ingress.go (from outside: which group, which
// tenant), arp.go and nd.go (questions and answers on the gateways' networks), own.go (what is for the group's own
// addresses, and ICMP), header.go. Beside it, called by package keeper on the first worker's thread between two
// turns: prober.go (follows the tables and ports, runs the groups' machines), probe.go (probes gateways and judges
// them), announce.go (tells the network after a switch), message.go (the frames of both).
//
// # MAC addresses on the uplink
//
// Everything that leaves by the active member's port has the virtual MAC as its source. By other ports (probes of the
// standby, answers to it) frames leave with the port's own MAC: were two ports in one Ethernet, their switch would see
// the virtual MAC jump between them with every probe. Frames to either are accepted on every port.
//
// # Who writes what
//
// Workers share nothing but the words of fib.GroupLive and fib.MemberLive. The active member's slot is one of them:
// all workers follow a switch with their next batch. What workers hear (answers, data) they note in such words as
// well; they hold the last one only, so that a flood of answers costs no memory and cannot crowd out anything. The
// times in them are read from the clock when they are noted: the turn in which a worker hears something may have
// begun long before the Prober asked for it.
package uplink

import (
	"penstock/dataplane/fib"
	"penstock/dataplane/keeper"
	"penstock/dataplane/stage"
)

// State is what one worker keeps between batches.
type State struct {
	*stage.Env
	Clock  func() int64 // the clock of Now, read afresh: for what the Prober compares with times of its own turns
	Shared *keeper.Shared

	touched uint64 // keeps the touching loads alive
}

// mac returns the MAC that the box uses on a port for a group: the virtual one by the active member's port, the port's
// own by any other.
func mac(s *fib.Snapshot, g *fib.Group, port uint16) uint64 {
	if a := g.Live.Active.Load(); uint64(a) < uint64(len(g.Members)) {
		if m := &g.Members[a]; m.Live != nil && m.Port == port {
			return g.MAC
		}
	}
	if int(port) < len(s.Ports) {
		return s.Ports[port].MAC
	}
	return g.MAC
}
