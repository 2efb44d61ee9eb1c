package e2e

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// GapAim is what perf/README.md#aims asks of the loop gap's 99.99th percentile.
const GapAim = 200 * time.Microsecond

// worst is the share that makes a histogram's longest.
const worst = 1

// ReportGaps writes the gaps as text.
func ReportGaps(w io.Writer, g *GapOptions, all []Gaps) error {
	rate := "as fast as the kernel takes them"
	if g.Rate > 0 {
		rate = fmt.Sprintf("%.0f a second", g.Rate)
	}
	fmt.Fprintf(w, "\nLoop gaps of the box's worker, %d bindings, frames of 60 octets %s; %s; %s\n",
		g.Bindings, rate, g.house(), g.priority())
	tw := tabwriter.NewWriter(w, 0, 0, 3, ' ', tabwriter.AlignRight)
	fmt.Fprintln(tw, "\tMpps\tpushes\tGCs\tturns\tp50\tp99\tp99.9\tp99.99\tmax\t"+
		"own p99.99\town max\tpreempted /s\tstopped /s\ttime above 200 µs\taim\t")
	for i := range all {
		s := &all[i]
		for _, k := range [...]struct {
			name string
			h    Histogram
		}{{s.Scenario.Name, s.All}, {"turns with frames", s.Busy}} {
			fmt.Fprintf(tw, "%s\t", k.name)
			if k.name == s.Scenario.Name {
				fmt.Fprintf(tw, "%s\t%.1f\t%d\t", mpps(s.Rate), s.Pushes, s.GCs)
			} else {
				fmt.Fprint(tw, "\t\t\t")
			}
			fmt.Fprintf(tw, "%d\t", k.h.Count())
			for _, q := range [...]float64{0.5, 0.99, 0.999, 0.9999, worst} {
				fmt.Fprintf(tw, "%s\t", micros(k.h.At(q)))
			}
			if k.name != s.Scenario.Name {
				fmt.Fprintln(tw, "\t\t\t\t\t\t")
				continue
			}
			_, above := s.All.Above(GapAim)
			verdict := "met"
			if s.All.At(0.9999) > GapAim {
				verdict = "missed"
				if s.Own.At(0.9999) <= GapAim {
					verdict = "missed, own met"
				}
			}
			fmt.Fprintf(tw, "%s\t%s\t%.1f\t%.1f\t%.3f %%\t%s\t\n", micros(s.Own.At(0.9999)), micros(s.Own.At(worst)),
				float64(s.Preempted.Count())/s.Seconds, float64(s.Stopped.Count())/s.Seconds,
				100*above.Seconds()/s.Seconds, verdict)
		}
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "\nTimes in µs, each the upper end of its bucket, up to a quarter too long. "+
		"The aim: p99.99 of all turns at most %d µs.\n"+
		"preempted: turns above 100 µs in which another thread had the worker's CPU. "+
		"stopped: in which it waited, mostly for the Go runtime.\n"+
		"own: all turns without those: the worker's work, interrupts, page faults, "+
		"and a hypervisor that ran another machine.\n", GapAim.Microseconds())
	return err
}

func micros(d time.Duration) string { return inMicros(float64(d.Nanoseconds()) / 1e3) }

// inMicros writes microseconds, with three digits or more.
func inMicros(us float64) string {
	digits := 0
	for limit := 100.0; us < limit && digits < 3; limit /= 10 {
		digits++
	}
	return strconv.FormatFloat(us, 'f', digits, 64)
}

func (g *GapOptions) house() string {
	if g.Apart {
		return "the box's other threads off the worker's CPU"
	}
	return "the box's other threads on any CPU"
}

func (g *GapOptions) priority() string {
	if g.FIFO > 0 {
		return fmt.Sprintf("worker SCHED_FIFO %d", g.FIFO)
	}
	return fmt.Sprintf("worker at niceness %d", g.Nice)
}

// GapRow is a scenario in the results file.
type GapRow struct {
	Date    time.Time
	Commit  string
	Machine Machine
	Options *GapOptions
	Gaps
}

// gapColumns of results/gaps.csv; times in microseconds.
var gapColumns = []column[GapRow]{
	moment("date", func(r *GapRow) *time.Time { return &r.Date }),
	text("commit", func(r *GapRow) *string { return &r.Commit }),
	text("machine", func(r *GapRow) *string { return &r.Machine.CPU }),
	number("cores", func(r *GapRow) *int { return &r.Machine.Cores }),
	text("kernel", func(r *GapRow) *string { return &r.Machine.Kernel }),
	text("scenario", func(r *GapRow) *string { return &r.Scenario.Name }),
	constant("bindings", func(r *GapRow) string { return strconv.Itoa(r.Options.Bindings) }),
	constant("offered_pps", func(r *GapRow) string { return strconv.FormatFloat(r.Options.Rate, 'f', 0, 64) }),
	constant("threads", func(r *GapRow) string {
		return map[bool]string{true: "apart", false: "any"}[r.Options.Apart]
	}),
	constant("priority", func(r *GapRow) string { return strings.TrimPrefix(r.Options.priority(), "worker ") }),
	real("seconds", 3, func(r *GapRow) *float64 { return &r.Seconds }),
	real("rx_pps", 0, func(r *GapRow) *float64 { return &r.Rate }),
	real("pushes", 2, func(r *GapRow) *float64 { return &r.Pushes }),
	number("gcs", func(r *GapRow) *int { return &r.GCs }),
	constant("turns", func(r *GapRow) string { return strconv.FormatUint(r.All.Count(), 10) }),
	constant("busy_turns", func(r *GapRow) string { return strconv.FormatUint(r.Busy.Count(), 10) }),
	constant("preempted", func(r *GapRow) string { return strconv.FormatUint(r.Preempted.Count(), 10) }),
	constant("stopped", func(r *GapRow) string { return strconv.FormatUint(r.Stopped.Count(), 10) }),
	quantile("p50", 0.5, func(r *GapRow) Histogram { return r.All }),
	quantile("p99", 0.99, func(r *GapRow) Histogram { return r.All }),
	quantile("p999", 0.999, func(r *GapRow) Histogram { return r.All }),
	quantile("p9999", 0.9999, func(r *GapRow) Histogram { return r.All }),
	quantile("max", worst, func(r *GapRow) Histogram { return r.All }),
	quantile("busy_p50", 0.5, func(r *GapRow) Histogram { return r.Busy }),
	quantile("busy_p9999", 0.9999, func(r *GapRow) Histogram { return r.Busy }),
	quantile("own_p9999", 0.9999, func(r *GapRow) Histogram { return r.Own }),
	quantile("own_max", worst, func(r *GapRow) Histogram { return r.Own }),
}

func quantile(name string, share float64, h func(*GapRow) Histogram) column[GapRow] {
	return constant(name+"_us", func(r *GapRow) string {
		return strconv.FormatFloat(float64(h(r).At(share).Nanoseconds())/1e3, 'f', 3, 64)
	})
}

// AppendGaps adds rows to results/gaps.csv, as Append does to the other file.
func AppendGaps(path string, rows []GapRow) error { return appendRows(path, gapColumns, rows) }
