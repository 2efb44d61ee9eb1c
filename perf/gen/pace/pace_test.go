package pace

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

// sender asks a pacer at the times that next gives, until all is sent, and notes when how much was.
type sending struct {
	at []int64
	n  []int
}

func send(t *testing.T, p *Pacer, start int64, next func() int64, room func() int) (s sending) {
	t.Helper()
	for now := start; !p.Done(); now += next() {
		n := p.Due(now)
		if n < 0 || n > MaxBurst {
			t.Fatalf("%d frames are due at once", n)
		}
		n = min(n, room())
		p.Sent(n)
		if n > 0 {
			s.at, s.n = append(s.at, now-start), append(s.n, n)
		}
		if len(s.at) > 10_000_000 {
			t.Fatal("it never ends")
		}
	}
	return s
}

func always() int { return MaxBurst }

// TestSchedule: without disturbance every burst is sent when its last frame is due, by the question's granularity,
// never before, and the count is exact.
func TestSchedule(t *testing.T) {
	for _, rate := range []float64{0.5, 1, 999, 10_000, 123_456.789, 1e6, 14.88e6} {
		for _, burst := range []int{0, 1, 7, MaxBurst} {
			t.Run(fmt.Sprintf("%g/%d", rate, burst), func(t *testing.T) {
				const total, start = 5000, 12345
				p, err := New(rate, total, burst, start)
				if err != nil {
					t.Fatal(err)
				}
				gap := max(int64(p.burstTime()/10), 1)
				s := send(t, p, start, func() int64 { return gap }, always)
				sent := 0
				for i, at := range s.at {
					if i < len(s.at)-1 && s.n[i] != p.Size() && gap < int64(1e9/rate) {
						t.Fatalf("burst %d has %d frames, want %d", i, s.n[i], p.Size())
					}
					sent += s.n[i]
					due := float64(sent-1) / rate * 1e9
					if float64(at) < due-1 || float64(at) > due+float64(gap)+p.burstTime()+1 {
						t.Fatalf("frame %d sent at %d ns, due at %.0f", sent-1, at, due)
					}
				}
				if sent != total || p.Debt() != 0 || p.Lag() != 0 {
					t.Errorf("%d frames sent, debt %d, lag %d", sent, p.Debt(), p.Lag())
				}
			})
		}
	}
}

// burstTime is how long the rate takes for a burst, in ns.
func (p *Pacer) burstTime() float64 { return float64(p.burst) / p.rate }

// TestNext: who sleeps as long as Next says is woken when something is due, and not much too early.
func TestNext(t *testing.T) {
	for _, rate := range []float64{3, 1000, 99_000, 2e6} {
		p, err := New(rate, 300, 0, 0)
		if err != nil {
			t.Fatal(err)
		}
		now, empty, asked := int64(0), 0, 0
		for ; !p.Done(); asked++ {
			n := p.Due(now)
			if p.Sent(n); n == 0 {
				empty++
			}
			now += max(p.Next(), 1)
		}
		if empty > asked/2+2 {
			t.Errorf("rate %g: %d of %d questions were too early", rate, empty, asked)
		}
	}
}

// TestDisturbed: with stalls and a kernel that takes what it likes, frames are never early, the debt is paid at no
// more than a quarter above the rate, and in the end everything has been sent.
func TestDisturbed(t *testing.T) {
	for seed := range uint64(30) {
		rng := rand.New(rand.NewPCG(seed, 1))
		rate := math.Pow(10, 3+4*rng.Float64())
		const total = 20_000
		p, err := New(rate, total, rng.IntN(MaxBurst), 0)
		if err != nil {
			t.Fatal(err)
		}
		usual := max(int64(p.burstTime()/4), 1)
		next := func() int64 {
			if rng.IntN(200) == 0 {
				return int64(rng.ExpFloat64() * float64(5*time.Millisecond)) // the CPU is gone
			}
			return 1 + rng.Int64N(2*usual)
		}
		refused := 0
		room := func() int {
			if refused > 0 {
				refused--
				return rng.IntN(3)
			}
			if rng.IntN(300) == 0 {
				refused = rng.IntN(500)
			}
			return MaxBurst
		}
		s := send(t, p, 0, next, room)
		sum := make([]int, len(s.n)+1)
		for i, n := range s.n {
			sum[i+1] = sum[i] + n
			if due := float64(sum[i+1]-1) / rate * 1e9; float64(s.at[i]) < due-1 {
				t.Fatalf("seed %d: frame %d sent at %d, due at %.0f", seed, sum[i+1]-1, s.at[i], due)
			}
		}
		if sum[len(s.n)] != total {
			t.Fatalf("seed %d: %d frames", seed, sum[len(s.n)])
		}
		// In any interval: a quarter above the rate, and what may be due at its beginning.
		slack := 4*MaxBurst + rate*float64(p.step)/1e9
		for range 3000 {
			i := rng.IntN(len(s.at))
			j := i + rng.IntN(len(s.at)-i)
			most := 1.25*rate*float64(s.at[j]-s.at[i])/1e9 + slack
			if got := float64(sum[j+1] - sum[i]); got > most {
				t.Fatalf("seed %d, rate %g: %.0f frames from %d to %d ns, want at most %.0f",
					seed, rate, got, s.at[i], s.at[j], most)
			}
		}
	}
}

// TestCatchesUp: a stall in the middle changes nothing about when the last frame is sent.
func TestCatchesUp(t *testing.T) {
	const rate, total = 1e6, 100_000
	p, err := New(rate, total, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	turns := 0
	s := send(t, p, 0, func() int64 {
		if turns++; turns == 1000 {
			return int64(5 * time.Millisecond)
		}
		return 2000
	}, always)
	if last := s.at[len(s.at)-1]; last > total*1000+3000 {
		t.Errorf("the last frame was sent at %d ns", last)
	}
	if lag := time.Duration(p.Lag()); lag < 4*time.Millisecond || lag > 5*time.Millisecond {
		t.Errorf("a lag of %v", lag)
	}
}

func TestUnlimited(t *testing.T) {
	p, err := New(0, 1000, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	s := send(t, p, 0, func() int64 { return 1 }, always)
	if len(s.n) != (1000+MaxBurst-1)/MaxBurst || s.n[len(s.n)-1] != 1000%MaxBurst || p.Next() != 0 {
		t.Errorf("bursts %v, want 1000 frames in bursts of %d and the rest, and no wait", s.n, MaxBurst)
	}
	// With a configured size of bursts, no more at once.
	if p, err = New(0, 100, 8, 0); err != nil {
		t.Fatal(err)
	}
	if s := send(t, p, 0, func() int64 { return 1 }, always); len(s.n) != 13 || s.n[0] != 8 || p.Size() != 8 {
		t.Errorf("bursts of 8: %v", s.n)
	}
}

func TestNew(t *testing.T) {
	for _, rate := range []float64{-1, math.NaN()} {
		if _, err := New(rate, 1, 0, 0); err == nil {
			t.Errorf("rate %g: no error", rate)
		}
	}
	for _, burst := range []int{-1, MaxBurst + 1} {
		if _, err := New(1, 1, burst, 0); err == nil {
			t.Errorf("burst %d: no error", burst)
		}
	}
	for rate, want := range map[float64]int{0.1: 1, 49_000: 1, 100_000: 2, 1e6: 20, 1e7: 32} {
		if got := Burst(rate); got != want {
			t.Errorf("bursts of %d at %g, want %d", got, rate, want)
		}
	}
}
