package traffic

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"

	"penstock/conf"
)

// The most that a capture may hold.
const (
	maxReplay       = 1 << 20 // frames
	maxReplayOctets = 1 << 30
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
	for _, n := range []string{"size", "size_op", "fill", "payload", "malformed", "signature", "vlan", "ipv4", "ipv6", "udp", "tcp", "icmp", "arp", "flows", "overlay", "churn"} {
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
	frames, err := ReadCapture(path)
	if err != nil {
		c.failf(s, "%w", err)
		return
	}
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
	c.g.streams = append(c.g.streams, Stream{Name: s.name, Side: s.side, Weight: s.weight, Len: float64(total) / float64(len(frames)), MaxLen: longest})
	c.g.origins = append(c.g.origins, origin{spec: *s})
	c.users = append(c.users, user{lane: len(c.g.lanes) - 1, round: -1, weight: s.weight})
}

func putMAC(b []byte, m uint64) {
	for i := range 6 {
		b[i] = byte(m >> (40 - 8*i))
	}
}

// ReadCapture returns the frames of a pcap or pcapng file of Ethernet. A frame that was not captured whole, is shorter
// than its header or longer than a program may send is an error that names it.
func ReadCapture(path string) ([][]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read the capture: %w", err)
	}
	defer f.Close()
	if st, err := f.Stat(); err != nil || !st.Mode().IsRegular() {
		return nil, fmt.Errorf("cannot read the capture: %s is not a regular file", path)
	}
	frames, err := readCapture(bufio.NewReader(f))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return frames, nil
}

type packetReader interface {
	ReadPacketData() ([]byte, gopacket.CaptureInfo, error)
	LinkType() layers.LinkType
}

func readCapture(in *bufio.Reader) (frames [][]byte, err error) {
	defer func() { // the library trusts some lengths in the file
		if r := recover(); r != nil {
			frames, err = nil, fmt.Errorf("not a capture that can be read: %v", r)
		}
	}()
	magic, err := in.Peek(4)
	if err != nil {
		return nil, errors.New("neither pcap nor pcapng: too short")
	}
	var r packetReader
	if string(magic) == "\x0a\x0d\x0d\x0a" {
		r, err = pcapgo.NewNgReader(in, pcapgo.DefaultNgReaderOptions)
	} else {
		r, err = pcapgo.NewReader(in)
	}
	if err != nil {
		return nil, fmt.Errorf("neither pcap nor pcapng: %w", err)
	}
	if t := r.LinkType(); t != layers.LinkTypeEthernet {
		return nil, fmt.Errorf("link type %v, want Ethernet: capture on an Ethernet interface", t)
	}
	total := 0
	for {
		data, info, err := r.ReadPacketData()
		if errors.Is(err, io.EOF) {
			break
		}
		n := len(frames) + 1
		switch {
		case err != nil:
			return nil, fmt.Errorf("frame %d: %w", n, err)
		case info.CaptureLength < info.Length:
			return nil, fmt.Errorf("frame %d: only %d of %d octets were captured: capture with a larger snapshot length (tcpdump -s 0)", n, info.CaptureLength, info.Length)
		case len(data) < 14:
			return nil, fmt.Errorf("frame %d: %d octets, less than an Ethernet header", n, len(data))
		case len(data) > maxFrame-fcsLen:
			return nil, fmt.Errorf("frame %d: %d octets, want at most %d: capture with segmentation offload off (ethtool -K … gso off gro off)", n, len(data), maxFrame-fcsLen)
		}
		total += len(data)
		if n > maxReplay || total > maxReplayOctets {
			return nil, fmt.Errorf("more than %d frames or %d octets: take a part of it (editcap)", maxReplay, maxReplayOctets)
		}
		frames = append(frames, append([]byte(nil), data...))
	}
	if len(frames) == 0 {
		return nil, errors.New("no frame in it")
	}
	return frames, nil
}
