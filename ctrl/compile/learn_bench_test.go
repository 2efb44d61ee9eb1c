package compile

import (
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"penstock/ctrl/model"
)

// learnedRows are rows as boxes tell them: of boxes with 10,000 VIFs each, in the order of their keys.
func learnedRows(w *world, n int) []FabricRow {
	segs := w.c.Snapshot().Segments
	rows := make([]FabricRow, n)
	for i := range rows {
		g := &segs[w.c.segments[segName{fmt.Sprintf("tenant%05d", i%10_000/10), "net"}]]
		rows[i] = FabricRow{FabricKey: FabricKey{g.Tenant, g.ID, model.MAC(0x020000000100 + i)},
			Addresses: []netip.Addr{netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})},
			At:        Place{model.MAC(0x02dd00000000 + i/10_000/2), uint8(i/10_000%2 + 1)},
			Sequence:  1_800_000_000_000_000_000 + uint64(i), Static: true}
	}
	return rows
}

// TestLearnedMemory: the fabric's protocol teaches a million bindings, which take at most 64 octets each, all included
// (PROTOCOL.md#sizes).
func TestLearnedMemory(t *testing.T) {
	n := 1_000_000
	if testing.Short() || raceEnabled {
		n = 100_000
	}
	w := big(t, 1000, n+2000)
	rows := learnedRows(w, n)
	w.c.LearnRows(nil)
	before := resident(t)
	for from := 0; from < n; from += 4096 {
		for i, v := range w.c.LearnRows(rows[from:min(from+4096, n)]) {
			if v != Taken {
				t.Fatalf("%s: got verdict %d, want %d", &rows[from+i], v, Taken)
			}
		}
	}
	grown := resident(t) - before
	table, beside := w.c.cfg.Bindings.Bytes(), w.c.LearnedBytes()
	t.Logf("%d rows: %d octets in the table, %d beside it; the process has grown by %d", n, table, beside, grown)
	if table+beside > 64*n {
		t.Errorf("%d rows take %d and %d octets, want at most 64 each", n, table, beside)
	}
	digests, _ := w.c.Digests()
	if len(digests) != n/10_000 || digests[rows[0].At].Count != 10_000 {
		t.Errorf("digests: got %d places, the first with %d rows; want %d with 10,000", len(digests),
			digests[rows[0].At].Count, n/10_000)
	}
}

// resident returns the memory of this process, in octets.
func resident(t testing.TB) (n int) {
	debug.FreeOSMemory()
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "VmRSS:")
	if _, err := fmt.Sscan(rest, &n); err != nil {
		t.Fatal(err)
	}
	return n << 10
}

// BenchmarkLearn: ns/op is per row, in batches of 4,096 rows, and of 36 ("frame"); cpu-ns/op is without the time that
// other processes take.
func BenchmarkLearn(b *testing.B) {
	const many = 1_000_000
	for _, bench := range []struct {
		name  string
		batch int
		next  func(*FabricRow)
		want  Verdict
	}{
		{"same", 4096, func(*FabricRow) {}, Same},
		{"newer", 4096, func(r *FabricRow) { r.Sequence++ }, Taken},
		{"moved", 4096, func(r *FabricRow) { r.Sequence++; r.At.Port ^= 3 }, Moved},
		{"frame", 36, func(r *FabricRow) { r.Sequence++ }, Taken},
	} {
		b.Run(bench.name, func(b *testing.B) {
			w := big(b, 1000, 1<<20)
			rows := learnedRows(w, many)
			w.c.LearnRows(rows)
			defer reportCPU(b)()
			b.ResetTimer()
			for done := 0; done < b.N; {
				from := done % many
				batch := rows[from:min(from+bench.batch, many, from+b.N-done)]
				for i := range batch {
					bench.next(&batch[i])
				}
				if v := w.c.LearnRows(batch); v[0] != bench.want {
					b.Fatalf("verdict: got %d, want %d", v[0], bench.want)
				}
				done += len(batch)
			}
		})
	}
	b.Run("new", func(b *testing.B) {
		var cpu time.Duration
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		for done := 0; done < b.N; {
			b.StopTimer()
			w := big(b, 1000, 1<<20)
			rows := learnedRows(w, min(many, b.N-done))
			b.StartTimer()
			cpu -= threadTime(b)
			for from := 0; from < len(rows); from += 4096 {
				w.c.LearnRows(rows[from:min(from+4096, len(rows))])
			}
			cpu += threadTime(b)
			done += len(rows)
		}
		b.ReportMetric(float64(cpu.Nanoseconds())/float64(b.N), "cpu-ns/op")
	})
}

// reportCPU measures the CPU time of this thread from now until what it returns is called.
func reportCPU(b *testing.B) func() {
	runtime.LockOSThread()
	start := threadTime(b)
	return func() {
		b.ReportMetric(float64((threadTime(b)-start).Nanoseconds())/float64(b.N), "cpu-ns/op")
		runtime.UnlockOSThread()
	}
}

// BenchmarkSweep: of a box's 10,000 rows, among a million.
func BenchmarkSweep(b *testing.B) {
	w := big(b, 1000, 1<<20)
	rows := learnedRows(w, 1_000_000)
	w.c.LearnRows(rows)
	for b.Loop() {
		begin := w.c.SweepBegin()
		w.c.LearnRows(rows[:10_000])
		if n := w.c.SweepEnd(rows[0].At, begin); n != 0 {
			b.Fatalf("swept %d rows, want 0", n)
		}
	}
}

// BenchmarkLearnSegments: ns/op is per row of messages of 20 rows, each row of another one of 65,000 segments, so that
// each message changes 20 flood lists; published counts the snapshots.
func BenchmarkLearnSegments(b *testing.B) {
	const many = 65_000
	for _, pause := range []time.Duration{0, 20 * time.Millisecond} {
		b.Run(pause.String(), func(b *testing.B) {
			w := big(b, many, 1<<20)
			w.c.cfg.LearnPause = pause
			segs := w.c.Snapshot().Segments
			var rows []FabricRow
			for i := range segs {
				if g := &segs[i]; g.Tenant != 0 {
					rows = append(rows, FabricRow{FabricKey: FabricKey{g.Tenant, g.ID, model.MAC(0x020000000100 + i)},
						At: Place{0x02dd00000000, 1}, Sequence: 1, Static: true})
				}
			}
			before := w.c.Snapshot().Generation
			defer reportCPU(b)()
			b.ResetTimer()
			for done := 0; done < b.N; done += 20 {
				batch := rows[done%(len(rows)-20):][:20]
				for i := range batch {
					batch[i].Sequence++
					batch[i].At.Port ^= 3 // it moves: the flood list of its segment changes each time
				}
				w.c.LearnRows(batch)
			}
			b.StopTimer()
			w.c.cfg.LearnPause = 0
			w.c.SettleLearned()
			b.ReportMetric(float64(w.c.Snapshot().Generation-before), "published")
		})
	}
}
