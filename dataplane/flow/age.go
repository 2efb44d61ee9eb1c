package flow

import "penstock/dataplane/fib"

// TCP flags, octet 13 of the header (RFC 9293, 3.1).
const (
	tcpFIN = 1 << 0
	tcpSYN = 1 << 1
	tcpRST = 1 << 2
)

// TCP moves the entry to the state after a further packet from the client, by octet 13 of the TCP header, and refreshes
// it.
func (t *Table) TCP(s Slot, flags uint8) {
	e := t.Entry(s)
	state := e.State()
	switch {
	case flags&tcpRST != 0:
		state = Closed
	case flags&tcpFIN != 0 && state != Closed:
		state = Closing
	case flags&tcpSYN == 0 && state == HalfOpen:
		state = Established
	}
	t.use(uint32(s), e, state)
}

// Datagram moves the entry of a UDP flow to the state after a further datagram, and refreshes it.
func (t *Table) Datagram(s Slot) { t.use(uint32(s), t.Entry(s), UDP) }

// use refreshes the entry and sets its state. It writes nothing if nothing changes within a millisecond.
func (t *Table) use(s uint32, e *Entry, state State) {
	if e[1]&entryTold != 0 {
		e[1] &^= entryTold
	}
	if was := e.State(); was != state {
		t.setState(s, e, state)
		e[2] = e[2]&^lowHalf | uint64(t.now)
		t.tell(s, e)
	} else if e.last() != t.now {
		e[2] = e[2]&^lowHalf | uint64(t.now)
		if state == HalfOpen {
			t.unlink(e)
			t.link(s)
		}
	}
}

// setState moves an entry to another state.
func (t *Table) setState(s uint32, e *Entry, state State) {
	was := e.State()
	if was == HalfOpen {
		t.unlink(e)
	}
	e[3] = 0 // no plan either
	t.counted(was, -1)
	if state == HalfOpen {
		if t.count[HalfOpen] >= t.quarter {
			t.evictHalfOpen()
		}
		t.link(s)
	}
	t.counted(state, 1)
	e[1] = e[1]&^7 | uint64(state)
}

// Rebind gives the flow another server, and the entry a state (HalfOpen for a SYN that opens the flow anew), and
// refreshes it.
func (t *Table) Rebind(s Slot, server fib.Ref, state State, off bool) {
	e := t.Entry(s)
	was := e.Server()
	if was != server {
		t.Servers.add(was, -1)
		t.Servers.add(server, 1)
		t.Stats.Add(StatMoved, 1)
	}
	e[2] = uint64(server)<<32 | e[2]&lowHalf
	if e.State() != HalfOpen {
		e[3] = 0
	}
	t.setOff(e, off)
	same := e.State() == state
	if t.use(uint32(s), e, state); same && was != server {
		t.tell(uint32(s), e)
	}
}

// SetOffTable notes whether the flow's server is another than the service's table gives it.
func (t *Table) SetOffTable(s Slot, off bool) {
	e := t.Entry(s)
	was := e.OffTable()
	if t.setOff(e, off); !was {
		t.tell(uint32(s), e)
	}
}

func (t *Table) setOff(e *Entry, off bool) {
	if e.OffTable() == off {
		return
	}
	e[1] ^= entryOff
	d := uint64(1)
	if !off {
		d = ^uint64(0)
	}
	t.Stats.Add(StatOffTable, d)
}

// Remove forgets a flow.
func (t *Table) Remove(s Slot) { t.remove(uint32(s)) }

func (t *Table) remove(s uint32) {
	e := t.entry(s)
	state := e.State()
	if state == HalfOpen {
		t.unlink(e)
	}
	t.setOff(e, false)
	t.Servers.add(e.Server(), -1)
	t.counted(state, -1)
	t.total--
	*e = Entry{}
}

// expire forgets a flow whose time is up.
func (t *Table) expire(s uint32) {
	t.Stats.Add(StatExpired+int(t.entry(s).State()), 1)
	t.remove(s)
}

// link appends the entry to the list of the half-open ones.
func (t *Table) link(s uint32) {
	*t.entry(s).links() = [2]uint32{t.newest, 0}
	if t.newest != 0 {
		t.entry(t.newest - 1).setNext(s + 1)
	} else {
		t.oldest = s + 1
	}
	t.newest = s + 1
}

// unlink takes the entry out of the list of the half-open ones.
func (t *Table) unlink(e *Entry) {
	prev, next := e.prev(), e.next()
	if prev != 0 {
		t.entry(prev - 1).setNext(next)
	} else {
		t.oldest = next
	}
	if next != 0 {
		t.entry(next - 1).setPrev(prev)
	} else {
		t.newest = prev
	}
	e[3] = 0
}

// relink lets the list lead to the new place (slot + 1) of a half-open entry that has moved.
func (t *Table) relink(e *Entry, at uint32) {
	if prev := e.prev(); prev != 0 {
		t.entry(prev - 1).setNext(at)
	} else {
		t.oldest = at
	}
	if next := e.next(); next != 0 {
		t.entry(next - 1).setPrev(at)
	} else {
		t.newest = at
	}
}

// The background expiry: a turn forgets up to expireTurn half-open entries, and looks at up to scanTurn buckets for
// entries in other states, so many that it gets round the table in scanTime.
const (
	expireTurn = 512
	scanTurn   = 2048
	scanTime   = 5_000_000_000 // nanoseconds
)

// Turn sets the time of the turn in nanoseconds on a monotonic clock, and forgets flows whose time is up. The work of a
// turn is bounded. Turn reports whether more half-open entries are to be forgotten now: the worker should not sleep.
func (t *Table) Turn(now int64) (more bool) {
	t.nanos, t.now = now, uint32(now/1_000_000)
	for n := 0; t.oldest != 0 && t.expired(t.entry(t.oldest-1)); n++ {
		if n == expireTurn {
			more = true
			break
		}
		t.expire(t.oldest - 1)
	}
	if t.total == t.count[HalfOpen] {
		t.scanned = now
		return more
	}
	each := scanTime / int64(len(t.buckets))
	n := min((now-t.scanned)/max(each, 1), scanTurn)
	if n <= 0 {
		return more
	}
	if t.scanned += n * max(each, 1); n == scanTurn {
		t.scanned = now
	}
	for range n {
		b := &t.buckets[t.scan]
		for i := range b {
			if b[i].used() && t.expired(&b[i]) {
				t.expire(2*t.scan + uint32(i))
			}
		}
		if t.scan++; int(t.scan) == len(t.buckets) {
			t.scan = 0
		}
	}
	return more
}

// Read copies flows to out, from a bucket on, and returns the bucket to go on with (0 = the end is reached) and the
// number of flows copied. It looks at 4 × len(out) buckets at most, so that it takes bounded time between two turns.
func (t *Table) Read(from uint32, out []Flow) (next uint32, n int) {
	end := min(uint64(from)+4*uint64(len(out)), uint64(len(t.buckets)))
	for at := uint64(from); at < end; at++ {
		if n+2 > len(out) {
			return uint32(at), n
		}
		b := &t.buckets[at]
		for i := range b {
			if e := &b[i]; e.used() && !t.expired(e) {
				t.copy(&out[n], 2*uint32(at)+uint32(i))
				n++
			}
		}
	}
	if end == uint64(len(t.buckets)) {
		return 0, n
	}
	return uint32(end), n
}

func (t *Table) copy(f *Flow, s uint32) {
	e := t.entry(s)
	*f = Flow{
		Key: Key{
			VIP: fib.Ref(e[1] >> 32), ClientPort: uint16(e[0] >> 16), Port: uint16(e[0]), Proto: e.Proto(),
			V6: e[1]&entryV6 != 0, Client: [2]uint64{0, e[0] >> 32},
		},
		Server: e.Server(), State: e.State(), OffTable: e.OffTable(), Told: e[1]&entryTold != 0,
		Age: max(int32(t.now-e.last()), 0),
	}
	if f.V6 {
		f.Client = t.addrs[s]
	}
}
