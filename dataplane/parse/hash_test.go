package parse

import (
	"testing"

	"penstock/dataplane/drop"
)

// TestHashDistribution: the hashes of flows that differ in few bits are distributed evenly in the low and the high
// bits.
func TestHashDistribution(t *testing.T) {
	const flows, buckets = 1 << 14, 64
	base := kind(t, "udp4")
	base6 := kind(t, "udp6")
	mac := kind(t, "lldp")
	series := map[string]struct {
		frame  []byte
		change func(b []byte, i int)
	}{
		"source port":  {base, func(b []byte, i int) { b[34], b[35] = byte(i>>8), byte(i) }},
		"port by 2":    {base, func(b []byte, i int) { b[36], b[37] = byte(i>>7), byte(i<<1) }},
		"source IP":    {base, func(b []byte, i int) { b[28], b[29] = byte(i>>8), byte(i); fixIPv4(b, 14) }},
		"IP by 256":    {base, func(b []byte, i int) { b[31], b[32] = byte(i>>8), byte(i); fixIPv4(b, 14) }},
		"both ports":   {base, func(b []byte, i int) { b[35], b[37] = byte(i>>7), byte(i&127) }},
		"IPv6 port":    {base6, func(b []byte, i int) { b[54], b[55] = byte(i>>8), byte(i) }},
		"IPv6 address": {base6, func(b []byte, i int) { b[36], b[37] = byte(i>>8), byte(i) }},
		"IPv6 subnet":  {base6, func(b []byte, i int) { b[28], b[29] = byte(i>>8), byte(i) }},
		"MAC":          {mac, func(b []byte, i int) { b[10], b[11] = byte(i>>8), byte(i) }},
	}
	for name, s := range series {
		var low, high [buckets]int
		seen := map[uint32]bool{}
		for i := range flows {
			p := access(edit(s.frame, func(b []byte) { s.change(b, i) }))
			if p.Drop != drop.None {
				t.Fatalf("%s: flow %d is dropped as %v, want it parsed", name, i, p.Drop)
			}
			low[p.Hash%buckets]++
			high[p.Hash>>26]++
			seen[p.Hash] = true
		}
		if n := flows - len(seen); n > 16 { // some 0.03 expected
			t.Errorf("%s: %d collisions, want 16 at most", name, n)
		}
		for which, h := range map[string][buckets]int{"low": low, "high": high} {
			chi := 0.0
			for _, n := range h {
				d := float64(n) - flows/buckets
				chi += d * d / (flows / buckets)
			}
			if chi > 130 { // 63 degrees of freedom: above it by chance once in 10⁶
				t.Errorf("%s, %s bits: χ² %.0f, want 130 at most", name, which, chi)
			}
		}
	}
}

// TestHashFlow: packets of one flow have the same hash, packets of different flows have different hashes.
func TestHashFlow(t *testing.T) {
	h := func(name string, change func([]byte)) uint32 { return access(edit(kind(t, name), change)).Hash }
	same := func([]byte) {}
	if h("frag4-first", same) != h("frag4-later", same) || h("frag6-first", same) != h("frag6-later", same) {
		t.Error("fragments of one packet have different hashes, want the same")
	}
	if h("tcp4", same) != access(kind(t, "tcp4-syn")).Hash || h("tcp4", same) != h("tcp4-tag", same) {
		t.Error("packets of one flow have different hashes, want the same")
	}
	if h("tcp4", same) != h("tcp4", func(b []byte) { b[22] = 9; fixIPv4(b, 14) }) {
		t.Error("the hash depends on the TTL, want it independent")
	}
	for name, at := range map[string]int{"source port": 35, "destination port": 37} {
		if h("tcp4", same) == h("tcp4", func(b []byte) { b[at]++ }) {
			t.Errorf("%s does not change the hash", name)
		}
	}
	for name, at := range map[string]int{"source": 29, "destination": 33, "protocol": 23} {
		if h("esp4", same) == h("esp4", func(b []byte) { b[at]++; fixIPv4(b, 14) }) {
			t.Errorf("%s does not change the hash", name)
		}
	}
	for at := range 32 {
		if h("udp6", same) == h("udp6", func(b []byte) { b[22+at]++ }) {
			t.Errorf("octet %d of the IPv6 addresses does not change the hash", at)
		}
	}
}
