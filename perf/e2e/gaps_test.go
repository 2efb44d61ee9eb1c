package e2e

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"penstock/dataplane/stats"
)

func histogram(lengths ...int64) Histogram {
	h := make(Histogram, stats.GapBuckets)
	for _, ns := range lengths {
		h[stats.GapBucket(ns)]++
	}
	return h
}

// TestHistogram: against the lengths themselves, sorted.
func TestHistogram(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	lengths := make([]int64, 20_000)
	for i := range lengths {
		lengths[i] = rng.Int64N(1 << (8 + rng.IntN(24)))
	}
	h := histogram(lengths...)
	slices.Sort(lengths)
	if h.Count() != uint64(len(lengths)) {
		t.Errorf("%d of %d", h.Count(), len(lengths))
	}
	for _, share := range []float64{0.5, 0.99, 0.999, 0.9999, 1} {
		exact := lengths[int(share*float64(len(lengths)))-1]
		if got := int64(h.At(share)); got < exact || float64(got) > 1.26*float64(exact) {
			t.Errorf("%g: %d ns, want %d to a quarter more", share, got, exact)
		}
	}
	// The limit is a bucket's edge, so that the naive count is the same.
	limit := time.Duration(stats.GapBound(stats.GapBucket(200_000) - 1))
	n, sum := uint64(0), int64(0)
	for _, ns := range lengths {
		if ns >= int64(limit) {
			n, sum = n+1, sum+ns
		}
	}
	gotN, gotSum := h.Above(limit)
	if gotN != n || float64(gotSum) < 0.85*float64(sum) || float64(gotSum) > 1.15*float64(sum) {
		t.Errorf("above %v: %d, %v; want %d, %v", limit, gotN, gotSum, n, time.Duration(sum))
	}
	if d, err := h.Minus(histogram(lengths[:5000]...)); err != nil || !slices.Equal(d, histogram(lengths[5000:]...)) {
		t.Errorf("the difference is not the rest: %v", err)
	}
	if _, err := histogram(5).Minus(histogram(5, 5)); err == nil {
		t.Error("a histogram that shrinks is no error")
	}
	if _, err := h.Minus(nil); err == nil {
		t.Error("histograms of different sizes are no error")
	}
	if none := histogram(); none.At(0.5) != 0 {
		t.Errorf("the middle of nothing is %v", none.At(0.5))
	}
}

func TestReportGaps(t *testing.T) {
	g := GapOptions{Bindings: 1000, Nice: -5}
	long := []int64{90_000, 5_000_000}
	all := Gaps{
		Scenario: Scenarios[1], Seconds: 2, Rate: 1e6, All: histogram(long...), Busy: histogram(90_000),
		Preempted: histogram(5_000_000),
		Stopped:   histogram(), Own: histogram(90_000), Pushes: 1.5, GCs: 7,
	}
	var out bytes.Buffer
	if err := ReportGaps(&out, &g, []Gaps{all}); err != nil {
		t.Fatal(err)
	}
	text := strings.Join(strings.Fields(out.String()), " ")
	for _, want := range []string{
		"1000 bindings, frames of 60 octets as fast as the kernel takes them; the box's other threads on any CPU; " +
			"worker at niceness -5",
		"push 1.000 1.5 7 2 98.3 5243 5243 5243 5243 98.3 98.3 0.5 0.0 0.236 % missed, own met",
		"turns with frames 1 98.3 98.3",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	file := filepath.Join(t.TempDir(), "gaps.csv")
	row := GapRow{Date: time.Unix(0, 0), Commit: "abc", Options: &g, Gaps: all}
	if err := AppendGaps(file, []GapRow{row, row}); err != nil {
		t.Fatal(err)
	}
	csv, err := os.ReadFile(file)
	const tail = ",push,1000,0,any,at niceness -5,2.000,1000000,1.50,7,2,1,1,0,98.304,5242.880,"
	if err != nil || strings.Count(string(csv), tail) != 2 || strings.Count(string(csv), "\n") != 3 {
		t.Errorf("%v\n%s", err, csv)
	}
}
