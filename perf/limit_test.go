package perf

import (
	"fmt"
	"runtime"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// BenchmarkScalingLimit: what two CPUs do together by what one does (×), with work that shares nothing. compute touches no
// memory, memory reads random lines of a table of each CPU's own. It is the machine's limit to BenchmarkScaling: CPUs that
// are threads of one core, or a hypervisor that runs other machines on them, do not give twice the rate.
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
		one := 0.0
		for n := 1; n <= 2; n++ {
			b.Run(fmt.Sprintf("%s/cpus=%d", name, n), func(b *testing.B) {
				var gate gate
				start, end := make(chan int), make(chan float64)
				for i := range n {
					go walker(cpus[i], tables[i], &gate, start, end)
				}
				defer close(start)
				const share = 1 << 20
				var rates []float64
				for done := 0; done < b.N; done += n * share {
					gate.arm(n)
					for range n {
						start <- share
					}
					gate.open()
					rate := 0.0
					for range n {
						r := <-end
						if r == 0 {
							b.Fatal("a thread could not be bound to its CPU")
						}
						rate += r
					}
					rates = append(rates, rate)
				}
				slices.Sort(rates)
				rate := rates[len(rates)/2]
				b.ReportMetric(1e9/rate, "ns/op")
				if n == 1 {
					one = rate
				} else if one > 0 {
					b.ReportMetric(rate/one, "×")
				}
			})
		}
	}
}

// walker reads as many random places of its table as it is told, and tells how many a second it read; 0 if it could not
// be bound to its CPU.
func walker(cpu int, table []byte, gate *gate, start <-chan int, end chan<- float64) {
	runtime.LockOSThread()
	var set unix.CPUSet
	set.Set(cpu)
	pinned := unix.SchedSetaffinity(0, &set)
	var at, sum uint64
	mask := uint64(len(table) - 1)
	for n := range start {
		gate.pass()
		began := time.Now()
		for range n {
			at = at*6364136223846793005 + 1442695040888963407 // Knuth, MMIX
			sum += uint64(table[at>>39&mask])
		}
		rate := float64(n) / time.Since(began).Seconds()
		if pinned != nil {
			rate = 0
		}
		end <- rate
	}
	runtime.KeepAlive(sum)
}
