package xsk

import (
	"fmt"
	"time"
)

// finish waits, before the socket is closed, until the driver has sent what the kernel took from the tx ring, where it sends
// out of the frames themselves. A frame that was used for another packet meanwhile would go out with that one's octets: to
// a network, or a tenant, that is not to see them. Frames that the kernel has not taken are not sent any more, since only
// KickTx makes it take them. What is not completed in time stays in s.sent, which Drain then does not hand out: its
// completion goes to a ring that is gone.
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
