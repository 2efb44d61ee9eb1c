package gateway

import (
	"math"
	"slices"
)

// buckets of round-trip times: upper bounds in nanoseconds, 16 µs to 8.6 s.
const minBucket, maxBucket = 14, 33

// histogram counts round-trip times by powers of two.
type histogram struct {
	count   uint64
	sum     float64 // seconds
	buckets [maxBucket - minBucket + 1]uint64
}

func (h *histogram) add(ns int64) {
	h.count++
	h.sum += float64(ns) / 1e9
	for i := minBucket; i <= maxBucket; i++ {
		if ns <= 1<<i {
			h.buckets[i-minBucket]++
			return
		}
	}
}

// sample adds the last round-trip time of every member that has a new one since the last sample.
func (s *Service) sample(g *Group, k *record) {
	for i := range g.Members {
		m := &g.Members[i]
		n, rtt := m.Live.RTTs.Load(), m.Live.RTT.Load()
		if n == k.rtts[m.Name] || rtt == 0 {
			continue
		}
		k.rtts[m.Name] = n
		name := g.Name + "/" + m.Name
		if s.rtt[name] == nil {
			s.rtt[name] = &histogram{}
		}
		s.rtt[name].add(rtt)
	}
}

// RTT is the distribution of a member's sampled round-trip times.
type RTT struct {
	Group, Member string
	Count         uint64
	Sum           float64            // seconds
	Buckets       map[float64]uint64 // upper bound in seconds → how many are not above it
}

// Counters holds the metrics that are not in the status.
type Counters struct {
	Switches map[Switches]uint64
	RTTs     []RTT
}

// Counters returns the counters of the existing groups.
func (s *Service) Counters() Counters {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := Counters{Switches: map[Switches]uint64{}}
	for k, n := range s.switches {
		if slices.ContainsFunc(s.groups, func(g Group) bool { return g.Name == k.Group }) {
			c.Switches[k] = n
		}
	}
	for i := range s.groups {
		g := &s.groups[i]
		for j := range g.Members {
			h := s.rtt[g.Name+"/"+g.Members[j].Name]
			if h == nil {
				h = &histogram{}
			}
			r := RTT{Group: g.Name, Member: g.Members[j].Name, Count: h.count, Sum: h.sum,
				Buckets: map[float64]uint64{}}
			sum := uint64(0)
			for b, n := range h.buckets {
				sum += n
				r.Buckets[math.Ldexp(1e-9, b+minBucket)] = sum
			}
			c.RTTs = append(c.RTTs, r)
		}
	}
	return c
}
