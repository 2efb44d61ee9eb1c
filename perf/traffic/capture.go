package traffic

import (
	"path/filepath"

	"penstock/conf"
)

// capture reads [stream.pcap]. The file itself is read with the program.
func (s *section) capture(t *section, out *spec) {
	for _, name := range described(s) {
		s.failf(s.at(name), "the frames come from [stream.pcap]: remove it")
	}
	if e := s.sub("ethernet"); e != nil {
		out.eth.src, out.eth.dst = e.number("src", macKind, number{}), e.number("dst", macKind, number{})
		for _, name := range []string{"src", "dst"} {
			if _, varies := e.m[name].(map[string]any); varies {
				e.failf(e.at(name), "replaces the MACs of captured frames, and must be one value")
			}
		}
		if e.has("type") {
			e.failf(e.at("type"), "the frames have their own: remove it")
		}
	}
	out.sign = false
	if t.need("file", "a path, relative to the profile") {
		out.pcap = t.text("file")
		if out.pcap == "" {
			t.failf(t.at("file"), "found %s, want a path", conf.Describe(t.m["file"]))
		}
	}
}

// described returns what of the stream says how frames look.
func described(s *section) (names []string) {
	for _, n := range []string{
		"size", "size_op", "fill", "payload", "malformed", "signature", "vlan",
		"ipv4", "ipv6", "udp", "tcp", "icmp", "arp", "flows", "overlay", "churn",
	} {
		if s.has(n) {
			names = append(names, n)
		}
	}
	return names
}

// capture makes a stream of a captured file's frames.
func (c *compiler) capture(s *spec) {
	path := s.pcap
	if !filepath.IsAbs(path) {
		path = filepath.Join(c.dir, path)
	}
	file, err := ReadCapture(path)
	if err != nil {
		c.failf(s, "%w", err)
		return
	}
	for _, r := range file.Remarks {
		c.g.remarks = append(c.g.remarks, path+": "+r)
	}
	frames := file.Frames
	longest, total := 0, 0
	for i, f := range frames {
		if c.o.MTU > 0 && len(f) > c.o.MTU+14+8 {
			c.failf(s, "%s: frame %d has %d octets, too many for an MTU of %d", path, i+1, len(f), c.o.MTU)
			return
		}
		if m := s.eth.dst; m.from != 0 {
			putMAC(f, m.from)
		}
		if m := s.eth.src; m.from != 0 {
			putMAC(f[6:], m.from)
		}
		longest = max(longest, len(f))
		total += len(f)
	}
	c.g.lanes = append(c.g.lanes, lane{length: -1, replay: frames, rounds: newDivisor(uint64(len(frames)))})
	c.g.streams = append(c.g.streams, Stream{
		Name: s.name, Side: s.side, Weight: s.weight, Len: float64(total) / float64(len(frames)), MaxLen: longest,
	})
	c.g.origins = append(c.g.origins, origin{spec: *s})
	c.users = append(c.users, user{lane: len(c.g.lanes) - 1, round: -1, weight: s.weight})
}

func putMAC(b []byte, m uint64) {
	for i := range 6 {
		b[i] = byte(m >> (40 - 8*i))
	}
}
