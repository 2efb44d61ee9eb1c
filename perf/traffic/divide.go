package traffic

import "math/bits"

// divisor divides by a number that is not known to the compiler, without a division: by the reciprocal, rounded down,
// and one correction (Granlund and Montgomery, Division by Invariant Integers using Multiplication, 1994).
//
// For n up to MaxSeq the quotient estimate is at most one too small: n·(2⁶⁴−1)/d/2⁶⁴ > n/d − 1 as long as n < 2⁶³.
type divisor struct {
	d, inverse uint64
}

func newDivisor(d uint64) divisor { return divisor{d, ^uint64(0) / d} }

// divMod returns n / d and n mod d.
func (v divisor) divMod(n uint64) (q, r uint64) {
	q, _ = bits.Mul64(n, v.inverse)
	r = n - q*v.d
	if r >= v.d {
		r -= v.d
		q++
	}
	return q, r
}

func (v divisor) mod(n uint64) uint64 {
	q, _ := bits.Mul64(n, v.inverse)
	r := n - q*v.d
	if r >= v.d {
		r -= v.d
	}
	return r
}
