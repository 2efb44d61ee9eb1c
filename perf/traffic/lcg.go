package traffic

// The random generator of TRex's field engine: state' = 214013·state + 2531011 mod 2³², and 15 bits of it, 30 … 16, are
// a draw. A value of one or two octets takes one draw, one of four octets two of them (high half first, as GCC
// evaluates the sum in vm_rand32; C++ leaves the order open).
//
// n steps at once are again one multiplication and one addition, so that packet n needs no packets before it: the four
// tables hold the factors of n·1, n·2⁸, n·2¹⁶, n·2²⁴ double steps.

const (
	lcgFactor = 214013
	lcgAdd    = 2531011
)

// affine is s → mul·s + add.
type affine struct{ mul, add uint32 }

func (f affine) at(s uint32) uint32 { return f.mul*s + f.add }

// then is g after f.
func (f affine) then(g affine) affine { return affine{g.mul * f.mul, g.mul*f.add + g.add} }

var lcgStep = affine{lcgFactor, lcgAdd}

// jumps of k·256ⁱ steps.
type jumps [4][256]affine

var (
	jumpSingle = newJumps(lcgStep)
	jumpDouble = newJumps(lcgStep.then(lcgStep))
)

func newJumps(step affine) *jumps {
	var j jumps
	for i := range j {
		f := affine{1, 0}
		for k := range j[i] {
			j[i][k] = f
			f = f.then(step)
		}
		step = f
	}
	return &j
}

// state returns the state n steps after seed. The period is 2³².
func (j *jumps) state(seed, n uint32) uint32 {
	s := j[0][n&255].at(seed)
	s = j[1][n>>8&255].at(s)
	s = j[2][n>>16&255].at(s)
	return j[3][n>>24].at(s)
}

// draw15 is the k-th draw (from 0) of 15 bits: TRex's vm_rand16.
func draw15(seed, k uint32) uint32 { return lcgStep.at(jumpSingle.state(seed, k)) >> 16 & 0x7fff }

// draw30 is the k-th draw of two times 15 bits: TRex's vm_rand32. Bits 15 and 31 are 0.
func draw30(seed, k uint32) uint32 {
	high := lcgStep.at(jumpDouble.state(seed, k))
	low := lcgStep.at(high)
	return high>>16&0x7fff<<16 + low>>16&0x7fff
}
