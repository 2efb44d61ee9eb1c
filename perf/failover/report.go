package failover

import (
	"fmt"
	"io"
	"strconv"
	"text/tabwriter"
	"time"
)

// ms writes a time in milliseconds.
func ms(d time.Duration) string { return strconv.FormatFloat(float64(d)/1e6, 'f', 1, 64) }

// String is the line of a run.
func (r Result) String() string {
	s := fmt.Sprintf("%s %s %d: blocked %s ms (%d of %d lost), longest gap %s ms, TCP %s ms, iperf3 %s ms",
		r.Fault, r.Device, r.Run, ms(r.Blocked), r.Lost, r.Offered,
		ms(r.Gap), ms(r.Stall), ms(r.Iperf))
	if r.Wrong != "" {
		s += "; " + r.Wrong
		if r.Early > 0 || r.Late > senderLate {
			s += fmt.Sprintf(" (%d lost before, sender %s ms late)", r.Early, ms(r.Late))
		}
	}
	return s
}

// line is a line of the table: all runs of a fault with a device.
type line struct {
	device, fault        string
	runs, lost, offered  int
	blocked, gap         Spread
	tcp, iperf           Spread
	open, openTCP, moved int
	openIperf            int
	wrong                map[string]int
	order                []string // of wrong
}

func lineOf(fault, device string, all []Result) (l line) {
	l.device, l.fault, l.wrong = device, fault, map[string]int{}
	var blocked, gaps, stalls, iperfs []time.Duration
	for i := range all {
		r := &all[i]
		if r.Fault != fault || r.Device != device {
			continue
		}
		l.runs++
		l.lost, l.offered = l.lost+r.Lost, l.offered+r.Offered
		blocked, gaps = append(blocked, r.Blocked), append(gaps, r.Gap)
		stalls, iperfs = append(stalls, r.Stall), append(iperfs, r.Iperf)
		l.open += one(!r.Back)
		l.openTCP += one(!r.TCPBack)
		l.openIperf += one(r.Quiet)
		l.moved += one(r.Moved)
		if r.Wrong != "" {
			if l.wrong[r.Wrong] == 0 {
				l.order = append(l.order, r.Wrong)
			}
			l.wrong[r.Wrong]++
		}
	}
	l.blocked, l.gap, l.tcp, l.iperf = spreadOf(blocked), spreadOf(gaps), spreadOf(stalls), spreadOf(iperfs)
	return l
}

func one(b bool) int {
	if b {
		return 1
	}
	return 0
}

// spread writes a distribution; with runs that did not end, the times are lower bounds.
func spread(s Spread, open int) string {
	text := ms(s.P50) + " / " + ms(s.P99) + " / " + ms(s.Max)
	if open > 0 {
		text = "> " + text
	}
	return text
}

// verdict holds a line against the aim, which is for probes every 10 ms.
func (l *line) verdict(f *Fault, fast bool) string {
	switch {
	case !fast || f.Aim == 0:
		return ""
	case f.Aim == noneLost && l.lost == 0:
		return "0 lost: met"
	case f.Aim == noneLost:
		return "0 lost: missed"
	case l.blocked.P99 <= f.Aim && l.open == 0:
		return "≤ " + ms(f.Aim) + ": met"
	}
	return "≤ " + ms(f.Aim) + ": missed"
}

// Report writes the table.
func Report(w io.Writer, o *Options, all []Result) error {
	fmt.Fprintf(w, "\nBlocked time in ms (p50 / p99 / max). UDP: lost ÷ %d a second, frames of 64 octets; "+
		"TCP: longest stall of a stream of 1,000 octets every ms; iperf3: of its intervals, 100 ms each.\n\n", o.Rate)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "fault\tdevice\truns\tlost/offered\tUDP\tlongest gap\tTCP\tiperf3\taim (p99)")
	for i := range o.Faults {
		f := &o.Faults[i]
		for _, d := range o.Devices {
			l := lineOf(f.Name, d.Name, all)
			if l.runs == 0 {
				continue
			}
			fmt.Fprintf(t, "%s\t%s\t%d\t%d/%d\t%s\t%s\t%s\t%s\t%s\n", l.fault, l.device, l.runs, l.lost, l.offered,
				spread(l.blocked, l.open), spread(l.gap, l.open), spread(l.tcp, l.openTCP),
				spread(l.iperf, l.openIperf), l.verdict(f, !d.Keepalived && d.Interval == 10*time.Millisecond))
		}
	}
	if err := t.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(w)
	for i := range o.Faults {
		fmt.Fprintf(w, "%s: %s\n", o.Faults[i].Name, o.Faults[i].Text)
	}
	for i := range o.Faults {
		for _, d := range o.Devices {
			l := lineOf(o.Faults[i].Name, d.Name, all)
			for _, text := range l.order {
				fmt.Fprintf(w, "note: %s, %s: %s in %d of %d runs\n", l.fault, l.device, text, l.wrong[text], l.runs)
			}
		}
	}
	return nil
}
