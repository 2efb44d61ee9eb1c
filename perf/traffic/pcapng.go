package traffic

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"maps"
	"slices"
)

// The types of blocks of a pcapng file (draft-ietf-opsawg-pcapng, section 4 and appendix A).
const (
	blockSection    = 0x0a0d0d0a
	blockInterface  = 1
	blockPacket     = 2 // obsolete
	blockSimple     = 3
	blockNames      = 4
	blockStatistics = 5
	blockEnhanced   = 6
	blockJournal    = 9
	blockSecrets    = 10
	blockProcess    = 0x80000001
)

// Options that say how long the FCS at the end of frames is: of an interface, and in a packet's flags (bits 5 to 8).
const (
	optionFlags = 2
	optionFCS   = 13
)

const byteOrderMagic = 0x1a2b3c4d

// ngReader reads a pcapng file: any number of sections in either order of octets, each with interfaces of its own.
type ngReader struct {
	r       *bufio.Reader
	order   binary.ByteOrder // of the section; nil before the first
	ports   []ngPort         // of the section
	skipped map[uint32]int   // blocks by type that may hold frames, for all that is known here
}

// ngPort is an interface of a section.
type ngPort struct {
	link uint32
	snap uint32 // 0: none
	fcs  int
}

func (g *ngReader) remarks() (texts []string) {
	for _, t := range slices.Sorted(maps.Keys(g.skipped)) {
		texts = append(texts, fmt.Sprintf("%d blocks of type %#x, which is not known here, are left out: "+
			"frames in them are not sent", g.skipped[t], t))
	}
	return texts
}

func (g *ngReader) next() (record, error) {
	for {
		kind, body, err := g.block()
		if err != nil {
			return record{}, err
		}
		switch kind {
		case blockSection:
			err = g.section(body)
		case blockInterface:
			err = g.port(body)
		case blockEnhanced, blockPacket:
			return g.packet(kind, body)
		case blockSimple:
			return g.simple(body)
		case blockNames, blockStatistics, blockJournal, blockSecrets, blockProcess: // no frames
		default:
			g.skipped[kind]++
		}
		if err != nil {
			return record{}, err
		}
	}
}

// block reads a block, of which body is what lies between the lengths. The body of a block that is not looked into is
// left out.
func (g *ngReader) block() (kind uint32, body []byte, err error) {
	var h [8]byte
	if n, err := io.ReadFull(g.r, h[:]); n == 0 && err == io.EOF {
		return 0, nil, io.EOF
	} else if err != nil {
		return 0, nil, torn(err)
	}
	if binary.LittleEndian.Uint32(h[:]) == blockSection { // the same in both orders
		magic, err := g.r.Peek(4)
		if err != nil {
			return 0, nil, torn(err)
		}
		switch {
		case binary.LittleEndian.Uint32(magic) == byteOrderMagic:
			g.order = binary.LittleEndian
		case binary.BigEndian.Uint32(magic) == byteOrderMagic:
			g.order = binary.BigEndian
		default:
			return 0, nil, fmt.Errorf("%w: a section whose order of octets is % x", errDamaged, magic)
		}
	}
	kind = g.order.Uint32(h[:])
	length := g.order.Uint32(h[4:])
	if length < 12 || length%4 != 0 {
		return 0, nil, fmt.Errorf("%w: a block of type %#x with %d octets", errDamaged, kind, length)
	}
	rest := int64(length) - 12
	switch kind {
	case blockSection, blockInterface, blockEnhanced, blockPacket, blockSimple:
		if rest > maxRecord {
			return 0, nil, fmt.Errorf("%w: a block of type %#x with %d octets", errDamaged, kind, length)
		}
		body = make([]byte, rest)
		_, err = io.ReadFull(g.r, body)
	default:
		_, err = io.CopyN(io.Discard, g.r, rest)
	}
	if err == nil {
		_, err = io.ReadFull(g.r, h[:4])
	}
	if err != nil {
		return 0, nil, torn(err)
	}
	if again := g.order.Uint32(h[:4]); again != length {
		return 0, nil, fmt.Errorf("%w: a block of type %#x has %d octets at its begin and %d at its end",
			errDamaged, kind,
			length, again)
	}
	return kind, body, nil
}

// section begins a section: magic 4 | major 2 | minor 2 | length 8 | options. Version 1.2 is read as 1.0.
func (g *ngReader) section(body []byte) error {
	if len(body) < 16 {
		return fmt.Errorf("%w: a section header of %d octets", errDamaged, len(body))
	}
	if major, minor := g.order.Uint16(body[4:]), g.order.Uint16(body[6:]); major != 1 || minor != 0 && minor != 2 {
		return fmt.Errorf("a section of pcapng version %d.%d, want 1.0: write it anew (editcap -F pcapng)",
			major, minor)
	}
	g.ports = nil
	return nil
}

// port adds an interface: link type 2 | reserved 2 | snapshot length 4 | options.
func (g *ngReader) port(body []byte) error {
	if len(body) < 8 {
		return fmt.Errorf("%w: an interface description of %d octets", errDamaged, len(body))
	}
	p := ngPort{link: uint32(g.order.Uint16(body)), snap: g.order.Uint32(body[4:])}
	if v, err := g.option(body[8:], optionFCS); err != nil {
		return err
	} else if len(v) > 0 {
		p.fcs = int(v[0])
	}
	g.ports = append(g.ports, p)
	return nil
}

// packet reads an enhanced packet block, interface 4 | time 8 | captured length 4 | length 4 | octets | options, or the
// obsolete one, whose interface has 2 octets before 2 of a drop count.
func (g *ngReader) packet(kind uint32, body []byte) (rec record, err error) {
	if len(body) < 20 {
		return rec, fmt.Errorf("%w: a packet block of %d octets", errDamaged, len(body))
	}
	at := g.order.Uint32(body)
	if kind == blockPacket {
		at = uint32(g.order.Uint16(body))
	}
	if at >= uint32(len(g.ports)) {
		return rec, fmt.Errorf("%w: a frame of interface %d, and the section has %d interfaces",
			errDamaged, at, len(g.ports))
	}
	captured, p := g.order.Uint32(body[12:]), g.ports[at]
	padded := (uint64(captured) + 3) &^ 3
	if padded > uint64(len(body)-20) {
		return rec, fmt.Errorf("%w: a frame of %d octets in a block with room for %d",
			errDamaged, captured, len(body)-20)
	}
	rec = record{length: int(g.order.Uint32(body[16:])), link: p.link, port: int(at), fcs: p.fcs}
	rec.data = body[20 : 20+captured : 20+captured]
	flags, err := g.option(body[20+padded:], optionFlags)
	if err == nil && len(flags) == 4 {
		if n := g.order.Uint32(flags) >> 5 & 15; n > 0 {
			rec.fcs = int(n)
		}
	}
	return rec, err
}

// simple reads a simple packet block: length 4 | octets. Its frame is of the first interface, and cut to that one's
// snapshot length.
func (g *ngReader) simple(body []byte) (rec record, err error) {
	if len(body) < 4 || len(g.ports) == 0 {
		return rec, fmt.Errorf("%w: a simple packet block of %d octets, and the section has %d interfaces", errDamaged,
			len(body), len(g.ports))
	}
	length, p := g.order.Uint32(body), g.ports[0]
	captured := min(length, uint32(len(body)-4))
	if p.snap > 0 {
		captured = min(captured, p.snap)
	}
	return record{data: body[4 : 4+captured : 4+captured], length: int(length), link: p.link, fcs: p.fcs}, nil
}

// option returns the value of the first option with a code: code 2 | length 2 | value, padded to 4. nil if there is
// none.
func (g *ngReader) option(b []byte, code uint16) ([]byte, error) {
	for len(b) >= 4 {
		c, n := g.order.Uint16(b), int(g.order.Uint16(b[2:]))
		if c == 0 { // the end of options
			return nil, nil
		}
		padded := (n + 3) &^ 3
		if 4+padded > len(b) {
			return nil, fmt.Errorf("%w: an option of %d octets where %d are left", errDamaged, n, len(b)-4)
		}
		if c == code {
			return b[4 : 4+n], nil
		}
		b = b[4+padded:]
	}
	return nil, nil
}
