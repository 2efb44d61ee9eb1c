package demo

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// Columns and Lines are what the live picture needs of a terminal.
const (
	Columns = 100
	Lines   = 22
)

// view is one moment of the demo, as it is drawn.
type view struct {
	At, Of  time.Duration
	Act     string // what is happening
	Tenants []tenantView
	Paths   []pathView
	Outside outsideView
	Service serviceView
	Drops   map[string]uint64 // by "node reason"
}

type tenantView struct {
	Name         string
	From, To     string // VM names
	FromIP, ToIP string
	FromBox      string // the way: box and edge switch at either end
	FromSwitch   string
	ToBox        string
	ToSwitch     string
	BitRate      float64
	Ping         pings
}

type pathView struct {
	VID     uint16
	Live    bool
	Rate    float64 // packets per second, both directions
	Packets uint64
}

// picture draws views: on a terminal it redraws in place, elsewhere it prints a line per view.
type picture struct {
	w      io.Writer
	live   bool
	colour bool
	lines  int  // of the picture on the screen
	headed bool // the heading of the lines has been printed
}

const barWidth = 20

func (p *picture) draw(v *view) {
	if !p.live {
		if !p.headed {
			p.headed = true
			fmt.Fprintln(p.w, v.heading())
		}
		fmt.Fprintln(p.w, v.line())
		return
	}
	text := v.text(p.colour)
	p.wipe()
	fmt.Fprint(p.w, "\x1b[?25l"+text) // without cursor
	p.lines = strings.Count(text, "\n")
}

// wipe takes the picture off the screen.
func (p *picture) wipe() {
	if p.lines > 0 {
		fmt.Fprintf(p.w, "\x1b[%dA\x1b[J\x1b[?25h", p.lines)
		p.lines = 0
	}
}

// leave keeps the last picture on the screen and continues below it.
func (p *picture) leave() {
	if p.lines > 0 {
		fmt.Fprint(p.w, "\x1b[?25h")
		p.lines = 0
	}
}

// printf prints a line that stays.
func (p *picture) printf(format string, args ...any) {
	p.wipe()
	fmt.Fprintf(p.w, format+"\n", args...)
}

func (v *view) dropped() (n uint64) {
	for _, c := range v.Drops {
		n += c
	}
	return n
}

func (v *view) heading() string {
	var b strings.Builder
	fmt.Fprintf(&b, "\n%7s %-14s", "TIME", "")
	for _, t := range v.Tenants {
		fmt.Fprintf(&b, "  %7s", strings.ToUpper(t.Name)+" Mb")
	}
	for _, p := range v.Paths {
		fmt.Fprintf(&b, "  %8s", fmt.Sprintf("PATH %d", p.VID))
	}
	return b.String() + "  VIA   OUT/s  WEB1 to 4/s  ALARM  DROPS"
}

func (v *view) line() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%5.1f s %-14s", v.At.Seconds(), v.Act)
	for _, t := range v.Tenants {
		fmt.Fprintf(&b, "  %7.1f", t.BitRate/1e6)
	}
	for _, p := range v.Paths {
		state := fmt.Sprintf("%.0f/s", p.Rate)
		if !p.Live {
			state = "away"
		}
		fmt.Fprintf(&b, "  %8s", state)
	}
	active, out := "none", 0.0
	for _, g := range v.Outside.Gateways {
		if out += g.Rate; g.Active {
			active = g.Name
		}
	}
	fmt.Fprintf(&b, "  %-4s  %5.0f  %11s  %5d  %5d", active, out, v.Service.rates(), len(v.Outside.Alarms), v.dropped())
	return b.String()
}

// The colours of tenants that are called after one.
var colours = map[string]string{"red": "\x1b[31m", "blue": "\x1b[94m"}

func paint(on bool, tenant, text string) string {
	if c := colours[tenant]; on && c != "" {
		return c + text + "\x1b[0m"
	}
	return text
}

// text is the picture. Rows are tenants on the outside and paths in the middle; the first tenant's nodes stand for all.
func (v *view) text(colour bool) string {
	var b strings.Builder
	fmt.Fprintf(&b, "\n  %4.1f of %.0f s   %s\n\n", v.At.Seconds(), v.Of.Seconds(), v.Act)
	most := 1.0
	for _, p := range v.Paths {
		most = max(most, p.Rate)
	}
	left, right := "", ""
	if len(v.Tenants) > 0 {
		t := &v.Tenants[0]
		left, right = fmt.Sprintf("─ %s ── %s ══", t.FromBox, t.FromSwitch), fmt.Sprintf("══ %s ── %s ─", t.ToSwitch,
			t.ToBox)
	}
	gap := func(s string) string { return strings.Repeat(" ", utf8.RuneCountInString(s)) }
	rows := max(len(v.Tenants), len(v.Paths))
	for i := range rows {
		corner := func(corners string) string { // first, between, last
			c := []rune(corners)
			switch i {
			case 0:
				return string(c[0])
			case rows - 1:
				return string(c[2])
			}
			return string(c[1])
		}
		from, to, name := "", "", ""
		if i < len(v.Tenants) {
			name, from, to = v.Tenants[i].Name, v.Tenants[i].From, v.Tenants[i].To
		}
		path := strings.Repeat(" ", barWidth+20)
		if i < len(v.Paths) {
			path = v.Paths[i].row(most)
		}
		fmt.Fprintf(&b, "  %s ─%s%s%s%s%s%s%s─ %s\n", paint(colour, name, fmt.Sprintf("%-8s", from)), corner("┐┤┘"),
			gap(left),
			corner("╔╠╚"), path, corner("╗╣╝"), gap(right), corner("┌├└"), paint(colour, name, to))
		if i == 0 {
			fmt.Fprintf(&b, "            ├%s╣%s╠%s┤\n", left, strings.Repeat(" ", barWidth+20), right)
		}
	}
	b.WriteString("\n  TENANT  FROM                   TO                           TCP       PING\n")
	for _, t := range v.Tenants {
		fmt.Fprintf(&b, "  %s  %-8s %-9s  →  %-8s %-9s  %6.1f Mbit/s  %5.2f ms, %d/%d answered\n",
			paint(colour, t.Name, fmt.Sprintf("%-6s", t.Name)),
			t.From, t.FromIP, t.To, t.ToIP, t.BitRate/1e6, t.Ping.LastMs, t.Ping.Received, t.Ping.Sent)
	}
	v.Outside.write(&b)
	v.Service.write(&b)
	b.WriteString("\n  drops   " + v.dropText(Columns-10) + "\n")
	return b.String()
}

// write draws the way to the outside: the active gateway by a double line.
func (v *outsideView) write(b *strings.Builder) {
	if len(v.Gateways) == 0 {
		return
	}
	b.WriteString("\n")
	for i, g := range v.Gateways {
		lead := fmt.Sprintf("  %-8s ─ %s ─", v.From, v.Box)
		if i > 0 {
			lead = strings.Repeat(" ", utf8.RuneCountInString(lead))
		}
		corner := "├"
		switch {
		case i == 0:
			corner = "┬"
		case i == len(v.Gateways)-1:
			corner = "└"
		}
		line, note := "── ", g.State+", standby"
		if g.Active {
			line, note = "══▶", g.State+", active"
		} else if g.State != "up" {
			line, note = "╌╌ ", g.State
		}
		target := ""
		if g.Active {
			target = "→ " + v.Target
		}
		fmt.Fprintf(b, "%s\n", strings.TrimRight(fmt.Sprintf("%s%s%s %-5s %-16s %5.0f/s %s", lead, corner, line, g.Name,
			note, g.Rate, target), " "))
	}
	last, first := v.Last, "none"
	if last == "" {
		last = "nothing yet"
	}
	if len(v.Alarms) > 0 {
		first = v.Alarms[0]
	}
	fmt.Fprintf(b, "  outside %s\n  alarm   %s\n", cut(last, Columns-10), cut(first, Columns-10))
}

// cut shortens a text to so many columns.
func cut(s string, columns int) string {
	r := []rune(s)
	if len(r) <= columns {
		return s
	}
	return string(r[:columns-1]) + "…"
}

// row is a path: its VLAN, its share as a bar and its rate, barWidth+20 columns.
func (p *pathView) row(most float64) string {
	if !p.Live {
		return fmt.Sprintf("╌ %-4d %-*s ╌", p.VID, barWidth+11, "taken away")
	}
	n := min(barWidth, int(p.Rate/most*barWidth+0.5))
	return fmt.Sprintf("═ %-4d %s%s %8.0f/s ═", p.VID, strings.Repeat("█", n), strings.Repeat("·", barWidth-n), p.Rate)
}

// dropText lists drops within so many columns.
func (v *view) dropText(columns int) string {
	if len(v.Drops) == 0 {
		return "none"
	}
	s := ""
	for _, k := range slices.Sorted(maps.Keys(v.Drops)) {
		part := fmt.Sprintf("%s %d", k, v.Drops[k])
		if s != "" {
			part = ", " + part
		}
		if utf8.RuneCountInString(s+part)+3 > columns {
			return s + ", …"
		}
		s += part
	}
	return s
}
