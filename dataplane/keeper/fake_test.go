package keeper

import (
	"testing"

	"penstock/dataplane/fib"
)

const ms = 1_000_000

// fake is a prober of n targets that counts its calls. Its ids are targets 0 to n-1 and as many timers.
type fake struct {
	n        int
	interval int64
	q        *Queue
	started  bool
	probed   []int
	judged   []int
	late     []int
	expired  []int
	ports    int
	news     int
	follows  int
	steps    int // probed, judged
	onJudge  func(id uint32)
	onPorts  func()
	at       []int64 // when each target was judged last, on the workers' clock
}

func (f *fake) Follow(_ int64, _ *fib.Snapshot) {
	f.follows++
	if f.started || f.n == 0 {
		return
	}
	f.started = true
	f.q.Grow(f.n, f.n)
	f.probed, f.judged, f.late = make([]int, f.n), make([]int, f.n), make([]int, f.n)
	f.expired, f.at = make([]int, f.n), make([]int64, f.n)
	for i := range f.n {
		f.q.Start(uint32(i), f.q.Now())
	}
}

func (f *fake) News(int64)     { f.news++ }
func (f *fake) Late(id uint32) { f.late[id]++ }

func (f *fake) Ports(int64) {
	f.ports++
	if f.onPorts != nil {
		f.onPorts()
	}
}

func (f *fake) Judge(now int64, id uint32) {
	f.steps++
	f.judged[id]++
	f.at[id] = now
	if f.onJudge != nil {
		f.onJudge(id)
	}
}

func (f *fake) Ask(_ int64, id uint32) {
	f.steps++
	if f.q.Admit(id, 0, 1, f.interval) == Admitted {
		f.probed[id]++
		f.q.Sent(id)
	}
}

func (f *fake) Timer(_ int64, id uint32) { f.expired[id]++ }

// bench is a Keeper with fake probers, by kind, on a clock of its own.
type bench struct {
	*Keeper
	probers []*fake
	now     int64
	snap    *fib.Snapshot
	clean   int64 // all that had arrived by then has been processed
	room    int
	stuck   bool
	taken   uint32
}

func newBench(t testing.TB, interval int64, targets ...int) *bench {
	t.Helper()
	b := &bench{Keeper: New(2, NewShared(2)), snap: &fib.Snapshot{Ports: make([]fib.Port, 2)}, clean: Never, room: 64}
	b.Room = func(uint16) int { return b.room }
	b.Stuck = func(_ uint16, n uint32) (bool, uint32) { return b.stuck && n == b.taken, b.taken }
	b.Clean = func(since int64) bool { return since <= b.clean }
	for kind, n := range targets {
		f := &fake{n: n, interval: interval}
		f.q = b.Serve(Kind(kind), f)
		b.probers = append(b.probers, f)
	}
	return b
}

// turn lets time pass, and takes a turn.
func (b *bench) turn(d int64) {
	b.now += d
	b.Turn(b.now, b.snap)
}

func sum(n []int) (s int) {
	for _, x := range n {
		s += x
	}
	return s
}

// want compares a number.
func want(t testing.TB, what string, got, want int) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %d, want %d", what, got, want)
	}
}
