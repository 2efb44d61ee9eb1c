package metrics

import (
	"github.com/prometheus/client_golang/prometheus"

	"penstock/ctrl/gateway"
	"penstock/ctrl/status"
	dpgateway "penstock/dataplane/gateway"
)

// Gateways is the part of a scrape about gateway groups.
type Gateways struct {
	Groups   []status.GatewayGroup
	Counters gateway.Counters
}

// gatewayDescs describes the metrics of gateway groups.
type gatewayDescs struct {
	active, healthy, announced, switches *prometheus.Desc
	state, inUse, held, rtt              *prometheus.Desc
	counters                             []counter[status.Gateway]
}

func newGatewayDescs() gatewayDescs {
	group, member := []string{"group"}, []string{"group", "member"}
	return gatewayDescs{
		active: desc("gateway_group_up",
			"1 when a member of the group is active; without one, what leaves through it is dropped.", group...),
		healthy:   desc("gateway_group_members_up", "Members of the group that are up.", group...),
		announced: desc("gateway_announcements_total", "Announcements sent after switches and periodically.", group...),
		switches: desc("gateway_switches_total",
			"Changes of the active member, by cause. A cause appears once it counted.", "cause", "group"),
		state: desc("gateway_state", "1 for the state that the gateway is in, 0 for the others.",
			"group", "member", "state"),
		inUse: desc("gateway_active", "1 for the member that carries the group's traffic.", member...),
		held:  desc("gateway_held", "1 while flap damping holds the gateway down.", member...),
		rtt: desc("gateway_probe_rtt_seconds",
			"Time from a probe to its answer, sampled once a second.", member...),
		counters: []counter[status.Gateway]{
			{desc("gateway_failures_total", "Times that the gateway failed.", member...),
				func(m *status.Gateway) float64 { return float64(m.Failures) }},
			{desc("gateway_probes_total", "Probes sent to the gateway.", member...),
				func(m *status.Gateway) float64 { return float64(m.Probes.Sent) }},
			{desc("gateway_probes_answered_total", "Probes that the gateway answered.", member...),
				func(m *status.Gateway) float64 { return float64(m.Probes.Answered) }},
			{desc("gateway_probes_missed_total", "Probes that the gateway did not answer.", member...),
				func(m *status.Gateway) float64 { return float64(m.Probes.Missed) }},
			{desc("gateway_probes_excused_total",
				"Probes that the gateway did not answer, while it sent something else.", member...),
				func(m *status.Gateway) float64 { return float64(m.Probes.Excused) }},
			{desc("gateway_probes_late_total",
				"Timers of probes that ran late: the box was busy. The answer is given more time then.", member...),
				func(m *status.Gateway) float64 { return float64(m.Probes.Late) }},
			{desc("gateway_receive_packets_total", "Frames from the gateway that were accepted.", member...),
				func(m *status.Gateway) float64 { return float64(m.RxPackets) }},
			{desc("gateway_receive_bytes_total", "Octets of frames from the gateway that were accepted.", member...),
				func(m *status.Gateway) float64 { return float64(m.RxBytes) }},
			{desc("gateway_transmit_packets_total", "Tenants' frames sent to the gateway.", member...),
				func(m *status.Gateway) float64 { return float64(m.TxPackets) }},
			{desc("gateway_transmit_bytes_total", "Octets of tenants' frames sent to the gateway.", member...),
				func(m *status.Gateway) float64 { return float64(m.TxBytes) }},
		},
	}
}

func (d *gatewayDescs) describe(ch chan<- *prometheus.Desc) {
	for _, x := range []*prometheus.Desc{d.active, d.healthy, d.announced, d.switches, d.state,
		d.inUse, d.held, d.rtt} {
		ch <- x
	}
	describe(ch, d.counters)
}

func (d *gatewayDescs) collect(o out, g *Gateways) {
	for i := range g.Groups {
		x := &g.Groups[i]
		up := 0
		for j := range x.Members {
			m := &x.Members[j]
			up += int(truth(m.State == dpgateway.Up.String()))
			for _, s := range dpgateway.States() {
				o.gauge(d.state, truth(m.State == s), x.Name, m.Name, s)
			}
			o.gauge(d.inUse, truth(m.Active), x.Name, m.Name)
			o.gauge(d.held, truth(m.Held != nil), x.Name, m.Name)
			for _, c := range d.counters {
				o.counter(c.desc, c.value(m), x.Name, m.Name)
			}
		}
		o.gauge(d.active, truth(x.Active != ""), x.Name)
		o.gauge(d.healthy, float64(up), x.Name)
		o.counter(d.announced, float64(x.Announced), x.Name)
	}
	for k, n := range g.Counters.Switches {
		o.counter(d.switches, float64(n), k.Why, k.Group)
	}
	for _, r := range g.Counters.RTTs {
		o <- prometheus.MustNewConstHistogram(d.rtt, r.Count, r.Sum, r.Buckets, r.Group, r.Member)
	}
}
