package e2e

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"penstock/perf/plot"
)

// aim is that of perf/README.md#aims, as a ratio of the box to testpmd; ok is false where there is none, or it is 1.
func (g *Group) aim() (ratio float64, ok bool) {
	switch {
	case g.Measure == Throughput && g.Place.Name == Half.Name && g.Size == 60:
		return 1.25, true
	case g.Measure == Latency && g.Size == 60:
		return 1.2, true
	}
	return 0, false
}

// reference is the device whose figures are 1 in a group: testpmd where it was measured.
func (g *Group) reference() string {
	for _, name := range g.peers() {
		if _, ok := g.Spread(name); ok {
			return name
		}
	}
	return g.Trials[0].Device
}

// Figure draws the ratios of a run, with their spread, as SVG: a panel for each group.
func Figure(w io.Writer, rows []Row, devices []Device, failures []Failure) error {
	if len(rows) == 0 {
		return errors.New("e2e: nothing was measured")
	}
	var trials []Trial
	rounds := 0
	for _, r := range rows {
		trials = append(trials, r.Trial)
		rounds = max(rounds, r.Round)
	}
	first := &rows[0]
	c := plot.Chart{
		Title: "Penstock and its peers, end to end on veth",
		Subtitle: []string{
			fmt.Sprintf("commit %s, %s; %s, %d cores, Linux %s",
				first.Commit, first.Date.UTC().Format("2006-01-02 15:04 MST"),
				first.Machine.CPU, first.Machine.Cores, first.Machine.Kernel),
			fmt.Sprintf("Ratios to a peer in the same round of %d: "+
				"the median (dot), the lowest and the highest (line).", rounds),
		},
		Notes: []string{
			"Conditions, devices and what speaks against a figure: perf/README.md, and the tables of the same run.",
		},
	}
	for _, g := range Groups(trials) {
		c.Panels = append(c.Panels, g.panel(devices, failures))
	}
	return c.Write(w)
}

func (g *Group) panel(devices []Device, failures []Failure) plot.Panel {
	ref := g.reference()
	better := "right is better"
	if g.Measure == Latency {
		better = "99.9th percentile, left is better"
	}
	p := plot.Panel{
		Title: g.Title(), Subtitle: g.Conditions(),
		Axis: "× " + ref + " (" + better + ")", Marks: []plot.Mark{{At: 1, Label: ref}},
	}
	if aim, ok := g.aim(); ok && ref == "testpmd" {
		p.Marks = append(p.Marks, plot.Mark{At: aim, Label: fmt.Sprintf("aim %g", aim)})
	}
	for i := range devices {
		d := &devices[i]
		row := plot.Row{Name: d.Name, Kind: kind(d.Name), Missing: g.missing(d, failures)}
		if row.Missing == "" {
			if r, ok := g.Ratio(d.Name, ref); ok && r.Min > 0 {
				row.Median, row.Min, row.Max, row.Label = r.Median, r.Min, r.Max, g.label(d.Name, r)
			} else {
				row.Missing = "no figure to divide by, or to be divided"
			}
		}
		p.Rows = append(p.Rows, row)
	}
	return p
}

// label is a device's figures in words.
func (g *Group) label(device string, r Spread) string {
	v, _ := g.Spread(device)
	if g.Measure != Latency {
		return fmt.Sprintf("× %s · %s Mpps (%s … %s)", ratio(r.Median), mpps(v.Median), mpps(v.Min), mpps(v.Max))
	}
	var all []string
	for _, f := range figures[Latency] {
		if strings.HasPrefix(f.title, "p") {
			q, _ := spread(of(g.Trials, device, f.f))
			all = append(all, strings.TrimSuffix(f.title, " µs")+" "+inMicros(q.Median))
		}
	}
	return fmt.Sprintf("× %s · %s, p99.9 %s µs", ratio(r.Median), strings.Join(all, ", "), inMicros(v.Median))
}

func kind(device string) plot.Kind {
	switch {
	case strings.HasPrefix(device, "penstock"):
		return plot.Subject
	case strings.HasPrefix(device, "kernel-"), strings.HasPrefix(device, "xdp-"):
		return plot.Other
	}
	return plot.Peer
}

// Last are the rows of the run that was written last.
func Last(rows []Row) []Row {
	if len(rows) == 0 {
		return nil
	}
	date := rows[len(rows)-1].Date
	return slices.DeleteFunc(slices.Clone(rows), func(r Row) bool { return !r.Date.Equal(date) })
}

// Named are devices of which nothing but the names is known, in the order in which rows have them: for a figure of
// a run that is over.
func Named(rows []Row) (devices []Device) {
	for _, r := range rows {
		if !slices.ContainsFunc(devices, func(d Device) bool { return d.Name == r.Device }) {
			d := Device{Name: r.Device}
			if r.Mode != "kernel" {
				d.Command = func(*Bed) ([]string, error) { return nil, errors.New("known by name only") }
			}
			devices = append(devices, d)
		}
	}
	return devices
}
