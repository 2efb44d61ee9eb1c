package flow

import (
	"penstock/dataplane/fib"
	"penstock/dataplane/frame"
)

// The limits of a worker's fragments, times in nanoseconds.
const (
	MaxFragments  = 4096          // datagrams that are noted
	FragmentTime  = 5_000_000_000 // for which a datagram is noted
	MaxHeld       = 64            // fragments that wait for the first of their datagram
	HeldTime      = 100_000_000   // for which they wait
	fragmentHeads = 2 * MaxFragments
)

// FragmentKey identifies a fragmented datagram (RFC 791, 3.2; RFC 8200, 4.5).
type FragmentKey struct {
	Source [2]uint64 // address, high and low half; IPv4 (host order) in the low half
	VIP    fib.Ref
	ID     uint32
	Proto  uint8
}

// Noted is what the first fragment has told of a datagram: its server, 0 = the datagram is discarded. Or, with
// Elsewhere, the worker that knows. Or, with Echo, that it is an echo request to be answered.
type Noted struct {
	Server    fib.Ref
	Worker    uint16
	Elsewhere bool
	Echo      bool
}

type fragment struct {
	key  FragmentKey
	next uint16 // in the chain of the head, place + 1
	to   Noted
	at   int64
}

// Fragments are a worker's notes of what was decided about the first fragments of datagrams, and the fragments that
// came before the first. The notes are in the order of their time: the oldest goes first. The zero value is empty; it
// is 300 KiB.
type Fragments struct {
	heads [fragmentHeads]uint16 // place + 1
	notes [MaxFragments]fragment
	first int // the oldest
	n     int

	held  [MaxHeld]heldFragment
	count int
}

type heldFragment struct {
	key FragmentKey
	at  int64
	pkt frame.Packet
}

func (k *FragmentKey) head() uint32 {
	h := mum(k.Source[0]^0xa0761d6478bd642f, k.Source[1]^0xe7037ed1a0b428db)
	h = mum(h^uint64(k.VIP)<<8^uint64(k.Proto), uint64(k.ID)<<1^0x8ebc6af09c88c6e3)
	return uint32(h>>32) % fragmentHeads
}

func (f *Fragments) find(k *FragmentKey) *fragment {
	for at := f.heads[k.head()]; at != 0; {
		n := &f.notes[(at-1)%MaxFragments]
		if n.key == *k {
			return n
		}
		at = n.next
	}
	return nil
}

// Note notes what the first fragment of a datagram has told. A second first fragment changes the note.
func (f *Fragments) Note(k *FragmentKey, to Noted, now int64) {
	for f.n > 0 && (f.n == MaxFragments || now-f.notes[f.first].at >= FragmentTime) {
		f.drop()
	}
	if n := f.find(k); n != nil {
		n.to = to
		return
	}
	at, head := (f.first+f.n)%MaxFragments, k.head()
	f.notes[at] = fragment{*k, f.heads[head], to, now}
	f.heads[head] = uint16(at + 1)
	f.n++
}

// drop forgets the oldest note: the last of its chain.
func (f *Fragments) drop() {
	old := uint16(f.first + 1)
	at := &f.heads[f.notes[f.first].key.head()]
	for *at != old && *at != 0 {
		at = &f.notes[(*at-1)%MaxFragments].next
	}
	*at = 0
	f.first = (f.first + 1) % MaxFragments
	f.n--
}

// Find returns the note of a datagram whose first fragment has come.
func (f *Fragments) Find(k *FragmentKey, now int64) (to Noted, ok bool) {
	if n := f.find(k); n != nil && now-n.at < FragmentTime {
		return n.to, true
	}
	return Noted{}, false
}

// Hold keeps a fragment that came before the first, and reports whether there is room. The frame then belongs to
// Fragments (frame.OwnerHeld).
func (f *Fragments) Hold(k *FragmentKey, p *frame.Packet, now int64) bool {
	if f.count == MaxHeld {
		return false
	}
	f.held[f.count] = heldFragment{*k, now, *p}
	f.count++
	return true
}

// Held returns the number of fragments that wait.
func (f *Fragments) Held() int { return f.count }

// Take copies the fragments of a datagram to out, in the order in which they came, and forgets them. It returns their
// number.
func (f *Fragments) Take(k *FragmentKey, out *[MaxHeld]frame.Packet) (n int) {
	return f.take(out, func(h *heldFragment) bool { return h.key == *k })
}

// Late copies the fragments that have waited for HeldTime, and forgets them. It returns their number.
func (f *Fragments) Late(out *[MaxHeld]frame.Packet, now int64) (n int) {
	if f.count == 0 || now-f.held[0].at < HeldTime {
		return 0
	}
	return f.take(out, func(h *heldFragment) bool { return now-h.at >= HeldTime })
}

// Drain does so with all, when the worker stops.
func (f *Fragments) Drain(out *[MaxHeld]frame.Packet) int {
	return f.take(out, func(*heldFragment) bool { return true })
}

func (f *Fragments) take(out *[MaxHeld]frame.Packet, wanted func(*heldFragment) bool) (n int) {
	kept := 0
	for i := range f.held[:f.count] {
		if h := &f.held[i]; wanted(h) {
			out[n] = h.pkt
			n++
		} else {
			f.held[kept] = *h
			kept++
		}
	}
	f.count = kept
	return n
}
