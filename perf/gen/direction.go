package gen

import (
	"sync"
	"sync/atomic"
	"time"

	hdr "github.com/HdrHistogram/hdrhistogram-go"

	"penstock/perf/gen/track"
	"penstock/perf/traffic"
)

// Latencies are kept from 1 ns to a minute, to three digits.
const (
	leastLatency  = 1
	mostLatency   = 60e9
	latencyDigits = 3
)

func newHistogram() *hdr.Histogram { return hdr.New(leastLatency, mostLatency, latencyDigits) }

// direction is the account of what one port sends and the other receives.
type direction struct {
	program  *traffic.Program
	side     int64 // lowest bit of its time stamps
	from, to *port // to is nil if no port receives
	threads  uint64
	base     uint64 // number of the run's first frame
	unsigned bool   // some frames carry no signature
	streams  int    // kinds of frames, 1 if they are not distinguished

	lanes []lane // by sending thread

	mu sync.Mutex // guards what follows: the receivers take it once a batch
	arrivals
}

// lane is a sending thread's part of a direction. Its frames have numbers of their own, from 0 in every run: frame n of
// lane k is number base + n·threads + k of the program.
type lane struct {
	offered atomic.Uint64 // frames handed to the kernel: nothing beyond can arrive
	sent    atomic.Uint64 // frames the kernel has given back
	// unsigned are of those offered: they carry no signature.
	unsigned atomic.Uint64
	_        [40]byte
}

// arrivals is what the receivers found out.
type arrivals struct {
	trackers   []*track.Tracker // by lane
	silence    track.Silence
	background track.Gap      // the longest before Mark
	early      uint64         // frames received before Mark
	interval   *hdr.Histogram // latency since somebody took it away
	total      *hdr.Histogram // latency before that
	received   uint64         // frames of this run, duplicates included
	byStream   []uint64       // different frames
	last       int64          // latest arrival
	slowest    int64          // the largest latency, ns
	userClock  uint64         // frames whose arrival is by the receiver's clock
}

func newDirection(p *traffic.Program, side int) *direction {
	d := &direction{program: p, side: int64(side), streams: len(p.Streams())}
	for _, s := range p.Streams() {
		d.unsigned = d.unsigned || !s.Signed
	}
	return d
}

// prepare makes a direction ready for a run of at most total frames.
func (d *direction) prepare(threads int, total uint64) error {
	if n := uint64(len(d.lanes)); n > 0 { // go on behind the run before
		used := uint64(0)
		for i := range d.lanes {
			used = max(used, d.lanes[i].offered.Load())
		}
		d.base += used * n
	}
	if d.base+total > traffic.MaxSeq || d.base+total < d.base {
		total = traffic.MaxSeq - d.base
	}
	d.threads, d.lanes = uint64(threads), make([]lane, threads)
	queues := 1
	if d.to != nil {
		queues = d.to.hw.rx
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.arrivals = arrivals{interval: newHistogram(), total: newHistogram(), byStream: make([]uint64, d.streams)}
	for k := range d.threads {
		t, err := track.NewTracker(share(total, k, d.threads), queues)
		if err != nil {
			return err
		}
		d.trackers = append(d.trackers, t)
	}
	return nil
}

// share is how many of total frames are lane k's.
func share(total, k, lanes uint64) uint64 {
	if total <= k {
		return 0
	}
	return (total-k-1)/lanes + 1
}

// counts sums up what the trackers say. The caller holds mu.
func (d *direction) counts() (c track.Counts) {
	for _, t := range d.trackers {
		n := t.Counts()
		c.Received += n.Received
		c.Duplicates += n.Duplicates
		c.TooLate += n.TooLate
		c.Reordered += n.Reordered
		c.Behind = max(c.Behind, n.Behind)
		if n.Extent > c.Extent || n.Extent == c.Extent && n.AtLeast {
			c.Extent, c.AtLeast = n.Extent, n.AtLeast
		}
	}
	return c
}

// sent is how many frames the kernel has taken and given back.
func (d *direction) sent() (n uint64) {
	for i := range d.lanes {
		n += d.lanes[i].sent.Load()
	}
	return n
}

// followed is how many of these carry a signature. It is exact when sending has ended.
func (d *direction) followed() uint64 {
	n := d.sent()
	for i := range d.lanes {
		n -= min(n, d.lanes[i].unsigned.Load())
	}
	return n
}

// quiet is the time without arrivals after which missing frames count as lost: longer than any known delay of frames;
// the longest wait if no delay is known. The caller holds mu.
func (d *direction) quiet() time.Duration {
	if d.received == 0 {
		return patience
	}
	return max(stillMissing, 2*time.Duration(d.slowest))
}

// takeInterval returns the latencies since the last call, and adds them to the total. It is for one goroutine.
func (d *direction) takeInterval(empty *hdr.Histogram) *hdr.Histogram {
	d.mu.Lock()
	h := d.interval
	d.interval = empty
	d.mu.Unlock()
	d.total.Merge(h)
	return h
}
