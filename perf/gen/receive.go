package gen

import (
	"encoding/binary"
	"fmt"

	"penstock/dataplane/steer"
	"penstock/dataplane/xsk"
	"penstock/perf/gen/track"
	"penstock/perf/traffic"
)

// refill gives a chunk back to the kernel to receive into. The place of the stamp is wiped, so that an old one is never
// taken for a new one.
func (w *worker) refill(q *queue, chunk uint64) {
	binary.NativeEndian.PutUint64(w.umem.Mem()[chunk+headroom-steer.StampLen:], 0)
	w.addrs[0] = chunk
	q.sock.Fill(w.addrs[:1])
}

// receive takes a batch from each of the worker's queues. Busy is whether there was anything; exact whether the time of
// arrival does not depend on being quick.
func (w *worker) receive(r *running) (busy, exact bool, err error) {
	d := w.port.hears
	exact = true
	for _, q := range w.queues {
		n := q.sock.Receive(w.descs[:])
		if n == 0 {
			continue
		}
		busy = true
		w.judge(r, d, q, w.descs[:n])
		mem := w.umem.Mem()
		for i, f := range w.descs[:n] {
			chunk := f.Addr &^ (w.chunk - 1)
			binary.NativeEndian.PutUint64(mem[chunk+headroom-steer.StampLen:], 0)
			w.addrs[i&(2*batch-1)] = chunk
		}
		q.sock.Fill(w.addrs[:n])
		if err := q.sock.WakeRx(); err != nil && err != xsk.ErrLinkDown {
			return busy, exact, fmt.Errorf("port %s: receive: %w", w.port.Interface, err)
		}
	}
	return busy, !r.userClock.Load(), nil
}

// judge finds out what the frames of a batch are. d is the direction that ends at the port.
func (w *worker) judge(r *running, d *direction, q *queue, frames []xsk.Desc) {
	now := w.e.clock.now() + w.e.clock.err
	mem := w.umem.Mem()
	d.mu.Lock()
	for _, f := range frames {
		seq, stamp, ok := traffic.Signature(mem[f.Addr : f.Addr+uint64(f.Len)])
		switch {
		case !ok:
			w.Foreign++
			continue
		case stamp&1 != d.side:
			w.Looped++
			continue
		case stamp&^1 < r.start&^1 || seq < d.base:
			w.Stale++
			continue
		}
		n, k := seq-d.base, uint64(0)
		if d.threads > 1 {
			n, k = n/d.threads, n%d.threads
		}
		if n >= d.lanes[k].offered.Load() {
			w.Foreign++
			continue
		}
		at := int64(binary.NativeEndian.Uint64(mem[f.Addr-steer.StampLen:]))
		// Where the driver has no room for a stamp there is none, or something else.
		if at > now || at < stamp-w.e.clock.err {
			at = now - w.e.clock.err
			if d.userClock++; d.userClock == 1 {
				r.userClock.Store(true)
			}
		}
		d.received++
		d.last = max(d.last, at)
		if d.trackers[k].See(q.number, n) != track.New {
			continue
		}
		d.silence.Arrived(at)
		d.slowest = max(d.slowest, at-stamp)
		_ = d.interval.RecordValue(min(max(at-stamp, leastLatency), mostLatency)) // within bounds, so it does not fail
		if d.streams > 1 {
			d.byStream[d.program.Stream(seq)]++
		}
	}
	d.mu.Unlock()
	w.live.all.Store(w.Foreign + w.Looped + w.Stale)
}
