package flow

import "penstock/dataplane/fib"

const (
	// maxPath is the number of buckets that an insertion looks at to make room.
	maxPath = 128
	// sampleBuckets is the number of buckets of which an eviction takes the oldest entry.
	sampleBuckets = 8
)

// step is a bucket on the way to a free slot.
type step struct {
	bucket uint32
	from   int32 // the step before, -1 = none
	slot   uint8 // of the step before: its entry moves here
}

// Insert adds a flow that Find has not found, and returns its entry. It returns false if the guard or lack of memory
// for IPv6 forbids it: the packet goes to the server all the same. A full table evicts a half-open entry, or else an
// old one of another state. state is HalfOpen but for flows that others tell of.
func (t *Table) Insert(p *Probe, server fib.Ref, state State, off bool) (Slot, bool) {
	if !t.rate.take(t.nanos) {
		t.Stats.Add(StatGuard, 1)
		return 0, false
	}
	return t.put(p, server, state, off, t.now)
}

// Restore adds a flow whose last packet was age milliseconds ago, as a saved file or the other director tells. A flow
// that the table has gets server and state only if it is not younger than the news. Restore is no matter of the guard.
func (t *Table) Restore(p *Probe, server fib.Ref, state State, off bool, age int32) bool {
	if age < 0 || age >= idle[state&7] {
		return false
	}
	if state == HalfOpen {
		age = 0 // their list is in the order of age
	}
	t.quiet = true
	defer func() { t.quiet = false }()
	if s, ok := t.match(p); ok {
		if int32(t.now-t.entry(uint32(s)).last()) < age {
			return false
		}
		t.Rebind(s, server, state, off)
		t.entry(uint32(s))[1] |= entryTold
		return true
	}
	s, ok := t.put(p, server, state, off, t.now-uint32(age))
	if ok {
		t.entry(uint32(s))[1] |= entryTold
	}
	return ok
}

func (t *Table) put(p *Probe, server fib.Ref, state State, off bool, last uint32) (Slot, bool) {
	if p.word1&entryV6 != 0 && t.addrs == nil {
		return 0, false
	}
	if state == HalfOpen && t.count[HalfOpen] >= t.quarter {
		t.evictHalfOpen()
	}
	if t.total >= t.limit && !t.evictHalfOpen() {
		t.evictOld()
	}
	s := t.room(p)
	e := t.entry(s)
	*e = Entry{p.word0, p.word1 | uint64(state), uint64(server)<<32 | uint64(last), 0}
	if p.word1&entryV6 != 0 {
		t.addrs[s] = p.addr
	}
	t.total++
	t.counted(state, 1)
	t.setOff(e, off)
	t.Servers.add(server, 1)
	t.Stats.Add(StatInserted, 1)
	if state == HalfOpen {
		t.link(s)
	}
	t.tell(s, e)
	return Slot(s), true
}

// room returns a free slot in one of the key's buckets. It moves other entries if there is none, and evicts one if no
// move helps.
func (t *Table) room(p *Probe) uint32 {
	for _, at := range [2]uint32{p.first, p.second} {
		if s, ok := t.freeSlot(at); ok {
			return s
		}
	}
	t.path[0], t.path[1] = step{p.first, -1, 0}, step{p.second, -1, 0}
	for i, n := 0, 2; i < n; i++ {
		at := t.path[i].bucket
		for slot := range uint32(2) {
			if n == maxPath {
				break
			}
			e := t.entry(2*at + slot)
			a, b := t.pair(e[0], e[1]&entryKey)
			other := a ^ b ^ at
			if t.onPath(i, other) {
				continue
			}
			t.path[n] = step{other, int32(i), uint8(slot)}
			if s, ok := t.freeSlot(other); ok {
				return t.shift(n, s)
			}
			n++
		}
	}
	return t.evictFrom(p)
}

// onPath reports whether the way to step i passes the bucket: a way with a circle moves an entry twice.
func (t *Table) onPath(i int, bucket uint32) bool {
	for j := int32(i); j >= 0; j = t.path[j].from {
		if t.path[j].bucket == bucket {
			return true
		}
	}
	return false
}

// shift moves the entries on the way to step i, whose slot s is free, and returns the slot that becomes free.
func (t *Table) shift(i int, s uint32) uint32 {
	for t.path[i].from >= 0 {
		st := &t.path[i]
		from := 2*t.path[st.from].bucket + uint32(st.slot)
		t.move(from, s)
		s, i = from, int(st.from)
	}
	return s
}

// freeSlot returns a slot of the bucket that is free, or whose entry has expired.
func (t *Table) freeSlot(at uint32) (uint32, bool) {
	b := &t.buckets[at]
	for i := range b {
		if s := 2*at + uint32(i); !b[i].used() {
			return s, true
		} else if t.expired(&b[i]) {
			t.expire(s)
			return s, true
		}
	}
	return 0, false
}

// move moves an entry to a free slot.
func (t *Table) move(from, to uint32) {
	e, f := t.entry(from), t.entry(to)
	*f = *e
	if t.addrs != nil {
		t.addrs[to] = t.addrs[from]
	}
	if e.State() == HalfOpen {
		t.relink(f, to+1)
	}
	*e = Entry{}
}

// evictFrom evicts an entry of the key's buckets, a half-open one if there is one, else the oldest.
func (t *Table) evictFrom(p *Probe) uint32 {
	var victim uint32
	var most int32 = -1
	for _, at := range [2]uint32{p.first, p.second} {
		for i := range uint32(2) {
			e := t.entry(2*at + i)
			age := int32(t.now-e.last()) & (1<<30 - 1)
			if e.State() == HalfOpen {
				age |= 1 << 30
			}
			if age > most {
				victim, most = 2*at+i, age
			}
		}
	}
	t.Stats.Add(StatNoRoom, 1)
	t.evict(victim)
	return victim
}

// evictHalfOpen evicts the oldest half-open entry and reports whether there was one.
func (t *Table) evictHalfOpen() bool {
	if t.oldest == 0 {
		return false
	}
	t.evict(t.oldest - 1)
	t.lookAhead()
	return true
}

// lead is how far the loading of entries is ahead of their eviction.
const lead = 3

// lookAhead has the entries loaded that go next: each names the one behind it, so that in a flood every new flow would
// wait for a line of memory. The entry that ahead names may have moved or gone since; then it begins anew.
func (t *Table) lookAhead() {
	t.lead -= min(t.lead, 1)
	for range 2 {
		if t.lead == lead || t.oldest == 0 {
			return
		}
		if t.lead == 0 || t.entry(t.ahead-1).State() != HalfOpen {
			t.ahead, t.lead = t.oldest, 0
		}
		next := t.entry(t.ahead - 1).next()
		if next == 0 {
			t.lead = 0
			return
		}
		t.prefetch(next - 1)
		t.ahead = next
		t.lead++
	}
}

// evictOld evicts the oldest of the entries that the hand passes. The table is not empty.
func (t *Table) evictOld() {
	var victim uint32
	var most int32 = -1
	for n := 0; n < sampleBuckets || most < 0; n++ {
		b := &t.buckets[t.hand]
		for i := range b {
			if e := &b[i]; e.used() {
				if age := max(int32(t.now-e.last()), 0); age > most {
					victim, most = 2*t.hand+uint32(i), age
				}
			}
		}
		if t.hand++; int(t.hand) == len(t.buckets) {
			t.hand = 0
		}
	}
	t.evict(victim)
}

func (t *Table) evict(s uint32) {
	if e := t.entry(s); t.expired(e) {
		t.Stats.Add(StatExpired+int(e.State()), 1)
	} else {
		t.Stats.Add(StatEvicted+int(e.State()), 1)
	}
	t.remove(s)
}
