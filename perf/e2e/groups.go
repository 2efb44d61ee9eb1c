package e2e

import (
	"cmp"
	"fmt"
	"slices"
)

// Spread is the middle and the ends of some values.
type Spread struct{ Median, Min, Max float64 }

func spread(values []float64) (s Spread, ok bool) {
	if len(values) == 0 {
		return s, false
	}
	v := slices.Sorted(slices.Values(values))
	n := len(v)
	return Spread{(v[(n-1)/2] + v[n/2]) / 2, v[0], v[n-1]}, true
}

// Group is the trials that may be compared: of one measure and size, under the same conditions.
type Group struct {
	Measure Measure
	Place   Placement
	Size    int
	Sink    SinkNAPI
	Trials  []Trial
}

func (g *Group) has(t *Trial) bool {
	return g.Measure == t.Measure && g.Place == t.Place && g.Size == t.Size && g.Sink == t.Sink
}

// order is that of the measures in a report.
var order = []Measure{Throughput, PDR, Latency}

// Groups sorts trials into groups, in the order of their measures and sizes, then as they came.
func Groups(trials []Trial) []Group {
	var groups []Group
	for _, t := range trials {
		i := slices.IndexFunc(groups, func(g Group) bool { return g.has(&t) })
		if i < 0 {
			i = len(groups)
			groups = append(groups, Group{t.Measure, t.Place, t.Size, t.Sink, nil})
		}
		groups[i].Trials = append(groups[i].Trials, t)
	}
	slices.SortStableFunc(groups, func(a, b Group) int {
		return cmp.Or(cmp.Compare(slices.Index(order, a.Measure), slices.Index(order, b.Measure)),
			cmp.Compare(a.Size, b.Size))
	})
	return groups
}

// Title says what was measured.
func (g *Group) Title() string {
	what := map[Measure]string{
		Throughput: "Throughput under overload", PDR: fmt.Sprintf("Rate at no more than %g %% loss", 100*PDRLoss),
		Latency: "One-way latency",
	}[g.Measure]
	return fmt.Sprintf("%s, %d octets, %s", what, g.Size, g.Place.Name)
}

// Conditions says under which it was.
func (g *Group) Conditions() string {
	if g.Sink == SinkThreaded {
		return g.Place.String() + "; the sink's reception on the source's core"
	}
	return g.Place.String() + "; the sink's reception paid by the device"
}

// Value is a trial's figure that devices are compared by: frames per second, or the 99.9th percentile of latency in µs.
func (g *Group) Value(t *Trial) float64 {
	if g.Measure == Latency {
		return float64(t.Delay.P999.Nanoseconds()) / 1e3
	}
	return t.Rate
}

// of returns f of a device's trials.
func of(trials []Trial, device string, f func(*Trial) float64) []float64 {
	var out []float64
	for i := range trials {
		if trials[i].Device == device {
			out = append(out, f(&trials[i]))
		}
	}
	return out
}

// Spread is the group's value of a device over the rounds. It is false if there is none.
func (g *Group) Spread(device string) (Spread, bool) { return spread(of(g.Trials, device, g.Value)) }

// Ratio compares two devices round by round. It is false if no round has both.
func (g *Group) Ratio(device, peer string) (Spread, bool) {
	values := map[int]float64{}
	for i := range g.Trials {
		if t := &g.Trials[i]; t.Device == peer {
			values[t.Round] = g.Value(t)
		}
	}
	var ratios []float64
	for i := range g.Trials {
		if t := &g.Trials[i]; t.Device == device && values[t.Round] > 0 {
			ratios = append(ratios, g.Value(t)/values[t.Round])
		}
	}
	return spread(ratios)
}
