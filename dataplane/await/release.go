package await

import (
	"math"
	"math/bits"

	"penstock/dataplane/drop"
	"penstock/dataplane/fib"
	"penstock/dataplane/frame"
	"penstock/dataplane/resolve"
	"penstock/dataplane/table"
)

const (
	// lookEvery is the time in nanoseconds between two looks at the bindings.
	lookEvery = 1_000_000
	// lookAt is the number of targets after which a look ends: the next one goes on there.
	lookAt = MaxPackets / 4
)

// Waiting reports whether a packet waits: Turn is then to be called at least once a millisecond.
func (st *State) Waiting() bool { return st.count > 0 }

// Turn looks which packets wait no longer, and calls run with batches of them, each received by one port and at one
// Next value. b is free before and after. It returns the number of packets that wait no longer.
func (st *State) Turn(b *frame.Batch, run func(port uint16, b *frame.Batch)) (n int) {
	if st.count == 0 || st.Now-st.looked < lookEvery {
		return 0
	}
	st.looked = st.Now
	looks := 0
	for range st.used {
		for w := st.used[st.cursor]; w != 0; w &= w - 1 {
			t := &st.targets[st.cursor*64+bits.TrailingZeros64(w)]
			late := st.Now
			found := st.found(t)
			if found {
				late = math.MaxInt64
			}
			k := st.take(t, late)
			if found {
				st.Counters.Found += uint64(k)
			}
			st.pass(st.out[:k], b, run)
			n += k
			looks++
		}
		if st.cursor = (st.cursor + 1) % len(st.used); looks >= lookAt {
			break
		}
	}
	return n
}

// found reports whether the bindings have a target.
func (st *State) found(t *target) (ok bool) {
	s := st.Snap
	seg, ok := s.SegmentByID.Get(t.seg)
	if !ok {
		return false
	}
	switch t.kind {
	case resolve.MissMAC:
		_, ok = table.FindMAC(s.Bindings, s.Delta, seg, t.lo)
	case resolve.MissIP4:
		_, _, ok = table.FindIP4(s.Bindings, s.Delta, seg, uint32(t.lo))
	default:
		_, _, ok = table.FindIP6(s.Bindings, s.Delta, seg, t.hi, t.lo)
	}
	return ok
}

// take takes the packets of t that wait until late at most out of their places, oldest first, and returns their number.
func (st *State) take(t *target, late int64) int {
	k := uint8(0)
	for k < t.n && st.packets[t.first[k]].till <= late {
		i := t.first[k]
		st.out[k] = st.packets[i]
		st.packets[i].next, st.freeP = st.freeP, i
		k++
	}
	copy(t.first[:], t.first[k:t.n])
	t.n -= k
	st.count -= int(k)
	st.dropTarget(t)
	return int(k)
}

// pass lets packets pass their stages again.
func (st *State) pass(list []held, b *frame.Batch, run func(port uint16, b *frame.Batch)) {
	for len(list) > 0 {
		port, to := list[0].pkt.Port, list[0].to
		b.N = 0
		for b.N < len(list) && list[b.N].pkt.Port == port && list[b.N].to == to {
			p := &b.Pkt[b.N]
			*p = list[b.N].pkt
			st.Move(p.Off, frame.OwnerWaiting, frame.OwnerBatch)
			p.Flags |= frame.FlagWaited
			p.Next = to
			if !st.same(&list[b.N]) {
				p.DropFor(drop.ResolveTimeout)
			}
			b.N++
		}
		list = list[b.N:]
		run(port, b)
	}
}

// same reports whether the indices of a packet still belong to the objects that they belonged to.
func (st *State) same(h *held) bool {
	s, p := st.Snap, &h.pkt
	if seg, ok := s.SegmentByID.Get(h.seg); !ok || seg != p.Seg || uint(seg) >= uint(len(s.Segments)) {
		return false
	}
	if p.Attach != frame.NoIndex {
		if uint(p.Attach) >= uint(len(s.Attachments)) {
			return false
		}
		if a := &s.Attachments[p.Attach]; a.Seg != p.Seg || a.Port != h.port || a.VID != h.vid {
			return false
		}
	}
	if p.VIF != frame.NoIndex {
		if uint(p.VIF) >= uint(len(s.VIFs)) {
			return false
		}
		if v := &s.VIFs[p.VIF]; v.Attach == fib.None || v.MAC != h.vif || v.Attach != p.Attach {
			return false
		}
	}
	return true
}

// Drain drops all packets that wait, when the worker stops.
func (st *State) Drain() {
	for i := range st.targets {
		t := &st.targets[i]
		for _, h := range st.out[:st.take(t, math.MaxInt64)] {
			st.Move(h.pkt.Off, frame.OwnerWaiting, frame.OwnerBatch)
			st.Discard(h.pkt.Port, drop.ResolveTimeout, h.pkt.Off, h.pkt.Len)
		}
	}
}
