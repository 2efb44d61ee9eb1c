package gen

import (
	"context"
	"errors"
	"os"
	"slices"
	"testing"
	"time"

	"penstock/dataplane/xsk/xsktest"
	"penstock/perf/baseline"
	"penstock/perf/gen/search"
)

// BenchmarkThroughput searches for NDR and PDR of one device again and again: the plain forwarder of package baseline
// on a core of its own, between two veth pairs. Each round is a whole search. Metrics: the median over the rounds in
// Mpps, and the spread, the difference between the highest and the lowest relative to the median.
//
//	PENSTOCK_TRIAL=2s go test -run '^$' -bench Throughput -benchtime 5x -timeout 2h ./perf/gen
//
// Without PENSTOCK_TRIAL trials are short, and the figures worth little.
func BenchmarkThroughput(b *testing.B) {
	g := search.Goal{Width: 0.005, Trial: 100 * time.Millisecond, Sum: 300 * time.Millisecond, Exceed: 0.5}
	if v := os.Getenv("PENSTOCK_TRIAL"); v != "" {
		d, err := time.ParseDuration(v)
		if err != nil {
			b.Fatal(err)
		}
		g.Trial, g.Sum = d, 3*d
	}
	ndr, pdr := g, g
	ndr.Name, pdr.Name, pdr.LossRatio = "NDR", "PDR", 0.005

	xsktest.Namespace(b)
	xsktest.Veth(b, "a", "da", xsktest.VethConfig{})
	xsktest.Veth(b, "b", "db", xsktest.VethConfig{})
	f, err := baseline.Open("da", "db")
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.Context())
	done := make(chan error, 1)
	go func() {
		_, err := f.Run(ctx)
		done <- err
	}()
	defer func() {
		cancel()
		if err := errors.Join(<-done, f.Close()); err != nil {
			b.Error(err)
		}
	}()
	e := open(b, oneWay(b))
	var rates [2][]float64
	for b.Loop() {
		rep, err := e.Throughput(b.Context(), Throughput{Options: search.Options{Goals: []search.Goal{ndr, pdr}}})
		if err != nil {
			b.Fatal(err)
		}
		for i, r := range rep.Results {
			b.Logf("%s %.0f, %s, %d trials, generator's limit: %v",
				r.Goal.Name, r.Rate, r.Status, len(rep.Trials), r.GeneratorLimited)
			rates[i] = append(rates[i], r.Rate)
		}
	}
	b.ReportMetric(0, "ns/op")
	for i, name := range []string{"NDR", "PDR"} {
		m := median(rates[i])
		b.ReportMetric(m/1e6, name+"-Mpps")
		if m > 0 {
			b.ReportMetric((slices.Max(rates[i])-slices.Min(rates[i]))/m, name+"-spread")
		}
	}
}
