package flow

// guard is a token bucket that holds the insertions of a tenth of a second.
type guard struct {
	each int64 // nanoseconds per insertion, 0 = no limit
	full int64 // when the bucket is full
}

// guardBurst is the time in nanoseconds whose insertions may come at once.
const guardBurst = 100_000_000

func (g *guard) set(perSecond uint32) {
	g.each = 0
	if perSecond > 0 {
		g.each = 1_000_000_000 / int64(perSecond)
	}
}

// take reports whether a flow may be inserted.
func (g *guard) take(now int64) bool {
	if g.full > now+guardBurst {
		return false
	}
	g.full = max(g.full, now) + g.each
	return true
}
