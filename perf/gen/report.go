package gen

import (
	"fmt"
	"time"

	hdr "github.com/HdrHistogram/hdrhistogram-go"

	"penstock/perf/gen/pace"
	"penstock/perf/gen/track"
)

// Why a run ended.
const (
	StoppedCount       = "count"       // all frames were sent
	StoppedDuration    = "duration"    // time was up before all frames were sent, or there was no other limit
	StoppedInterrupted = "interrupted" // by a signal
	StoppedError       = "error"       // a port failed
)

// Report is what a run found out. Times are in ns, rates in frames per second.
type Report struct {
	Started    time.Time    `json:"started"`
	Took       int64        `json:"took_ns"` // from the start to the last frame sent
	Stopped    string       `json:"stopped"`
	Directions []Direction  `json:"directions"`
	Ports      []PortReport `json:"ports"`

	start int64 // CLOCK_MONOTONIC, ns
}

// Direction is what one port sent and the other received.
type Direction struct {
	From string `json:"from"`
	To   string `json:"to,omitempty"` // empty: no receiver, and all figures of reception are zero

	Requested float64 `json:"requested_pps"`    // 0: without limit
	Frames    uint64  `json:"requested_frames"` // 0: no limit but the time
	Sent      uint64  `json:"sent"`             // the kernel took them and gave them back
	Unsigned  uint64  `json:"unsigned"`         // of these, carry no signature: what became of them is not known
	Followed  uint64  `json:"followed"`         // carry one. 0: loss, order, latency and gaps are unknown, and zero
	Stuck     uint64  `json:"stuck"`            // the kernel took them and did not give them back: not in Sent

	track.Counts
	Lost      uint64  `json:"lost"` // sent with a signature and not received
	LossRatio float64 `json:"loss_ratio"`

	TxRate  float64 `json:"tx_pps"`
	RxRate  float64 `json:"rx_pps"` // received in the time that was sent in
	TxBits  float64 `json:"tx_wire_bps"`
	Latency Latency `json:"latency"`

	// Gap is the longest time in which nothing arrived, to the last frame sent; Background the longest before Mark.
	Gap        Gap    `json:"longest_gap"`
	Background Gap    `json:"background_gap"`
	Early      uint64 `json:"received_before_mark,omitempty"`
	ByLoss     int64  `json:"lost_time_ns"` // lost ÷ rate of the frames followed

	Streams []Stream `json:"streams,omitempty"` // if the profile has several
	Sender  Sender   `json:"sender"`
}

// Stream is what became of one kind of frames.
type Stream struct {
	Name     string `json:"name"`
	Signed   bool   `json:"signed"`
	Sent     uint64 `json:"sent"`
	Received uint64 `json:"received"`
}

// Gap is a time in which nothing arrived.
type Gap struct {
	Length int64 `json:"ns"`
	Begin  int64 `json:"begin_ns"` // after the start of the run
}

// Latency is the distribution of one-way latency, in ns.
type Latency struct {
	// Clock is "xdp" if a frame arrives when the XDP program runs, "receiver" if it arrives when the receiver polls.
	Clock  string  `json:"clock,omitempty"`
	Error  int64   `json:"clock_error_ns"` // by how much sending and arrival may be out of step
	Frames int64   `json:"frames"`
	Min    int64   `json:"min_ns"`
	Mean   float64 `json:"mean_ns"`
	P50    int64   `json:"p50_ns"`
	P90    int64   `json:"p90_ns"`
	P99    int64   `json:"p99_ns"`
	P999   int64   `json:"p99_9_ns"`
	Max    int64   `json:"max_ns"`
	HDR    string  `json:"hdr,omitempty"` // all of it: HdrHistogram's V2 encoding, compressed, in base64
}

func latencyOf(h *hdr.Histogram) Latency {
	if h.TotalCount() == 0 {
		return Latency{}
	}
	at := h.ValueAtPercentilesSlice([]float64{50, 90, 99, 99.9})
	return Latency{
		Frames: h.TotalCount(), Min: h.Min(), Mean: h.Mean(), Max: h.Max(),
		P50: at[0], P90: at[1], P99: at[2], P999: at[3],
	}
}

// What kept a sender from its rate.
const (
	LimitNone      = ""          // nothing: the rate was reached, or none was asked for
	LimitKernel    = "kernel"    // kernel, driver and link took no more
	LimitGenerator = "generator" // making frames took all its time
	LimitReceiver  = "receiver"  // the thread also receives, and that took its time
	LimitCPU       = "cpu"       // the thread did not get its CPU
	LimitLink      = "link"      // the link was down
)

// Sender says how sending went. Shares are of the sending threads' time, 0 to 1.
type Sender struct {
	Reached bool   `json:"rate_reached"` // all that was asked for, when it was asked for
	Limit   string `json:"limit,omitempty"`
	Why     string `json:"why,omitempty"` // the same in words

	Burst    int     `json:"burst"` // frames sent at once, as a rule
	Lag      int64   `json:"lag_ns"`
	Threads  int     `json:"threads"`
	Kernel   float64 `json:"kernel_share"`  // in system calls that send, or waiting for the kernel to take frames
	Own      float64 `json:"own_share"`     // making frames
	Receive  float64 `json:"receive_share"` // receiving, where the same thread does both
	OffCPU   float64 `json:"off_cpu_share"` // ready to run, and without a CPU
	Down     float64 `json:"link_down_share"`
	PerFrame float64 `json:"kernel_ns_per_frame"`
}

// PortReport is what happened at one port besides.
type PortReport struct {
	Interface string `json:"interface"`
	strange
	Overrun uint64 `json:"overrun"` // frames for which the receiver's queue had no room: lost by the generator
	// FillEmpty is how often the driver found no buffer to receive into. In copy mode these frames are in Overrun; with
	// zero-copy sockets the card drops, or waits, and Counters.RxMissed may say how many frames.
	FillEmpty uint64   `json:"fill_ring_empty"`
	Counters  Counters `json:"counters"` // of the kernel, added during the run
}

// fault says what frames the generator's receiver may have lost at the port, "" if none: a loss is then no word on the
// device.
func (p *PortReport) fault() string {
	switch {
	case p.Overrun > 0:
		return fmt.Sprintf("port %s: the receiver had no room for %d frames (--ring)", p.Interface, p.Overrun)
	case p.Counters.RxMissed > 0:
		return fmt.Sprintf("port %s: the card missed %d frames, since the receiver was too slow "+
			"(rx_missed_errors; --ring, --cpus, --queues)", p.Interface, p.Counters.RxMissed)
	case p.FillEmpty > 0:
		return fmt.Sprintf("port %s: the driver was out of the receiver's buffers %d times (--ring, --cpus, --queues)",
			p.Interface, p.FillEmpty)
	}
	return ""
}

// report writes down a run that is over.
func (e *Engine) report(r *running, before, after observation) *Report {
	rep := &Report{
		start: r.start, Started: e.clock.base.Add(time.Duration(r.start - e.clock.offset)).Round(0),
		Stopped: StoppedCount,
	}
	for i, d := range e.directions {
		dir := e.direction(r, i, d)
		if r.load.Count == 0 || dir.Sent < r.load.Count {
			rep.Stopped = StoppedDuration
		}
		rep.Directions = append(rep.Directions, dir)
	}
	for _, w := range e.workers {
		if w.send != nil {
			rep.Took = max(rep.Took, w.send.until-r.start)
		}
	}
	for i, p := range e.ports {
		port := PortReport{Interface: p.Interface}
		for _, w := range e.workers {
			if w.port == p {
				port.Foreign += w.Foreign
				port.Looped += w.Looped
				port.Stale += w.Stale
			}
		}
		if i < len(after.ports) && i < len(after.socks) {
			port.Counters = after.ports[i].minus(before.ports[i])
			port.FillEmpty = after.socks[i].RxFillEmpty - before.socks[i].RxFillEmpty
			port.Overrun = after.socks[i].RxDropped + after.socks[i].RxRingFull -
				before.socks[i].RxDropped - before.socks[i].RxRingFull
		}
		rep.Ports = append(rep.Ports, port)
	}
	return rep
}

// direction writes down what one direction came to.
func (e *Engine) direction(r *running, i int, d *direction) Direction {
	dir := Direction{From: d.from.Interface, Requested: r.load.Rates[i]}
	if n := r.load.total(i); n < 1<<63 {
		dir.Frames = n
	}
	var u usage
	var sent []uint64
	until := r.start
	burst, debt := 0, int64(0)
	for _, w := range e.workers {
		s := w.send
		if s == nil || s.d != d || s.pacer == nil {
			continue
		}
		dir.Sent += s.completed
		dir.Stuck += s.next - s.completed
		dir.Unsigned += s.unsigned
		until = max(until, s.until)
		u.add(&s.usage)
		burst = s.pacer.Size()
		debt = max(debt, s.pacer.Lag())
		if sent == nil {
			sent = make([]uint64, len(s.byStream))
		}
		for k, n := range s.byStream {
			sent[k] += n
		}
	}
	dir.Unsigned = min(dir.Unsigned, dir.Sent)
	dir.Followed = dir.Sent - dir.Unsigned
	// Frames are counted between the first burst and the last.
	first := uint64(1)
	if dir.Requested == 0 {
		first = uint64(burst) * d.threads
	}
	if dir.TxRate = dir.Requested; until > r.start && dir.Sent > first {
		dir.TxRate = float64(dir.Sent-first) / float64(until-r.start) * 1e9
	}
	dir.TxBits = dir.TxRate * wireBits(d.program.MeanLen())
	dir.Sender = u.sender(&dir, r, burst, debt, int(d.threads), time.Duration(until-r.start))
	if d.to == nil {
		return dir
	}
	dir.To = d.to.Interface
	d.takeInterval(newHistogram())
	d.mu.Lock()
	defer d.mu.Unlock()
	d.silence.End(until)
	dir.Counts = d.counts()
	if dir.Followed > 0 {
		dir.Lost = dir.Followed - min(dir.Followed, dir.Received)
		dir.LossRatio = float64(dir.Lost) / float64(dir.Followed)
		dir.Gap, dir.Background = gapOf(d.silence.Longest(), r.start), gapOf(d.background, r.start)
		if dir.TxRate > 0 {
			dir.RxRate = dir.TxRate * float64(dir.Received) / float64(dir.Sent)
			dir.ByLoss = int64(float64(dir.Lost) / (dir.TxRate * (float64(dir.Followed) / float64(dir.Sent))) * 1e9)
		}
	}
	dir.Early = d.early
	dir.Latency = latencyOf(d.total)
	dir.Latency.Error = e.clock.err
	if dir.Latency.Clock = "xdp"; d.userClock > 0 {
		dir.Latency.Clock = "receiver"
	}
	if dir.Latency.Frames > 0 {
		text, _ := d.total.Encode(hdr.V2CompressedEncodingCookieBase) // writing to memory does not fail
		dir.Latency.HDR = string(text)
	}
	if d.streams > 1 {
		for k, s := range d.program.Streams() {
			st := Stream{Name: s.Name, Signed: s.Signed, Received: d.byStream[k]}
			if sent != nil {
				st.Sent = sent[k]
			}
			dir.Streams = append(dir.Streams, st)
		}
	}
	return dir
}

func gapOf(g track.Gap, start int64) Gap {
	return Gap{Length: g.Length(), Begin: max(0, g.Begin-start)}
}

func (u *usage) add(o *usage) {
	u.kernel += o.kernel
	u.blocked += o.blocked
	u.down += o.down
	u.own += o.own
	u.receiving += o.receiving
	u.cpu += o.cpu
	u.slept += o.slept
	u.until += o.until - o.from
}

// sender sums up how sending went, and what kept it from its rate.
func (u *usage) sender(dir *Direction, r *running, burst int, lag int64, threads int, took time.Duration) Sender {
	s := Sender{Burst: min(burst, pace.MaxBurst), Lag: lag, Threads: threads}
	if u.until <= 0 {
		s.Reached = dir.Requested == 0
		return s
	}
	whole := float64(u.until)
	s.Kernel = float64(u.kernel+u.blocked) / whole
	s.Own = float64(u.own) / whole
	s.Receive = float64(u.receiving) / whole
	s.Down = float64(u.down) / whole
	s.OffCPU = max(0, 1-float64(u.cpu+u.slept)/whole)
	if dir.Sent > 0 {
		s.PerFrame = float64(u.kernel) / float64(dir.Sent)
	}
	s.Reached = dir.Requested == 0 || dir.Frames > 0 && dir.Sent == dir.Frames && onTime(took, dir, burst, threads)
	if r.stop.Load() && dir.Requested > 0 { // interrupted: what was due until then
		s.Reached = float64(dir.Sent) >= 0.99*dir.Requested*took.Seconds()
	}
	if s.Reached && dir.Requested > 0 {
		return s
	}
	s.limit(dir, lag)
	return s
}

// limit says what kept a sender from its rate.
func (s *Sender) limit(dir *Direction, lag int64) {
	switch {
	case s.Down > 0.01:
		s.Limit, s.Why = LimitLink, fmt.Sprintf("the link was down for %.1f %% of the time", s.Down*100)
	case s.OffCPU > 0.25:
		s.Limit, s.Why = LimitCPU, fmt.Sprintf("the sending thread was without a CPU for %.0f %% of the time: "+
			"others use it (--cpus, isolcpus=)", s.OffCPU*100)
	case dir.Requested > 0 && dir.Stuck > 0 && s.Kernel+s.Own+s.Receive < 0.5:
		s.Limit, s.Why = LimitKernel, fmt.Sprintf("kernel, driver and link did not give back %d frames", dir.Stuck)
	case dir.Requested > 0 && lag > 0 && s.Kernel+s.Own+s.Receive < 0.5:
		s.Limit, s.Why = LimitCPU, fmt.Sprintf("the sending thread was held up, by up to %v: "+
			"others use its CPU (--cpus, isolcpus=)", time.Duration(lag).Round(10*time.Microsecond))
	case s.Receive > max(s.Kernel, s.Own):
		s.Limit, s.Why = LimitReceiver, fmt.Sprintf("receiving, which took %.0f %% of the sending thread's time; "+
			"the kernel took %.0f %%, making frames %.0f %% (more --queues and --cpus)",
			s.Receive*100, s.Kernel*100, s.Own*100)
	case s.Kernel >= s.Own:
		s.Limit, s.Why = LimitKernel, fmt.Sprintf("kernel, driver and link: "+
			"%.0f %% of the sending thread's time, %.0f ns a frame; the generator itself took %.0f %%",
			s.Kernel*100, s.PerFrame, s.Own*100)
	default:
		s.Limit, s.Why = LimitGenerator, fmt.Sprintf("the generator itself: "+
			"making frames took %.0f %% of the sending thread's time, the kernel %.0f %% (more --queues and --cpus)",
			s.Own*100, s.Kernel*100)
	}
}

// onTime reports whether the last frame was sent when it was due, to a fifth of a per cent and the size of a burst.
func onTime(took time.Duration, dir *Direction, burst, threads int) bool {
	due := (float64(dir.Frames) + float64(burst*threads)) / dir.Requested
	return took.Seconds() <= due*1.002+0.001
}
