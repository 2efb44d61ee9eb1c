package table

// Cuckoo displacement: when both buckets of a new key are full, a breadth-first search finds the shortest chain of
// entries that make room by moving to their other bucket. The chain is carried out from its far end, and each entry
// is in its new slot before it leaves the old one.

// shelf is a table of buckets whose entries have two candidate buckets.
type shelf interface {
	free(bucket uint64) int                    // a free slot, or -1
	other(bucket uint64, slot int) uint64      // the other candidate bucket of an entry
	move(from uint64, i int, to uint64, j int) // move an entry to a free slot
}

// searchNodes bounds the search. At the design load a chain is found within some tens of nodes nearly always.
const searchNodes = 1024

type node struct {
	bucket uint64
	parent int32
	slot   int32 // in the parent's bucket: the entry that would come here
}

// search is the scratch memory of the breadth-first search.
type search [searchNodes]node

// room makes a slot free in one of two full buckets.
func (s *search) room(k shelf, slots int, first, second uint64) (bucket uint64, slot int, ok bool) {
	s[0], s[1] = node{first, -1, 0}, node{second, -1, 0}
	n := 2
	for at := 0; at < n; at++ {
		for i := range slots {
			b := k.other(s[at].bucket, i)
			if s.within(at, b) {
				continue
			}
			if j := k.free(b); j >= 0 {
				bucket, slot = s.shift(k, at, i, b, j)
				return bucket, slot, true
			}
			if n < len(s) {
				s[n] = node{b, int32(at), int32(i)}
				n++
			}
		}
	}
	return 0, 0, false
}

// within reports whether bucket b is on the chain that ends with node at: a chain must not cross itself.
func (s *search) within(at int, b uint64) bool {
	for ; at >= 0; at = int(s[at].parent) {
		if s[at].bucket == b {
			return true
		}
	}
	return false
}

// shift moves the entries along the chain, beginning with slot i of node at, which goes to slot j of bucket b.
func (s *search) shift(k shelf, at, i int, b uint64, j int) (bucket uint64, slot int) {
	for {
		x := &s[at]
		k.move(x.bucket, i, b, j)
		if x.parent < 0 {
			return x.bucket, i
		}
		b, j = x.bucket, i
		at, i = int(x.parent), int(x.slot)
	}
}

// rowShelf is the table of rows.
type rowShelf struct {
	t *Bindings
	a *arrays
}

func otherOf(h uint64, n int, bucket uint64) uint64 {
	first, second := pair(h, n)
	if bucket == first {
		return second
	}
	return first
}

func (s *rowShelf) free(bucket uint64) int {
	if m := zeroBytes(s.a.rows[bucket][0] | noMarks); m != 0 {
		return trailing(m) >> 3
	}
	return -1
}

func (s *rowShelf) other(bucket uint64, slot int) uint64 {
	seg, mac := s.a.rows[bucket].rowKey(slot)
	return otherOf(s.t.keys.row(seg, mac), len(s.a.rows), bucket)
}

func (s *rowShelf) move(from uint64, i int, to uint64, j int) {
	old, now := s.a.place(from, i), s.a.place(to, j)
	seg, mac := old.b.rowKey(i)
	now.b.putRow(j, old.b.mark(i), seg, mac, old.b.loc(i), old.more())
	if ip := s.a.ip4[old.slot]; ip != 0 {
		s.a.ip4[now.slot], s.a.ip4[old.slot] = ip, 0
		if b, x, ok := s.a.lookupIP4(&s.t.keys, seg, ip); ok {
			b.setRef(x, now.slot)
		}
	}
	old.b.clearRow(i)
	s.t.count(&s.t.counts.moves, 1)
}

// ipShelf is the address index.
type ipShelf struct {
	t *Bindings
	a *arrays
}

func (s *ipShelf) free(bucket uint64) int {
	if m := ^s.a.ips[bucket][0] & ipsUsed; m != 0 {
		return trailing(m)
	}
	return -1
}

func (s *ipShelf) other(bucket uint64, slot int) uint64 {
	b := &s.a.ips[bucket]
	r := s.a.at(b.ref(slot))
	seg, _ := r.b.rowKey(r.i)
	return otherOf(s.t.keys.ip4(seg, b.tag(slot)^s.t.keys.mask(seg)), len(s.a.ips), bucket)
}

func (s *ipShelf) move(from uint64, i int, to uint64, j int) {
	b := &s.a.ips[from]
	s.a.ips[to].putIP(j, b.tag(i), b.ref(i))
	b.clearIP(i)
	s.t.count(&s.t.counts.moves, 1)
}

// room makes room for a row of hash h, in its first bucket if possible.
func (t *Bindings) room(a *arrays, h uint64) (row, bool) {
	first, second := pair(h, len(a.rows))
	s := &t.rowShelf
	s.t, s.a = t, a
	if i := s.free(first); i >= 0 {
		return a.place(first, i), true
	}
	if i := s.free(second); i >= 0 {
		return a.place(second, i), true
	}
	b, i, ok := t.search.room(s, rowSlots, first, second)
	if !ok {
		return row{}, false
	}
	return a.place(b, i), true
}

// roomIP makes room for an address of hash h, in its first bucket if possible.
func (t *Bindings) roomIP(a *arrays, h uint64) (*bucket, int, bool) {
	first, second := pair(h, len(a.ips))
	s := &t.ipShelf
	s.t, s.a = t, a
	if i := s.free(first); i >= 0 {
		return &a.ips[first], i, true
	}
	if i := s.free(second); i >= 0 {
		return &a.ips[second], i, true
	}
	b, i, ok := t.search.room(s, ipSlots, first, second)
	if !ok {
		return nil, 0, false
	}
	return &a.ips[b], i, true
}
