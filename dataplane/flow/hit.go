package flow

import "penstock/dataplane/fib"

// Hit is the lookup of an IPv4 flow that most probably has an entry. It is less than a Probe: it finds established
// flows only, and changes nothing in the table.
type Hit struct {
	word0, word1  uint64
	first, second uint32
	Pkt           uint8 // for the caller
	OK            bool  // the flow has an entry in state Established or UDP
	UDP           bool  // in state UDP
	Slot          Slot
	Server        fib.Ref
}

// Set makes h the lookup of a flow. ports are the client's port and the service's, as in the packet.
func (h *Hit) Set(client uint32, ports uint32, vip fib.Ref, proto uint8) {
	h.word0 = uint64(client)<<32 | uint64(ports)
	h.word1 = uint64(vip)<<32 | uint64(proto)<<24 | entryUsed
}

// Bit returns a bit that is the same for all packets of the flow, and mostly another one for other flows of a batch.
func (h *Hit) Bit() uint64 { return 1 << (h.first & 63) }

// Hits looks all flows of the list up. The loads of all lines overlap.
func (t *Table) Hits(list []Hit) {
	n, sum := uint64(len(t.buckets)), uint64(0)
	if n == 0 {
		return
	}
	k0, k1, k2 := t.keys[0], t.keys[1], t.keys[2]
	for i := range list {
		h := &list[i]
		x := mum(mum(h.word0^k0, h.word1^k1), k2)
		h.first, h.second = uint32((x>>32)*n>>32), uint32((x&lowHalf)*n>>32)
		sum += t.buckets[h.first][0][0] + t.buckets[h.second][0][0]
	}
	t.touched += sum // so that the compiler keeps the loads
	for i := range list {
		h := &list[i]
		a, b := &t.buckets[h.first], &t.buckets[h.second]
		switch {
		case a[0][0] == h.word0 && a[0][1]&entryKey == h.word1:
			h.take(&a[0], Slot(2*h.first), t.now)
		case a[1][0] == h.word0 && a[1][1]&entryKey == h.word1:
			h.take(&a[1], Slot(2*h.first+1), t.now)
		case b[0][0] == h.word0 && b[0][1]&entryKey == h.word1:
			h.take(&b[0], Slot(2*h.second), t.now)
		case b[1][0] == h.word0 && b[1][1]&entryKey == h.word1:
			h.take(&b[1], Slot(2*h.second+1), t.now)
		default:
			h.OK = false
		}
	}
}

// take stores what the entry says.
func (h *Hit) take(e *Entry, s Slot, now uint32) {
	state := e[1] & 7
	h.UDP = state == uint64(UDP)
	h.OK = (h.UDP || state == uint64(Established)) && int32(now-e.last()) < idle[state]
	h.Slot, h.Server = s, e.Server()
}

// Refresh notes a packet of a flow that Hits has found, and whose state the packet does not change.
func (t *Table) Refresh(s Slot) {
	if e := t.Entry(s); e.last() != t.now {
		e[2] = e[2]&^lowHalf | uint64(t.now)
	}
}
