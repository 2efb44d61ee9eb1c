package gen

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Overhead is what a frame takes on the wire besides itself without FCS: FCS, preamble, start of frame delimiter and
// inter-packet gap (IEEE 802.3, clauses 3.1.1 and 4.4.2), in octets.
const Overhead = 4 + 7 + 1 + 12

// Rate is a rate as an operator states it.
type Rate struct {
	value float64
	unit  rateUnit
}

type rateUnit uint8

const (
	unitMax     rateUnit = iota // without limit
	unitFrames                  // per second
	unitBits                    // per second on the wire, overhead included
	unitPercent                 // of the link's speed
)

// rateUnits are the units by suffix, the longer ones first.
var rateUnits = []struct {
	suffix string
	factor float64
	unit   rateUnit
}{
	{"gbps", 1e9, unitBits}, {"mbps", 1e6, unitBits}, {"kbps", 1e3, unitBits}, {"bps", 1, unitBits},
	{"gpps", 1e9, unitFrames}, {"mpps", 1e6, unitFrames}, {"kpps", 1e3, unitFrames}, {"pps", 1, unitFrames},
	{"%", 1, unitPercent},
}

// MaxRate is the rate without limit.
var MaxRate = Rate{}

// FramesPerSecond is a rate in frames per second.
func FramesPerSecond(pps float64) Rate { return Rate{pps, unitFrames} }

// ParseRate reads a rate: "1Mpps", "250kpps", "50%" of the link's speed, "1Gbps" on the wire (preamble, inter-packet
// gap and FCS included, so that 10Gbps is all of a 10 Gb/s link), or "max".
func ParseRate(s string) (Rate, error) {
	text := strings.ToLower(strings.TrimSpace(s))
	if text == "max" {
		return MaxRate, nil
	}
	for _, u := range rateUnits {
		number, ok := strings.CutSuffix(text, u.suffix)
		if !ok {
			continue
		}
		v, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
		switch {
		case err != nil || math.IsNaN(v) || math.IsInf(v, 0) || strings.ContainsAny(number, "xp_"):
			return Rate{}, fmt.Errorf("rate %q: %q is no number", s, strings.TrimSpace(number))
		case v <= 0:
			return Rate{}, fmt.Errorf("rate %q: want more than 0", s)
		case u.unit == unitPercent && v > 100:
			return Rate{}, fmt.Errorf("rate %q: want at most 100%%", s)
		}
		return Rate{v * u.factor, u.unit}, nil
	}
	return Rate{}, fmt.Errorf("rate %q: want a number with pps, kpps, Mpps, bps, kbps, Mbps, Gbps or %%, or \"max\"", s)
}

// String is the rate as ParseRate takes it.
func (r Rate) String() string {
	switch r.unit {
	case unitFrames:
		return scaled(r.value, "pps")
	case unitBits:
		return scaled(r.value, "bps")
	case unitPercent:
		return strconv.FormatFloat(r.value, 'g', -1, 64) + "%"
	}
	return "max"
}

func scaled(v float64, unit string) string {
	for _, s := range []struct {
		factor float64
		prefix string
	}{{1e9, "G"}, {1e6, "M"}, {1e3, "k"}} {
		if v >= s.factor {
			return strconv.FormatFloat(v/s.factor, 'g', -1, 64) + s.prefix + unit
		}
	}
	return strconv.FormatFloat(v, 'g', -1, 64) + unit
}

// Rates that are possible at all, in frames per second. The highest is beyond what 400 Gb/s carry.
const (
	lowestRate  = 0.01
	highestRate = 1e9
)

// Frames returns the rate in frames per second, 0 for one without limit. Mean is the mean length of the frames in
// octets without FCS; speed is the link's in Mb/s, 0 if it is not known.
func (r Rate) Frames(mean float64, speed int) (float64, error) {
	pps := r.value
	switch r.unit {
	case unitMax:
		return 0, nil
	case unitBits:
		pps = r.value / wireBits(mean)
	case unitPercent:
		if speed <= 0 {
			return 0, fmt.Errorf("rate %v: the link's speed is not known: state the rate in pps or bps", r)
		}
		pps = r.value / 100 * lineRate(mean, speed)
	}
	switch {
	case pps < lowestRate:
		return 0, fmt.Errorf("rate %v: %g frames per second: want %g or more", r, pps, lowestRate)
	case pps > highestRate:
		return 0, fmt.Errorf("rate %v: %g frames per second: want at most %g", r, pps, float64(highestRate))
	}
	return pps, nil
}

// wireBits is what a frame takes on the wire, in bits.
func wireBits(mean float64) float64 { return (mean + Overhead) * 8 }

// lineRate is all that a link of so many Mb/s carries, in frames per second.
func lineRate(mean float64, speed int) float64 { return float64(speed) * 1e6 / wireBits(mean) }

// fits says whether a link carries a rate in frames per second.
func fits(pps, mean float64, speed int) error {
	if line := lineRate(mean, speed); speed > 0 && pps > line*(1+1e-9) {
		return fmt.Errorf("%.0f frames per second of %.0f octets (with FCS) are %.3f Gb/s on the wire, "+
			"and the link carries %.3f (%.0f frames per second)",
			pps, mean+4, pps*wireBits(mean)/1e9, float64(speed)/1e3, math.Floor(line))
	}
	return nil
}
