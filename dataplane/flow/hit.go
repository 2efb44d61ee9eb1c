package flow

import "penstock/dataplane/fib"

// Hit is the lookup of an IPv4 flow that most probably has an entry. It is less than a Probe: it finds established
// flows only, and changes nothing in the table.
type Hit struct {
	word0, word1 uint64
	at           [2]uint32 // buckets
	Slot         Slot
	Plan         uint32 // what SetPlan has noted; 0 = nothing under this stamp
	Pkt          uint8  // for the caller
	OK           bool   // the flow has an entry in state Established or UDP
}

// HitWord is the part of a Hit's key that is equal for all flows of a protocol to a virtual address.
func HitWord(vip fib.Ref, proto uint8) uint64 { return uint64(vip)<<32 | uint64(proto)<<24 | entryUsed }

// Set makes h the lookup of a flow. ports are the client's port and the service's, as in the packet.
func (h *Hit) Set(client uint32, ports uint32, word uint64) {
	h.word0, h.word1 = uint64(client)<<32|uint64(ports), word
}

// Bit returns a bit that is the same for all packets of the flow, and mostly another one for other flows of a batch.
func (h *Hit) Bit() uint64 { return 1 << (h.at[0] & 63) }

// Hits looks all flows of the list up. The loads of all lines overlap. It tells the plans that were noted under stamp,
// which is not 0.
//
// Which of the four places has the flow is what no branch predictor knows: it is found without a branch.
func (t *Table) Hits(list []Hit, stamp uint32) {
	buckets := t.buckets
	n, sum := uint64(len(buckets)), uint64(0)
	if n == 0 {
		return
	}
	k0, k1, k2 := t.keys[0], t.keys[1], t.keys[2]
	for i := range list {
		h := &list[i]
		x := mum(mum(h.word0^k0, h.word1^k1), k2)
		h.at[0], h.at[1] = uint32((x>>32)*n>>32), uint32((x&lowHalf)*n>>32)
	}
	for i := range list {
		h := &list[i]
		sum += buckets[h.at[0]][0][0] + buckets[h.at[1]][0][0]
	}
	t.touched += sum // so that the compiler keeps the loads
	now := t.now
	for i := range list {
		h := &list[i]
		a, b := &buckets[h.at[0]], &buckets[h.at[1]]
		n0, n1, n2 := other(a[0][0], h.word0), other(a[1][0], h.word0), other(b[0][0], h.word0)
		n1 &= n0
		which := n0 + n1 + n1&n2 // the first of the four places that has word 0; the last, if none has
		s := 2*h.at[which>>1&1] + uint32(which&1)
		e := &buckets[s>>1][s&1]
		state := e[1] & 7
		h.Slot, h.Plan, h.OK = Slot(s), uint32(e[3]), false
		if uint32(e[3]>>32) != stamp {
			h.Plan = 0
		}
		if e[0] == h.word0 && e[1]&entryKey == h.word1 && quickStates>>state&1 != 0 &&
			int32(now-e.last()) < idle[state] {
			h.OK = true
		}
	}
}

// other returns 0 if a and b are equal, else 1.
func other(a, b uint64) uint64 {
	d := a ^ b
	return (d | -d) >> 63
}

// quickStates are the states of the flows that Hits finds, a bit each.
const quickStates = 1<<UDP | 1<<Established

// SetPlan notes with a flow that Hits has found what the caller found out about the flow: plan, not 0. It is kept under
// stamp until the flow gets another server or state. The flow is no longer one of which only others have told.
func (t *Table) SetPlan(s Slot, stamp, plan uint32) {
	e := t.Entry(s)
	e[1] &^= entryTold
	e[3] = uint64(stamp)<<32 | uint64(plan)
}

// Refresh notes a packet of a flow that Hits has found, and whose state the packet does not change.
func (t *Table) Refresh(s Slot) {
	if e := t.Entry(s); e.last() != t.now {
		e[2] = e[2]&^lowHalf | uint64(t.now)
	}
}
