package planner

import (
	"fmt"
	"html"
	"math"
	"strings"
)

// SVG draws the fabric: switches in a circle, edge switches filled, and links as wide as they have VLANs.
func (p *Plan) SVG() string {
	n := len(p.Topology.Switches)
	radius := math.Max(160, float64(n)*9)
	middle := radius + 110
	var b strings.Builder
	fmt.Fprintf(&b, "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %.0f %.0f\" font-family=\"sans-serif\" "+
		"font-size=\"12\">\n<rect width=\"100%%\" height=\"100%%\" fill=\"#fff\"/>\n", 2*middle, 2*middle+40)
	fmt.Fprintf(&b, "<text x=\"16\" y=\"24\" font-size=\"15\">%d switches, %d links, %d VLANs</text>\n"+
		"<text x=\"16\" y=\"42\">links are as wide as they have VLANs, edge switches are filled</text>\n", n,
		len(p.Topology.Links), len(p.VLANs))
	index := map[string]int{}
	at := func(i int, r float64) (x, y float64) {
		angle := 2*math.Pi*float64(i)/float64(n) - math.Pi/2
		return middle + r*math.Cos(angle), middle + 40 + r*math.Sin(angle)
	}
	for i, s := range p.Topology.Switches {
		index[s.Name] = i
	}
	trunks := p.Trunks()
	for l, x := range p.Topology.Links {
		x1, y1 := at(index[x.A], radius)
		x2, y2 := at(index[x.B], radius)
		width := 0.5 + 5*float64(len(trunks[l]))/float64(max(1, len(p.VLANs)))
		fmt.Fprintf(&b, "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" stroke=\"#57a\" stroke-opacity=\"0.5\" "+
			"stroke-width=\"%.1f\"><title>%s – %s: VLANs %s</title></line>\n", x1, y1, x2, y2, width,
			html.EscapeString(x.A), html.EscapeString(x.B), Ranges(trunks[l]))
	}
	for i, s := range p.Topology.Switches {
		x, y := at(i, radius)
		fill := "#fff"
		if s.MAC != 0 {
			fill = "#135"
		}
		fmt.Fprintf(&b, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"7\" fill=\"%s\" stroke=\"#135\"/>\n", x, y, fill)
		tx, ty := at(i, radius+14)
		turn, anchor := 360*float64(i)/float64(n)-90, "start"
		if turn > 90 {
			turn, anchor = turn-180, "end"
		}
		fmt.Fprintf(&b, "<text x=\"%.1f\" y=\"%.1f\" dominant-baseline=\"middle\" text-anchor=\"%s\" "+
			"transform=\"rotate(%.1f %.1f %.1f)\">%s</text>\n", tx, ty, anchor, turn, tx, ty, html.EscapeString(s.Name))
	}
	b.WriteString("</svg>\n")
	return b.String()
}
