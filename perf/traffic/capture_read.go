package traffic

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// The most that a capture may hold.
const (
	maxReplay       = 1 << 20 // frames
	maxReplayOctets = 1 << 30 // of frames
	maxUnpacked     = 4 << 30 // octets of a compressed file, unpacked
	maxRecord       = 1 << 20 // octets of one frame's record, options included
)

// Capture is what a capture file holds.
type Capture struct {
	Frames  [][]byte // without FCS
	Remarks []string // on what of the file is not among the frames as it stands there
}

// record is one captured frame as a file has it.
type record struct {
	data   []byte
	length int    // octets of the frame on the wire; more than data if it was cut
	link   uint32 // link type
	port   int    // index of the interface in its section
	fcs    int    // octets of FCS at the end
}

// recordReader reads the frames of a file one by one. io.EOF says that the file ends where a frame, or a block, ends.
type recordReader interface {
	next() (record, error)
	remarks() []string
}

// errTorn is the error of a file that ends within a frame or block.
var errTorn = errors.New("the file ends within a frame or block: it is torn. Copy it anew, or take the whole frames " +
	"of it (editcap FILE NEW)")

// ReadCapture reads a pcap or pcapng file of Ethernet frames, gzip or not. All of its frames come back or none: a file
// that is torn, has frames of another link type, or frames that were not captured whole, are shorter than an Ethernet
// header or longer than a program may send, is refused with an error that counts them and names the first.
// Formats: draft-ietf-opsawg-pcap, draft-ietf-opsawg-pcapng.
func ReadCapture(path string) (*Capture, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read the capture: %w", err)
	}
	defer f.Close()
	if st, err := f.Stat(); err != nil || !st.Mode().IsRegular() {
		return nil, fmt.Errorf("cannot read the capture: %s is not a regular file", path)
	}
	c, err := readCapture(bufio.NewReader(f))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return c, nil
}

// packed are the first octets of compressed files that are not unpacked here.
var packed = []struct{ name, magic string }{
	{"zstd", "\x28\xb5\x2f\xfd"}, {"lz4", "\x04\x22\x4d\x18"}, {"xz", "\xfd7zX"}, {"bzip2", "BZh"},
}

func readCapture(in *bufio.Reader) (*Capture, error) {
	magic, _ := in.Peek(4)
	for _, p := range packed {
		if strings.HasPrefix(string(magic), p.magic) {
			return nil, fmt.Errorf("compressed with %s: unpack it first", p.name)
		}
	}
	if bytes.HasPrefix(magic, []byte{0x1f, 0x8b}) {
		z, err := gzip.NewReader(in)
		if err != nil {
			return nil, fmt.Errorf("compressed with gzip, and damaged: %w", torn(err))
		}
		in = bufio.NewReader(&limited{r: z, left: maxUnpacked})
		magic, _ = in.Peek(4)
	}
	r, err := newRecordReader(in, magic)
	if err != nil {
		return nil, err
	}
	return collect(r)
}

func newRecordReader(in *bufio.Reader, magic []byte) (recordReader, error) {
	switch {
	case len(magic) < 4:
		return nil, errors.New("neither pcap nor pcapng: too short")
	case string(magic) == "\x0a\x0d\x0d\x0a":
		return &ngReader{r: in, skipped: map[uint32]int{}}, nil
	}
	return newPcapReader(in, magic)
}

// limited ends with an error, not with io.EOF, where there is more than may be read.
type limited struct {
	r    io.Reader
	left int64
}

func (l *limited) Read(b []byte) (int, error) {
	if l.left <= 0 {
		return 0, fmt.Errorf("more than %d octets unpacked: take a part of it (editcap)", int64(maxUnpacked))
	}
	n, err := l.r.Read(b[:min(int64(len(b)), l.left)])
	l.left -= int64(n)
	return n, err
}

// torn makes the end of a file within something an error of its own.
func torn(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errTorn
	}
	return err
}

// fault is a reason why frames cannot be sent, with the first frame and how many there are.
type fault struct {
	first string
	n     int
}

// collect reads all frames.
func collect(r recordReader) (*Capture, error) {
	c := &Capture{}
	var faults [4]fault // alien, cut, short, long
	n, total, trimmed := 0, 0, 0
	for {
		rec, err := r.next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("after %d whole frames: %w", n, err)
		}
		n++
		if total += len(rec.data); n > maxReplay || total > maxReplayOctets {
			return nil, fmt.Errorf("more than %d frames or %d octets: take a part of it (editcap)",
				maxReplay, maxReplayOctets)
		}
		if kind, text := rec.wrong(); text != "" {
			if faults[kind].n++; faults[kind].n == 1 {
				faults[kind].first = fmt.Sprintf("frame %d: %s", n, text)
			}
			continue
		}
		if rec.fcs > 0 {
			trimmed++
		}
		c.Frames = append(c.Frames, rec.data[:len(rec.data)-rec.fcs])
	}
	var all []error
	for _, f := range faults {
		switch {
		case f.n == 1:
			all = append(all, errors.New(f.first))
		case f.n > 1:
			all = append(all, fmt.Errorf("%s (%d of %d frames are like that)", f.first, f.n, n))
		}
	}
	switch {
	case len(all) > 0:
		return nil, errors.Join(all...)
	case n == 0:
		return nil, errors.New("no frame in it")
	}
	c.Remarks = r.remarks()
	if trimmed > 0 {
		c.Remarks = append(c.Remarks, fmt.Sprintf("%d frames were captured with their FCS, which is left out: "+
			"the port makes its own", trimmed))
	}
	return c, nil
}

// wrong says why a frame cannot be sent as it was on the wire; "" if it can.
func (r *record) wrong() (kind int, text string) {
	const most = maxFrame - fcsLen
	switch n := len(r.data) - r.fcs; {
	case r.link != linkEthernet:
		return 0, fmt.Sprintf("link type %s (interface %d of the capture), want Ethernet: capture on an Ethernet "+
			"interface (not on \"any\"), or keep the Ethernet frames alone "+
			"(tshark -Y 'frame.interface_id == N' -w NEW)",
			linkName(r.link), r.port)
	case len(r.data) < r.length:
		return 1, fmt.Sprintf("only %d of %d octets were captured: "+
			"capture with a larger snapshot length (tcpdump -s 0)",
			len(r.data), r.length)
	case n < 14:
		return 2, fmt.Sprintf("%d octets, less than an Ethernet header", max(n, 0))
	case n > most:
		return 3, fmt.Sprintf("%d octets, want at most %d: capture with segmentation offload off "+
			"(ethtool -K … gso off gro off)", n, most)
	}
	return 0, ""
}

const linkEthernet = 1

// linkName is a link type as error messages have it.
func linkName(link uint32) string {
	names := map[uint32]string{
		0: "BSD loopback", 101: "raw IP", 105: "IEEE 802.11", 113: "Linux cooked", 127: "radiotap",
		276: "Linux cooked v2",
	}
	if name := names[link]; name != "" {
		return fmt.Sprintf("%d, %s", link, name)
	}
	return fmt.Sprint(link)
}
