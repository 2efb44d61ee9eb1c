package metrics

import "github.com/prometheus/client_golang/prometheus"

// LLDP is the part of a scrape about a port that speaks LLDP.
type LLDP struct {
	Port      string
	Frames    map[string]uint64 // by what became of them
	Neighbors int
}

type lldpDescs struct{ frames, neighbors *prometheus.Desc }

func newLLDPDescs() lldpDescs {
	return lldpDescs{
		frames: desc("lldp_frames_total",
			"LLDP frames of the port: received (all), of these short, address, order, id, truncated (malformed: "+
				"refused) and crowded (of a neighbour beyond eight); sent, and unsent (no room, or the port is down).",
			"port", "outcome"),
		neighbors: desc("lldp_neighbors", "Devices that are heard by LLDP at the port.", "port"),
	}
}

func (d *lldpDescs) describe(ch chan<- *prometheus.Desc) { ch <- d.frames; ch <- d.neighbors }

func (d *lldpDescs) collect(o out, ports []LLDP) {
	for _, p := range ports {
		for outcome, n := range p.Frames {
			o.counter(d.frames, float64(n), p.Port, outcome)
		}
		o.gauge(d.neighbors, float64(p.Neighbors), p.Port)
	}
}
