package main

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"penstock/ctrl/printable"
)

// sheet collects rows and prints them aligned: columns of numbers to the right, others to the left. It escapes what a
// cell may not show: texts come from outside.
type sheet struct {
	rows    [][]string
	headed  bool // the first row is a heading
	columns []column
	note    string // for standard error, below the table
}

// column records the kinds of cells in a column below the heading.
type column struct{ numbers, texts bool }

func (t *sheet) head(names ...string) {
	t.headed = true
	t.rows = append(t.rows, names)
}

func (t *sheet) row(cells ...any) {
	r := make([]string, len(cells))
	for i, c := range cells {
		if i == len(t.columns) {
			t.columns = append(t.columns, column{})
		}
		col := &t.columns[i]
		if s, ok := c.(string); ok {
			if s == "" {
				s = "-"
			}
			r[i] = printable.Line(s)
			col.texts = col.texts || s != "-"
			continue
		}
		col.numbers = true
		if f, ok := c.(float64); ok {
			c = fmt.Sprintf("%.1f", f)
		}
		r[i] = printable.Line(fmt.Sprint(c))
	}
	t.rows = append(t.rows, r)
}

// empty reports whether the table has no row below the heading.
func (t *sheet) empty() bool { return t.headed && len(t.rows) == 1 }

func (t *sheet) print(w io.Writer) error {
	var width []int
	for _, r := range t.rows {
		for i, c := range r {
			if i == len(width) {
				width = append(width, 0)
			}
			width[i] = max(width[i], utf8.RuneCountInString(c))
		}
	}
	var b strings.Builder
	for _, r := range t.rows {
		for i, c := range r {
			pad := strings.Repeat(" ", width[i]-utf8.RuneCountInString(c))
			switch {
			case t.headed && i < len(t.columns) && t.columns[i].numbers && !t.columns[i].texts:
				b.WriteString(pad + c)
			case i < len(r)-1:
				b.WriteString(c + pad)
			default:
				b.WriteString(c)
			}
			if i < len(r)-1 {
				b.WriteString("  ")
			}
		}
		b.WriteByte('\n')
	}
	_, err := io.WriteString(w, b.String())
	return err
}
