package perf

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"penstock/dataplane"
	"penstock/dataplane/fib"
	"penstock/dataplane/frame"
)

// BenchmarkScaling: encapsulation by one and by two workers, each on a CPU of its own, over one frame pool, one
// bindings table with 1,000,000 rows and one snapshot. Mpps is the sum of the workers' rates, each over its own time,
// in the median round; ns/op is the inverse of Mpps, so that half of the ns/op is twice the rate. × is the rate of two
// workers divided by the rate of one; both take turns, and the single worker changes its CPU with every turn: the
// median over the rounds. A worker returns sent frames to the pool, in bulk. It takes new ones with the clock stopped,
// since the packets have to be written first.
//
// The workers run at the same time only while nothing else wants their CPUs: on a machine that is not idle the figure
// says more about the neighbours than about the pipeline. What the machine itself gives, BenchmarkScalingLimit says.
func BenchmarkScaling(b *testing.B) {
	const bindings = 1_000_000
	cpus := allowed(b)
	// Members spin, and whoever opens the gate is to run beside them.
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(max(4, runtime.GOMAXPROCS(0))))
	for _, n := range []int{1, 2} {
		b.Run(fmt.Sprintf("workers=%d", n), func(b *testing.B) {
			if len(cpus) < n {
				b.Skipf("needs %d CPUs, has %d", n, len(cpus))
			}
			r := benchFrames(b, "web", bindings, n*(frames+4*frame.BatchSize))
			team := make([]*member, n)
			var gate gate
			for i := range team {
				team[i] = &member{
					pl: dataplane.NewPipeline(r.Mem, r.Pool, nil, 2, 16, 64), mem: r.Mem,
					snapshot: r.Compiler.Snapshot(), cpu: cpus[i],
					bindings: bindings, rng: rand.New(rand.NewPCG(1, uint64(i))), gate: &gate, start: make(chan int),
					end: make(chan error),
				}
				team[i].pl.Flush = team[i].drain
				go team[i].run()
			}
			defer func() {
				for _, m := range team {
					close(m.start)
				}
			}()
			var t turns
			b.ReportAllocs()
			b.ResetTimer()
			b.StopTimer()
			for done, i := 0, 0; done < b.N; i++ {
				share := min(frames, (b.N-done+n-1)/n)
				done += n * share
				one := 0.0
				if n > 1 {
					one = together(b, &gate, team[i%n:i%n+1], share)
				}
				if all := together(b, &gate, team, share); share == frames {
					t.add(one, all)
				}
			}
			t.report(b, "Mpps")
		})
	}
}

// together has all members send their share, and returns the sum of their rates in Mpps.
func together(b *testing.B, gate *gate, members []*member, share int) (rate float64) {
	gate.arm(len(members))
	for _, m := range members {
		m.start <- share
	}
	for _, m := range members {
		<-m.end // it has its frames
	}
	b.StartTimer()
	gate.open()
	for _, m := range members {
		if err := <-m.end; err != nil {
			b.Fatal(err)
		}
		rate += float64(share) / float64(m.took.Nanoseconds()) * 1e3
	}
	b.StopTimer()
	return rate
}

// turns are the rates of one CPU and of all, in millions a second, round by round.
type turns struct{ all, ratio []float64 }

// add notes a round; one is 0 where it was not measured.
func (t *turns) add(one, all float64) {
	t.all = append(t.all, all)
	if one > 0 {
		t.ratio = append(t.ratio, all/one)
	}
}

// report reports the median rate, in a unit that is millions a second, and the median ratio.
func (t *turns) report(b *testing.B, unit string) {
	if len(t.all) == 0 {
		return
	}
	rate := middle(t.all)
	b.ReportMetric(1e3/rate, "ns/op")
	b.ReportMetric(rate, unit)
	b.ReportMetric(t.all[len(t.all)-1], "max-"+unit)
	if len(t.ratio) > 0 {
		b.ReportMetric(middle(t.ratio), "×")
	}
}

// middle sorts v and returns its median.
func middle(v []float64) float64 {
	slices.Sort(v)
	return v[len(v)/2]
}

// allowed lists the CPUs that the process may use.
func allowed(b *testing.B) (cpus []int) {
	b.Helper()
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		b.Fatal(err)
	}
	for c := range len(set) * 64 {
		if set.IsSet(c) {
			cpus = append(cpus, c)
		}
	}
	return cpus
}

// gate lets all members begin at the same moment. They spin: waking a thread takes as long as hundreds of packets.
type gate struct {
	missing atomic.Int32
	opened  atomic.Bool
}

func (g *gate) arm(n int) {
	g.missing.Store(int32(n))
	g.opened.Store(false)
}

func (g *gate) open() { g.opened.Store(true) }

func (g *gate) pass() {
	for !g.opened.Load() {
	}
	g.missing.Add(-1)
	for g.missing.Load() > 0 {
	}
}

// member is a worker without sockets: it takes frames from the pool, sends them through its pipeline, and returns them.
type member struct {
	pl       *dataplane.Pipeline
	mem      []byte
	snapshot *fib.Snapshot
	cpu      int
	bindings int
	rng      *rand.Rand
	gate     *gate
	start    chan int   // packets of the round
	end      chan error // twice a round: it has its frames, it is done

	took   time.Duration // of the round
	now    int64
	sent   int
	addrs  [frames]uint32
	length [frames]uint16
}

func (m *member) run() {
	runtime.LockOSThread() // never unlocked: the thread ends with the goroutine, and its affinity with it
	var set unix.CPUSet
	set.Set(m.cpu)
	pinned := unix.SchedSetaffinity(0, &set)
	for n := range m.start {
		m.fill(n)
		m.end <- nil
		m.gate.pass()
		err := m.round(n)
		if pinned != nil {
			err = fmt.Errorf("bind a worker to CPU %d: %w", m.cpu, pinned)
		}
		m.end <- err
	}
}

// fill takes n frames from the pool and writes a packet to a random binding into each.
func (m *member) fill(n int) {
	for i := range n {
		addr, ok := m.pl.Cache.Get()
		if !ok {
			panic("the pool is empty: frames were not returned")
		}
		mac, ip := remote(m.rng.IntN(m.bindings))
		m.addrs[i] = addr + frame.Headroom
		m.length[i] = uint16(copy(m.mem[m.addrs[i]:], udp(mac, sender, 0x0a000001, ip, uint16(m.rng.Uint32()))))
	}
}

func (m *member) round(n int) error {
	var batch frame.Batch
	m.sent = 0
	began := time.Now()
	for i := 0; i < n; i += frame.BatchSize {
		m.now += 5000
		m.pl.SetTime(m.now)
		batch.N = min(frame.BatchSize, n-i)
		for k := range batch.N {
			p := &batch.Pkt[k]
			p.Off, p.Len, p.Port = m.addrs[i+k], m.length[i+k], acc
		}
		m.pl.Process(acc, &batch, m.snapshot)
		m.drain(fab)
	}
	m.took = time.Since(began)
	if m.sent != n {
		return fmt.Errorf("%d of %d packets came out", m.sent, n)
	}
	return nil
}

// drain returns what was sent from a port to the pool.
func (m *member) drain(port uint16) {
	out := m.pl.Out(port)
	for _, d := range out {
		m.pl.Cache.Put(m.pl.Pool.Base(uint32(d.Addr)))
	}
	if port == fab {
		m.sent += len(out)
	}
}
