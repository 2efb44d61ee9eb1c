package table

import "math/bits"

// Seed spreads what tells a candidate from the others over 64 bits, once, so that Mix has little left to do.
func Seed(seed uint32) uint64 {
	z := uint64(seed)*0x9e3779b97f4a7c15 + 0x632be59bd9b4e019
	z = (z ^ z>>32) * 0xd6e8feb86659fd93
	z = (z ^ z>>29) * 0xff51afd7ed558ccd
	return z ^ z>>32
}

// Mix hashes a flow's hash and a candidate's Seed to 64 well-mixed bits: the score of a candidate in rendezvous hashing
// (Thaler and Ravishankar, 1998): of the candidates for a flow the one with the largest score is chosen, so that a
// candidate that goes away moves no flows but its own. It is the same on every box and after every restart.
func Mix(hash uint32, seed uint64) uint64 {
	return mix(spread(hash), seed)
}

const (
	mixA = 0xa0761d6478bd642f // odd, with about as many ones as zeros
	mixB = 0xe7037ed1a0b428db
)

// spread is the part of Mix that all candidates of a flow share: each bit of the hash reaches the low bits, from where
// mix carries it up.
func spread(hash uint32) uint64 {
	x := uint64(hash) * mixA
	return x ^ x>>32
}

func mix(flow, seed uint64) uint64 { return (flow ^ seed) * mixB }

// Best returns the index of the candidate with the highest Mix, of at most 65,536 equal ones; 0 if there is none. Score
// and index are compared as one number, and without a branch: which candidate wins is exactly what no branch predictor
// knows.
func Best(hash uint32, seeds []uint64) uint16 {
	flow, best := spread(hash), uint64(0)
	for i, seed := range seeds {
		best = max(best, mix(flow, seed)&^0xffff|uint64(i))
	}
	return uint16(best)
}

// WeightedScore turns the high half of a candidate's Mix into a score that gives each candidate a share in proportion
// to its weight; weight 0 gets nothing as long as there are others. Equal weights lead to the same choice as Mix alone,
// but for ties.
//
// With u = (h+½)/2³² the time -log(u)/weight is exponentially distributed at the rate of the weight, and the first of
// several such times is each one's with a probability in proportion to its rate. The score is the time's reciprocal.
// What lost: comparing logarithms of the times, which saves the division and takes twice as long.
func WeightedScore(h uint32, weight uint16) uint64 {
	return uint64(weight) << 48 / (33<<32 - log2(uint64(h)<<1|1)) // the divisor is 1 to 33·2³²
}

// log2 is the binary logarithm of x, which must not be 0, with 32 bits behind the point: exact for powers of two,
// else too small by up to 3e-6, by linear interpolation. Near powers of two the error vanishes with the distance.
func log2(x uint64) uint64 {
	n := bits.LeadingZeros64(x)
	m := x << uint(n) // 1.…
	i := m >> 55 & 0xff
	low := logs[i]
	return uint64(63-n)<<32 + low + (logs[i+1]-low)*(m<<9>>32)>>32
}

// logs holds log2(1+i/256) with 32 bits behind the point. Never written again.
var logs = logTable()

// logTable computes the table in whole numbers, so that it is the same on every machine: squaring a number doubles
// its logarithm, each overflow is the next bit.
func logTable() (t [257]uint64) {
	for i := range t[:256] {
		x := uint64(1)<<63 | uint64(i)<<55
		for range 33 { // one more to round
			hi, lo := bits.Mul64(x, x)
			t[i] <<= 1
			if hi>>63 != 0 {
				t[i] |= 1
				x = hi
			} else {
				x = hi<<1 | lo>>63
			}
		}
		t[i] = (t[i] + 1) >> 1
	}
	t[256] = 1 << 32
	return t
}
