package perf

import (
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// BenchmarkScalingLimit: rate of two CPUs divided by the rate of one (×, in turns), with work that shares nothing.
// compute touches no memory, memory reads random lines of a table of each CPU's own. This is the machine's limit for
// BenchmarkScaling: CPUs that are threads of one core, or a hypervisor that runs other machines on them, do not give
// twice the rate.
func BenchmarkScalingLimit(b *testing.B) {
	cpus := allowed(b)
	if len(cpus) < 2 {
		b.Skipf("needs 2 CPUs, has %d", len(cpus))
	}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(max(4, runtime.GOMAXPROCS(0))))
	for _, lines := range []bool{false, true} {
		tables := [2][]byte{{0}, {0}}
		name := "compute"
		if lines {
			tables, name = [2][]byte{area(b, tableOctets), area(b, tableOctets)}, "memory"
		}
		b.Run(name, func(b *testing.B) {
			var gate gate
			var walkers [2]walker
			for i := range walkers {
				walkers[i] = walker{
					table: tables[i], cpu: cpus[i], gate: &gate, start: make(chan int), end: make(chan float64),
				}
				go walkers[i].run()
				defer close(walkers[i].start)
			}
			const share = 1 << 17
			walk := func(some []walker) (rate float64) {
				gate.arm(len(some))
				for i := range some {
					some[i].start <- share
				}
				gate.open()
				for i := range some {
					r := <-some[i].end
					if r == 0 {
						b.Fatal("a thread could not be bound to its CPU")
					}
					rate += r
				}
				return rate
			}
			var t turns
			for done, i := 0, 0; done < b.N; done, i = done+2*share, i+1 {
				one := walk(walkers[i%2 : i%2+1])
				t.add(one, walk(walkers[:]))
			}
			t.report(b, "M/s")
		})
	}
}

// walker reads a given number of random places of its table and returns the rate in millions a second; 0 if it could
// not be bound to its CPU.
type walker struct {
	table []byte
	cpu   int
	gate  *gate
	start chan int
	end   chan float64
}

func (w *walker) run() {
	runtime.LockOSThread()
	var set unix.CPUSet
	set.Set(w.cpu)
	pinned := unix.SchedSetaffinity(0, &set)
	var at, sum uint64
	table, mask := w.table, uint64(len(w.table)-1)
	for n := range w.start {
		w.gate.pass()
		began := time.Now()
		for range n {
			at = random(at)
			sum += uint64(table[at>>39&mask])
		}
		rate := float64(n) / float64(time.Since(began).Nanoseconds()) * 1e3
		if pinned != nil {
			rate = 0
		}
		w.end <- rate
	}
	runtime.KeepAlive(sum)
}
