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
				out.spread = &number{from: uint64(a), to: uint64(b), step: 1, varies: true, op: opInc, seed: s.seedOf(s.at("size"))}
				switch how {
				case "dec":
					out.spread.op = opDec
				case "random":
					out.spread.op = opShort
				}
			}
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
	small, _ := out.extent()
	headers, padded := out.headerLen()
	need := headers + fcsLen
	switch {
	case small < need:
		s.failf(s.at("size"), "%d octets, but the headers and the FCS take %d: want a size of at least %d", small, need, need)
	case out.sign && padded && s.has("signature"):
		s.failf(s.at("signature"), "a frame of this sort has no payload that could carry one: remove it")
	case padded:
		out.sign = false
	case out.sign && small < need+SignatureLen:
		s.failf(s.at("size"), "%d octets leave %d for the payload, and the signature takes %d: want a size of at least %d, or signature = false",
			small, small-need, SignatureLen, need+SignatureLen)
	}
}

// headerLen returns the octets of all headers, and whether what follows is padding and not payload.
func (s *spec) headerLen() (n int, padded bool) {
	n = 14 + 4*len(s.vlans)
	switch {
	case s.arp != nil:
		return n + 28, true
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
	return n, false
}

func (t *tcp) len() int {
	if t.mss != 0 {
		return 24
	}
	return 20
}
