package perf

import (
	"penstock/dataplane/drop"
	"penstock/dataplane/stats"
	"penstock/integration/rig"
)

// dropsOf returns the discarded frames of a port by reason.
func dropsOf(r *rig.Rig, port uint16) map[string]uint64 {
	r.Publish()
	m := map[string]uint64{}
	for d := drop.Reason(0); d < drop.Count; d++ {
		if n := r.Ports.Of(int(port), stats.Drops+int(d)); n > 0 {
			m[d.String()] = n
		}
	}
	return m
}
