package overlay

import (
	"penstock/dataplane/agent"
	"penstock/dataplane/drop"
	"penstock/dataplane/fib"
	"penstock/dataplane/frame"
	"penstock/dataplane/punt"
	"penstock/dataplane/wire"
)

// virtualSource judges what a packet from an access port says of virtual addresses (package agent). virtual is set if
// its source is a virtual address that the station may have: vip is the index of the one that an IP packet is from.
// virtualSource returns ok false if it drops p or hands p to control.
func (st *State) virtualSource(p *frame.Packet, from *station, s *fib.Snapshot) (vip uint32, virtual, ok bool) {
	if p.Flags&(frame.FlagARP|frame.FlagND) != 0 {
		if from.v == nil && !from.open {
			return 0, false, true // no station of the attachment at all
		}
		switch agent.Claims(st.Mem, p, from.v, s) {
		case agent.ClaimAsks:
			return 0, true, true
		case agent.ClaimServer:
			p.DropFor(drop.VIPARP)
			return 0, false, false
		case agent.ClaimForeign:
			p.Next, p.Drop, p.Kind = frame.NextPunt, drop.VIPConflict, uint8(punt.VIPConflict)
			return 0, false, false
		}
		return 0, false, true
	}
	if from.agent {
		vip, virtual = agent.Source(st.Mem, p, from.v.Agent)
	}
	return vip, virtual, true
}

// serverReply processes an IP packet of a VIF that has virtual addresses, and returns false if it drops p.
func (st *State) serverReply(p *frame.Packet, port *fib.Port, v *fib.VIF, vip uint32, virtual bool) bool {
	if !virtual {
		st.Agent.Quote(p, v.Agent)
		return true
	}
	if why := st.Agent.Reply(p, v, vip); why != drop.None {
		p.DropFor(why)
		return false
	}
	if p.Has(frame.FlagReply) && p.Proto == protoTCP && port.ClampMSS &&
		wire.TCP(st.Mem[p.Off+uint32(p.L4):]).Flags()&wire.TCPSyn != 0 {
		st.clampReply(p, port)
	}
	return true
}

// clampReply lowers the MSS that a server offers in its SYN to what fits the fabric. The client's segments cross the
// fabric on their way through the director, also if the answer does not: client and server may be on one box.
func (st *State) clampReply(p *frame.Packet, port *fib.Port) {
	mtu := port.MTU
	for i := range st.Snap.Ports {
		if f := &st.Snap.Ports[i]; f.Role == fib.RoleFabric && f.MTU > f.Fabric.Form.Overhead() {
			mtu = min(mtu, f.Fabric.Form.TenantMTU(f.MTU))
		}
	}
	st.clamp(p, mtu)
}
