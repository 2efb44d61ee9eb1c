package dataplane

import (
	"penstock/dataplane/drop"
	"penstock/dataplane/punt"
	"penstock/dataplane/stats"
	"penstock/dataplane/xsk"
)

// PortReport has the state and the counters of a port, summed over workers. Counters are some milliseconds old at most.
type PortReport struct {
	Open                                   bool
	Ifindex                                int
	XDPMode, SocketMode                    string // "native", "generic"; "zero-copy", "copy"; empty while closed
	Queues                                 int
	RxPackets, RxBytes, TxPackets, TxBytes uint64
	Punted, Injected, Copies, TxErrors     uint64
	Drops                                  [drop.Count]uint64
	Punts                                  [punt.Count]uint64 // of Punted: what went to control, by kind
	Kernel                                 xsk.Stats          // since the port was opened
}

// WorkerReport has the counters of a worker.
type WorkerReport struct {
	Turns, Busy, Frames, Sleeps, BusyNs, MaxGapNs uint64
	// Histograms of the lengths of turns (stats.GapBucket): of all turns; of turns that moved a frame; of turns longer
	// than 100 µs in which another thread had the worker's CPU; and in which the worker waited (mostly for the Go
	// runtime).
	Gaps, BusyGaps, PreemptedGaps, StoppedGaps [stats.GapBuckets]uint64
	CacheFrames                                int
}

// Totals are sums over all ports. When no frame is under way, Rx+Injected+Copies = Tx+Punted+Drops.
type Totals struct{ Rx, Tx, Drops, Punted, Injected, Copies uint64 }

// Balanced reports whether the counters account for every frame.
func (t Totals) Balanced() bool { return t.Rx+t.Injected+t.Copies == t.Tx+t.Punted+t.Drops }

// Ports returns a report for each port.
func (e *Engine) Ports() []PortReport {
	e.portMu.Lock()
	defer e.portMu.Unlock()
	reports := make([]PortReport, len(e.cfg.Ports))
	for i := range reports {
		r := &reports[i]
		r.Queues = e.cfg.Ports[i].Queues
		if p := &e.ports[i]; p.program != nil {
			r.Open, r.Ifindex = true, p.ifindex
			r.XDPMode, r.SocketMode = p.program.Mode().String(), p.sockets[0].Mode().String()
			for _, s := range p.sockets {
				if st, err := s.Stats(); err == nil {
					addKernel(&r.Kernel, st)
				}
			}
		}
		for _, w := range e.workers {
			r.RxPackets += w.Ports.Of(i, stats.RxPackets)
			r.RxBytes += w.Ports.Of(i, stats.RxBytes)
			r.TxPackets += w.Ports.Of(i, stats.TxPackets)
			r.TxBytes += w.Ports.Of(i, stats.TxBytes)
			r.Punted += w.Ports.Of(i, stats.Punted)
			r.Injected += w.Ports.Of(i, stats.Injected)
			r.Copies += w.Ports.Of(i, stats.Copies)
			r.TxErrors += w.Ports.Of(i, stats.TxErrors)
			for d := range r.Drops {
				r.Drops[d] += w.Ports.Of(i, stats.Drops+d)
			}
			for k := range r.Punts {
				r.Punts[k] += w.Ports.Of(i, stats.Punts+k)
			}
		}
	}
	return reports
}

func addKernel(sum *xsk.Stats, s xsk.Stats) {
	sum.RxDropped += s.RxDropped
	sum.RxInvalidDescs += s.RxInvalidDescs
	sum.TxInvalidDescs += s.TxInvalidDescs
	sum.RxRingFull += s.RxRingFull
	sum.RxFillEmpty += s.RxFillEmpty
	sum.TxRingEmpty += s.TxRingEmpty
}

// Sum adds up the ports' reports.
func Sum(ports []PortReport) Totals {
	var t Totals
	for i := range ports {
		p := &ports[i]
		t.Rx += p.RxPackets
		t.Tx += p.TxPackets
		t.Punted += p.Punted
		t.Injected += p.Injected
		t.Copies += p.Copies
		for _, n := range p.Drops {
			t.Drops += n
		}
	}
	return t
}

// Workers returns a report for each worker.
func (e *Engine) Workers() []WorkerReport {
	reports := make([]WorkerReport, len(e.workers))
	for i, w := range e.workers {
		r := &reports[i]
		r.Turns, r.Busy, r.Frames = w.loop.Load(loopTurns), w.loop.Load(loopBusy), w.loop.Load(loopFrames)
		r.Sleeps, r.BusyNs, r.MaxGapNs = w.loop.Load(loopSleeps), w.loop.Load(loopBusyNs), w.loop.Load(loopMaxGap)
		for b := range r.Gaps {
			r.Gaps[b], r.BusyGaps[b] = w.loop.Load(loopGaps+b), w.loop.Load(loopBusyGaps+b)
			r.PreemptedGaps[b], r.StoppedGaps[b] = w.loop.Load(loopPreemptedGaps+b), w.loop.Load(loopStoppedGaps+b)
		}
	}
	return reports
}

// Path returns what was sent by a path, by its Stat index.
func (e *Engine) Path(i uint32) (t stats.Traffic) {
	for _, w := range e.workers {
		t = t.Plus(w.Paths.Traffic(int(i) * stats.TrafficLen))
	}
	return t
}

// VIF returns the counters of a local VIF, by its index: sent by the VIF (Rx), and to the VIF (Tx).
func (e *Engine) VIF(i uint32) (t stats.RxTx) {
	for _, w := range e.workers {
		t = t.Plus(w.VIFs.RxTx(int(i)))
	}
	return t
}

// Member returns the counters of a member of a group, by fib.Member.Stat: accepted from its gateway (Rx), sent to its
// gateway (Tx).
func (e *Engine) Member(stat uint32) (t stats.RxTx) {
	for _, w := range e.workers {
		t = t.Plus(w.Members.RxTx(int(stat)))
	}
	return t
}

// Service returns the counters of a virtual service, by its index.
func (e *Engine) Service(i uint32) (t stats.Service) {
	for _, w := range e.workers {
		t = t.Plus(w.Services.Service(int(i)))
	}
	return t
}

// Server returns the counters of a real server, by its index.
func (e *Engine) Server(i uint32) (t stats.Server) {
	for _, w := range e.workers {
		t = t.Plus(w.Servers.Server(int(i)))
	}
	return t
}

// Progress returns a number for a watchdog. The number grows by one when every worker has made a turn since it last
// grew, and stands still when a worker hangs. (The smallest number of turns of a worker would also grow when a worker
// hangs that is ahead of the others.)
func (e *Engine) Progress() uint64 {
	e.progressMu.Lock()
	defer e.progressMu.Unlock()
	for i, w := range e.workers {
		if w.loop.Load(loopTurns) == e.turnsSeen[i] {
			return e.progress
		}
	}
	for i, w := range e.workers {
		e.turnsSeen[i] = w.loop.Load(loopTurns)
	}
	e.progress++
	return e.progress
}

// Frames returns the number of all frames, of those in the shared pool, and, in verify mode, the numbers by owner.
func (e *Engine) Frames() (all, pooled int, byOwner map[string]int) {
	if e.verify != nil {
		byOwner = e.verify.Count()
	}
	return e.cfg.Frames, e.pool.Free(), byOwner
}

// Violations returns the number of violations of frame ownership and the first ones as text, in verify mode.
func (e *Engine) Violations() (uint64, []string) {
	if e.verify == nil {
		return 0, nil
	}
	return e.verify.Violations()
}

// UmemBytes returns the size of the UMEM.
func (e *Engine) UmemBytes() int { return len(e.umem.Mem()) }
