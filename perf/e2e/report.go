package e2e

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
)

// peers are the devices that the others are compared with.
var peers = [...]string{"testpmd", "ovs-vxlan", "asavie"}

// sourceBound is the loss below which a device may have been faster than the source.
const sourceBound = 0.005

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

// Ratio compares the rates of two devices round by round: the trials are of one size and quota. It is false if no
// round has both.
func Ratio(trials []Trial, device, peer string) (Spread, bool) {
	rates := map[int]float64{}
	for _, t := range trials {
		if t.Device == peer {
			rates[t.Round] = t.Rate
		}
	}
	var ratios []float64
	for _, t := range trials {
		if p := rates[t.Round]; t.Device == device && p > 0 {
			ratios = append(ratios, t.Rate/p)
		}
	}
	return spread(ratios)
}

// Group is the trials that may be compared: of one size, under the same conditions.
type Group struct {
	Place  Placement
	Size   int
	Sink   SinkNAPI
	Trials []Trial
}

// Groups sorts trials into groups, in the order of their sizes, then as they came.
func Groups(trials []Trial) []Group {
	var groups []Group
	for _, t := range trials {
		i := slices.IndexFunc(groups, func(g Group) bool { return g.Place == t.Place && g.Size == t.Size && g.Sink == t.Sink })
		if i < 0 {
			i = len(groups)
			groups = append(groups, Group{t.Place, t.Size, t.Sink, nil})
		}
		groups[i].Trials = append(groups[i].Trials, t)
	}
	slices.SortStableFunc(groups, func(a, b Group) int { return cmp.Compare(a.Size, b.Size) })
	return groups
}

// Title says what the group's trials have in common.
func (g *Group) Title() string {
	napi := "the sink's reception paid by the device"
	if g.Sink == SinkThreaded {
		napi = "the sink's reception on the source's core"
	}
	return fmt.Sprintf("%d octets; %v; %s", g.Size, g.Place, napi)
}

// Report writes the figures as text: a table for each group, and below them what speaks against them.
func Report(w io.Writer, devices []Device, trials []Trial, failures []Failure) error {
	var notes []string
	for _, g := range Groups(trials) {
		fmt.Fprintf(w, "\nEnd to end on veth: %s\n", g.Title())
		tw := tabwriter.NewWriter(w, 0, 0, 3, ' ', tabwriter.AlignRight)
		fmt.Fprint(tw, "device\tmode\trounds\tMpps\tmin\tmax\tsent Mpps\tloss %\tother\tCPU\tMpps per core\t")
		for _, p := range peers {
			fmt.Fprintf(tw, "× %s (min … max)\t", p)
		}
		fmt.Fprintln(tw)
		for i := range devices {
			d := &devices[i]
			if why := g.missing(d, failures); why != "" {
				fmt.Fprintf(tw, "%s\t%s\t\t\t\t\t\t\t\t\t\t\t\t\t\n", d.Name, why)
				continue
			}
			notes = append(notes, g.row(tw, d.Name)...)
		}
		if err := tw.Flush(); err != nil {
			return err
		}
	}
	for _, d := range devices {
		if d.Absent != nil {
			notes = append(notes, fmt.Sprintf("%s was not measured: %v", d.Name, d.Absent))
			continue
		}
		for _, g := range Groups(trials) {
			if err := g.Place.fits(&d); err != nil {
				notes = append(notes, fmt.Sprintf("%s is not measured under %s: it %v", d.Name, g.Place.Name, err))
			}
		}
	}
	for _, f := range failures {
		notes = append(notes, fmt.Sprintf("%s failed: %v", f.Device, f.Err))
	}
	if len(notes) > 0 {
		fmt.Fprintf(w, "\n- %s\n", strings.Join(notes, "\n- "))
	}
	return nil
}

// missing says why a device has no row of figures; empty if it has one.
func (g *Group) missing(d *Device, failures []Failure) string {
	switch {
	case d.Absent != nil:
		return "not installed"
	case slices.ContainsFunc(failures, func(f Failure) bool {
		return f.Device == d.Name && f.Size == g.Size && f.Place == g.Place && f.Sink == g.Sink
	}):
		return "failed"
	case g.Place.fits(d) != nil:
		return "not comparable"
	case len(of(g.Trials, d.Name, func(t *Trial) float64 { return t.Rate })) == 0:
		return "not measured"
	}
	return ""
}

// row writes a device's row and returns what speaks against it.
func (g *Group) row(tw io.Writer, device string) []string {
	rates := of(g.Trials, device, func(t *Trial) float64 { return t.Rate })
	rate, _ := spread(rates)
	sent, _ := spread(of(g.Trials, device, func(t *Trial) float64 { return t.SentRate }))
	loss, _ := spread(of(g.Trials, device, (*Trial).Loss))
	cpu, _ := spread(of(g.Trials, device, func(t *Trial) float64 { return t.CPU }))
	perCore, _ := spread(of(g.Trials, device, (*Trial).perCore))
	atSink, _ := spread(of(g.Trials, device, (*Trial).sinkLoss))
	other := uint64(0)
	mode := ""
	for _, t := range g.Trials {
		if t.Device == device {
			other += t.Other
			mode = t.Mode
		}
	}
	fmt.Fprintf(tw, "%s\t%s\t%d\t%s\t%s\t%s\t%s\t%.2f\t%d\t%.2f\t%s\t", device, mode, len(rates),
		mpps(rate.Median), mpps(rate.Min), mpps(rate.Max), mpps(sent.Median), 100*loss.Median, other, cpu.Median, mpps(perCore.Median))
	for _, p := range peers {
		r, ok := Ratio(g.Trials, device, p)
		switch {
		case device == p:
			fmt.Fprint(tw, "1\t")
		case !ok:
			fmt.Fprint(tw, "–\t")
		default:
			fmt.Fprintf(tw, "%.2f (%.2f … %.2f)\t", r.Median, r.Min, r.Max)
		}
	}
	fmt.Fprintln(tw)
	return g.doubts(device, loss, cpu, atSink)
}

// doubts says what speaks against a device's figures.
func (g *Group) doubts(device string, loss, cpu, atSink Spread) (notes []string) {
	share := g.Place.Share
	if share == 0 {
		share = 1
	}
	where := fmt.Sprintf("%s, %d octets, %s, sink %s", device, g.Size, g.Place.Name, g.Sink)
	if loss.Min < sourceBound {
		notes = append(notes, where+": no more than 0.5 % loss in at least one round; the source was the limit there, and the device may be faster")
	} else if cpu.Min < 0.9*share {
		notes = append(notes, fmt.Sprintf("%s: used only %.2f of its %g of a core in at least one round; the machine was not quiet, and the device may be faster", where, cpu.Min, share))
	}
	if atSink.Max > sourceBound {
		notes = append(notes, fmt.Sprintf("%s: up to %.1f %% of what it sent was lost at the sink's door; the device is faster than the figure", where, 100*atSink.Max))
	}
	return notes
}

func mpps(pps float64) string { return fmt.Sprintf("%.3f", pps/1e6) }
