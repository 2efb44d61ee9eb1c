package icmp

// Limiter is a token bucket for the errors of one worker. The zero value is a full bucket.
type Limiter struct {
	credit  uint64 // in billionths of a token
	last    int64  // nanoseconds
	started bool
}

const token = 1e9

// Allow takes a token and reports whether there was one. now is in nanoseconds of a clock that does not run backwards,
// rate in tokens per second (0 allows nothing), burst is how many tokens the bucket holds, at least 1.
func (l *Limiter) Allow(now int64, rate, burst uint32) bool {
	if rate == 0 {
		return false
	}
	full := uint64(max(burst, 1)) * token
	elapsed := now - l.last
	switch {
	case !l.started:
		l.credit, l.last, l.started = full, now, true
	case elapsed > 0:
		l.last = now
		// The comparison keeps the product within 64 bits: full is below 2^62.
		if uint64(elapsed) > full/uint64(rate) {
			l.credit = full
		} else {
			l.credit = min(full, l.credit+uint64(elapsed)*uint64(rate))
		}
	default:
		l.credit = min(full, l.credit) // the burst may have been lowered
	}
	if l.credit < token {
		return false
	}
	l.credit -= token
	return true
}
