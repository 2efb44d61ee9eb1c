package overlay

import (
	"penstock/dataplane/drop"
	"penstock/dataplane/fib"
	"penstock/dataplane/frame"
	"penstock/dataplane/stats"
)

// Flood sends broadcast, multicast and unknown unicast to every attachment of the segment on this box and, as unicast
// copies, to every other box that holds a VIF of it; frames that came from the fabric go to attachments only.
//
// Copies are made into extra. When extra is full Flood returns true: the caller carries extra out, empties it and calls
// again. The last receiver gets the original. What goes to other boxes is at NextEncap afterwards.
func Flood(mem []byte, b *frame.Batch, s *fib.Snapshot, st *State, extra *frame.Batch) (more bool) {
	for ; st.floodPkt < b.N; st.floodPkt++ {
		p := &b.Pkt[st.floodPkt]
		if p.Next != frame.NextFlood {
			continue
		}
		if !st.charged && !st.mayFlood(p, s) {
			p.DropFor(drop.FloodLimit)
			continue
		}
		st.charged = st.floodOne(mem, p, s, extra)
		if st.charged {
			return true
		}
		st.floodTo = 0
	}
	st.floodPkt = 0
	return false
}

// floodOne goes through the receivers of p from st.floodTo on; true when extra is full.
func (st *State) floodOne(mem []byte, p *frame.Packet, s *fib.Snapshot, extra *frame.Batch) bool {
	seg := &s.Segments[p.Seg]
	n := len(seg.Local)
	if p.Flags&frame.FlagFromFabric == 0 {
		n += len(seg.Remote)
	}
	last := n - 1
	for last >= 0 && last < len(seg.Local) && seg.Local[last] == p.Attach {
		last--
	}
	if last < 0 {
		p.DropFor(drop.FloodEmpty)
		return false
	}
	for ; st.floodTo <= last; st.floodTo++ {
		k := st.floodTo
		if k < len(seg.Local) && seg.Local[k] == p.Attach {
			continue
		}
		q := p
		if k != last {
			if extra.N == frame.BatchSize {
				return true
			}
			q = &extra.Pkt[extra.N]
			if !st.Clone(mem, p, q) {
				p.DropFor(drop.FloodNoFrame)
				return false
			}
			extra.N++
		}
		if k < len(seg.Local) {
			toAttachment(mem, q, s, st, seg.Local[k])
		} else {
			q.Loc, q.Next = seg.Remote[k-len(seg.Local)], frame.NextEncap
		}
	}
	return false
}

// Clone copies p with its frame into q; false when there is no free frame.
func (st *State) Clone(mem []byte, p, q *frame.Packet) bool {
	addr, ok := st.Cache.Get()
	if !ok {
		return false
	}
	if st.Verify != nil {
		st.Verify.Move(addr, frame.OwnerPool, frame.OwnerBatch)
	}
	*q = *p
	q.Off = addr + frame.Headroom
	copy(q.Bytes(mem), p.Bytes(mem))
	st.Ports.Count(p.Port, stats.Copies, 1)
	return true
}

// mayFlood applies the sender's limit. Frames from the fabric were limited where they began. Senders on an open
// attachment that are no VIF share one limit, apart from those of VIFs.
func (st *State) mayFlood(p *frame.Packet, s *fib.Snapshot) bool {
	if p.Has(frame.FlagFromFabric) || s.FloodRate == 0 {
		return true
	}
	buckets, i := st.buckets, p.VIF
	if i == frame.NoIndex {
		buckets, i = st.strangers, p.Attach
	}
	return buckets[uint(i)%uint(len(buckets))].take(st.Now, s.FloodRate, s.FloodBurst)
}
