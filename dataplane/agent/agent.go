// Package agent is the balancer's part at the box that a real server's VIF hangs from (PROTOCOL.md#balancer). A real
// server has the address of the virtual service, the VIP, too, and answers from it straight to the client. The agent
// puts the service's port into these replies, and keeps the server's ARP and neighbour discovery for the VIP from all
// others.
//
//	reply.go  what a VIF sends from a VIP: the service's port put back
//	quote.go  the packet that the server's own ICMP error quotes
//	shared.go notes of flows, where services share a server's port
//	claim.go  ARP and neighbour discovery of servers and of strangers
//
// The rules alone decide (fib.Agent): the agent keeps no state of a flow. So any reply of any flow passes, whichever
// director has scheduled the flow. Only servers with rules that several services share need notes of flows.
package agent

import (
	"penstock/dataplane/fib"
	"penstock/dataplane/flow"
	"penstock/dataplane/frame"
	"penstock/dataplane/stage"
	"penstock/dataplane/wire"
)

// State is what one worker keeps between batches.
type State struct {
	*stage.Env

	// Notes are the flows of services that share a server's port. All workers share them; nil = no service does.
	Notes *flow.Notes
}

// New returns the state of a worker with environment env.
func New(env *stage.Env) *State { return &State{Env: env} }

// Source returns the index of the VIP that the parsed IP packet p has as source, if the VIF of a may have that VIP.
func Source(mem []byte, p *frame.Packet, a *fib.Agent) (vip uint32, ok bool) {
	l3 := mem[p.Off+uint32(p.L3) : p.Off+uint32(p.Len)]
	switch {
	case p.Has(frame.FlagIPv4):
		return fib.FindVIP4(a.VIPs4, wire.IPv4(l3).Src())
	case p.Has(frame.FlagIPv6):
		return fib.FindVIP6(a.VIPs6, wire.IPv6(l3).Src())
	}
	return 0, false
}
