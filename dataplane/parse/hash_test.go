package parse

import (
	"testing"

	"penstock/dataplane/drop"
)

// TestHashDistribution: flows that differ in little spread evenly over the low and the high bits.
func TestHashDistribution(t *testing.T) {
	const flows, buckets = 1 << 14, 64
	base := kind(t, "udp4")
	base6 := kind(t, "udp6")
	mac := kind(t, "lldp")
	series := map[string]func(i int) []byte{
		"source port": func(i int) []byte { return edit(base, func(b []byte) { b[34], b[35] = byte(i>>8), byte(i) }) },
		"port by 2":   func(i int) []byte { return edit(base, func(b []byte) { b[36], b[37] = byte(i>>7), byte(i<<1) }) },
		"source IP": func(i int) []byte {
			return edit(base, func(b []byte) { b[28], b[29] = byte(i>>8), byte(i); fixIPv4(b, 14) })
		},
		"IP by 256": func(i int) []byte {
			return edit(base, func(b []byte) { b[31], b[32] = byte(i>>8), byte(i); fixIPv4(b, 14) })
		},
		"both ports":   func(i int) []byte { return edit(base, func(b []byte) { b[35], b[37] = byte(i>>7), byte(i&127) }) },
		"IPv6 port":    func(i int) []byte { return edit(base6, func(b []byte) { b[54], b[55] = byte(i>>8), byte(i) }) },
		"IPv6 address": func(i int) []byte { return edit(base6, func(b []byte) { b[36], b[37] = byte(i>>8), byte(i) }) },
		"IPv6 subnet":  func(i int) []byte { return edit(base6, func(b []byte) { b[28], b[29] = byte(i>>8), byte(i) }) },
		"MAC":          func(i int) []byte { return edit(mac, func(b []byte) { b[10], b[11] = byte(i>>8), byte(i) }) },
	}
	for name, make := range series {
		var low, high [buckets]int
		seen := map[uint32]bool{}
		for i := range flows {
			p := access(make(i))
			if p.Drop != drop.None {
				t.Fatalf("%s: %v", name, p.Drop)
			}
			low[p.Hash%buckets]++
			high[p.Hash>>26]++
			seen[p.Hash] = true
		}
		if n := flows - len(seen); n > 16 { // some 0.03 expected
			t.Errorf("%s: %d collisions", name, n)
		}
		for which, h := range map[string][buckets]int{"low": low, "high": high} {
			chi := 0.0
			for _, n := range h {
				d := float64(n) - flows/buckets
				chi += d * d / (flows / buckets)
			}
			if chi > 130 { // 63 degrees of freedom: above it by chance once in 10⁶
				t.Errorf("%s, %s bits: χ² %.0f", name, which, chi)
			}
		}
	}
}

// TestHashFlow: what belongs to one flow has one hash, what does not has another.
func TestHashFlow(t *testing.T) {
	h := func(name string, change func([]byte)) uint32 { return access(edit(kind(t, name), change)).Hash }
	same := func([]byte) {}
	if h("frag4-first", same) != h("frag4-later", same) || h("frag6-first", same) != h("frag6-later", same) {
		t.Error("fragments of one packet have different hashes")
	}
	if h("tcp4", same) != access(kind(t, "tcp4-syn")).Hash || h("tcp4", same) != h("tcp4-tag", same) {
		t.Error("a flow's packets have different hashes")
	}
	if h("tcp4", same) != h("tcp4", func(b []byte) { b[22] = 9; fixIPv4(b, 14) }) {
		t.Error("TTL changes the hash")
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
