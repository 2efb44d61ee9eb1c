package edge

import (
	"penstock/dataplane/drop"
	"penstock/dataplane/fib"
	"penstock/dataplane/frame"
	"penstock/dataplane/stats"
	"penstock/dataplane/wire"
)

// forward forwards a tagged frame that is not to the switch itself within its VLAN, unchanged.
func (t *forwarding) forward(p *frame.Packet) {
	s, vid := t.s, p.VID
	if s.Edge.VLANs == nil || vid == vidNone || vid >= vidReserved {
		p.DropFor(drop.EdgeVLAN)
		return
	}
	members := s.Edge.VLANs[vid]
	if len(members) == 0 {
		p.DropFor(drop.EdgeVLAN)
		return
	}
	size := int(p.Len) - wire.EthernetLen - wire.VLANTagLen
	if p.DstMAC>>40&1 == 0 {
		if out, ok := t.fdb.lookup(vid, p.DstMAC, t.now); ok {
			if out == t.port {
				p.DropFor(drop.EdgeHairpin)
				return
			}
			// The entry may be older than the tables. If the port has lost the VLAN, its role or its carrier, the
			// destination counts as unknown.
			if carries(s, out, vid) {
				if size > int(s.Ports[out].MTU) {
					p.DropFor(drop.EdgeMTU)
					return
				}
				p.SendTo(out)
				return
			}
		}
	}
	t.flood(p, members, size)
}

// carries reports whether port is a trunk that is up and carries vid.
func carries(s *fib.Snapshot, port, vid uint16) bool {
	i := int(port)
	if i >= len(s.Ports) || i >= len(s.Edge.ByPort) {
		return false
	}
	return s.Ports[i].Role == fib.RoleTrunk && s.Ports[i].Up && allowed(s.Edge.ByPort[i].Allow, vid)
}

// flood sends a frame to every member of its VLAN except the port that received it. It drops the frame only if no
// member can send it: because of the MTU, without carrier, or because the VLAN has no other member.
func (t *forwarding) flood(p *frame.Packet, members []uint16, size int) {
	s, st := t.s, t.st
	why := drop.EdgeHairpin
	for _, out := range members {
		if out == t.port || int(out) >= len(s.Ports) {
			continue
		}
		port := &s.Ports[out]
		switch {
		case !port.Up:
			if why == drop.EdgeHairpin {
				why = drop.TxPortDown
			}
		case size > int(port.MTU):
			why = drop.EdgeMTU
		case p.Next != frame.NextTx:
			p.SendTo(out)
		default:
			if st.Copies.N == frame.BatchSize {
				st.Emit(1 << frame.NextTx)
			}
			if q := st.Copy(p); q != nil {
				q.SendTo(out)
			} else {
				st.Unmade(p.Port, stats.Copies)
			}
		}
	}
	if p.Next != frame.NextTx {
		p.DropFor(why)
	}
}
