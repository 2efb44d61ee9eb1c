package overlay

import (
	"encoding/binary"

	"penstock/dataplane/fib"
	"penstock/dataplane/frame"
	"penstock/dataplane/parse"
)

// outerElsewhere sets p to NextHandoff if the flow of the encapsulated frame belongs to another worker, and reports
// whether it does. p is a parsed frame from the fabric.
func (st *State) outerElsewhere(mem []byte, p *frame.Packet, form fib.Form) bool {
	head := form.Overhead() - ethLen
	if st.Spread.Workers <= 1 || !p.Has(frame.FlagIPv4) || p.Len < p.L3+head+ethLen {
		return false
	}
	n := p.Len - p.L3 - head
	if total := binary.BigEndian.Uint16(mem[p.Off+uint32(p.L3)+2:]); total >= head+ethLen && total-head <= n {
		n = total - head
	}
	return st.Spread.HandOff(p, parse.InnerHash(mem, p, p.L3+head, n))
}
