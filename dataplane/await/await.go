// Package await keeps packets whose destination has no binding until the bindings have it, and tells control what to
// ask other boxes for (PROTOCOL.md#misses).
//
// A worker looks every millisecond whether a binding has come, as long as a packet waits: control writes bindings in
// place and knows no packets. A packet then passes the stage again that missed the binding, with frame.FlagWaited.
// After Time it does so in any case, and that stage drops or answers it.
//
//	await.go    who waits for what
//	release.go  who waits no longer
//	recent.go   what was told lately
package await

import (
	"math/bits"

	"penstock/dataplane/drop"
	"penstock/dataplane/fib"
	"penstock/dataplane/frame"
	"penstock/dataplane/resolve"
	"penstock/dataplane/stage"
)

// The limits, times in nanoseconds.
const (
	MaxPackets = 1024          // of all workers
	PerTarget  = 4             // packets that wait for one target
	Time       = 1_000_000_000 // for which a packet waits

	// tellEvery is the time after which a miss of the same target is told again.
	tellEvery = 1_000_000_000
	// rate and burst are the targets per second of one VIF, of all strangers of an attachment, or of a tenant from
	// outside: one that asks for addresses without end leaves control time for others.
	rate  = 100
	burst = 100

	heads = 1024 // of the chains of targets
	none  = ^uint16(0)
)

// target is what packets wait for.
type target struct {
	hash   uint64
	hi, lo uint64 // MAC or address
	seg    uint64 // fib.SegmentKey
	kind   resolve.EventKind
	n      uint8 // packets; 0 = the target is free
	next   uint16
	told   int64
	first  [PerTarget]uint16 // places of the packets, oldest first
}

// held is a packet that waits. Its indices may have other owners when it goes on: the rest says whose they were.
type held struct {
	pkt  frame.Packet
	till int64
	seg  uint64 // fib.SegmentKey of pkt.Seg
	vif  uint64 // MAC of pkt.VIF
	port uint16 // of pkt.Attach
	vid  uint16
	next uint16 // free place
	to   frame.Next
}

// State is a worker's packets that wait.
type State struct {
	*stage.Env
	Events *resolve.Ring
	Room   int // packets that may wait, at most MaxPackets

	Counters Counters

	heads   [heads]uint16
	targets [MaxPackets]target
	packets [MaxPackets]held
	freeT   uint16 // free target; its next is the next free one
	freeP   uint16
	count   int                     // packets that wait
	looked  int64                   // when Turn last looked
	used    [MaxPackets / 64]uint64 // targets that have packets, a bit each
	cursor  int                     // word of used with which the next look begins
	recent  Recent
	out     [PerTarget]held
}

// Counters count what became of misses, except drops.
type Counters struct {
	Waited uint64 // packets that have waited
	Found  uint64 // of these, how many went on with a binding
}

// New returns the state of a worker with environment env.
func New(env *stage.Env, events *resolve.Ring) *State {
	st := &State{Env: env, Events: events, Room: MaxPackets}
	for i := range st.heads {
		st.heads[i] = none
	}
	for i := range st.targets {
		st.targets[i].next, st.packets[i].next = uint16(i+1), uint16(i+1)
	}
	st.targets[MaxPackets-1].next, st.packets[MaxPackets-1].next = none, none
	return st
}

// hash of a target; the kind and the segment are part of it.
func hash(kind resolve.EventKind, seg, hi, lo uint64) uint64 {
	a, b := bits.Mul64(seg^uint64(kind)<<56^0xa0761d6478bd642f, lo^0xe7037ed1a0b428db)
	a, b = bits.Mul64(a^b^hi, 0x8ebc6af09c88c6e3)
	return a ^ b
}

// Miss lets p wait for what it needs, and tells control. It returns false if p may not wait: the caller then drops or
// answers it as without binding messages. It is stage.Env.Miss.
func (st *State) Miss(p *frame.Packet, m stage.Missed) bool {
	s := st.Snap
	if s.ControlVID == 0 || p.Has(frame.FlagWaited) || uint(m.Seg) >= uint(len(s.Segments)) {
		return false
	}
	g := &s.Segments[m.Seg]
	key := fib.SegmentKey(g.Tenant, g.ID)
	h := hash(m.Kind, key, m.Hi, m.Lo)
	if m.Tell {
		if st.recent.Due(h, st.Now, tellEvery) && st.allowed(p) {
			st.tell(&m, g)
		}
		return false
	}
	t := st.find(h, &m, key)
	if t == nil {
		if !st.allowed(p) {
			return false
		}
		if t = st.add(h, &m, key); t == nil {
			st.tell(&m, g)
			p.DropFor(drop.ResolveFull)
			return true
		}
	}
	if t.n == PerTarget || st.count >= st.Room || !st.hold(t, p, &m) {
		st.dropTarget(t)
		p.DropFor(drop.ResolveFull)
		return true
	}
	if (t.told == 0 || st.Now-t.told >= tellEvery) && st.tell(&m, g) {
		t.told = st.Now
	}
	return true
}

// tell tells control of a miss; false if there is no room.
func (st *State) tell(m *stage.Missed, g *fib.Segment) bool {
	e := resolve.Event{Kind: m.Kind, Tenant: g.Tenant, Segment: g.ID}
	if m.Kind == resolve.MissMAC {
		e.MAC = m.Lo
	} else {
		e.SetIP(m.Kind == resolve.MissIP4, m.Hi, m.Lo)
	}
	return st.Events.Tell(&e)
}

// allowed applies the sender's limit of targets.
func (st *State) allowed(p *frame.Packet) bool {
	l, s := &st.Snap.Limits, st.Snap
	switch {
	case p.Has(frame.FlagInjected):
		return true // control limits its own
	case p.VIF != frame.NoIndex:
		return l.Miss.At(p.VIF).Take(st.Now, rate, burst, 1)
	case p.Attach != frame.NoIndex:
		return l.StrangerMiss.At(p.Attach).Take(st.Now, rate, burst, 1)
	case uint(p.Seg) < uint(len(s.Segments)):
		return l.TenantMiss.At(s.Segments[p.Seg].Router).Take(st.Now, rate, burst, 1)
	}
	return false
}

func (st *State) find(h uint64, m *stage.Missed, seg uint64) *target {
	for i := st.heads[h%heads]; i != none; i = st.targets[i].next {
		t := &st.targets[i]
		if t.hash == h && t.kind == m.Kind && t.seg == seg && t.hi == m.Hi && t.lo == m.Lo {
			return t
		}
	}
	return nil
}

// add adds a target without packets: hold adds the first one at once, or dropTarget takes the target back.
func (st *State) add(h uint64, m *stage.Missed, seg uint64) *target {
	i := st.freeT
	if i == none {
		return nil
	}
	t := &st.targets[i]
	st.freeT = t.next
	*t = target{hash: h, hi: m.Hi, lo: m.Lo, seg: seg, kind: m.Kind, next: st.heads[h%heads]}
	st.heads[h%heads] = i
	st.used[i/64] |= 1 << (i % 64)
	return t
}

// dropTarget takes a target back if it has no packets.
func (st *State) dropTarget(t *target) {
	if t.n != 0 {
		return
	}
	for at := &st.heads[t.hash%heads]; *at != none; at = &st.targets[*at].next {
		if i := *at; &st.targets[i] == t {
			*at, t.next, st.freeT = t.next, st.freeT, i
			st.used[i/64] &^= 1 << (i % 64)
			return
		}
	}
}

// hold puts p into a free place.
func (st *State) hold(t *target, p *frame.Packet, m *stage.Missed) bool {
	i := st.freeP
	if i == none || uint(p.Seg) >= uint(len(st.Snap.Segments)) {
		return false
	}
	h := &st.packets[i]
	st.freeP = h.next
	g := &st.Snap.Segments[p.Seg]
	*h = held{pkt: *p, till: st.Now + Time, seg: fib.SegmentKey(g.Tenant, g.ID), to: m.Again}
	if uint(p.Attach) < uint(len(st.Snap.Attachments)) {
		h.port, h.vid = st.Snap.Attachments[p.Attach].Port, st.Snap.Attachments[p.Attach].VID
	}
	if uint(p.VIF) < uint(len(st.Snap.VIFs)) {
		h.vif = st.Snap.VIFs[p.VIF].MAC
	}
	t.first[t.n] = i
	t.n++
	st.count++
	st.Counters.Waited++
	st.Move(p.Off, frame.OwnerBatch, frame.OwnerWaiting)
	p.Next = frame.NextHeld
	return true
}
