package metrics

import "github.com/prometheus/client_golang/prometheus"

// Bindings is the part of a scrape about what boxes tell each other of their VIFs. Without a control VLAN Messages is
// nil, and there are no such metrics.
type Bindings struct {
	Messages map[string]uint64 // bodies received by opcode, and messages by what became of them
	Heard    map[string]uint64 // HEREs, by what became of them
	Stations map[string]uint64 // MACs and addresses of stations, by what became of them
	Pulls    map[string]uint64 // by outcome
	Swept    uint64            // rows removed by pulls
	Boxes    map[string]int    // the other boxes by state
}

type bindingDescs struct{ messages, heard, stations, pulls, swept, boxes *prometheus.Desc }

func newBindingDescs() bindingDescs {
	return bindingDescs{
		messages: desc("binding_messages_total",
			"Binding messages: bodies received (where, here, nothere, hello, pull, page), messages sent and unsent, "+
				"and those refused: malformed, forged (no valid tag), replayed, stranger (not from the place that it "+
				"names), unknown (opcode).", "outcome"),
		heard: desc("binding_heard_total",
			"Bindings heard from other boxes: taken, moved, same (known), older, pushed, contradicts (a pushed one), "+
				"local, virtual, unknown (tenant or segment), self, crowded (another one gave way), full, held "+
				"(flapping).", "outcome"),
		stations: desc("binding_stations_total",
			"MACs and addresses of stations behind attachments that learn: same (known), new, moved (from another "+
				"attachment or box), address (from another station), taken (it is pushed, or configured here), fixed "+
				"(configured on another box), many (beyond a bound), held (flapping), late (the attachment is gone).",
			"outcome"),
		pulls: desc("binding_pulls_total", "Transfers of all bindings of a box: done, failed.", "outcome"),
		swept: desc("binding_swept_total", "Bindings removed since a transfer did not bring them again."),
		boxes: desc("fabric_boxes", "Other boxes that were heard, by state: equal, differs, pulling, silent.", "state"),
	}
}

func (d *bindingDescs) describe(ch chan<- *prometheus.Desc) {
	for _, x := range []*prometheus.Desc{d.messages, d.heard, d.stations, d.pulls, d.swept, d.boxes} {
		ch <- x
	}
}

func (d *bindingDescs) collect(o out, b *Bindings) {
	if b.Messages == nil {
		return
	}
	for outcome, n := range b.Messages {
		o.counter(d.messages, float64(n), outcome)
	}
	for outcome, n := range b.Heard {
		o.counter(d.heard, float64(n), outcome)
	}
	for outcome, n := range b.Stations {
		o.counter(d.stations, float64(n), outcome)
	}
	for outcome, n := range b.Pulls {
		o.counter(d.pulls, float64(n), outcome)
	}
	o.counter(d.swept, float64(b.Swept))
	for state, n := range b.Boxes {
		o.gauge(d.boxes, float64(n), state)
	}
}
