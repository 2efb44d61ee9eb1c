// Package traffic turns the description of a traffic mix (a profile, TOML) into frames.
//
//	Load, Parse, Builtin ─▶ Profile ─▶ Program ─▶ Make(seq) ─▶ a frame, whole, without FCS
//	                           └─▶ Export: the same mix for TRex, kernel pktgen, DPDK Pktgen
//
// A profile has streams; a stream is a stack of headers with constant and varying fields, a size, and a weight. A
// Program is a profile prepared for one port: a list of Streams, each a prepared frame, a few variables and a few
// writes, and a schedule that maps the number of a frame to its stream. A Program has no state: frame seq is a function
// of seq, so that any number of threads may make any part of the sequence, twice, or backwards.
//
// # Sequence
//
// Frames go in turns. In a turn each stream has as many frames as its weight says (divided by the common divisor of
// all), evenly spread. The n-th frame of a stream is packet n of it, whatever the other streams do: that is what the
// exports are compared by.
//
// # Sizes
//
// The sizes of a profile are those of RFC 2544, section 9: octets of the Ethernet frame with its FCS, tags and outer
// headers included. Make returns octets without the FCS, four fewer.
//
// # Random values
//
// A random variable is that of TRex (STLVmFlowVarRepeatableRandom): s(n+1) = 214013·s(n) + 2531011 mod 2³², 15 bits a
// step. The generator is weak, but two other load generators draw the same values, and the n-th state can be computed
// at once (lcg.go).
//
// # Limits
//
// 256 streams, 4,096 frames a turn, 16 variables and 24 writes a stream, ranges of at most 2³² values, frames of at
// most 16,384 octets.
package traffic
