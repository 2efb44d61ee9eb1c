package plot_test

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"slices"
	"strconv"
	"strings"
	"testing"

	"penstock/perf/plot"
)

func chart() plot.Chart {
	return plot.Chart{
		Title: "Ratios <&> \"more\"", Subtitle: []string{"machine", "kernel"}, Notes: []string{"a note"},
		Panels: []plot.Panel{
			{Title: "first", Subtitle: "under these conditions", Axis: "× one",
				Marks: []plot.Mark{{At: 1, Label: "one"}}, Rows: []plot.Row{
					{Name: "a", Median: 0.5, Min: 0.4, Max: 0.6, Label: "half"},
					{Name: "b", Kind: plot.Peer, Median: 1, Min: 1, Max: 1, Label: "one"},
					{Name: "c", Kind: plot.Other, Median: 2, Min: 1.5, Max: 3000, Label: "two"},
					{Name: "d", Missing: "not installed"},
				}},
			{Title: "second", Rows: []plot.Row{{Name: "nobody", Missing: "failed"}}},
		},
	}
}

// element is an element of the picture.
type element struct {
	name, class, text string
	at                map[string]float64
}

// parse reads a picture as XML.
func parse(t *testing.T, svg []byte) (all []element) {
	t.Helper()
	d := xml.NewDecoder(bytes.NewReader(svg))
	for {
		tok, err := d.Token()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatalf("%v in\n%s", err, svg)
		}
		switch x := tok.(type) {
		case xml.StartElement:
			e := element{name: x.Name.Local, at: map[string]float64{}}
			for _, a := range x.Attr {
				if a.Name.Local == "class" {
					e.class = a.Value
				}
				if v, err := strconv.ParseFloat(a.Value, 64); err == nil {
					e.at[a.Name.Local] = v
				}
			}
			all = append(all, e)
		case xml.CharData:
			if len(all) > 0 {
				all[len(all)-1].text += strings.TrimSpace(string(x))
			}
		}
	}
}

// TestWrite: everything is there, within the picture, in order, and at the same scale.
func TestWrite(t *testing.T) {
	c := chart()
	var out bytes.Buffer
	if err := c.Write(&out); err != nil {
		t.Fatal(err)
	}
	all := parse(t, out.Bytes())
	width, height := all[0].at["width"], all[0].at["height"]
	var dots, ranges []element
	var texts []string
	for _, e := range all {
		for k, v := range e.at {
			limit := width
			if strings.HasPrefix(k, "y") || k == "cy" || k == "height" {
				limit = height
			}
			if v < 0 || v > limit {
				t.Errorf("%+v lies outside of %g × %g", e, width, height)
			}
		}
		switch {
		case e.name == "circle":
			dots = append(dots, e)
		case e.name == "line" && strings.HasPrefix(e.class, "range") && e.at["y1"] == e.at["y2"]:
			ranges = append(ranges, e)
		case e.name == "text":
			texts = append(texts, e.text)
		}
	}
	for _, want := range []string{
		c.Title, "machine", "kernel", "first", "under these conditions", "second", "a", "b", "c",
		"d", "half", "two", "not installed", "failed", "× one", "a note", "1", "10", "100", "1000",
	} {
		if !slices.Contains(texts, want) {
			t.Errorf("no text %q in %q", want, texts)
		}
	}
	if len(dots) != 3 || len(ranges) != 3 {
		t.Fatalf("%d dots, %d ranges", len(dots), len(ranges))
	}
	for i, d := range dots {
		if r := ranges[i]; d.at["cx"] < r.at["x1"] || d.at["cx"] > r.at["x2"] || d.at["cy"] != r.at["y1"] {
			t.Errorf("row %d: dot %v, range %v", i, d.at, r.at)
		}
	}
	// Logarithmic: twice as much lies as far to the right as half as much to the left.
	a, b := dots[1].at["cx"]-dots[0].at["cx"], dots[2].at["cx"]-dots[1].at["cx"]
	if a <= 0 || a-b > 0.21 || b-a > 0.21 {
		t.Errorf("from 0.5 to 1 are %.1f, from 1 to 2 %.1f", a, b)
	}
	if dots[0].class != "subject" || dots[1].class != "peer" || dots[2].class != "other" {
		t.Errorf("colours: %s, %s, %s", dots[0].class, dots[1].class, dots[2].class)
	}
}

func TestErrors(t *testing.T) {
	for want, change := range map[string]func(*plot.Chart){
		"nothing":              func(c *plot.Chart) { c.Panels = nil },
		"first, a: 0.5 from 0": func(c *plot.Chart) { c.Panels[0].Rows[0].Min = 0 },
		"from 0.4 to 0.3":      func(c *plot.Chart) { c.Panels[0].Rows[0].Max = 0.3 },
		"a mark at -1":         func(c *plot.Chart) { c.Panels[0].Marks[0].At = -1 },
	} {
		c := chart()
		change(&c)
		if err := c.Write(io.Discard); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	c := chart()
	if err := c.Write(full{}); err == nil {
		t.Error("a writer that fails: no error")
	}
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("full") }
