package compare

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"math"
	"slices"
	"text/tabwriter"

	"golang.org/x/perf/benchfmt"
)

// Noise is how far the code differs from itself in one benchmark, and from the other code.
type Noise struct {
	Name     string
	Old, New float64 // medians, in seconds an operation
	// Self is the larger of the two codes' differences between their odd and even rounds, of their medians, relative.
	Self float64
}

// Change is by how much the new code takes longer, relative to the old.
func (n *Noise) Change() float64 { return n.New/n.Old - 1 }

// Clear reports whether the difference is more than twice what the code differs from itself by.
func (n *Noise) Clear() bool { return math.Abs(n.Change()) > 2*n.Self }

// timeUnit is what benchfmt makes of ns/op.
const timeUnit = "sec/op"

// noise compares the rounds of both sides with each other. Benchmarks that only one side has are left out.
func noise(old, new [][]byte) ([]Noise, error) {
	a, err := times(old)
	if err != nil {
		return nil, err
	}
	b, err := times(new)
	if err != nil {
		return nil, err
	}
	var out []Noise
	for name, before := range a {
		if after, ok := b[name]; ok {
			out = append(out, Noise{
				Name: name, Old: median(before), New: median(after), Self: max(self(before), self(after)),
			})
		}
	}
	slices.SortFunc(out, func(x, y Noise) int { return cmp.Compare(x.Name, y.Name) })
	return out, nil
}

// times returns each benchmark's time an operation, round by round.
func times(rounds [][]byte) (map[string][]float64, error) {
	all := map[string][]float64{}
	for _, text := range rounds {
		r := benchfmt.NewReader(bytes.NewReader(text), "benchmark output")
		for r.Scan() {
			switch rec := r.Result().(type) {
			case *benchfmt.SyntaxError:
				return nil, fmt.Errorf("compare: %w", rec)
			case *benchfmt.Result:
				if v, ok := rec.Value(timeUnit); ok {
					name := string(rec.Name.Full())
					all[name] = append(all[name], v)
				}
			}
		}
		if err := r.Err(); err != nil {
			return nil, fmt.Errorf("compare: %w", err)
		}
	}
	return all, nil
}

// self is how far the medians of odd and even rounds lie apart.
func self(v []float64) float64 {
	var half [2][]float64
	for i, x := range v {
		half[i%2] = append(half[i%2], x)
	}
	if len(half[1]) == 0 {
		return math.Inf(1)
	}
	return math.Abs(median(half[0])/median(half[1]) - 1)
}

func median(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	n := len(v)
	return (v[(n-1)/2] + v[n/2]) / 2
}

// Report writes the noise as a table.
func Report(w io.Writer, all []Noise) error {
	tw := tabwriter.NewWriter(w, 0, 0, 3, ' ', tabwriter.AlignRight)
	fmt.Fprintln(tw, "old ns\tnew ns\tchange\tsame code, odd and even rounds\t\t")
	worst := 0.0
	for _, n := range all {
		verdict := "within the noise"
		if n.Clear() {
			verdict = "differs"
		}
		worst = max(worst, n.Self)
		fmt.Fprintf(tw, "%.2f\t%.2f\t%+.1f %%\t±%.1f %%\t%s\t  %s\n",
			1e9*n.Old, 1e9*n.New, 100*n.Change(), 100*n.Self, verdict, n.Name)
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "\nThe same code differs from itself by up to %.1f %% here. "+
		"A difference counts that is more than twice its benchmark's.\n", 100*worst)
	return err
}
