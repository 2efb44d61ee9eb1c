package traffic_test

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"penstock/perf/traffic"
)

// captureFile builds a capture file. ends has the offsets at which it may end, and how many frames are before each.
type captureFile struct {
	bytes.Buffer
	order binary.AppendByteOrder
	ends  map[int]int
	n     int
}

func (c *captureFile) end(frames int) {
	if c.ends == nil {
		c.ends = map[int]int{}
	}
	c.n += frames
	c.ends[c.Len()] = c.n
}

// words appends 32-bit words.
func (c *captureFile) words(to []byte, words ...uint32) []byte {
	for _, w := range words {
		to = c.order.AppendUint32(to, w)
	}
	return to
}

// pcap appends a header with frames.
func (c *captureFile) pcap(magic, snap, link uint32, frames ...[]byte) *captureFile {
	h := c.order.AppendUint16(c.order.AppendUint16(c.words(nil, magic), 2), 4)
	c.Write(c.words(h, 0, 0, snap, link))
	c.end(0)
	for _, f := range frames {
		c.Write(append(c.words(nil, 1, 2, uint32(len(f)), uint32(len(f))), f...))
		c.end(1)
	}
	return c
}

// block appends a block of a pcapng file that has so many frames in it.
func (c *captureFile) block(frames int, kind uint32, body []byte) *captureFile {
	body = append(slices.Clone(body), make([]byte, -len(body)&3)...)
	n := uint32(len(body) + 12)
	c.Write(c.words(append(c.words(nil, kind, n), body...), n))
	c.end(frames)
	return c
}

func (c *captureFile) section() *captureFile {
	h := c.order.AppendUint16(c.order.AppendUint16(c.words(nil, 0x1a2b3c4d), 1), 0)
	return c.block(0, 0x0a0d0d0a, c.words(h, 0xffffffff, 0xffffffff))
}

// port appends an interface, with options.
func (c *captureFile) port(link uint16, snap uint32, options ...byte) *captureFile {
	return c.block(0, 1, append(c.words(c.order.AppendUint16(c.order.AppendUint16(nil, link), 0), snap), options...))
}

// packet appends an enhanced packet block, of a frame that had so many octets more on the wire.
func (c *captureFile) packet(port uint32, f []byte, more int, options ...byte) *captureFile {
	b := append(c.words(nil, port, 0, 1, uint32(len(f)), uint32(len(f)+more)), f...)
	b = append(b, make([]byte, -len(b)&3)...)
	return c.block(1, 6, append(b, options...))
}

func (c *captureFile) simple(length int, f []byte) *captureFile {
	return c.block(1, 3, append(c.words(nil, uint32(length)), f...))
}

func (c *captureFile) obsolete(port uint16, f []byte) *captureFile {
	b := c.words(c.order.AppendUint16(c.order.AppendUint16(nil, port), 0), 0, 1, uint32(len(f)), uint32(len(f)))
	return c.block(1, 2, append(b, f...))
}

func testFrame(n int) []byte {
	f := make([]byte, n)
	for i := range f {
		f[i] = byte(n + i)
	}
	return f
}

func readBytes(t *testing.T, b []byte) (*traffic.Capture, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "x.pcap")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return traffic.ReadCapture(path)
}

var byteOrders = []binary.AppendByteOrder{binary.LittleEndian, binary.BigEndian}

// TestCaptureWhole: a capture file comes back with all of its frames, octet for octet, in either order of octets and
// whatever blocks hold them; and cut at any offset it comes back with the frames before, where a frame or block ends,
// or not at all.
func TestCaptureWhole(t *testing.T) {
	frames := [][]byte{testFrame(14), testFrame(15), testFrame(60), testFrame(97)}
	for _, order := range byteOrders {
		files := map[string]*captureFile{}
		for name, magic := range map[string]uint32{"micro": 0xa1b2c3d4, "nano": 0xa1b23c4d} {
			files["pcap "+name] = (&captureFile{order: order}).pcap(magic, 65535, 1, frames...)
		}
		ng := &captureFile{order: order}
		ng.section().port(276, 0).port(1, 0)
		ng.packet(1, frames[0], 0).block(0, 5, ng.words(nil, 0, 0, 0))
		ng.packet(1, frames[1], 0).block(0, 4, nil).block(0, 10, ng.words(nil, 0, 0))
		// Another section, in the other order, in which interface 0 is another one.
		ng.order = byteOrders[0]
		if order == byteOrders[0] {
			ng.order = byteOrders[1]
		}
		files["pcapng"] = ng.section().port(1, 60).simple(60, frames[2]).obsolete(0, frames[3])
		for name, f := range files {
			whole := f.Bytes()
			for n := range len(whole) + 1 {
				c, err := readBytes(t, whole[:n])
				want, ends := f.ends[n]
				if ends = ends && want > 0; !ends {
					if err == nil {
						t.Errorf("%v %s: %d of %d octets are read as %d frames, want an error",
							order, name, n, len(whole), len(c.Frames))
					}
					continue
				}
				if err != nil || !slices.EqualFunc(c.Frames, frames[:want], bytes.Equal) || len(c.Remarks) > 0 {
					t.Errorf("%v %s: %d of %d octets: %+v, %v, want %d frames",
						order, name, n, len(whole), c, err, want)
				}
			}
			var z bytes.Buffer
			w := gzip.NewWriter(&z)
			_, _ = w.Write(whole)
			_ = w.Close()
			if c, err := readBytes(t, z.Bytes()); err != nil || len(c.Frames) != len(frames) {
				t.Errorf("%v %s, gzip: %v, %v, want %d frames", order, name, c, err, len(frames))
			}
			for n := range z.Len() {
				if c, err := readBytes(t, z.Bytes()[:n]); err == nil {
					t.Errorf("%v %s, gzip: %d of %d octets are read as %d frames",
						order, name, n, z.Len(), len(c.Frames))
				}
			}
		}
	}
}

// TestCaptureRefused: what could be sent in part only is refused, with the count of frames.
func TestCaptureRefused(t *testing.T) {
	f, long := testFrame(60), testFrame(200)
	ng := func() *captureFile { return (&captureFile{order: binary.LittleEndian}).section().port(1, 0) }
	pcap := func(link uint32, f ...[]byte) *captureFile {
		return (&captureFile{order: binary.BigEndian}).pcap(0xa1b2c3d4, 65535, link, f...)
	}
	damaged := ng().packet(0, f, 0).Bytes()
	damaged[len(damaged)-4]++
	tests := []struct {
		name string
		file []byte
		want []string
	}{
		{"second link type", ng().port(276, 0).packet(0, f, 0).packet(1, f, 0).packet(0, f, 0).packet(1, f, 0).Bytes(),
			[]string{"frame 2", "276, Linux cooked v2", "interface 1", "2 of 4 frames"}},
		{"first link type", ng().section().port(113, 0).port(1, 0).packet(1, f, 0).packet(0, f, 0).Bytes(),
			[]string{"frame 2", "113, Linux cooked", "want Ethernet"}},
		{"link type of 16 bits", pcap(257, f).Bytes(), []string{"frame 1: link type 257"}},
		{"cut", ng().packet(0, f, 0).packet(0, f, 7).packet(0, f, 9).Bytes(),
			[]string{"frame 2: only 60 of 67 octets", "2 of 3 frames"}},
		{"cut by snapshot length", ng().section().port(1, 96).simple(200, long[:96]).Bytes(),
			[]string{"frame 1: only 96 of 200 octets"}},
		{"cut simple block", ng().simple(200, long[:96]).Bytes(), []string{"frame 1: only 96 of 200 octets"}},
		{
			"two faults", ng().packet(0, f, 3).packet(0, f[:9], 0).Bytes(),
			[]string{"frame 1: only 60", "frame 2: 9 octets"},
		},
		{"zero-length", pcap(1, f, nil).Bytes(), []string{"frame 2: 0 octets"}},
		{"no frame", ng().Bytes(), []string{"no frame in it"}},
		{"other section has no interface", ng().packet(0, f, 0).section().packet(0, f, 0).Bytes(),
			[]string{"after 1 whole frames", "damaged", "interface 0"}},
		{"lengths differ", damaged, []string{"after 0 whole frames", "damaged"}},
		{
			"zeros behind", append(ng().packet(0, f, 0).Bytes(), make([]byte, 8)...),
			[]string{"after 1 whole frames", "damaged"},
		},
		{"block without end", append(ng().packet(0, f, 0).Bytes(), 0x42, 0, 0, 0, 4, 0, 0, 0), []string{"damaged"}},
		{
			"frame larger than its block",
			ng().block(1, 6, ng().words(nil, 0, 0, 0, 61, 61, 0)).Bytes(), []string{"damaged"},
		},
		{"version", ng().block(0, 0x0a0d0d0a, ng().words(nil, 0x1a2b3c4d, 2, 0, 0)).Bytes(), []string{"version 2.0"}},
		{
			"modified pcap", (&captureFile{order: binary.LittleEndian}).pcap(0xa1b2cd34, 1, 1, f).Bytes(),
			[]string{"neither pcap"},
		},
		{"zstd", []byte("\x28\xb5\x2f\xfd1234567890"), []string{"zstd: unpack it first"}},
		{"xz", []byte("\xfd7zXZ1234567890"), []string{"xz: unpack it first"}},
	}
	for _, tc := range tests {
		c, err := readBytes(t, tc.file)
		if err == nil {
			t.Errorf("%s: read as %d frames, want an error with %q", tc.name, len(c.Frames), tc.want)
			continue
		}
		for _, w := range tc.want {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%s: %v, want %q in it", tc.name, err, w)
			}
		}
	}
}

// TestCaptureRemarks: parts of a capture that are skipped are counted: blocks of unknown types, and the FCS of frames.
func TestCaptureRemarks(t *testing.T) {
	f := testFrame(60)
	fcs := append(slices.Clone(f), 1, 2, 3, 4)
	for _, order := range byteOrders {
		ng := (&captureFile{order: order}).section().port(1, 0).packet(0, f, 0).block(0, 0xbad, []byte("1234frame"))
		flags := ng.words(order.AppendUint16(order.AppendUint16(nil, 2), 4), 4<<5)
		ng.packet(0, fcs, 0, flags...).block(0, 0xbad, nil)
		ng.port(1, 0, append(order.AppendUint16(order.AppendUint16(nil, 13), 1), 4, 0, 0, 0)...).packet(1, fcs, 0)
		pcap := (&captureFile{order: order}).pcap(0xa1b2c3d4, 65535, 2<<28|1<<26|1, fcs, fcs, fcs)
		for name, tc := range map[string]struct {
			file *captureFile
			want []string
		}{
			"pcapng": {ng, []string{"2 blocks of type 0xbad", "2 frames were captured with their FCS"}},
			"pcap":   {pcap, []string{"3 frames were captured with their FCS"}},
		} {
			c, err := readBytes(t, tc.file.Bytes())
			if err != nil || len(c.Frames) != 3 || len(c.Remarks) != len(tc.want) {
				t.Fatalf("%v %s: %+v, %v, want 3 frames and remarks %q", order, name, c, err, tc.want)
			}
			for i, w := range tc.want {
				if !strings.HasPrefix(c.Remarks[i], w) {
					t.Errorf("%v %s: remark %q, want %q", order, name, c.Remarks[i], w)
				}
			}
			for i, got := range c.Frames {
				if !bytes.Equal(got, f) {
					t.Errorf("%v %s: frame %d is %x, want %x", order, name, i+1, got, f)
				}
			}
		}
	}
}
