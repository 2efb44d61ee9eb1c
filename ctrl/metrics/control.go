package metrics

import (
	"github.com/prometheus/client_golang/prometheus"

	"penstock/ctrl/rest"
)

// controlDescs are the metrics of the control socket and its limits.
type controlDescs struct {
	connections, streams *prometheus.Desc
	counters             []counter[rest.Counters]
}

func newControlDescs() controlDescs {
	return controlDescs{
		connections: desc("control_connections", "Connections to the control socket and the read-only socket."),
		streams:     desc("control_streams", "Event streams that are open."),
		counters: []counter[rest.Counters]{
			{desc("control_refused_connections_total", "Connections refused because there was no room."),
				func(c *rest.Counters) float64 { return float64(c.Refused) }},
			{desc("control_evicted_connections_total",
				"Connections without a request, or long on the reserve, that gave way to new ones."),
				func(c *rest.Counters) float64 { return float64(c.Evicted) }},
			{desc("control_slow_bodies_total", "Requests cut off because their body came too slowly."),
				func(c *rest.Counters) float64 { return float64(c.SlowBodies) }},
			{desc("control_slow_readers_total", "Requests cut off because their answer was not read."),
				func(c *rest.Counters) float64 { return float64(c.SlowReaders) }},
		},
	}
}

func (d *controlDescs) describe(ch chan<- *prometheus.Desc) {
	ch <- d.connections
	ch <- d.streams
	describe(ch, d.counters)
}

func (d *controlDescs) collect(o out, c *rest.Counters) {
	o.gauge(d.connections, float64(c.Connections))
	o.gauge(d.streams, float64(c.Streams))
	for _, x := range d.counters {
		o.counter(x.desc, x.value(c))
	}
}
