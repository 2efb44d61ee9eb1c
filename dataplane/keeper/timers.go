package keeper

// Timers is a set of timers, known by dense ids: a heap in which a timer has four children, so that the heap is half as
// deep as a binary one, and the children of a timer lie in one cache line or two. To start, change or stop a timer
// costs O(log n), to know the next one O(1). Of two timers for the same time the one with the smaller id is first.
// Nothing but Grow allocates.
type Timers struct {
	heap []timer  // the next one first; none is later than its children 4i+1 … 4i+4
	at   []uint32 // by id: index in heap + 1; 0 = the timer does not run
}

type timer struct {
	time int64
	id   uint32
}

func (t timer) before(u timer) bool { return t.time < u.time || t.time == u.time && t.id < u.id }

// Grow makes room for the ids below n. It never shrinks the set.
func (t *Timers) Grow(n int) {
	if n <= len(t.at) {
		return
	}
	t.at = append(t.at, make([]uint32, n-len(t.at))...)
	t.heap = append(make([]timer, 0, n), t.heap...)
}

// Len is the number of running timers.
func (t *Timers) Len() int { return len(t.heap) }

// Runs reports whether a timer runs.
func (t *Timers) Runs(id uint32) bool { return uint64(id) < uint64(len(t.at)) && t.at[id] != 0 }

// Next returns the next timer; time is Never if no timer runs.
func (t *Timers) Next() (id uint32, time int64) {
	if len(t.heap) == 0 {
		return 0, Never
	}
	return t.heap[0].id, t.heap[0].time
}

// Set sets a timer to a time; Never stops it. An id without room is ignored.
func (t *Timers) Set(id uint32, time int64) {
	if time == Never {
		t.Stop(id)
		return
	}
	if uint64(id) >= uint64(len(t.at)) {
		return
	}
	if t.at[id] == 0 {
		t.heap = append(t.heap, timer{})
		t.at[id] = uint32(len(t.heap))
	}
	t.sift(int(t.at[id]-1), timer{time, id})
}

// Stop stops a timer, if it runs.
func (t *Timers) Stop(id uint32) {
	if !t.Runs(id) {
		return
	}
	i, end := int(t.at[id]-1), len(t.heap)-1
	t.at[id] = 0
	last := t.heap[end]
	t.heap = t.heap[:end]
	if i < end {
		t.sift(i, last)
	}
}

// sift puts x into its position in the heap, beginning at the free index i: up, or else down.
func (t *Timers) sift(i int, x timer) {
	for i > 0 {
		up := (i - 1) / 4
		if !x.before(t.heap[up]) {
			break
		}
		t.put(i, t.heap[up])
		i = up
	}
	for {
		first := 4*i + 1
		if first >= len(t.heap) {
			break
		}
		least := first
		for c := first + 1; c < min(first+4, len(t.heap)); c++ {
			if t.heap[c].before(t.heap[least]) {
				least = c
			}
		}
		if !t.heap[least].before(x) {
			break
		}
		t.put(i, t.heap[least])
		i = least
	}
	t.put(i, x)
}

func (t *Timers) put(i int, x timer) {
	t.heap[i] = x
	t.at[x.id] = uint32(i + 1)
}
