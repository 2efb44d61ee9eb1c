package overlay

import (
	"encoding/binary"

	"penstock/dataplane/frame"
	"penstock/dataplane/parse"
)

// outerElsewhere sets p to NextHandoff if the flow of the encapsulated frame belongs to another worker, and reports
// whether it does. p is a parsed frame from the fabric.
func (st *State) outerElsewhere(mem []byte, p *frame.Packet) bool {
	if st.Spread.Workers <= 1 || !p.Has(frame.FlagIPv4) || int(p.Len) < int(p.L3)+ipLen+ethLen {
		return false
	}
	n := p.Len - p.L3 - ipLen
	if total := binary.BigEndian.Uint16(mem[p.Off+uint32(p.L3)+2:]); total >= ipLen+ethLen && total-ipLen <= n {
		n = total - ipLen
	}
	return st.Spread.HandOff(p, parse.InnerHash(mem, p, p.L3+ipLen, n))
}
