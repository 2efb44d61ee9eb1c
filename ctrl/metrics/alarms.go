package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"penstock/ctrl/alarm"
)

// Alarms is the part of a scrape about alarms.
type Alarms struct {
	Active   []alarm.Alarm
	Totals   alarm.Totals
	Webhooks []alarm.ReceiverStatus
}

// alarmDescs describes the metrics of alarms and of their receivers.
type alarmDescs struct {
	active, unacknowledged, one, raised, refused *prometheus.Desc
	up, waiting, oldest                          *prometheus.Desc
	counters                                     []counter[alarm.ReceiverStatus]
}

func newAlarmDescs() alarmDescs {
	return alarmDescs{
		active:         desc("alarms", "Active alarms.", "severity"),
		unacknowledged: desc("alarms_unacknowledged", "Active alarms that nobody has acknowledged.", "severity"),
		one:            desc("alarm_active", "1 for every active alarm.", "kind", "object", "severity"),
		raised:         desc("alarms_raised_total", "Alarms raised.", "severity"),
		refused:        desc("alarms_refused_total", "Alarms not raised because 4096 were active."),
		up:             desc("webhook_up", "1 as long as the receiver of alarms takes what it is sent.", "webhook"),
		waiting:        desc("webhook_waiting", "Notices that wait for the receiver.", "webhook"),
		oldest: desc("webhook_oldest_seconds",
			"Age of the first notice that waits for the receiver; 0 if none does.", "webhook"),
		counters: []counter[alarm.ReceiverStatus]{
			{desc("webhook_delivered_total", "Notices that the receiver took, since it was configured.", "webhook"),
				func(r *alarm.ReceiverStatus) float64 { return float64(r.Delivered) }},
			{desc("webhook_dropped_total",
				"Notices that the receiver will never get, since it was configured: they gave way to newer "+
					"ones.", "webhook"), func(r *alarm.ReceiverStatus) float64 { return float64(r.Dropped) }},
			{desc("webhook_attempts_total", "Requests to the receiver.", "webhook"),
				func(r *alarm.ReceiverStatus) float64 { return float64(r.Attempts) }},
			{desc("webhook_failures_total", "Requests that the receiver did not answer with 2xx.", "webhook"),
				func(r *alarm.ReceiverStatus) float64 { return float64(r.Failures) }},
		},
	}
}

func (d *alarmDescs) describe(ch chan<- *prometheus.Desc) {
	for _, x := range []*prometheus.Desc{d.active, d.unacknowledged, d.one, d.raised, d.refused, d.up,
		d.waiting, d.oldest} {
		ch <- x
	}
	describe(ch, d.counters)
}

func (d *alarmDescs) collect(o out, a *Alarms) {
	active, open := map[alarm.Severity]int{}, map[alarm.Severity]int{}
	for i := range a.Active {
		x := &a.Active[i]
		active[x.Severity]++
		if x.Acknowledged == nil {
			open[x.Severity]++
		}
		o.gauge(d.one, 1, string(x.Kind), x.Object, string(x.Severity))
	}
	for _, s := range alarm.Severities {
		o.gauge(d.active, float64(active[s]), string(s))
		o.gauge(d.unacknowledged, float64(open[s]), string(s))
		o.counter(d.raised, float64(a.Totals.Raised[s]), string(s))
	}
	o.counter(d.refused, float64(a.Totals.Refused))
	for i := range a.Webhooks {
		w := &a.Webhooks[i]
		o.gauge(d.up, truth(w.Since == nil), w.Name)
		o.gauge(d.waiting, float64(w.Waiting), w.Name)
		age := 0.0
		if w.Oldest != nil {
			age = max(0, time.Since(*w.Oldest).Seconds())
		}
		o.gauge(d.oldest, age, w.Name)
		for _, x := range d.counters {
			o.counter(x.desc, x.value(w), w.Name)
		}
	}
}
