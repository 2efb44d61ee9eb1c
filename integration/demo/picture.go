package demo

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
)

// view is one moment of the demo, as it is drawn.
type view struct {
	At      time.Duration
	Act     string // what is happening
	Tenants []tenantView
	Paths   []pathView
	Drops   map[string]uint64 // by "node reason"
}

type tenantView struct {
	Name     string
	From, To string // VM names
	Address  string // of From, and of To
	BitRate  float64
	Ping     pings
}

type pathView struct {
	VID     uint16
	Live    bool
	Rate    float64 // packets per second, both directions
	Packets uint64
}

// picture draws views: on a terminal it redraws in place, elsewhere it prints a line per view.
type picture struct {
	w     io.Writer
	live  bool
	lines int
}

const barWidth = 30

func (p *picture) draw(v *view) {
	if !p.live {
		fmt.Fprintln(p.w, v.line())
		return
	}
	text := v.text()
	if p.lines > 0 {
		fmt.Fprintf(p.w, "\x1b[%dA\x1b[J", p.lines)
	}
	fmt.Fprint(p.w, text)
	p.lines = strings.Count(text, "\n")
}

// say prints a line that stays above the picture.
func (p *picture) say(format string, args ...any) {
	if p.lines > 0 {
		fmt.Fprintf(p.w, "\x1b[%dA\x1b[J", p.lines)
		p.lines = 0
	}
	fmt.Fprintf(p.w, format+"\n", args...)
}

func (v *view) line() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%5.1f s  %-34s", v.At.Seconds(), v.Act)
	for _, t := range v.Tenants {
		fmt.Fprintf(&b, "  %s %5.1f Mbit/s ping %.2f ms", t.Name, t.BitRate/1e6, t.Ping.LastMs)
	}
	for _, p := range v.Paths {
		state := ""
		if !p.Live {
			state = " (away)"
		}
		fmt.Fprintf(&b, "  path %d%s %6.0f pkt/s", p.VID, state, p.Rate)
	}
	return b.String()
}

func (v *view) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "\n  %5.1f s   %s\n\n", v.At.Seconds(), v.Act)
	for _, t := range v.Tenants {
		fmt.Fprintf(&b, "  %-9s ── box1 ── swa ═╗   ╔═ swb ── box2 ── %-9s  TCP %6.1f Mbit/s   ping %6.2f ms, %d of %d answered\n",
			t.From, t.To, t.BitRate/1e6, t.Ping.LastMs, t.Ping.Received, t.Ping.Sent)
		fmt.Fprintf(&b, "   %-22s       ╚═══╝\n", t.Address)
	}
	most := 1.0
	for _, p := range v.Paths {
		most = max(most, p.Rate)
	}
	b.WriteString("\n")
	for _, p := range v.Paths {
		n := int(p.Rate / most * barWidth)
		state := strings.Repeat("█", n) + strings.Repeat("·", barWidth-n)
		if !p.Live {
			state = "taken away" + strings.Repeat(" ", barWidth-len("taken away"))
		}
		fmt.Fprintf(&b, "  path VLAN %-4d %s %8.0f packets/s\n", p.VID, state, p.Rate)
	}
	b.WriteString("\n  drops: ")
	if len(v.Drops) == 0 {
		b.WriteString("none")
	}
	for i, k := range slices.Sorted(maps.Keys(v.Drops)) {
		if i > 0 {
			b.WriteString(", ")
		}
		if i == 6 {
			b.WriteString("…")
			break
		}
		fmt.Fprintf(&b, "%s %d", k, v.Drops[k])
	}
	b.WriteString("\n")
	return b.String()
}
