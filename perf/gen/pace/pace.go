// Package pace says when frames are due: a rate kept to the frame, in small bursts, even if the sender is delayed.
//
// Frame i is due at i ÷ rate after the start, and never sent before. The sender asks for what is due in a burst, so
// that a system call carries more than one frame: a burst is sent when its last frame is due.
//
// A sender that was held up (its CPU was taken away, the kernel had no room) has a debt. Paying it at once would load
// the device under test with a burst that is no part of the load, so the debt is paid at no more than a quarter above
// the rate. The whole number of frames is exact either way; if time runs out first, the rate was not reached.
//
// A Pacer has no clock and sends nothing: times are passed in.
package pace

import (
	"fmt"
	"math"
	"time"
)

// MaxBurst is the most frames that are ever due at once.
const MaxBurst = 64

const (
	// span is the time whose frames are one burst by default: 20 frames at 1 Mpps, 1 below 100 kpps.
	span = 20 * time.Microsecond
	// usualBurst is the largest burst by default.
	usualBurst = 32
	// turn is how long the sender may take from one question to the next before the rest becomes debt.
	turn = int64(100 * time.Microsecond)
	// payback is the share of the rate, 1/payback, by which a debt is paid.
	payback = 4
)

// Burst is the usual number of frames in a burst at a rate in frames per second: those due in 20 µs, 1 to 32.
func Burst(rate float64) int {
	return int(min(max(rate*span.Seconds(), 1), usualBurst))
}

// Pacer is one sender's schedule. It is for one goroutine.
type Pacer struct {
	rate  float64 // frames per ns, +Inf without limit
	burst uint64
	total uint64 // frames in all

	start, last int64 // ns
	debt        int64 // ns by which the schedule lags behind the clock
	widest      int64 // the largest debt so far
	sent        uint64
	step        int64 // ns that one question may advance the schedule
}

// New makes a schedule of total frames at rate frames per second (0: no limit) that begins at time start, in ns.
// Burst is 1 to MaxBurst, or 0 for the usual one.
func New(rate float64, total uint64, burst int, start int64) (*Pacer, error) {
	if math.IsNaN(rate) || rate < 0 || burst < 0 || burst > MaxBurst {
		return nil, fmt.Errorf("pace: %g frames per second in bursts of %d: "+
			"want a rate of 0 (no limit) or more, and bursts of up to %d", rate, burst, MaxBurst)
	}
	p := &Pacer{rate: rate / 1e9, burst: uint64(burst), total: total, start: start, last: start, step: turn}
	if rate == 0 {
		p.rate = math.Inf(1)
	}
	if burst == 0 {
		p.burst = uint64(Burst(p.rate * 1e9))
		if rate == 0 {
			p.burst = MaxBurst
		}
	}
	if rate > 0 {
		p.step = max(turn, int64(min(float64(p.burst)/p.rate, math.MaxInt64/4)))
	}
	return p, nil
}

// Due returns how many frames are to be sent now: 0, or a burst, or up to MaxBurst when the sender comes late. Without
// a limit a burst is always due.
func (p *Pacer) Due(now int64) int {
	left := p.total - p.sent
	if left == 0 || now < p.last {
		return 0
	}
	if math.IsInf(p.rate, 1) {
		return int(min(left, p.burst))
	}
	step := now - p.last
	p.last = now
	if step > p.step {
		p.debt += step - p.step
		step = p.step
	}
	p.debt -= min(p.debt, step/payback)
	ripe := uint64(float64(now-p.start-p.debt)*p.rate) + 1 // frames whose time has come; the first one's at once
	if ripe <= p.sent {
		return 0
	}
	due := ripe - p.sent
	// What the sender could not get rid of is debt too.
	if over := float64(due) - 2*MaxBurst; over > 0 {
		p.debt += int64(over / p.rate)
		due = 2 * MaxBurst
	}
	p.widest = max(p.widest, p.debt)
	if due < p.burst && due < left {
		return 0
	}
	return int(min(due, left, MaxBurst))
}

// Sent notes that n frames have gone.
func (p *Pacer) Sent(n int) { p.sent += uint64(n) }

// Done reports whether all frames have gone.
func (p *Pacer) Done() bool { return p.sent == p.total }

// Next returns the time from the last call of Due until the next burst is due, in ns, if nothing delays the sender.
func (p *Pacer) Next() int64 {
	if p.Done() || math.IsInf(p.rate, 1) {
		return 0
	}
	burst := min(p.burst, p.total-p.sent)
	at := p.start + p.debt + int64(min(float64(p.sent+burst-1)/p.rate, math.MaxInt64/4))
	wait := at - p.last
	if p.debt > 0 { // it comes sooner while a debt is being paid
		wait -= wait / (payback + 1)
	}
	return max(wait, 0)
}

// Lag is by how much the sender was ever late, in ns, beyond what the size of a burst makes of it.
func (p *Pacer) Lag() int64 { return p.widest }

// Debt is by how much it is late now, in ns.
func (p *Pacer) Debt() int64 { return p.debt }

// Size is the usual number of frames in a burst.
func (p *Pacer) Size() int { return int(p.burst) }
