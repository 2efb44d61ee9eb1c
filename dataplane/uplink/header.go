package uplink

import (
	"encoding/binary"

	"penstock/dataplane/frame"
	"penstock/dataplane/wire"
)

// address writes new MACs in front of the untagged frame p, and the tag of VLAN vid if it is not 0.
func address(mem []byte, p *frame.Packet, dst, src uint64, vid uint16) {
	if vid == 0 {
		e := (*[2 * wire.MACLen]byte)(mem[p.Off:])
		binary.BigEndian.PutUint64(e[0:8], dst<<16|src>>32)
		binary.BigEndian.PutUint32(e[8:12], uint32(src))
		return
	}
	p.Push(wire.VLANTagLen)
	e := (*[2*wire.MACLen + wire.VLANTagLen]byte)(mem[p.Off:])
	binary.BigEndian.PutUint64(e[0:8], dst<<16|src>>32)
	binary.BigEndian.PutUint64(e[8:16], src<<32|wire.EtherTypeVLAN<<16|uint64(wire.TCI(vid, p.PCP)))
}

// untag removes the tag; the header is invalid until address has written it.
func untag(p *frame.Packet) {
	if p.Has(frame.FlagTagged) {
		p.Pull(wire.VLANTagLen)
		p.Flags &^= frame.FlagTagged
	}
}
