// Package plot draws measured ratios with their spread as an SVG that a person can read: a panel for each set of
// conditions, a row for each thing compared, a dot at the median, a line from the lowest to the highest value, on a
// logarithmic axis, so that twice as much and half as much lie equally far from 1.
//
//	title
//	subtitle
//	PANEL TITLE, conditions
//	  name  ├──────●───┤        label
//	  name       ├●┤            label
//	        ┴────┴────┴────┴
//	        0.5  1    2    4    what the axis means
//
// plot.go is what a chart is and where things lie, svg.go how they are written.
package plot

import (
	"errors"
	"fmt"
	"io"
	"math"
)

// Kind chooses a row's colour.
type Kind int

// The kinds: what the chart is about, what it is compared with, and what stands beside for orientation.
const (
	Subject Kind = iota
	Peer
	Other
)

// Chart is a picture.
type Chart struct {
	Title    string
	Subtitle []string // lines
	Panels   []Panel
	Notes    []string // lines below
}

// Panel is a part of a chart with an axis of its own.
type Panel struct {
	Title    string
	Subtitle string // a line
	Axis     string // what it shows
	Marks    []Mark
	Rows     []Row
}

// Mark is a line across a panel.
type Mark struct {
	At    float64
	Label string
}

// Row is one thing measured. Values are above 0.
type Row struct {
	Name             string
	Kind             Kind
	Median, Min, Max float64
	Label            string // the figures in words
	Missing          string // why there are no values; empty: there are
}

// Measures of the picture, in pixels.
const (
	width       = 1000
	margin      = 24
	nameWidth   = 150
	labelWidth  = 340
	axisLeft    = margin + nameWidth
	axisRight   = width - margin - labelWidth
	titleHeight = 30
	lineHeight  = 18
	panelGap    = 26
	panelHead   = 58
	rowHeight   = 22
	axisHeight  = 40
)

func (c *Chart) check() error {
	if len(c.Panels) == 0 {
		return errors.New("plot: nothing to show")
	}
	for _, p := range c.Panels {
		for _, r := range p.Rows {
			if r.Missing == "" && !(r.Min > 0 && r.Min <= r.Median && r.Median <= r.Max && !math.IsInf(r.Max, 1)) {
				return fmt.Errorf("plot: %s, %s: %g from %g to %g: want values above 0, in order",
					p.Title, r.Name, r.Median, r.Min, r.Max)
			}
		}
		for _, m := range p.Marks {
			if !(m.At > 0) || math.IsInf(m.At, 1) {
				return fmt.Errorf("plot: %s: a mark at %g: want more than 0", p.Title, m.At)
			}
		}
	}
	return nil
}

// scale is a logarithmic axis.
type scale struct{ low, high float64 }

// scaleOf covers all of a panel's values and marks, and a bit more.
func scaleOf(p *Panel) scale {
	s := scale{math.Inf(1), 0}
	cover := func(v float64) { s = scale{min(s.low, v), max(s.high, v)} }
	for _, r := range p.Rows {
		if r.Missing == "" {
			cover(r.Min)
			cover(r.Max)
		}
	}
	for _, m := range p.Marks {
		cover(m.At)
	}
	if s.high == 0 {
		s = scale{1, 1}
	}
	// At least a factor of two to both sides of the middle, so that noise does not fill the picture.
	middle := math.Sqrt(s.low * s.high)
	return scale{min(s.low/1.08, middle/2), max(s.high*1.08, middle*2)}
}

// x is where a value lies.
func (s scale) x(v float64) float64 {
	return axisLeft + (axisRight-axisLeft)*math.Log(v/s.low)/math.Log(s.high/s.low)
}

// ticks are round values within the axis: powers of two, or of ten where those are too many.
func (s scale) ticks() (all []float64) {
	base := 2.0
	if s.high/s.low > 300 {
		base = 10
	}
	for e := math.Ceil(math.Log(s.low)/math.Log(base) - 1e-9); ; e++ {
		v := math.Pow(base, e)
		if v > s.high {
			return all
		}
		all = append(all, v)
	}
}

// Write writes the chart as SVG.
func (c *Chart) Write(w io.Writer) error {
	if err := c.check(); err != nil {
		return err
	}
	height := margin + titleHeight + lineHeight*len(c.Subtitle)
	for _, p := range c.Panels {
		height += panelGap + panelHead + rowHeight*len(p.Rows) + axisHeight
	}
	if len(c.Notes) > 0 {
		height += panelGap + lineHeight*len(c.Notes)
	}
	d := &drawing{}
	d.open(width, height+margin)
	y := float64(margin) + 16
	d.text(margin, y, "title", c.Title)
	y += titleHeight - 8
	for _, line := range c.Subtitle {
		d.text(margin, y, "sub", line)
		y += lineHeight
	}
	for i := range c.Panels {
		y += panelGap
		y = d.panel(y, &c.Panels[i])
	}
	y += panelGap
	for _, line := range c.Notes {
		d.text(margin, y, "sub", line)
		y += lineHeight
	}
	d.close()
	if _, err := w.Write(d.b.Bytes()); err != nil {
		return fmt.Errorf("plot: %w", err)
	}
	return nil
}

// panel draws a panel from y downwards and returns where it ends.
func (d *drawing) panel(y float64, p *Panel) float64 {
	d.text(margin, y, "panel", p.Title)
	d.text(margin, y+lineHeight, "sub", p.Subtitle)
	top := y + panelHead - rowHeight/2
	bottom := top + float64(rowHeight*len(p.Rows))
	s := scaleOf(p)
	for _, v := range s.ticks() {
		d.line(s.x(v), top, s.x(v), bottom, "grid")
		d.middle(s.x(v), bottom+16, "tick", fmt.Sprintf("%g", v))
	}
	for i, m := range p.Marks {
		d.line(s.x(m.At), top, s.x(m.At), bottom, "mark")
		if i == 0 { // to its left, so that the next one's label has room
			d.right(s.x(m.At)-4, top-4, "tick", m.Label)
		} else {
			d.text(s.x(m.At)+4, top-4, "tick", m.Label)
		}
	}
	d.middle((axisLeft+axisRight)/2, bottom+32, "tick", p.Axis)
	for i, r := range p.Rows {
		at := top + float64(i)*rowHeight + rowHeight/2
		d.right(axisLeft-10, at+4, "name", r.Name)
		if r.Missing != "" {
			d.text(axisLeft+6, at+4, "missing", r.Missing)
			continue
		}
		class := [...]string{"subject", "peer", "other"}[r.Kind]
		d.line(s.x(r.Min), at, s.x(r.Max), at, "range "+class)
		for _, end := range [...]float64{r.Min, r.Max} {
			d.line(s.x(end), at-4, s.x(end), at+4, "range "+class)
		}
		d.dot(s.x(r.Median), at, class)
		d.text(axisRight+14, at+4, "label", r.Label)
	}
	return bottom + axisHeight
}
