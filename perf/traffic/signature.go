package traffic

import "encoding/binary"

// SignatureLen is what a signature takes, in octets, at the end of a frame's innermost payload:
//
//	 0         6           14        16      18
//	[sequence 6][stamp 8   ][balance 2][magic 2]   big endian
//
// The balance brings the one's complement sum of all nine words to 0xffff, which is zero to the Internet checksum
// (RFC 1071): writing a signature over zeros, or another one over it, changes no checksum, wherever the payload begins.
// With the magic it is also what tells a signature from other octets: 1 in 2³² of random ones pass.
const SignatureLen = 18

// MaxSeq is the largest sequence number that a signature holds.
const MaxSeq = 1<<48 - 1

const (
	signatureMagic = 0x5067
	// maxTrailer is how much may follow a signature: what pads a frame of 60 octets whose headers were taken off (IEEE
	// 802.3, 3.2.8), and an FCS.
	maxTrailer = 46 + 4
)

// sign writes a signature into the 18 octets of b.
func sign(b []byte, seq uint64, stamp int64) {
	_ = b[SignatureLen-1]
	t := uint64(stamp)
	w0 := seq<<16 | t>>48
	w1 := t << 16
	s := w0>>32 + w0&0xffffffff + w1>>32 + w1&0xffffffff + signatureMagic
	s = s>>32 + s&0xffffffff
	s = s>>16 + s&0xffff
	s = s>>16 + s&0xffff
	s = s>>16 + s&0xffff
	binary.BigEndian.PutUint64(b, w0)
	binary.BigEndian.PutUint64(b[8:], w1|^s&0xffff)
	binary.BigEndian.PutUint16(b[16:], signatureMagic)
}

// Signature reads the signature of a frame: the number that Make was given and the time stamp. It looks from the end of
// the frame, so that headers before it may come, go and change; up to 50 octets of padding may follow. ok is false
// for frames that carry none.
func Signature(frame []byte) (seq uint64, stamp int64, ok bool) {
	n := len(frame)
	for last := max(SignatureLen, n-maxTrailer); n >= last; n-- {
		b := frame[n-SignatureLen : n : n]
		if binary.BigEndian.Uint16(b[16:]) != signatureMagic {
			continue
		}
		w0, w1 := binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:])
		s := w0>>32 + w0&0xffffffff + w1>>32 + w1&0xffffffff + signatureMagic
		s = s>>32 + s&0xffffffff
		s = s>>16 + s&0xffff
		s = s>>16 + s&0xffff
		// A balance of all ones would be another zero (RFC 1071); the sum whose complement it is includes the magic and
		// is never zero, so that no sender writes this value.
		if s>>16+s&0xffff == 0xffff && w1&0xffff != 0xffff {
			return w0 >> 16, int64(w0<<48 | w1>>16), true
		}
	}
	return 0, 0, false
}
