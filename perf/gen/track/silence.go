package track

// Silence finds the longest time in which nothing arrived: how long a device was blocked, seen from behind it. It
// cannot tell a gap that is shorter than what lies between two frames as they are sent.
//
// All times are in ns of one clock. It is for one goroutine at a time.
type Silence struct {
	last    int64 // the latest arrival, or when the stream began
	mark    int64
	longest Gap
}

// Gap is a time in which nothing arrived.
type Gap struct {
	Begin, End int64 // ns; both 0: none
}

// Length is how long it was, in ns.
func (g Gap) Length() int64 { return g.End - g.Begin }

// Begin starts the watch: the first frame is sent now.
func (s *Silence) Begin(now int64) { *s = Silence{last: now, mark: now} }

// Arrived notes an arrival. Arrivals that are told late, with an earlier time than another one's, end no gap.
func (s *Silence) Arrived(at int64) {
	if at-s.last > s.longest.Length() && at > s.mark {
		s.longest = Gap{s.last, at}
	}
	s.last = max(s.last, at)
}

// Mark forgets what was, as of a time: from here on only gaps count that end later.
func (s *Silence) Mark(at int64) { s.mark, s.longest = at, Gap{} }

// End ends the watch: the last frame was sent at that time. A device that is still silent then counts as blocked until
// then.
func (s *Silence) End(at int64) { s.Arrived(max(at, s.last)) }

// Longest returns the longest gap so far.
func (s *Silence) Longest() Gap { return s.longest }
