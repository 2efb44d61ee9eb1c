package main

import (
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"time"

	"penstock/perf/gen"
	"penstock/perf/gen/search"
)

// genText prints a result as text.
func genText(w io.Writer, r *genResult) error {
	fmt.Fprintf(w, "%s: %s\n", r.Profile.Name, r.Profile.Title)
	remarksText(w, r.Profile.Remarks)
	for _, p := range r.Ports {
		speed := ""
		if p.SpeedMbps > 0 {
			speed = fmt.Sprintf(", %g Gb/s", float64(p.SpeedMbps)/1e3)
		}
		fmt.Fprintf(w, "%s: %s%s, %s, %s, MTU %d\n", p.Interface, p.Driver, speed,
			strings.TrimSpace(p.XDP+" "+p.Socket), count(p.Queues, "queue"), p.MTU)
	}
	fmt.Fprintf(w, "%s, %s, kernel %s, penstock %s (%s)\n\n", r.Machine.CPU, count(r.Machine.Cores, "core"),
		r.Machine.Kernel, r.Version, r.Commit)
	switch {
	case r.Run != nil:
		return runText(w, r.Run)
	case r.Throughput != nil:
		return throughputText(w, r.Throughput)
	case r.Blocked != nil:
		return blockedText(w, r.Blocked)
	}
	return nil
}

// remarksText prints the remarks on the figures, a line each.
func remarksText(w io.Writer, remarks []string) {
	for _, r := range remarks {
		fmt.Fprintf(w, "remark: %s\n", r)
	}
}

// runText prints a run, a column for each direction.
func runText(w io.Writer, r *gen.Report) error {
	var t sheet
	rows := func(name string, cell func(d *gen.Direction) string) {
		cells := []any{name}
		some := false
		for i := range r.Directions {
			c := cell(&r.Directions[i])
			some = some || c != ""
			cells = append(cells, c)
		}
		if some {
			t.row(cells...)
		}
	}
	received := func(cell func(d *gen.Direction) string) func(*gen.Direction) string {
		return func(d *gen.Direction) string {
			if d.To == "" || unknown(d) {
				return ""
			}
			return cell(d)
		}
	}
	head := []string{""}
	for i := range r.Directions {
		d := &r.Directions[i]
		head = append(head, strings.TrimSuffix(d.From+" → "+d.To, " → "))
	}
	t.head(head...)
	rows("sent", func(d *gen.Direction) string {
		return fmt.Sprintf("%s frames in %s, %s, %.3f Gb/s on the wire", thousands(d.Sent), timeText(r.Took),
			rateText(d.TxRate), d.TxBits/1e9)
	})
	rows("rate", func(d *gen.Direction) string {
		switch {
		case d.Requested == 0:
			return "as fast as possible"
		case d.Sender.Reached:
			return rateText(d.Requested) + " requested, and reached"
		}
		return rateText(d.Requested) + " requested, and NOT reached"
	})
	rows("stuck", func(d *gen.Direction) string { return some(d.Stuck, "the kernel did not give them back") })
	rows("received", received(func(d *gen.Direction) string {
		return fmt.Sprintf("%s frames, %s", thousands(d.Received), rateText(d.RxRate))
	}))
	rows("lost", received(func(d *gen.Direction) string {
		return fmt.Sprintf("%s, %s", thousands(d.Lost), percent(d.LossRatio))
	}))
	rows("not followed", func(d *gen.Direction) string {
		switch {
		case d.To == "":
			return ""
		case unknown(d):
			return "no frame carries a signature: their loss is not known"
		}
		return some(d.Unsigned, "sent without a signature")
	})
	rows("duplicates", received(func(d *gen.Direction) string { return thousands(d.Duplicates) }))
	rows("reordered", received(func(d *gen.Direction) string {
		if d.Reordered == 0 {
			return "0"
		}
		least := map[bool]string{true: "at least "}[d.AtLeast]
		return fmt.Sprintf("%s, %s; largest extent %s%s, largest distance %s", thousands(d.Reordered),
			percent(float64(d.Reordered)/float64(max(d.Received, 1))), least, thousands(d.Extent), thousands(d.Behind))
	}))
	rows("too late", received(func(d *gen.Direction) string {
		return some(d.TooLate, "beyond the window of 64 Mi frames")
	}))
	rows("latency", received(func(d *gen.Direction) string { return latencyText(&d.Latency) }))
	rows("longest gap", received(func(d *gen.Direction) string {
		return fmt.Sprintf("%s, after %s; lost ÷ rate %s", timeText(d.Gap.Length), timeText(d.Gap.Begin),
			timeText(d.ByLoss))
	}))
	if err := t.print(w); err != nil {
		return err
	}
	for i := range r.Directions {
		if err := streamsText(w, &r.Directions[i]); err != nil {
			return err
		}
	}
	for i := range r.Directions {
		if d := &r.Directions[i]; d.Sender.Why != "" {
			fmt.Fprintf(w, "%s: what limited the rate: %s\n", d.From, d.Sender.Why)
		}
	}
	portsText(w, r)
	if r.Stopped == gen.StoppedInterrupted {
		fmt.Fprintln(w, "interrupted: the figures are those until then")
	}
	return nil
}

// unknown reports whether none of the sent frames carries a signature, so that their loss is not known.
func unknown(d *gen.Direction) bool { return d.Followed == 0 && d.Unsigned > 0 }

// streamsText prints the frames sent, received and lost of each stream of a profile.
func streamsText(w io.Writer, d *gen.Direction) error {
	if len(d.Streams) == 0 {
		return nil
	}
	fmt.Fprintln(w)
	var t sheet
	t.head("STREAM", "SENT", "RECEIVED", "LOST")
	for _, s := range d.Streams {
		switch {
		case !s.Signed:
			t.row(s.Name, s.Sent, "not followed", "-")
		case d.To == "":
			t.row(s.Name, s.Sent, "-", "-")
		default:
			t.row(s.Name, s.Sent, strconv.FormatUint(s.Received, 10), strconv.FormatUint(s.Sent-min(s.Sent, s.Received),
				10))
		}
	}
	return t.print(w)
}

// portsText prints the ports' counters that are not 0 and belong to no direction.
func portsText(w io.Writer, r *gen.Report) {
	for i := range r.Ports {
		p := &r.Ports[i]
		line := func(n uint64, what string) {
			if n > 0 {
				fmt.Fprintf(w, "%s: %s frames %s\n", p.Interface, thousands(n), what)
			}
		}
		line(p.Overrun,
			"found no room in the receiver's ring: lost by the generator, not by the device (--ring, --cpus)")
		line(p.Counters.RxMissed, "missed by the card for want of buffers (rx_missed_errors): lost by the generator, "+
			"not by the device (--ring, --cpus)")
		if p.FillEmpty > 0 && p.Overrun == 0 {
			fmt.Fprintf(w, "%s: the driver was out of the receiver's buffers %s times: the loss may be the "+
				"generator's, not the device's (--ring, --cpus)\n", p.Interface, thousands(p.FillEmpty))
		}
		line(p.Foreign, "arrived that the generator did not send, or that carry no signature")
		line(p.Looped, "returned to the port that sent them")
		line(p.Stale, "arrived from an earlier run")
		line(p.Counters.TxDropped, "dropped by the kernel at its transmit side (tx_dropped)")
		line(p.Counters.RxDropped-min(p.Counters.RxDropped, p.Overrun),
			"dropped by the kernel on reception (rx_dropped)")
		line(p.Counters.TxErrors+p.Counters.RxErrors, "with errors (tx_errors, rx_errors)")
	}
}

func throughputText(w io.Writer, r *gen.ThroughputReport) error {
	var t sheet
	t.head("", "RATE", "FORWARDED", "UPPER BOUND", "WIDTH", "")
	for i := range r.Results {
		res := &r.Results[i]
		name := res.Goal.Name
		if res.Goal.LossRatio > 0 {
			name += fmt.Sprintf(" (%g %%)", res.Goal.LossRatio*100)
		}
		rate, forwarded, upper, width := "-", "-", "-", "-"
		if res.Rate > 0 {
			rate, forwarded = rateText(res.Rate), rateText(res.Rate*(1-res.Loss))
		}
		if res.Upper > 0 {
			upper = rateText(res.Upper)
		}
		if res.Rate > 0 && res.Upper > 0 {
			width = fmt.Sprintf("%.2f %%", res.Width()*100)
		}
		t.row(name, rate, forwarded, upper, width, statusText(res))
	}
	if err := t.print(w); err != nil {
		return err
	}
	remarksText(w, contradictions(r))
	fmt.Fprintf(w, "%s, %s of load; highest rate tried %s: %s\n", count(len(r.Trials), "trial"),
		timeText(int64(r.Took)), rateText(r.Max), r.MaxWhy)
	if len(r.Latency) == 0 {
		return nil
	}
	fmt.Fprintln(w)
	var l sheet
	l.head("LATENCY AT", "", "LOST", "")
	for _, at := range r.Latency {
		for i := range at.Report.Directions {
			d := &at.Report.Directions[i]
			if d.To == "" || unknown(d) {
				continue
			}
			l.row(fmt.Sprintf("%.0f %%", at.Share*100), rateText(d.Requested), percent(d.LossRatio),
				latencyText(&d.Latency))
		}
	}
	return l.print(w)
}

// contradictions lists the latency measurements with more loss than a result allows.
func contradictions(r *gen.ThroughputReport) (remarks []string) {
	for i := range r.Latency {
		at := &r.Latency[i]
		if at.Fault != "" {
			remarks = append(remarks, fmt.Sprintf("the latency at %s does not measure the device: %s",
				rateText(at.Rate), at.Fault))
			continue
		}
		for _, goal := range at.Contradicts {
			remarks = append(remarks,
				fmt.Sprintf("%s is in doubt: %s was lost at %s, where latency was measured, below the %s "+
					"found. Search again with longer trials (--duration) or more of them (--repeat)", goal,
					percent(at.Loss),
					rateText(at.Rate), goal))
		}
	}
	return remarks
}

func statusText(r *search.Result) string {
	switch {
	case r.Status == search.AtMax:
		return "met at the highest rate tried: the device may do more"
	case r.Status == search.None:
		return "not met even at the lowest rate tried"
	case r.Status == search.Unfinished:
		return "the search is not finished"
	case r.GeneratorLimited:
		return "the generator's limit: the device may do more"
	}
	return ""
}

func blockedText(w io.Writer, b *gen.Blocked) error {
	var t sheet
	t.head("RUN", "LONGEST GAP", "LOST ÷ RATE", "GAP BEFORE", "COMMAND TOOK", "")
	whole := 0
	for i := range b.Runs {
		r := &b.Runs[i]
		t.row(strconv.Itoa(r.Run), timeText(r.Gap), timeText(r.ByLoss), timeText(r.Before), timeText(r.Command),
			r.Error)
		if r.Error == "" {
			whole++
		}
	}
	if err := t.print(w); err != nil {
		return err
	}
	fmt.Fprintln(w)
	var s sheet
	s.head("OVER "+strconv.Itoa(whole)+" RUNS", "MIN", "P50", "P99", "MAX")
	for _, l := range []struct {
		name   string
		spread gen.Spread
	}{{"longest gap", b.Gap}, {"lost ÷ rate", b.ByLoss}} {
		s.row(l.name, timeText(l.spread.Min), timeText(l.spread.P50), timeText(l.spread.P99), timeText(l.spread.Max))
	}
	return s.print(w)
}

// liveLine returns a run's progress in one line.
func liveLine(l *gen.Live) string {
	parts := []string{time.Duration(l.Elapsed).Round(time.Second).String()}
	for i := range l.Directions {
		d := &l.Directions[i]
		s := fmt.Sprintf("%s: tx %s", d.From, rateText(d.TxRate))
		switch {
		case d.To == "":
		case d.Unsigned > 0 && d.Unsigned == d.Sent:
			s = fmt.Sprintf("%s → %s: tx %s, not followed", d.From, d.To, rateText(d.TxRate))
		default:
			s = fmt.Sprintf("%s → %s: tx %s, rx %s, missing %s, p50 %s, p99 %s", d.From, d.To, rateText(d.TxRate),
				rateText(d.RxRate), thousands(d.Missing), timeText(d.Latency.P50), timeText(d.Latency.P99))
		}
		parts = append(parts, s)
	}
	return strings.Join(parts, "  ")
}

func latencyText(l *gen.Latency) string {
	if l.Frames == 0 {
		return "no frame"
	}
	us := func(ns int64) string { return strconv.FormatFloat(float64(ns)/1e3, 'f', 1, 64) }
	how := ""
	if l.Clock != "xdp" {
		how = " (as the receiver saw it: this driver has no room for time stamps)"
	}
	return fmt.Sprintf("µs: min %s, p50 %s, p90 %s, p99 %s, p99.9 %s, max %s%s", us(l.Min), us(l.P50), us(l.P90),
		us(l.P99), us(l.P999), us(l.Max), how)
}

// some returns a number with its meaning; "" for 0.
func some(n uint64, what string) string {
	if n == 0 {
		return ""
	}
	return thousands(n) + " (" + what + ")"
}

// rateText formats a rate in frames per second.
func rateText(pps float64) string {
	switch {
	case pps >= 999_500:
		return fmt.Sprintf("%.3f Mpps", pps/1e6)
	case pps >= 999.5:
		return fmt.Sprintf("%.2f kpps", pps/1e3)
	}
	return fmt.Sprintf("%.4g pps", pps)
}

// timeText formats a time in ns.
func timeText(ns int64) string {
	switch {
	case ns == 0:
		return "0"
	case ns >= 1e9:
		return fmt.Sprintf("%.3f s", float64(ns)/1e9)
	case ns >= 1e6:
		return fmt.Sprintf("%.2f ms", float64(ns)/1e6)
	}
	return fmt.Sprintf("%.1f µs", float64(ns)/1e3)
}

// percent formats a ratio with at least two significant digits.
func percent(ratio float64) string {
	switch p := ratio * 100; {
	case p == 0:
		return "0 %"
	case p < 0.01:
		digits := 1 - int(math.Floor(math.Log10(p)))
		return strconv.FormatFloat(p, 'f', digits, 64) + " %"
	default:
		return fmt.Sprintf("%.3f %%", p)
	}
}

// thousands formats a number with commas.
func thousands(n uint64) string {
	s := strconv.FormatUint(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
