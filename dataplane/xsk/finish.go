package xsk

import (
	"fmt"
	"time"
)

// finish waits, before the socket is closed, until the driver has sent the frames that the kernel took from the tx
// ring, if the driver sends out of the frames themselves. A frame that was used for another packet meanwhile would go
// out with the octets of that packet, perhaps to the wrong network or tenant. Frames that the kernel has not taken are
// not sent any more, since the kernel takes frames in KickTx only. Frames that are not completed in time stay in
// s.sent, and Drain does not hand them out: their completions go to a ring that no longer exists.
func (s *Socket) finish() error {
	if !s.refers || s.fd < 0 {
		return nil
	}
	t := &s.tx
	mask := uint32(len(t.slots) - 1)
	for i := t.prod - t.pending(); i != t.prod; i++ {
		s.giveBack(t.slots[i&mask].Addr)
	}
	var addrs [64]uint64
	for deadline := time.Now().Add(s.limit); ; time.Sleep(time.Millisecond) {
		for n := s.comp.get(addrs[:], &s.sent); n > 0; n = s.comp.get(addrs[:], &s.sent) {
			for _, a := range addrs[:n] {
				s.giveBack(a)
			}
		}
		n := s.sent.len()
		if n == 0 {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%d frames have not been sent within %v, and are lost to the driver", n, s.limit)
		}
	}
}

// giveBack makes a sent frame one that Drain hands out.
func (s *Socket) giveBack(addr uint64) {
	s.sent.remove(addr)
	s.held.add(addr)
}
