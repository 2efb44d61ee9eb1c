package flow

import "sync/atomic"

// newsLen is the number of flows that News holds: 10 ms of 400,000 new flows a second.
const newsLen = 4096

// News carries off-table flows from a worker to control, which tells the other directors of them: a flow that is new,
// has got another server or has changed its state. The worker writes, one goroutine of control reads.
type News struct {
	slots      [newsLen]Flow
	head, tail atomic.Uint32
	lost       atomic.Bool
}

// Take copies news to out and returns their number. lost reports that there was more than room for since the last call.
func (n *News) Take(out []Flow) (count int, lost bool) {
	tail, head := n.tail.Load(), n.head.Load()
	for count < len(out) && tail != head {
		out[count] = n.slots[tail%newsLen]
		count++
		tail++
	}
	n.tail.Store(tail)
	return count, n.lost.Swap(false)
}

// SetNews lets the table tell of off-table flows from now on; nil ends it.
func (t *Table) SetNews(n *News) { t.news = n }

// tell reports an off-table entry to control.
func (t *Table) tell(s uint32, e *Entry) {
	n := t.news
	if n == nil || t.quiet || !e.OffTable() {
		return
	}
	head := n.head.Load()
	if head-n.tail.Load() == newsLen {
		n.lost.Store(true)
		return
	}
	t.copy(&n.slots[head%newsLen], s)
	n.head.Store(head + 1)
}
