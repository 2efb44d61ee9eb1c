package keeper

import "math"

// Slack is how late a timer may be without being counted as late, in nanoseconds.
const Slack = 1_000_000

// Never is the time of an event that does not occur.
const Never = int64(math.MaxInt64)

// Clock is the clock on which probes run, in nanoseconds. It stands still while the worker does not run: it never
// passes the next probe by more than Slack. So a worker that the machine starves of its CPU probes later and judges
// later, and what it could not receive in time is not held against a target. A probe that is due then counts as late,
// and the answer that it waits for gets another Slack, once: a machine that stood still goes on before what arrived
// meanwhile has been received.
//
// Each kind has a clock of its own: a kind with more probes due than a turn's steps delays its own verdicts, and no
// other kind's.
type Clock struct {
	now  int64
	last int64 // time of the last turn
	late bool  // the probes that are due now are late
}

// advance moves the clock to the turn that begins at now; due is the time of the next probe, or Never.
func (c *Clock) advance(now, due int64) {
	c.now += now - c.last
	c.last = now
	if c.late = due != Never && c.now-due > Slack; c.late {
		c.now = due + Slack
	}
}

// when returns the time of a probe on the workers' clock, at the earliest: the clock may stand still until then.
func (c *Clock) when(due int64) int64 {
	if due == Never {
		return Never
	}
	return c.last + due - c.now
}
