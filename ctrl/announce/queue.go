package announce

import (
	"net/netip"
	"time"
)

// entry is a move that waits for its round.
type entry struct {
	Move
	due time.Time
	at  int // number of attachments of the segment to which the move was announced
}

// entryKey identifies an entry: a later move of the same address replaces an earlier one.
type entryKey struct {
	seg  uint32
	addr netip.Addr
}

// queue holds up to Pending entries in the order in which they are due. The zero value is empty.
type queue struct {
	ring []entry // allocated with the first entry
	head int
	n    int
	at   map[entryKey]int // index in ring
}

func (q *queue) first() *entry { return &q.ring[q.head] }

func (q *queue) drop() {
	e := q.first()
	delete(q.at, entryKey{e.Seg, e.Addr})
	q.head = (q.head + 1) % len(q.ring)
	q.n--
}

// put adds an entry, or replaces the one of the same address, whose announcement then starts again at its position in
// the queue. It returns how many entries were forgotten to make room: the oldest, if the queue was full.
func (q *queue) put(e entry) (forgotten uint64) {
	if q.ring == nil {
		q.ring, q.at = make([]entry, Pending), map[entryKey]int{}
	}
	key := entryKey{e.Seg, e.Addr}
	if i, ok := q.at[key]; ok {
		due := q.ring[i].due
		q.ring[i] = e
		q.ring[i].due = due
		return 0
	}
	if q.n == len(q.ring) {
		q.drop()
		forgotten = 1
	}
	i := (q.head + q.n) % len(q.ring)
	q.ring[i] = e
	q.at[key] = i
	q.n++
	return forgotten
}
