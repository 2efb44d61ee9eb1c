package overlay

import (
	"encoding/binary"

	"penstock/dataplane/drop"
	"penstock/dataplane/frame"
	"penstock/dataplane/punt"
	"penstock/dataplane/wire"
)

// refused looks at a frame of a fabric port that the parser refuses as no packet of the fabric: LLDP and binding
// messages go to control.
func (st *State) refused(mem []byte, p *frame.Packet) {
	if p.Drop != drop.FabricVLAN && p.Drop != drop.FabricNotIP {
		return
	}
	typ := p.EtherType
	if f := mem[p.Off : p.Off+uint32(p.Len)]; !p.Has(frame.FlagTagged) && len(f) >= ethLen+tagLen &&
		(typ == wire.EtherTypeSTag || typ == wire.EtherTypeOldQinQ) {
		typ = binary.BigEndian.Uint16(f[ethLen+tagLen-2:])
	}
	switch typ {
	case wire.EtherTypeLLDP:
		// Untagged or under any one tag, to one of the groups of IEEE 802.1AB, table 7-1.
		if p.DstMAC == linkLocalGroups|0xe || p.DstMAC == linkLocalGroups|3 || p.DstMAC == linkLocalGroups {
			p.Next, p.Kind = frame.NextPunt, uint8(punt.LLDP)
		}
	case wire.EtherTypePenstock:
		if typ == p.EtherType {
			st.broadcast(mem, p)
		}
	}
}
