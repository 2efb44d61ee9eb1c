package metrics

import (
	"math"
	"runtime"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"penstock/ctrl/status"
	"penstock/dataplane/stats"
)

// desc describes a metric.
func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("penstock_"+name, help, labels, nil)
}

// collector converts a Source into metrics at every scrape.
type collector struct {
	src Source

	build, started, ready, revision, generation, events, objects *prometheus.Desc
	bindings, bindingsCap, bindingsBytes                         *prometheus.Desc
	frames, framesPooled, framesOwner, violations                *prometheus.Desc

	portInfo, portUp, portMTU, portDrops, portPunts, portKernel *prometheus.Desc
	portCounters                                                []counter[status.Port]
	workerCounters                                              []counter[status.Worker]
	workerGaps, workerMaxGap                                    *prometheus.Desc
	pathUp, pathRTT                                             *prometheus.Desc
	pathCounters                                                []counter[status.Path]
	alarms                                                      alarmDescs
	control                                                     controlDescs
	binding                                                     bindingDescs
	vtep                                                        vtepDescs
	lldp                                                        lldpDescs
	gateways                                                    gatewayDescs
	balance                                                     balanceDescs
}

// counter is one field that becomes one counter.
type counter[T any] struct {
	desc  *prometheus.Desc
	value func(*T) float64
}

func newCollector(src Source) *collector {
	path := []string{"port", "switch", "vid"}
	return &collector{
		src: src,

		build: desc("build_info", "1; the labels say what is running.", "box", "commit",
			"go_version", "scheme", "version"),
		started:  desc("start_time_seconds", "When the box started, in seconds since 1970."),
		ready:    desc("ready", "1 when rings are filled and tables are live."),
		revision: desc("revision", "Revision of the pushed state."),
		generation: desc("snapshot_generation",
			"Generation of the tables that the workers use; grows with every change."),
		events:  desc("event_sequence", "Sequence number of the last event."),
		objects: desc("objects", "Pushed objects.", "kind"),

		bindings: desc("bindings",
			"Rows in the bindings table: pushed ones, those of other boxes, and local VIFs."),
		bindingsCap: desc("bindings_capacity", "Rows that fit into the bindings table."),
		bindingsBytes: desc("bindings_bytes",
			"Memory of the bindings table, and of what is kept of other boxes' bindings."),

		frames:       desc("frames", "Frame buffers in all."),
		framesPooled: desc("frames_pooled", "Frame buffers in the shared pool, free for any worker."),
		framesOwner:  desc("frames_owned", "Frame buffers by who holds them; in verify mode only.", "owner"),
		violations: desc("frame_violations_total",
			"Breaches of frame ownership; counted in verify mode only. Any is a bug."),

		portInfo: desc("port_info", "1; the labels say how the port is driven.", "interface", "mode",
			"port", "role", "xdp"),
		portUp:  desc("port_up", "1 when the port has carrier and its sockets are bound.", "port"),
		portMTU: desc("port_mtu_bytes", "MTU of the port's interface.", "port"),
		portDrops: desc("port_drops_total",
			"Frames received on the port and discarded. A reason appears once it counted.", "port", "reason"),
		portPunts: desc("port_punts_total",
			"Frames received on the port and handed to the control plane, by kind. A kind appears once it "+
				"counted.", "kind", "port"),
		portKernel: desc("port_kernel_drops_total",
			"Frames that the kernel could not hand over or refused (XDP_STATISTICS).", "port", "reason"),
		portCounters: []counter[status.Port]{
			{desc("port_receive_packets_total", "Frames received.", "port"),
				func(p *status.Port) float64 { return float64(p.RxPackets) }},
			{desc("port_receive_bytes_total", "Octets received.", "port"),
				func(p *status.Port) float64 { return float64(p.RxBytes) }},
			{desc("port_transmit_packets_total", "Frames put into the transmit rings.", "port"),
				func(p *status.Port) float64 { return float64(p.TxPackets) }},
			{desc("port_transmit_bytes_total", "Octets put into the transmit rings.", "port"),
				func(p *status.Port) float64 { return float64(p.TxBytes) }},
			{desc("port_transmit_errors_total", "Transmit calls that the kernel refused; the frames stay queued.",
				"port"), func(p *status.Port) float64 { return float64(p.TxErrors) }},
			{desc("port_punted_packets_total", "Frames received on the port and handed to the control plane.", "port"),
				func(p *status.Port) float64 { return float64(p.Punted) }},
			{desc("port_injected_packets_total", "Frames sent by the control plane.", "port"),
				func(p *status.Port) float64 { return float64(p.Injected) }},
			{desc("port_copied_packets_total", "Copies made of broadcasts and multicasts received on the port.",
				"port"), func(p *status.Port) float64 { return float64(p.Copies) }},
		},

		workerCounters: []counter[status.Worker]{
			{desc("worker_turns_total", "Turns of the worker's loop.", "worker"),
				func(w *status.Worker) float64 { return float64(w.Turns) }},
			{desc("worker_empty_turns_total", "Turns that found no frame anywhere.", "worker"),
				func(w *status.Worker) float64 { return float64(w.Turns - min(w.BusyTurns, w.Turns)) }},
			{desc("worker_packets_total", "Frames processed.", "worker"),
				func(w *status.Worker) float64 { return float64(w.Frames) }},
			{desc("worker_sleeps_total", "Times that the worker slept until a frame came.", "worker"),
				func(w *status.Worker) float64 { return float64(w.Sleeps) }},
			{desc("worker_busy_seconds_total", "Time spent in turns that had frames.", "worker"),
				func(w *status.Worker) float64 { return float64(w.BusyNs) / 1e9 }},
		},
		workerGaps: desc("worker_loop_gap_seconds",
			"Time between two turns of the worker's loop. The sum is estimated from the buckets.", "worker"),
		workerMaxGap: desc("worker_loop_gap_max_seconds", "Longest time between two turns since the start.", "worker"),

		pathUp: desc("path_up", "1 when the path is used: its fabric port is up, and its probes are answered.",
			path...),
		pathRTT: desc("path_rtt_seconds", "Median of the last 64 round trips of the path's probes; absent before the "+
			"first.", path...),
		pathCounters: []counter[status.Path]{
			{desc("path_packets_total", "Encapsulated frames sent by the path.", path...),
				func(p *status.Path) float64 { return float64(p.Packets) }},
			{desc("path_bytes_total", "Octets sent by the path, with the outer headers.", path...),
				func(p *status.Path) float64 { return float64(p.Bytes) }},
			{desc("path_probes_total", "Probes sent over the path.", path...),
				func(p *status.Path) float64 { return float64(p.Probes) }},
			{desc("path_probes_missed_total", "Probes of the path without an answer.", path...),
				func(p *status.Path) float64 { return float64(p.Missed) }},
			{desc("path_failures_total", "How often the path went down.", path...),
				func(p *status.Path) float64 { return float64(p.Failures) }},
		},

		gateways: newGatewayDescs(),
		balance:  newBalanceDescs(),
		alarms:   newAlarmDescs(),
		control:  newControlDescs(),
		binding:  newBindingDescs(),
		vtep:     newVTEPDescs(),
		lldp:     newLLDPDescs(),
	}
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		c.build, c.started, c.ready, c.revision, c.generation, c.events, c.objects, c.bindings,
		c.bindingsCap, c.bindingsBytes,
		c.frames, c.framesPooled, c.framesOwner, c.violations, c.portInfo, c.portUp, c.portMTU,
		c.portDrops, c.portPunts, c.portKernel,
		c.workerGaps, c.workerMaxGap, c.pathUp, c.pathRTT,
	} {
		ch <- d
	}
	describe(ch, c.portCounters)
	describe(ch, c.workerCounters)
	describe(ch, c.pathCounters)
	c.gateways.describe(ch)
	c.balance.describe(ch)
	c.alarms.describe(ch)
	c.control.describe(ch)
	c.binding.describe(ch)
	c.vtep.describe(ch)
	c.lldp.describe(ch)
}

func describe[T any](ch chan<- *prometheus.Desc, list []counter[T]) {
	for _, x := range list {
		ch <- x.desc
	}
}

// out writes metrics to a scrape.
type out chan<- prometheus.Metric

func (o out) gauge(d *prometheus.Desc, v float64, labels ...string) {
	o <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
}

func (o out) counter(d *prometheus.Desc, v float64, labels ...string) {
	o <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, v, labels...)
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	o, s := out(ch), c.src.Stats()
	c.collectBox(o, &s)
	for i := range s.Ports {
		c.collectPort(o, &s.Ports[i])
	}
	for i := range s.Workers {
		c.collectWorker(o, &s.Workers[i])
	}
	for i := range s.Paths {
		p := &s.Paths[i]
		labels := []string{p.Port, p.Switch, strconv.Itoa(int(p.VID))}
		o.gauge(c.pathUp, truth(p.Live), labels...)
		if p.RTT != nil {
			o.gauge(c.pathRTT, float64(p.RTT.P50)/1e9, labels...)
		}
		for _, x := range c.pathCounters {
			o.counter(x.desc, x.value(p), labels...)
		}
	}
	c.gateways.collect(o, &s.Gateways)
	c.balance.collect(o, &s.Balance)
	c.alarms.collect(o, &s.Alarms)
	c.control.collect(o, &s.Control)
	c.binding.collect(o, &s.Bindings)
	c.vtep.collect(o, &s.VTEPs)
	c.lldp.collect(o, s.LLDP)
}

func (c *collector) collectBox(o out, s *Stats) {
	b := &s.Box
	o.gauge(c.build, 1, b.Name, b.Commit, runtime.Version(), b.Scheme, b.Version)
	o.gauge(c.started, float64(b.Started.UnixMilli())/1e3)
	o.gauge(c.ready, truth(c.src.Ready() == nil))
	o.gauge(c.revision, float64(b.Revision))
	o.gauge(c.generation, float64(s.Generation))
	o.gauge(c.events, float64(s.Events))
	for kind, n := range s.Objects {
		o.gauge(c.objects, float64(n), kind)
	}
	o.gauge(c.bindings, float64(b.Bindings.Count))
	o.gauge(c.bindingsCap, float64(b.Bindings.Capacity))
	o.gauge(c.bindingsBytes, float64(b.Bindings.Bytes))
	o.gauge(c.frames, float64(b.Frames.All))
	o.gauge(c.framesPooled, float64(b.Frames.Pooled))
	for owner, n := range b.Frames.ByOwner {
		o.gauge(c.framesOwner, float64(n), owner)
	}
	o.counter(c.violations, float64(b.Frames.Violations))
}

func (c *collector) collectPort(o out, p *status.Port) {
	o.gauge(c.portInfo, 1, p.Interface, p.Mode, p.Name, p.Role, p.XDP)
	o.gauge(c.portUp, truth(p.Up && p.Open), p.Name)
	o.gauge(c.portMTU, float64(p.MTU), p.Name)
	for _, x := range c.portCounters {
		o.counter(x.desc, x.value(p), p.Name)
	}
	for kind, n := range p.Punts {
		o.counter(c.portPunts, float64(n), kind, p.Name)
	}
	for reason, n := range p.Reasons {
		if n > 0 {
			o.counter(c.portDrops, float64(n), p.Name, reason)
		}
	}
	k := &p.Kernel
	for _, x := range [...]struct {
		reason string
		n      uint64
	}{
		{"rx_dropped", k.RxDropped}, {"rx_ring_full", k.RxRingFull}, {"fill_ring_empty", k.FillRingEmpty},
		{"rx_invalid", k.RxInvalidDescs}, {"tx_invalid", k.TxInvalidDescs},
	} {
		o.counter(c.portKernel, float64(x.n), p.Name, x.reason)
	}
}

// The gaps between 2^minGap ns (1 µs) and 2^maxGap ns (8.6 s) have a bucket for each power of two.
const minGap, maxGap = 10, 33

func (c *collector) collectWorker(o out, w *status.Worker) {
	id := strconv.Itoa(w.ID)
	for _, x := range c.workerCounters {
		o.counter(x.desc, x.value(w), id)
	}
	o.gauge(c.workerMaxGap, float64(w.MaxGapNs)/1e9, id)
	var count uint64
	var sum float64
	buckets := map[float64]uint64{}
	for i, n := range w.Gaps {
		count += n
		if n > 0 {
			sum += float64(n) * 0.9e-9 * float64(stats.GapBound(i))
		}
		if e := i / 4; i%4 == 3 && e >= minGap && e <= maxGap {
			buckets[math.Ldexp(1e-9, e)] = count
		}
	}
	o <- prometheus.MustNewConstHistogram(c.workerGaps, count, sum, buckets, id)
}
