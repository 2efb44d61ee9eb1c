package traffic

import (
	"encoding/binary"

	"penstock/dataplane/wire/checksum"
)

// Sizes of what one stream may have.
const (
	maxValues  = 16 // variables; a tuple counts twice
	maxWrites  = 24
	maxSums    = 3 // outer IPv4, inner IPv4, transport
	maxStreams = 256
	maxTurn    = 4096
)

// op is how a variable goes from packet to packet.
type op uint8

const (
	opInc    op = iota
	opDec       // from the end down
	opRandom    // draw30
	opShort     // draw15: sizes and lists, for which TRex has only this
	opTuple     // two values: an address, and a port that goes on when the addresses have gone round
)

// variable is a value that differs from packet to packet of a stream.
type variable struct {
	op    op
	out   uint8    // index of the value; of a tuple's port one more
	from  uint32   // lowest value
	step  uint32   //
	count divisor  // how many values
	limit divisor  // opTuple: flows
	port  uint32   // opTuple: lowest port
	seed  uint32   // opRandom, opShort
	place uint32   // opShort: which of the draws of a packet
	draws uint32   // opShort: how many a packet takes
	list  []uint32 // values by index, in place of from + index·step

	// for exports
	octets uint8 // size
	name   string
	flows  *flows // it goes through flows
}

// at returns the value in packet k; of a tuple also the port.
func (v *variable) at(k uint64) (value, port uint32) {
	var i uint64
	switch v.op {
	case opInc:
		i = v.count.mod(k)
	case opDec:
		i = v.count.d - 1 - v.count.mod(k)
	case opRandom:
		i = v.count.mod(uint64(draw30(v.seed, uint32(k))))
	case opShort:
		i = v.count.mod(uint64(draw15(v.seed, uint32(k)*v.draws+v.place)))
	case opTuple:
		round, i := v.count.divMod(v.limit.mod(k))
		return v.from + uint32(i), v.port + uint32(round)
	}
	if v.list != nil {
		return v.list[i], 0
	}
	return v.from + uint32(i)*v.step, 0
}

// write puts a value into a frame.
type write struct {
	off   uint16          // of the frame
	from  uint8           // index of the value
	width uint8           // octets: 1, 2, 4; 0: a word for checksums only (lengths in pseudo-headers)
	add   uint32          // added before writing
	mask  uint32          // for exports: the bits of the field that are the value's; 0 = all
	odd   bool            // at an odd offset
	sums  uint8           // bit i: sum i covers it
	cover [maxSums]uint32 // the same as masks
}

// sum is a checksum that writes change.
type sum struct {
	off  uint16 // of the checksum field
	base uint32 // over all that stays the same
	zero uint16 // sent in place of 0: for UDP 0xffff (RFC 768)
}

// lane is a stream as Make needs it.
type lane struct {
	frame  []byte // template, with zeros where there are writes
	sign   bool   //
	length int8   // index of the value that is the frame's length, −1 = len(frame)
	vars   []variable
	writes []write
	sums   []sum
	replay [][]byte // frames in turn, in place of all this
	rounds divisor  // of len(replay)
}

// make writes packet k into buf.
func (l *lane) make(k, seq uint64, stamp int64, buf []byte) int {
	if l.replay != nil {
		return copy(buf, l.replay[l.rounds.mod(k)])
	}
	var vals [maxValues]uint32
	for i := range l.vars {
		v := &l.vars[i]
		a, p := v.at(k)
		vals[v.out&(maxValues-1)] = a
		if v.op == opTuple {
			vals[(v.out+1)&(maxValues-1)] = p
		}
	}
	n := len(l.frame)
	if l.length >= 0 {
		n = int(vals[l.length&(maxValues-1)])
	}
	b := buf[:n]
	copy(b, l.frame)
	var sums [maxSums]uint32
	for i := range l.writes {
		w := &l.writes[i]
		v := vals[w.from&(maxValues-1)] + w.add
		switch w.width {
		case 1:
			b[w.off] = byte(v)
			v = v & 0xff << 8
		case 2:
			binary.BigEndian.PutUint16(b[w.off:], uint16(v))
			v &= 0xffff
		case 4:
			binary.BigEndian.PutUint32(b[w.off:], v)
		default:
			v &= 0xffff
		}
		v = v>>16 + v&0xffff
		if w.odd {
			v = v>>16 + v&0xffff
			v = v>>8 | v&0xff<<8
		}
		sums[0] += v & w.cover[0]
		sums[1] += v & w.cover[1]
		sums[2] += v & w.cover[2]
	}
	for i := range l.sums {
		s := &l.sums[i]
		c := ^checksum.Fold(s.base + sums[min(i, maxSums-1)])
		if c == 0 {
			c = s.zero
		}
		binary.BigEndian.PutUint16(b[s.off:], c)
	}
	if l.sign {
		sign(b[n-SignatureLen:], seq, stamp)
	}
	return n
}

// slot is one frame of a turn.
type slot struct {
	lane   uint16
	weight uint16 // frames of its stream in a turn
	rank   uint16 // frames of its stream before it in the turn
	round  uint16 // index in Program.rounds + 1; 0 = none
}

// round is a group of streams that take turns in blocks: of the connections of one block all take the first step, then
// all the second, and so on.
type round struct {
	lanes []uint16
	block divisor // connections
	all   divisor // connections × steps
}

// Program makes the frames of one profile for one port. It is safe for use by several goroutines.
type Program struct {
	lanes   []lane
	streams []Stream
	origins []origin // of the streams, for exports
	slots   []slot
	turn    divisor
	rounds  []round
	remarks []string
	maxLen  int
	meanLen float64
}

// origin is what a stream was made of.
type origin struct {
	spec          spec
	raw           bool // the frame is not what spec describes
	inner, l3, l4 int  // where the innermost headers begin
	flowPort      int  // where the port of flows stands that Make need not write; 0 = nowhere
	step          int  // of a connection
}

// Stream describes a stream of a program. Each size in the list of a profile's stream, each kind of malformed frame and
// each step of a connection is a stream of its own.
type Stream struct {
	Name   string // "udp", "udp/570", "churn/syn"
	Side   Side
	Weight int     // its share of the frames, relative to the other streams
	Len    float64 // mean length in octets, without FCS
	MaxLen int     // largest length
	Signed bool    // its frames carry a signature
}

// at finds the stream of frame seq, and which of its packets that is.
func (g *Program) at(seq uint64) (lane int, k uint64) {
	if len(g.slots) == 1 && len(g.rounds) == 0 {
		return 0, seq
	}
	turn, pos := g.turn.divMod(seq)
	s := &g.slots[pos]
	k = turn*uint64(s.weight) + uint64(s.rank)
	if s.round == 0 {
		return int(s.lane), k
	}
	r := &g.rounds[s.round-1]
	block, rest := r.all.divMod(k)
	step, conn := r.block.divMod(rest)
	return int(r.lanes[step]), block*r.block.d + conn
}

// Make writes frame seq into buf, with right checksums and, if its stream is signed, a signature with seq and stamp. It
// returns the length without FCS. The frame is the same for the same seq but for the signature's stamp. buf must have
// room for MaxLen octets, seq be at most MaxSeq.
func (g *Program) Make(seq uint64, stamp int64, buf []byte) int {
	lane, k := g.at(seq)
	return g.lanes[lane].make(k, seq, stamp, buf)
}

// MaxLen returns the length of the longest frame, in octets without FCS.
func (g *Program) MaxLen() int { return g.maxLen }

// MeanLen returns the mean length of the frames of a turn, in octets without FCS.
func (g *Program) MeanLen() float64 { return g.meanLen }

// Remarks returns what of the profile's capture files is not sent as it stands there, a sentence each.
func (g *Program) Remarks() []string { return g.remarks }

// Streams returns the program's streams; their index is what Stream returns.
func (g *Program) Streams() []Stream { return g.streams }

// Stream returns which stream frame seq belongs to: an index of Streams.
func (g *Program) Stream(seq uint64) int {
	lane, _ := g.at(seq)
	return lane
}

// Signed reports whether frame seq carries a signature.
func (g *Program) Signed(seq uint64) bool {
	lane, _ := g.at(seq)
	return g.lanes[lane].sign
}
