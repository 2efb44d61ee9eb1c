package plot

import (
	"bytes"
	"encoding/xml"
	"fmt"
)

// style holds on white paper, in print, and for eyes that do not tell red from green.
const style = `
text { font-family: "DejaVu Sans", "Segoe UI", Helvetica, Arial, sans-serif; font-size: 12px; fill: #222 }
.title { font-size: 18px; font-weight: bold }
.sub, .tick { fill: #555 }
.tick { font-size: 11px }
.panel { font-size: 13px; font-weight: bold }
.missing { fill: #777; font-style: italic }
.grid { stroke: #ddd }
.mark { stroke: #222; stroke-dasharray: 4 3 }
.range { stroke-width: 2 }
.subject { stroke: #0b5fa5; fill: #0b5fa5 }
.peer { stroke: #b35900; fill: #b35900 }
.other { stroke: #777; fill: #777 }
`

// drawing is an SVG being written.
type drawing struct{ b bytes.Buffer }

func (d *drawing) open(width, height int) {
	fmt.Fprintf(&d.b,
		`<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d">`+"\n<style>%s</style>\n",
		width, height, width, height, style)
	fmt.Fprintf(&d.b, "<rect width=\"%d\" height=\"%d\" fill=\"#fff\"/>\n", width, height)
}

func (d *drawing) close() { d.b.WriteString("</svg>\n") }

func (d *drawing) line(x1, y1, x2, y2 float64, class string) {
	fmt.Fprintf(&d.b, "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" class=\"%s\"/>\n", x1, y1, x2, y2, class)
}

func (d *drawing) dot(x, y float64, class string) {
	fmt.Fprintf(&d.b, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"5\" class=\"%s\"/>\n", x, y, class)
}

// text writes a line that begins at x, middle and right one whose middle and end lie there.
func (d *drawing) text(x, y float64, class, s string)   { d.write(x, y, class, "start", s) }
func (d *drawing) middle(x, y float64, class, s string) { d.write(x, y, class, "middle", s) }
func (d *drawing) right(x, y float64, class, s string)  { d.write(x, y, class, "end", s) }

func (d *drawing) write(x, y float64, class, anchor, s string) {
	fmt.Fprintf(&d.b, "<text x=\"%.1f\" y=\"%.1f\" class=\"%s\" text-anchor=\"%s\">", x, y, class, anchor)
	_ = xml.EscapeText(&d.b, []byte(s)) // writing to memory does not fail
	d.b.WriteString("</text>\n")
}
