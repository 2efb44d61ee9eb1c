package maglev

import (
	"math"
	"math/bits"
	"slices"
)

// MaxServers is the largest number of servers of a table: its entries are positions in 16 bits, and the largest one
// is left out.
const MaxServers = 1<<16 - 1

// MaxTable is the largest table: the largest prime below 2²³, 16 MiB.
const MaxTable = 8_388_593

// Server is a server of a table.
type Server struct {
	Name   string
	Weight uint16 // not 0
}

// Build makes a table of m entries, each the position of a server in the list. Servers are in the order of their names,
// which differ; m is a prime (IsPrime), not less than the number of servers. Without servers there is no table: nil.
//
// A server's preference list is the slots (offset + j·skip) mod m. In each round every server whose turn it is takes
// the first free slot of its list. Where few slots are left, that slot is not searched along the list: the free slots'
// places in the list are computed. The search for these slots takes half of the time otherwise.
func Build(key *Key, servers []Server, m uint32) []uint16 {
	n := len(servers)
	if n == 0 || n > MaxServers || m < 2 {
		return nil
	}
	b := builder{m: m, left: m, few: uint32(math.Sqrt(float64(m))), table: make([]uint16, m), used: make([]uint64,
		m/64+1), at: make([]uint32, n),
		skip: make([]uint32, n)}
	var total, most uint64
	for i := range servers {
		s := &servers[i]
		b.at[i] = uint32(nameHash(key, s.Name, 0) % uint64(m))
		b.skip[i] = uint32(nameHash(key, s.Name, 1)%uint64(m-1)) + 1
		total += uint64(s.Weight)
		most = max(most, uint64(s.Weight))
	}
	b.start = slices.Clone(b.at)
	switch {
	case total == most*uint64(n):
		b.equal()
	case most*uint64(n) <= 32*total:
		b.weighted(servers, uint32(most))
	default:
		b.sparse(servers, uint32(most))
	}
	return b.table
}

// builder is a table under construction.
type builder struct {
	m     uint32
	left  uint32 // free slots
	few   uint32 // with fewer of them the free slots are searched, and no more the lists: the root of m
	table []uint16
	used  []uint64 // a bit for each slot that is taken: it stays in the cache where the table does not
	at    []uint32 // by server: where its search goes on
	skip  []uint32
	start []uint32 // the server's first slot

	tail    []uint32 // the free slots, once they are few
	inverse []uint32 // by server: of skip, modulo m; 0 = not computed yet
}

// equal fills the table with servers of one weight: each takes a slot in every round.
func (b *builder) equal() {
	for {
		for i := range b.at {
			if b.take(i); b.left == 0 {
				return
			}
		}
	}
}

// weighted fills the table: in round r a server takes a slot if ⌈r·w/most⌉ > ⌈(r−1)·w/most⌉.
func (b *builder) weighted(servers []Server, most uint32) {
	sum := make([]uint32, len(servers)) // r·w + most − 1, modulo most
	for i := range sum {
		sum[i] = most - 1
	}
	for {
		for i := range sum {
			if sum[i] += uint32(servers[i].Weight); sum[i] < most {
				continue
			}
			sum[i] -= most
			if b.take(i); b.left == 0 {
				return
			}
		}
	}
}

// sparse is weighted where most servers take no slot in most rounds. A server's slot k, from 0, is taken in round
// ⌊k·most/w⌋ + 1. due is a heap of the servers' next rounds and positions.
func (b *builder) sparse(servers []Server, most uint32) {
	due := make([]uint64, len(servers))
	taken := make([]uint32, len(servers))
	for i := range due {
		due[i] = 1<<16 | uint64(i) // sorted, so it is a heap
	}
	for {
		i := int(due[0] & 0xffff)
		if b.take(i); b.left == 0 {
			return
		}
		taken[i]++
		round := uint64(taken[i])*uint64(most)/uint64(servers[i].Weight) + 1
		due[0] = round<<16 | uint64(i)
		for at := 0; ; {
			child := 2*at + 1
			if child+1 < len(due) && due[child+1] < due[child] {
				child++
			}
			if child >= len(due) || due[at] <= due[child] {
				break
			}
			due[at], due[child] = due[child], due[at]
			at = child
		}
	}
}

// take gives server i the first free slot of its list.
func (b *builder) take(i int) {
	if b.tail != nil {
		b.takeTail(i)
		return
	}
	c, skip, m, used := b.at[i], b.skip[i], b.m, b.used
	for used[c>>6]>>(c&63)&1 != 0 {
		c = next(c, skip, m)
	}
	used[c>>6] |= 1 << (c & 63)
	b.table[c] = uint16(i)
	b.at[i] = next(c, skip, m)
	if b.left--; b.left < b.few {
		b.findTail()
	}
}

func next(c, skip, m uint32) uint32 {
	c += skip
	if d := c - m; d < 1<<31 { // c ≥ m; both are below 2²⁴
		c = d
	}
	return c
}

// findTail lists the free slots.
func (b *builder) findTail() {
	b.tail = make([]uint32, 0, b.left)
	b.inverse = make([]uint32, len(b.at))
	for w, x := range b.used {
		for x = ^x; x != 0; x &= x - 1 {
			if c := uint32(w*64 + bits.TrailingZeros64(x)); c < b.m {
				b.tail = append(b.tail, c)
			}
		}
	}
}

// takeTail gives server i the free slot that comes first in its list: of the slots, the one of the smallest place
// (slot − start)·skip⁻¹ mod m.
func (b *builder) takeTail(i int) {
	m := uint64(b.m)
	if b.inverse[i] == 0 {
		b.inverse[i] = inverse(b.skip[i], b.m)
	}
	inv := uint64(b.inverse[i])
	back := m - uint64(b.start[i])
	reciprocal := ^uint64(0) / m
	best, place := 0, m
	for j, c := range b.tail {
		x := (uint64(c) + back) * inv // below 2⁴⁷, so that the quotient is right or 1 too small
		q, _ := bits.Mul64(x, reciprocal)
		p := x - q*m
		if p >= m {
			p -= m
		}
		if p < place {
			best, place = j, p
		}
	}
	b.table[b.tail[best]] = uint16(i)
	last := len(b.tail) - 1
	b.tail[best] = b.tail[last]
	b.tail = b.tail[:last]
	b.left--
}

// inverse returns the number x with a·x = 1 modulo the prime m, for 0 < a < m.
func inverse(a, m uint32) uint32 {
	r0, r1 := int64(m), int64(a)
	x0, x1 := int64(0), int64(1)
	for r1 != 0 {
		q := r0 / r1
		r0, r1 = r1, r0-q*r1
		x0, x1 = x1, x0-q*x1
	}
	if x0 < 0 {
		x0 += int64(m)
	}
	return uint32(x0)
}

// IsPrime reports whether n is a prime.
func IsPrime(n uint32) bool {
	if n < 4 {
		return n > 1
	}
	if n%2 == 0 {
		return false
	}
	for d := uint64(3); d*d <= uint64(n); d += 2 {
		if uint64(n)%d == 0 {
			return false
		}
	}
	return true
}

// NextPrime returns the smallest prime that is not less than n, for n up to MaxTable.
func NextPrime(n uint32) uint32 {
	for !IsPrime(n) {
		n++
	}
	return n
}
