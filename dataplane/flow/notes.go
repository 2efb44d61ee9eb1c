package flow

import (
	"crypto/rand"
	"encoding/binary"
	"sync/atomic"

	"penstock/dataplane/fib"
)

// NoteKey identifies a flow at an agent, as the requests come with the server's port.
type NoteKey struct {
	Client     [2]uint64 // address, high and low half; IPv4 (host order) in the low half
	VIF        uint32
	VIP        fib.Ref
	ClientPort uint16
	Port       uint16 // of the server
	Proto      uint8
}

// NoteLive is the time in milliseconds after its last packet in which a flow forbids another service its 5-tuple.
const NoteLive = 60_000

// A set of notes is 512 octets. Word 0 is the version, odd while one worker writes; words 1 and 2 hold a tag of 8 bits
// of each row's hash, 0 for a free row; the rows are 6 words each.
//
//	row word 0, 1   client's address
//	row word 2      VIF ≪ 32 | VIP
//	row word 3      client's port ≪ 32 | server's port ≪ 16 | protocol
//	row word 4      service ≪ 32 | state ≪ 29 | client's FIN ≪ 28 | server's FIN ≪ 27 | 1/16 s of the last packet
//	row word 5      of no use
const (
	setRows = 10
	rowsAt  = 4
	rowLen  = 6

	noteTimeBits = 27 // 97 days of 1/16 s
	noteTimeMask = 1<<noteTimeBits - 1
	noteServer   = 1 << 27
	noteClient   = 1 << 28
	noteState    = 29

	// claimTries is the number of attempts to become the one who writes a set. Writing takes some 50 ns.
	claimTries = 256
)

type set [64]atomic.Uint64

// Notes are an agent's notes of flows: which service a reply belongs to, where several services share the server's
// port. All workers share them without a lock, since requests and replies of a flow can arrive at different workers.
//
// A key has one set of ten rows. A reader that a change of the set disturbs tries again. Of two workers that want to
// change a set at once, one waits for the other, for a bounded time. A full set gives up its oldest row.
type Notes struct {
	sets    []set
	keys    [5]uint64
	evicted atomic.Uint64
}

// NewNotes makes room for the given number of flows, and populates the memory.
func NewNotes(flows int) *Notes {
	n := &Notes{sets: make([]set, max(flows, 1)*3/setRows+1)} // a third: a set is rarely full before the table is
	for i := range n.sets {
		for j := 0; j < len(n.sets[i]); j += 64 {
			n.sets[i][j].Store(0)
		}
	}
	var b [8 * len(n.keys)]byte
	_, _ = rand.Read(b[:]) // never fails: crypto/rand ends the program first
	for i := range n.keys {
		n.keys[i] = binary.LittleEndian.Uint64(b[8*i:]) | 1<<63 | 1
	}
	return n
}

// Evicted returns the number of flows that were forgotten for others.
func (n *Notes) Evicted() uint64 { return n.evicted.Load() }

// Cap returns the number of rows.
func (n *Notes) Cap() int { return len(n.sets) * setRows }

// note is a key in the form of a row.
type note struct {
	word [4]uint64
	set  *set
	tag  uint64 // 1 to 255
}

func (n *Notes) note(k *NoteKey) note {
	w := [4]uint64{
		k.Client[0], k.Client[1], uint64(k.VIF)<<32 | uint64(k.VIP),
		uint64(k.ClientPort)<<32 | uint64(k.Port)<<16 | uint64(k.Proto),
	}
	h := mum(mum(w[0]^n.keys[0], w[1]^n.keys[1])^w[3], mum(w[2]^n.keys[2], n.keys[3]))
	h = mum(h, n.keys[4])
	return note{w, &n.sets[(h>>32)*uint64(len(n.sets))>>32], h&0xff | b2u(h&0xff == 0)}
}

func b2u(b bool) (one uint64) {
	if b {
		one = 1
	}
	return one
}

// tagAt returns the word and the shift of a row's tag.
func tagAt(row int) (word, shift int) { return 1 + row>>3, row & 7 * 8 }

// find returns the row of a note and its value, -1 without one.
func (s *set) find(n *note) (row int, val uint64) {
	for range claimTries {
		version := s[0].Load()
		if version&1 != 0 {
			continue
		}
		if row, val = s.look(n); s[0].Load() == version {
			return row, val
		}
	}
	return -1, 0
}

func (s *set) look(n *note) (row int, val uint64) {
	tags := [2]uint64{s[1].Load(), s[2].Load()}
	for row := range setRows {
		if tags[row>>3]>>(row&7*8)&0xff != n.tag {
			continue
		}
		r := s[rowsAt+row*rowLen:][:rowLen]
		if r[0].Load() == n.word[0] && r[1].Load() == n.word[1] && r[2].Load() == n.word[2] &&
			r[3].Load() == n.word[3] {
			return row, r[4].Load()
		}
	}
	return -1, 0
}

func noteNow(now int64) uint64 { return uint64(now/62_500_000) & noteTimeMask }

// noteAhead is by how much the clock of the worker that wrote a value may be ahead: a minute.
const noteAhead = 60 * 16

// noteAge returns the age of a value in milliseconds. The clocks of workers differ a little: a value from the near
// future is new. Nobody sweeps the notes: an old one must not become new again when the clock goes round.
func noteAge(val, now uint64) int32 {
	d := (now - val) & noteTimeMask
	if d > noteTimeMask-noteAhead {
		return 0
	}
	return int32(min(d, 1<<24) * 1000 / 16)
}

func noteStateOf(val uint64) State { return State(val >> noteState & 7) }

func noteExpired(val, now uint64) bool { return noteAge(val, now) >= idle[val>>noteState&7] }

// ended reports whether both ends have closed the flow, or one has reset it.
func ended(val uint64) bool {
	return noteStateOf(val) == Closed || val&(noteClient|noteServer) == noteClient|noteServer
}

// next returns the value after a packet with these TCP flags (0 for UDP) from the client or (reply) from the server.
// A reply changes no state but by RST.
func next(val, now uint64, k *NoteKey, flags uint8, reply bool) uint64 {
	state := noteStateOf(val)
	fins := val & (noteClient | noteServer)
	switch {
	case k.Proto != tcp:
		if !reply {
			state = UDP
		}
	case flags&tcpRST != 0:
		state = Closed
	case flags&tcpSYN != 0 && !reply && ended(val):
		state, fins = HalfOpen, 0
	case flags&tcpFIN != 0:
		if reply {
			fins |= noteServer
		} else {
			fins |= noteClient
		}
		if state != Closed && fins&noteClient != 0 {
			state = Closing
		}
	case flags&tcpSYN == 0 && !reply && state == HalfOpen:
		state = Established
	}
	return val&^lowHalf | uint64(state)<<noteState | fins | now
}

const tcp = 6

// Request notes the flow of a marked packet that is delivered to the VIF. flags is octet 13 of the TCP header, 0 for
// UDP; now is in nanoseconds. Request returns false if the 5-tuple is live for another service: a reply could not be
// told from that service's replies.
func (n *Notes) Request(k *NoteKey, service fib.Ref, flags uint8, now int64) bool {
	nt, t := n.note(k), noteNow(now)
	for range claimTries {
		row, val := nt.set.find(&nt)
		if row < 0 {
			if n.insert(&nt, uint64(service)<<32|uint64(HalfOpen)<<noteState|t, t) {
				return true
			}
			continue
		}
		to := next(val, t, k, flags, false)
		if noteExpired(val, t) {
			to = uint64(service)<<32 | uint64(HalfOpen)<<noteState | t
		} else if fib.Ref(val>>32) != service {
			if noteAge(val, t) < NoteLive && !(ended(val) && (flags&tcpSYN != 0 || k.Proto != tcp)) {
				return false
			}
			to = uint64(service)<<32 | uint64(HalfOpen)<<noteState | t
		}
		if nt.set.swap(row, val, to) {
			return true
		}
	}
	return false
}

// Reply returns the service that a server's packet belongs to. flags is octet 13 of the TCP header, 0 for UDP.
func (n *Notes) Reply(k *NoteKey, flags uint8, now int64) (service fib.Ref, ok bool) {
	nt, t := n.note(k), noteNow(now)
	row, val := nt.set.find(&nt)
	if row < 0 || noteExpired(val, t) {
		return 0, false
	}
	nt.set.swap(row, val, next(val, t, k, flags, true)) // a request at the same time refreshes, too
	return fib.Ref(val >> 32), true
}

// Look returns the service of a flow without using it, for the embedded packets of ICMP errors.
func (n *Notes) Look(k *NoteKey, now int64) (service fib.Ref, ok bool) {
	nt := n.note(k)
	row, val := nt.set.find(&nt)
	if row < 0 || noteExpired(val, noteNow(now)) {
		return 0, false
	}
	return fib.Ref(val >> 32), true
}

// swap writes a row's value if it is still what was found. It writes nothing if nothing changes. A row that was given
// to another flow meanwhile has another value, but for a flow of the same service in the same state: which is as new.
func (s *set) swap(row int, from, to uint64) bool {
	return from == to || s[rowsAt+row*rowLen+4].CompareAndSwap(from, to)
}

// insert writes a new row. It returns false if another worker was first with the flow, or holds the set.
func (n *Notes) insert(nt *note, val, now uint64) bool {
	s := nt.set
	version := s[0].Load()
	if version&1 != 0 || !s[0].CompareAndSwap(version, version+1) {
		return false
	}
	if row, _ := s.look(nt); row >= 0 {
		s[0].Store(version + 2)
		return false
	}
	victim, most := 0, int32(-1)
	for row := range setRows {
		word, shift := tagAt(row)
		v := s[rowsAt+row*rowLen+4].Load()
		age := noteAge(v, now)
		if s[word].Load()>>shift&0xff == 0 || noteExpired(v, now) {
			victim, most = row, -1
			break
		}
		if noteStateOf(v) == HalfOpen {
			age |= 1 << 30 // first
		}
		if age > most {
			victim, most = row, age
		}
	}
	if most >= 0 {
		n.evicted.Add(1)
	}
	r := s[rowsAt+victim*rowLen:][:rowLen]
	for i, w := range nt.word {
		r[i].Store(w)
	}
	r[4].Store(val)
	word, shift := tagAt(victim)
	s[word].Store(s[word].Load()&^(0xff<<shift) | nt.tag<<shift)
	s[0].Store(version + 2)
	return true
}
