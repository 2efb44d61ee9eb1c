package track

// maxGaps is how many gaps a queue remembers. With no more open at a time, extents are exact.
const maxGaps = 4096

// gap is a run of numbers that were jumped over: from ≤ n < to. The frame that did so is the first that arrived with a
// larger number than any of them, which is what a reordered frame's extent is counted from.
type gap struct {
	from, to uint64
	arrival  uint64 // of the frame that jumped
}

// order is the order of arrivals on one queue.
type order struct {
	next     uint64 // NextExp of RFC 4737: the largest number that arrived, plus 1
	arrivals uint64 // without duplicates
	gaps     []gap  // ring, ascending from the oldest
	pushed   uint64 // gaps ever
}

// disorder notes an arrival that is not the number expected next.
func (t *Tracker) disorder(o *order, n uint64) {
	if n > o.next {
		o.push(gap{o.next, n, o.arrivals})
		o.next = n + 1
		o.arrivals++
		return
	}
	c := &t.counts
	c.Reordered++
	c.Behind = max(c.Behind, o.next-1-n)
	since, exact := o.jump(n)
	if e := o.arrivals - since; e > c.Extent || e == c.Extent && exact {
		c.Extent, c.AtLeast = e, !exact
	}
	o.arrivals++
}

func (o *order) push(g gap) {
	if len(o.gaps) < maxGaps {
		o.gaps = append(o.gaps, g)
	} else {
		o.gaps[o.pushed%maxGaps] = g
	}
	o.pushed++
}

// jump returns the arrival of the first frame with a number larger than n, or if that is forgotten the oldest of those
// remembered.
func (o *order) jump(n uint64) (arrival uint64, exact bool) {
	oldest := o.pushed - uint64(len(o.gaps))
	lo, hi := oldest, o.pushed // the first gap that ends behind n
	for lo < hi {
		mid := (lo + hi) / 2
		if o.gaps[mid%maxGaps].to > n {
			hi = mid
		} else {
			lo = mid + 1
		}
	}
	if lo == o.pushed {
		return o.arrivals, true // cannot be: n is below next and has not arrived, so a gap was there
	}
	g := &o.gaps[lo%maxGaps]
	return g.arrival, g.from <= n
}
