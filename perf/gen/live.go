package gen

import (
	hdr "github.com/HdrHistogram/hdrhistogram-go"

	"penstock/perf/gen/track"
)

// Live is how a run under way stands.
type Live struct {
	Elapsed    int64 // ns since the start
	Directions []LiveDirection
	Strange    uint64 // frames that belong to no stream of the run
}

// LiveDirection is how one direction stands. Rates are frames per second since the call before.
type LiveDirection struct {
	From, To       string
	Sent           uint64
	TxRate, RxRate float64
	track.Counts
	Unsigned uint64  // made without a signature: nothing more is known of them
	Missing  uint64  // sent with a signature and not received yet: under way, or lost
	Latency  Latency // since the call before
}

// Watch looks at a run from time to time. It is for one goroutine.
type Watch struct {
	e     *Engine
	run   *running
	at    int64
	sent  []uint64
	got   []uint64
	spare *hdr.Histogram
}

// Watch returns a view of the engine's runs.
func (e *Engine) Watch() *Watch { return &Watch{e: e, spare: newHistogram()} }

// Look says how the run stands; ok is false if there is none.
func (w *Watch) Look() (l Live, ok bool) {
	w.e.mu.Lock() // the run does not end meanwhile
	defer w.e.mu.Unlock()
	r := w.e.run
	if r == nil {
		return l, false
	}
	if r != w.run {
		w.run, w.at = r, r.start
		w.sent, w.got = make([]uint64, len(w.e.directions)), make([]uint64, len(w.e.directions))
	}
	now := w.e.clock.now()
	l.Elapsed = now - r.start
	seconds := max(float64(now-w.at)/1e9, 1e-9)
	w.at = now
	for i, d := range w.e.directions {
		v := LiveDirection{From: d.from.Interface, Sent: d.sent()}
		v.TxRate = float64(v.Sent-w.sent[i]) / seconds
		w.sent[i] = v.Sent
		followed := d.followed()
		v.Unsigned = v.Sent - min(v.Sent, followed)
		if d.to != nil {
			v.To = d.to.Interface
			h := d.takeInterval(w.spare)
			v.Latency = latencyOf(h)
			h.Reset()
			w.spare = h
			d.mu.Lock()
			v.Counts = d.counts()
			d.mu.Unlock()
			v.RxRate = float64(v.Received-w.got[i]) / seconds
			w.got[i] = v.Received
			v.Missing = followed - min(followed, v.Received)
		}
		l.Directions = append(l.Directions, v)
	}
	for _, k := range w.e.workers {
		l.Strange += k.live.all.Load()
	}
	return l, true
}
