package health

import (
	"container/heap"
	"math/rand/v2"
	"time"
)

// Limits of the schedule.
const (
	MaxRate = 5000 // checks a second

	// most is the largest share of the mean rate in one second, in hundredths, leaving room for a wake-up that is late.
	most = 190
	// few is a rate in checks a second that is always allowed: what spreads thousands would hold up a handful.
	few = 20
	// burst is how many checks may start together, as a share of a second: the clock of the schedule is not finer.
	burst = 0.02
)

// schedule says which probe is due. It knows no clock: the caller passes the time, in nanoseconds. What is late is
// done later, in the order in which it was due, and counts as nothing else.
type schedule struct {
	due  queue
	mean float64 // checks a second that the intervals of all its probes make
	full int64   // when the bucket of starts is full again (limit.Bucket)
	rand *rand.Rand
}

// slot is a probe's place in the schedule.
type slot struct {
	at       int64 // when it is due
	interval time.Duration
	index    int // in the queue, −1 = not in it: under way
	first    bool
	in       bool // its rate is part of the mean
}

type queue []*probe

func (q queue) Len() int           { return len(q) }
func (q queue) Less(i, j int) bool { return q[i].slot.at < q[j].slot.at }
func (q queue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].slot.index, q[j].slot.index = i, j
}
func (q *queue) Push(x any) {
	p := x.(*probe)
	p.slot.index = len(*q)
	*q = append(*q, p)
}
func (q *queue) Pop() any {
	old := *q
	p := old[len(old)-1]
	old[len(old)-1] = nil
	*q = old[:len(old)-1]
	p.slot.index = -1
	return p
}

func newSchedule(seed uint64) *schedule {
	return &schedule{rand: rand.New(rand.NewPCG(seed, 0x70656e73746f636b))}
}

func perSecond(d time.Duration) float64 {
	return float64(time.Second) / float64(max(d, time.Millisecond))
}

// add puts a new probe into the schedule, due now.
func (s *schedule) add(p *probe, interval time.Duration, now int64) {
	p.slot = slot{at: now, interval: interval, first: true, in: true, index: -1}
	s.mean += perSecond(interval)
	heap.Push(&s.due, p)
}

// remove takes a probe out of the schedule. It may be under way.
func (s *schedule) remove(p *probe) {
	if p.slot.in {
		p.slot.in = false
		s.mean = max(0, s.mean-perSecond(p.slot.interval))
	}
	if p.slot.index >= 0 {
		heap.Remove(&s.due, p.slot.index)
	}
}

// rate is how many checks may start in a second.
func (s *schedule) rate() float64 { return min(MaxRate*0.98, max(s.mean*most/100, few)) }

// take returns a probe that is due and may start, or nil and when to ask again. The caller calls done when its check
// has ended, or again.
func (s *schedule) take(now int64) (p *probe, next int64) {
	if len(s.due) == 0 {
		return nil, now + int64(time.Hour)
	}
	first := s.due[0]
	if first.slot.at > now {
		return nil, first.slot.at
	}
	rate := s.rate()
	gap := int64(float64(time.Second) / rate)
	if ahead := s.full - now; ahead > int64(burst*float64(time.Second)) {
		return nil, now + ahead - int64(burst*float64(time.Second))
	}
	s.full = max(s.full, now) + gap
	heap.Pop(&s.due)
	return first, now
}

// done puts a probe back whose check began at start: one interval later, give or take a tenth. Probes that were added
// together drift apart after their first check. After a failure the interval is never longer: a server that hangs is
// out after fall intervals and a timeout.
func (s *schedule) done(p *probe, start int64, failed bool) {
	if !p.slot.in {
		return
	}
	from, to := 0.9, 1.1
	if p.slot.first {
		p.slot.first, from = false, 0.3
	}
	if failed {
		to = min(to, 0.93)
	}
	p.slot.at = start + int64((from+(to-from)*s.rand.Float64())*float64(p.slot.interval))
	heap.Push(&s.due, p)
}

// again puts a probe back that is to be checked once more at once: its last check said nothing.
func (s *schedule) again(p *probe, now int64) {
	if p.slot.in {
		p.slot.at = now
		heap.Push(&s.due, p)
	}
}
