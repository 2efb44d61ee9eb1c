package traffic

import (
	"strconv"
	"strings"

	"penstock/conf"
)

const (
	fcsLen   = 4
	minFrame = 64    // with FCS (IEEE 802.3, 3.2.8)
	maxFrame = 16384 // with FCS
	maxSizes = 64    // in a list
)

// imix is the simple IMIX, in sizes with FCS: 7 : 4 : 1.
const imix = "64:28,570:16,1518:4"

// sizes reads size and size_op.
func (s *section) sizes(out *spec) {
	out.sizes = []size{{minFrame, 1}}
	how := s.enum("size_op", "inc", "inc", "dec", "random")
	v := s.m["size"]
	const want = `octets with FCS from 64 to 16384, as an integer, "64-1518", "64:28,570:16,1518:4" or "imix"`
	bad := func() { s.failf(s.at("size"), "found %s, want %s", conf.Describe(v), want) }
	switch v := v.(type) {
	case nil:
	case int64:
		if v < minFrame || v > maxFrame {
			bad()
			return
		}
		out.sizes[0].octets = int(v)
	case string:
		if v == "imix" {
			v = imix
		}
		if from, to, ok := strings.Cut(v, "-"); ok {
			a, aok := frameSize(from)
			b, bok := frameSize(to)
			switch {
			case !aok || !bok:
				bad()
			case a >= b:
				s.failf(s.at("size"), "the range %q ends before it begins: write the smaller size first", v)
			default:
				out.spread = &number{
					from: uint64(a), to: uint64(b), step: 1, varies: true, op: opInc, seed: s.seedOf(s.at("size")),
				}
				switch how {
				case "dec":
					out.spread.op = opDec
				case "random":
					out.spread.op = opShort
				}
			}
			return
		}
		if n := strings.Count(v, ",") + 1; n > maxSizes {
			s.failf(s.at("size"), "%d sizes: want at most %d", n, maxSizes)
			return
		}
		var list []size
		for part := range strings.SplitSeq(v, ",") {
			octets, weight, weighted := strings.Cut(part, ":")
			n, ok := frameSize(octets)
			w := 1
			if weighted {
				var err error
				w, err = strconv.Atoi(strings.TrimSpace(weight))
				ok = ok && err == nil && w >= 1 && w <= maxTurn
			}
			if !ok {
				bad()
				return
			}
			for _, other := range list {
				if other.octets == n {
					s.failf(s.at("size"), "%d is in the list twice: add up the weights", n)
					return
				}
			}
			list = append(list, size{n, w})
		}
		out.sizes = list
	default:
		bad()
		return
	}
	if s.has("size_op") {
		s.failf(s.at("size_op"), `is for a range of sizes, such as size = "64-1518": remove it`)
	}
}

func frameSize(s string) (int, bool) {
	n, err := strconv.Atoi(strings.TrimSpace(s))
	return n, err == nil && n >= minFrame && n <= maxFrame
}

// smallest and largest size, with FCS.
func (s *spec) extent() (smallest, largest int) {
	if s.spread != nil {
		return int(s.spread.from), int(s.spread.to)
	}
	smallest, largest = s.sizes[0].octets, s.sizes[0].octets
	for _, z := range s.sizes {
		smallest, largest = min(smallest, z.octets), max(largest, z.octets)
	}
	return smallest, largest
}

// fits checks that the headers, and the signature if there is to be one, have room in the smallest frame.
func (s *section) fits(out *spec) {
	if out.pcap != "" {
		return
	}
	small, _ := out.extent()
	need := out.headerLen() + fcsLen
	if small < need {
		s.failf(s.at("size"), "%d octets, but the headers and the FCS take %d: want a size of at least %d",
			small, need, need)
		return
	}
	switch wanted := out.sign && s.has("signature"); {
	case out.bare && out.spread != nil:
		s.failf(s.at("size"), "a range needs a payload: give one size, or a list of them")
	case len(out.broken) > 0 && wanted:
		s.failf(s.at("signature"), "malformed frames carry none: remove it")
	case (out.bare || out.arp != nil) && wanted:
		s.failf(s.at("signature"), "a frame without payload carries none: remove it")
	case out.bare, out.arp != nil, len(out.broken) > 0:
		out.sign = false
	case out.sign && small < need+SignatureLen:
		s.failf(s.at("size"),
			"%d octets leave %d for the payload, and the signature takes %d: "+
				"want a size of at least %d, or signature = false",
			small, small-need, SignatureLen, need+SignatureLen)
	}
}

// headerLen returns the octets of all headers.
func (s *spec) headerLen() int {
	n := 14 + 4*len(s.vlans)
	if s.outer != nil {
		n += s.outer.len()
	}
	switch {
	case s.arp != nil:
		return n + 28
	case s.ip4 != nil:
		n += 20
	case s.ip6 != nil:
		n += 40
	}
	switch {
	case s.udp != nil, s.icmp != nil:
		n += 8
	case s.tcp != nil:
		n += s.tcp.len()
	}
	return n
}

func (t *tcp) len() int {
	if t.mss != 0 {
		return 24
	}
	return 20
}

// len is what encapsulation adds, in octets.
func (o *overlay) len() int {
	if o.vid != 0 {
		return 38
	}
	return 34
}

// linkLen is what of a frame the MTU does not count: Ethernet header and tags of the outermost header, and the FCS.
func (s *spec) linkLen() int {
	if s.outer != nil {
		return s.outer.len() - 20 + fcsLen
	}
	return 14 + 4*len(s.vlans) + fcsLen
}
