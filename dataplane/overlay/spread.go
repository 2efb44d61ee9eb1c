package overlay

import (
	"encoding/binary"

	"penstock/dataplane/frame"
	"penstock/dataplane/parse"
)

// outerElsewhere marks a parsed frame from the fabric that belongs to another worker, by the flow that is encapsulated
// in it.
func (st *State) outerElsewhere(mem []byte, p *frame.Packet) bool {
	if st.Spread.Workers <= 1 || !p.Has(frame.FlagIPv4) || int(p.Len) < int(p.L3)+ipLen+ethLen {
		return false
	}
	n := p.Len - p.L3 - ipLen
	if total := binary.BigEndian.Uint16(mem[p.Off+uint32(p.L3)+2:]); total >= ipLen+ethLen && total-ipLen <= n {
		n = total - ipLen
	}
	return st.innerElsewhere(mem, p, p.L3+ipLen, n)
}

// innerElsewhere parses the n octets from at on, for their flow hash alone: a malformed frame hashes by what could be read.
func (st *State) innerElsewhere(mem []byte, p *frame.Packet, at, n uint16) bool {
	in := frame.Packet{Off: p.Off + uint32(at), Len: n}
	parse.Access(mem, &in)
	return st.Spread.HandOff(p, in.Hash)
}
