package gen

import (
	"slices"
	"testing"
	"time"

	"penstock/dataplane/xsk/xsktest"
	"penstock/perf/load"
	"penstock/perf/traffic"
)

// BenchmarkVeth compares the generator with a source that does as little as a source can (package load: frames made
// beforehand of which two fields change, no sequence numbers, no schedule), on the same veth pair, in turns. What the
// plain source reaches is the kernel's limit.
//
//	go test -run '^$' -bench Veth -benchtime 10x ./perf/gen
//
// A round measures all three. Metrics are medians over the rounds: Mpps sent, and the ratios to the plain source of the
// same round.
//
//	plain      package load into its sink, an XDP program that counts and drops
//	gen        the generator into the same sink
//	gen+rx     the generator into its own receiver, which runs on another core
func BenchmarkVeth(b *testing.B) {
	const window = 300 * time.Millisecond
	program := program(b, "size-64", traffic.Options{})
	var rates [3][]float64
	plain := func(round func(send func() float64)) {
		xsktest.Namespace(b)
		x, y := xsktest.Veth(b, "a", "b", xsktest.VethConfig{})
		t, err := load.UDP(60, 1000, 0x020000000002, 0x020000000001,
			[4]byte{16, 0, 0, 1}, [4]byte{48, 0, 0, 1}, 1024, 9)
		if err != nil {
			b.Fatal(err)
		}
		sink, err := load.OpenSink(y.Index, load.Expect{Size: 60})
		if err != nil {
			b.Fatal(err)
		}
		defer sink.Close()
		src, err := load.OpenSource(load.SourceConfig{Ifindex: x.Index, Template: t, CPU: -1})
		if err != nil {
			b.Fatal(err)
		}
		defer src.Close()
		round(func() float64 {
			before, start := src.Sent(), time.Now()
			if err := src.Start(0); err != nil {
				b.Fatal(err)
			}
			time.Sleep(window)
			if err := src.Stop(); err != nil {
				b.Fatal(err)
			}
			return float64(src.Sent()-before) / time.Since(start).Seconds()
		})
	}
	own := func(receive bool, round func(send func() float64)) {
		_, y := xsktest.Veth(b, "c", "d", xsktest.VethConfig{})
		defer xsktest.Delete(b, "c")
		c := Config{Ports: []Port{{Interface: "c", Program: program}}}
		if receive {
			c.Ports = append(c.Ports, Port{Interface: "d"})
		} else {
			sink, err := load.OpenSink(y.Index, load.Expect{Size: 60})
			if err != nil {
				b.Fatal(err)
			}
			defer sink.Close()
		}
		e, err := Open(b.Context(), c)
		if err != nil {
			b.Fatal(err)
		}
		defer func() {
			if err := e.Close(); err != nil {
				b.Error(err)
			}
		}()
		round(func() float64 {
			r, err := e.Run(b.Context(), Load{Rates: []float64{0}, Duration: window})
			if err != nil {
				b.Fatal(err)
			}
			return r.Directions[0].TxRate
		})
	}
	plain(func(send func() float64) {
		for b.Loop() {
			rates[0] = append(rates[0], send())
			own(false, func(send func() float64) { rates[1] = append(rates[1], send()) })
			own(true, func(send func() float64) { rates[2] = append(rates[2], send()) })
		}
	})
	b.ReportMetric(0, "ns/op")
	for i, name := range []string{"plain", "gen", "gen+rx"} {
		b.ReportMetric(median(rates[i])/1e6, name+"-Mpps")
		if i > 0 {
			ratios := make([]float64, len(rates[i]))
			for k := range ratios {
				ratios[k] = rates[i][k] / rates[0][k]
			}
			b.ReportMetric(median(ratios), name+"/plain")
		}
	}
}

func median(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	return v[len(v)/2]
}
