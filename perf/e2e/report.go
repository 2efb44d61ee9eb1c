package e2e

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// peers are the devices that the others are compared with, and balancers those that balancers are.
var (
	peers     = [...]string{"testpmd", "ovs-vxlan", "asavie"}
	balancers = [...]string{"nft-dnat", "xdp-balance"}
)

// peers are those that the group's devices are compared with.
func (g *Group) peers() []string {
	for _, b := range balancers {
		if _, ok := g.Spread(b); ok {
			return balancers[:]
		}
	}
	return peers[:]
}

// sourceBound is the loss below which a device may have been faster than the source.
const sourceBound = 0.005

// figure is a column of a table: of a device's trials the median, or what f makes of them.
type figure struct {
	title string
	f     func(*Trial) float64
	show  func(float64) string
}

func decimals(n int) func(float64) string {
	return func(v float64) string { return strconv.FormatFloat(v, 'f', n, 64) }
}

func mpps(pps float64) string { return fmt.Sprintf("%.3f", pps/1e6) }

func microseconds(f func(*Trial) time.Duration) func(*Trial) float64 {
	return func(t *Trial) float64 { return float64(f(t).Nanoseconds()) / 1e3 }
}

// figures are the columns of each measure's table between the group's value with its ends, and the ratios.
var figures = map[Measure][]figure{
	Throughput: {
		{"sent Mpps", func(t *Trial) float64 { return t.SentRate }, mpps},
		{"loss %", func(t *Trial) float64 { return 100 * t.Loss() }, decimals(2)},
		{"CPU", func(t *Trial) float64 { return t.CPU }, decimals(2)},
		{"Mpps per core", (*Trial).perCore, mpps},
	},
	PDR: {
		{"loses more at Mpps", func(t *Trial) float64 { return t.PDRUpper }, mpps},
		{"loss %", func(t *Trial) float64 { return 100 * t.Loss() }, decimals(2)},
	},
	Latency: {
		{"kpps", func(t *Trial) float64 { return t.SentRate / 1e3 }, decimals(1)},
		{"p50 µs", microseconds(func(t *Trial) time.Duration { return t.Delay.P50 }), decimals(1)},
		{"p99 µs", microseconds(func(t *Trial) time.Duration { return t.Delay.P99 }), decimals(1)},
		{"max µs", microseconds(func(t *Trial) time.Duration { return t.Delay.Max }), decimals(0)},
		{"loss %", func(t *Trial) float64 { return 100 * t.Loss() }, decimals(2)},
		{"CPU", func(t *Trial) float64 { return t.CPU }, decimals(2)},
	},
}

// value is how the group's own value is written.
func (g *Group) value() (title string, show func(float64) string) {
	if g.Measure == Latency {
		return "p99.9 µs", decimals(1)
	}
	return "Mpps", mpps
}

// Report writes the figures as text: a table for each group, and below them what speaks against them.
func Report(w io.Writer, devices []Device, trials []Trial, failures []Failure) error {
	var notes []string
	note := func(all ...string) {
		for _, n := range all {
			if !slices.Contains(notes, n) {
				notes = append(notes, n)
			}
		}
	}
	for _, g := range Groups(trials) {
		fmt.Fprintf(w, "\n%s: %s\n", g.Title(), g.Conditions())
		tw := tabwriter.NewWriter(w, 0, 0, 3, ' ', tabwriter.AlignRight)
		title, _ := g.value()
		fmt.Fprintf(tw, "device\tmode\trounds\t%s\tmin\tmax\t", title)
		for _, f := range figures[g.Measure] {
			fmt.Fprintf(tw, "%s\t", f.title)
		}
		fmt.Fprint(tw, "other\t")
		for _, p := range g.peers() {
			fmt.Fprintf(tw, "× %s (min … max)\t", p)
		}
		fmt.Fprintln(tw)
		for i := range devices {
			d := &devices[i]
			if why := g.missing(d, failures); why != "" {
				empty := strings.Repeat("\t", 5+len(figures[g.Measure])+len(g.peers()))
				fmt.Fprintf(tw, "%s\t%s\t%s\n", d.Name, why, empty)
				continue
			}
			g.row(tw, d.Name)
			note(g.doubts(d.Name)...)
		}
		if err := tw.Flush(); err != nil {
			return err
		}
		for i := range devices {
			if err := g.fits(&devices[i]); err != nil && devices[i].Absent == nil {
				note(fmt.Sprintf("%s: no %s under %s: it %v", devices[i].Name, g.Measure, g.Place.Name, err))
			}
		}
	}
	for _, d := range devices {
		if d.Absent != nil {
			note(fmt.Sprintf("%s was not measured: %v", d.Name, d.Absent))
		}
	}
	for _, f := range failures {
		note(fmt.Sprintf("%s failed: %v", f.Device, f.Err))
	}
	if len(notes) > 0 {
		fmt.Fprintf(w, "\n- %s\n", strings.Join(notes, "\n- "))
	}
	return nil
}

// fits reports why a device cannot be measured as the group is.
func (g *Group) fits(d *Device) error {
	s := setup{d, g.Measure, g.Size, g.Place, g.Sink}
	return s.fits()
}

// missing says why a device has no row of figures; empty if it has one.
func (g *Group) missing(d *Device, failures []Failure) string {
	switch {
	case d.Absent != nil:
		return "not installed"
	case slices.ContainsFunc(failures, func(f Failure) bool {
		return f.Device == d.Name && f.Measure == g.Measure &&
			f.Size == g.Size && f.Place == g.Place && f.Sink == g.Sink
	}):
		return "failed"
	case g.fits(d) != nil:
		return "not comparable"
	}
	if _, ok := g.Spread(d.Name); !ok {
		return "not measured"
	}
	return ""
}

// row writes a device's row.
func (g *Group) row(tw io.Writer, device string) {
	value, _ := g.Spread(device)
	rounds, other, mode := 0, uint64(0), ""
	for _, t := range g.Trials {
		if t.Device == device {
			rounds++
			other += t.Other
			mode = t.Mode
		}
	}
	_, show := g.value()
	fmt.Fprintf(tw, "%s\t%s\t%d\t%s\t%s\t%s\t", device, mode, rounds, show(value.Median), show(value.Min),
		show(value.Max))
	for _, f := range figures[g.Measure] {
		v, _ := spread(of(g.Trials, device, f.f))
		fmt.Fprintf(tw, "%s\t", f.show(v.Median))
	}
	fmt.Fprintf(tw, "%d\t", other)
	for _, p := range g.peers() {
		r, ok := g.Ratio(device, p)
		switch {
		case device == p:
			fmt.Fprint(tw, "1\t")
		case !ok:
			fmt.Fprint(tw, "–\t")
		default:
			fmt.Fprintf(tw, "%s (%s … %s)\t", ratio(r.Median), ratio(r.Min), ratio(r.Max))
		}
	}
	fmt.Fprintln(tw)
}

// ratio writes two digits behind the point, or as many as distinguish it from zero.
func ratio(v float64) string {
	if v < 0.1 {
		return strconv.FormatFloat(v, 'g', 2, 64)
	}
	return strconv.FormatFloat(v, 'f', 2, 64)
}

// doubts says what speaks against a device's figures.
func (g *Group) doubts(device string) (notes []string) {
	loss, _ := spread(of(g.Trials, device, (*Trial).Loss))
	cpu, _ := spread(of(g.Trials, device, func(t *Trial) float64 { return t.CPU }))
	atSink, _ := spread(of(g.Trials, device, (*Trial).sinkLoss))
	where := fmt.Sprintf("%s, %s, %d octets, %s, sink %s", device, g.Measure, g.Size, g.Place.Name, g.Sink)
	limited := slices.ContainsFunc(g.Trials, func(t Trial) bool { return t.Device == device && t.SourceLimited })
	if g.Measure == PDR {
		if limited {
			notes = append(notes,
				where+": the source was the limit in at least one round, and the device may be faster")
		}
		if v, _ := g.Spread(device); v.Min == 0 {
			notes = append(notes,
				fmt.Sprintf("%s: lost more at %d frames per second already, the lowest rate tried, "+
					"in at least one round", where, pdrLowest))
		}
		if g.Sink == SinkThreaded && atSink.Max > 0 {
			notes = append(notes, where+": frames were lost at the sink's door, which counts against the device")
		}
		return notes
	}
	if g.Measure == Latency {
		if limited {
			notes = append(notes,
				where+": the source did not keep its rate in at least one round; the machine was not quiet")
		}
		if loss.Max > sourceBound {
			notes = append(notes,
				fmt.Sprintf("%s: up to %.1f %% of the frames were lost; the latency is that of the others",
					where, 100*loss.Max))
		}
		return notes
	}
	share := g.Place.Share
	if share == 0 {
		share = 1
	}
	if loss.Min < sourceBound {
		notes = append(notes,
			where+": no more than 0.5 % loss in at least one round; the source was the limit there, "+
				"and the device may be faster")
	} else if cpu.Min < 0.9*share {
		notes = append(notes,
			fmt.Sprintf("%s: used only %.2f of its %g of a core in at least one round; "+
				"something else had the CPU, and the device may be faster", where, cpu.Min, share))
	}
	if atSink.Max > sourceBound {
		notes = append(notes,
			fmt.Sprintf("%s: up to %.1f %% of what it sent was lost at the sink's door; "+
				"the device is faster than the figure", where, 100*atSink.Max))
	}
	return notes
}

// String is the trial in a few words.
func (t *Trial) String() string {
	switch t.Measure {
	case PDR:
		return fmt.Sprintf("%s Mpps, loses more at %s", mpps(t.Rate), mpps(t.PDRUpper))
	case Latency:
		return fmt.Sprintf("p50 %v, p99 %v, p99.9 %v of %d frames",
			t.Delay.P50, t.Delay.P99, t.Delay.P999, t.Delay.Frames)
	}
	return fmt.Sprintf("%s Mpps of %s sent, CPU %.2f", mpps(t.Rate), mpps(t.SentRate), t.CPU)
}
