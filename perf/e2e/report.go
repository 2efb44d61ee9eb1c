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
var peers = [...]string{"testpmd", "asavie"}

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

// Report writes the figures as text: a table for each size and quota.
func Report(w io.Writer, devices []Device, trials []Trial) error {
	type key struct {
		quota Quota
		size  int
	}
	groups := map[key][]Trial{}
	var order []key
	for _, t := range trials {
		k := key{t.Quota, t.Size}
		if groups[k] == nil {
			order = append(order, k)
		}
		groups[k] = append(groups[k], t)
	}
	slices.SortStableFunc(order, func(a, b key) int { return cmp.Compare(a.size, b.size) })
	var notes []string
	for _, k := range order {
		g := groups[k]
		held := "unlimited"
		if k.quota.Share > 0 {
			held = fmt.Sprintf("held to %g of a core", k.quota.Share)
		}
		fmt.Fprintf(w, "\nEnd to end on veth, %d octets, the device %s\n", k.size, held)
		tw := tabwriter.NewWriter(w, 0, 0, 3, ' ', tabwriter.AlignRight)
		fmt.Fprintln(tw, "device\tmode\trounds\tMpps\tmin\tmax\tsent Mpps\tloss %\tother\tCPU\tMpps per core\t× testpmd (min … max)\t× asavie (min … max)\t")
		for _, d := range devices {
			if d.Absent != nil {
				fmt.Fprintf(tw, "%s\tnot installed\t\t\t\t\t\t\t\t\t\t\t\t\n", d.Name)
				continue
			}
			rates := of(g, d.Name, func(t *Trial) float64 { return t.Rate })
			rate, ok := spread(rates)
			if !ok {
				continue
			}
			sent, _ := spread(of(g, d.Name, func(t *Trial) float64 { return t.SentRate }))
			loss, _ := spread(of(g, d.Name, (*Trial).Loss))
			cpu, _ := spread(of(g, d.Name, func(t *Trial) float64 { return t.CPU }))
			perCore, _ := spread(of(g, d.Name, (*Trial).perCore))
			other := uint64(0)
			mode := ""
			for _, t := range g {
				if t.Device == d.Name {
					other += t.Other
					mode = t.Mode
				}
			}
			fmt.Fprintf(tw, "%s\t%s\t%d\t%s\t%s\t%s\t%s\t%.2f\t%d\t%.2f\t%s\t", d.Name, mode, len(rates),
				mpps(rate.Median), mpps(rate.Min), mpps(rate.Max), mpps(sent.Median), 100*loss.Median, other, cpu.Median, mpps(perCore.Median))
			for _, p := range peers {
				r, ok := Ratio(g, d.Name, p)
				switch {
				case d.Name == p:
					fmt.Fprint(tw, "1\t")
				case !ok:
					fmt.Fprint(tw, "–\t")
				default:
					fmt.Fprintf(tw, "%.2f (%.2f … %.2f)\t", r.Median, r.Min, r.Max)
				}
			}
			fmt.Fprintln(tw)
			notes = append(notes, doubts(d.Name, k.size, k.quota, loss, cpu)...)
		}
		if err := tw.Flush(); err != nil {
			return err
		}
	}
	for _, d := range devices {
		if d.Absent != nil {
			notes = append(notes, fmt.Sprintf("%s was not measured: %v", d.Name, d.Absent))
		}
	}
	if len(notes) > 0 {
		fmt.Fprintf(w, "\n- %s\n", strings.Join(notes, "\n- "))
	}
	return nil
}

// doubts says what speaks against a device's figures.
func doubts(device string, size int, q Quota, loss, cpu Spread) (notes []string) {
	share := q.Share
	if share == 0 {
		share = 1
	}
	where := fmt.Sprintf("%s, %d octets, %s", device, size, q.Name)
	if loss.Min < sourceBound {
		notes = append(notes, where+": no more than 0.5 % loss in at least one round; the source was the limit there, and the device may be faster")
	} else if cpu.Min < 0.9*share {
		notes = append(notes, fmt.Sprintf("%s: used only %.2f of its %g of a core in at least one round; the machine was not quiet, and the device may be faster", where, cpu.Min, share))
	}
	return notes
}

func mpps(pps float64) string { return fmt.Sprintf("%.3f", pps/1e6) }
