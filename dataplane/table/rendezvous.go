package table

import "math"

// Mix hashes (hash, seed) to 32 well-mixed bits: the score of a candidate in rendezvous hashing. It is the same on
// every box and after every restart.
func Mix(hash, seed uint32) uint32 {
	z := (uint64(seed)<<32 | uint64(hash)) * 0x9e3779b97f4a7c15
	z ^= z >> 32
	z *= 0xd6e8feb86659fd93
	return uint32(z >> 32)
}

// WeightedScore turns the hash of a candidate into a score: choosing the candidate of the largest score gives each
// a share in proportion to its weight.
func WeightedScore(h uint32, weight uint16) uint32 {
	u := (float64(h) + 0.5) / (1 << 32)
	return uint32((math.Log2(float64(weight)) - math.Log2(-math.Log2(u)) + 64) * (1 << 24))
}
