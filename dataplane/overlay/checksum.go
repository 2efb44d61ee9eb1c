package overlay

import (
	"penstock/dataplane/frame"
	"penstock/dataplane/wire/checksum"
)

// completeChecksum finishes an L4 checksum that the sender's stack left to hardware. A virtual interface has no such
// hardware: its frames arrive with the sum of the pseudo-header in the checksum field. Any other checksum, right or
// wrong, stays unchanged.
func completeChecksum(mem []byte, p *frame.Packet, st *State) {
	if checksum.Complete(p.Bytes(mem), p) {
		st.Events.ChecksumCompleted++
	}
}
