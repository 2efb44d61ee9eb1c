package traffic

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// pcapReader reads a pcap file: draft-ietf-opsawg-pcap.
//
//	header  magic 4 | major 2 | minor 2 | reserved 8 | snapshot length 4 | link type 4
//	record  seconds 4 | fraction 4 | captured length 4 | length on the wire 4 | octets
type pcapReader struct {
	r     io.Reader
	order binary.ByteOrder
	link  uint32
	fcs   int
}

// The magic numbers, by the order of octets they come in: microseconds, nanoseconds.
const (
	magicMicro = 0xa1b2c3d4
	magicNano  = 0xa1b23c4d
)

func newPcapReader(r io.Reader, magic []byte) (*pcapReader, error) {
	p := &pcapReader{r: r}
	for _, order := range []binary.ByteOrder{binary.LittleEndian, binary.BigEndian} {
		if m := order.Uint32(magic); m == magicMicro || m == magicNano {
			p.order = order
		}
	}
	if p.order == nil {
		return nil, fmt.Errorf("neither pcap nor pcapng: it begins with % x. Write it as pcap (editcap -F pcap)", magic)
	}
	var h [24]byte
	if _, err := io.ReadFull(r, h[:]); err != nil {
		return nil, torn(err)
	}
	if major, minor := p.order.Uint16(h[4:]), p.order.Uint16(h[6:]); major != 2 || minor != 4 {
		return nil, fmt.Errorf("pcap version %d.%d, want 2.4: write it anew (editcap -F pcap)", major, minor)
	}
	link := p.order.Uint32(h[20:])
	p.link = link & 0x03ffffff
	if link&(1<<26) != 0 { // the length of the FCS is known: in words of 16 bits
		p.fcs = 2 * int(link>>28)
	}
	return p, nil
}

func (p *pcapReader) next() (record, error) {
	var h [16]byte
	if n, err := io.ReadFull(p.r, h[:]); n == 0 && err == io.EOF {
		return record{}, io.EOF
	} else if err != nil {
		return record{}, torn(err)
	}
	captured, length := p.order.Uint32(h[8:]), p.order.Uint32(h[12:])
	if captured > maxRecord {
		return record{}, fmt.Errorf("a frame of %d octets, which no capture has: the file is damaged", captured)
	}
	rec := record{data: make([]byte, captured), length: int(length), link: p.link, fcs: p.fcs}
	if _, err := io.ReadFull(p.r, rec.data); err != nil {
		return record{}, torn(err)
	}
	return rec, nil
}

func (p *pcapReader) remarks() []string { return nil }

// errDamaged is the error of a block that contradicts itself.
var errDamaged = errors.New("the file is damaged")
