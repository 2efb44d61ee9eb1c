// Package uplink joins tenants and the outside through gateway groups (PROTOCOL.md#gateway-groups).
//
// A group is a station in a segment, or the default route of virtual routers. It has one virtual MAC, which never
// changes; the active member determines the next hop:
//
//	tenants ──▶ NextUplink ──▶ Egress ── group's active member ──▶ its port, its VLAN, its gateway's MAC
//	tenants ◀── NextDeliver, NextEncap ◀── Ingress ◀── any member whose gateway is healthy
//	                                        └─ ARP ──▶ Prober: probes, state machine, announcements
//
// Files in the order of a packet's way: egress.go (to the outside), ingress.go (from outside: which group, which
// tenant), arp.go and nd.go (requests and answers on the gateways' networks), own.go (packets to the group's own
// addresses, and ICMP), header.go. Beside it, called by package keeper on the first worker's thread between two
// turns: prober.go (follows the tables and ports, runs the groups' machines), probe.go (probes gateways and judges
// them), announce.go (tells the network after a switch), message.go (the frames of both).
//
// # MAC addresses on the uplink
//
// All frames that leave by the active member's port have the virtual MAC as their source. By other ports (probes of the
// standby, answers to it) frames leave with the port's own MAC: were two ports in one Ethernet, their switch would see
// the virtual MAC jump between them with every probe. Frames to either are accepted on every port.
//
// # Who writes what
//
// Workers share nothing but the words of fib.GroupLive and fib.MemberLive. The active member's slot is one of them:
// all workers follow a switch with their next batch. Workers store received answers and data in such words too. A word
// holds the last one only, so that a flood of answers takes no memory and displaces no other answer. A worker reads the
// clock when it stores the time: the turn in which it receives an answer may have begun long before the Prober sent the
// probe.
package uplink

import (
	"penstock/dataplane/fib"
	"penstock/dataplane/keeper"
	"penstock/dataplane/stage"
)

// State is what one worker keeps between batches.
type State struct {
	*stage.Env
	Clock  func() int64 // the clock of Now, read afresh: for times that the Prober compares with those of its own turns
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
