package load

import (
	"encoding/binary"
	"fmt"

	"penstock/ctrl/model"
)

const (
	chunk    = 2048 // octets of a UMEM frame
	headroom = 256  // octets in front of a frame
	// MinSize and MaxSize bound a frame, in octets without FCS.
	MinSize = 60
	MaxSize = chunk - headroom

	maxFlows = 1 << 24
)

// Field is a number in network byte order within a frame.
type Field struct {
	Offset int // octets from the start of the frame
	Width  int // octets: 2 or 4
}

// Template describes the frames of a source. Frame k of Flows is the template with k added to each of the fields in
// Vary, modulo their width. Checksums are not corrected: a varied field must not be covered by one.
type Template struct {
	Frame []byte // without FCS
	Flows int    // 1 to 16,777,216
	Vary  []Field
}

func (t *Template) check() error {
	if len(t.Frame) < MinSize || len(t.Frame) > MaxSize {
		return fmt.Errorf("load: template of %d octets: must be %d to %d", len(t.Frame), MinSize, MaxSize)
	}
	if t.Flows < 1 || t.Flows > maxFlows {
		return fmt.Errorf("load: template with %d flows: must be 1 to %d", t.Flows, maxFlows)
	}
	for _, f := range t.Vary {
		if f.Width != 2 && f.Width != 4 || f.Offset < 0 || f.Offset+f.Width > len(t.Frame) {
			return fmt.Errorf("load: field of %d octets at %d: must be 2 or 4 octets within the frame's %d",
				f.Width, f.Offset, len(t.Frame))
		}
	}
	return nil
}

// varying is a field with its value in the template.
type varying struct {
	Field
	base uint32
}

func (t *Template) varying() []varying {
	v := make([]varying, len(t.Vary))
	for i, f := range t.Vary {
		v[i].Field = f
		if b := t.Frame[f.Offset:]; f.Width == 2 {
			v[i].base = uint32(binary.BigEndian.Uint16(b))
		} else {
			v[i].base = binary.BigEndian.Uint32(b)
		}
	}
	return v
}

// put makes f, a copy of the template, a frame of flow k.
func put(f []byte, vary []varying, k uint32) {
	for i := range vary {
		v := &vary[i]
		if b := f[v.Offset:]; v.Width == 2 {
			binary.BigEndian.PutUint16(b, uint16(v.base+k))
		} else {
			binary.BigEndian.PutUint32(b, v.base+k)
		}
	}
}

// Offsets within a frame that UDP makes.
const (
	offDestination = 2 // the lower four octets of the destination MAC
	offEtherType   = 12
	offIPv4        = 14
	offPorts       = 34
	etherTypeIPv4  = 0x0800
	protocolUDP    = 17
)

// UDP is the template of IPv4 UDP frames of size octets without FCS. The flow number is added to the destination MAC
// and to the source port; the UDP checksum is absent, as RFC 768 allows.
func UDP(size, flows int, dst, src model.MAC, srcIP, dstIP [4]byte, srcPort, dstPort uint16) (Template, error) {
	t := Template{Frame: make([]byte, max(size, 0)), Flows: flows, Vary: []Field{{offDestination, 4}, {offPorts, 2}}}
	if size < MinSize || size > MaxSize {
		return t, t.check()
	}
	f := t.Frame
	putMAC(f, dst)
	putMAC(f[6:], src)
	binary.BigEndian.PutUint16(f[offEtherType:], etherTypeIPv4)
	ip := f[offIPv4:]
	ip[0], ip[8], ip[9] = 0x45, 64, protocolUDP
	binary.BigEndian.PutUint16(ip[2:], uint16(len(ip)))
	copy(ip[12:], srcIP[:])
	copy(ip[16:], dstIP[:])
	binary.BigEndian.PutUint16(ip[10:], ^sum16(ip[:20]))
	udp := f[offPorts:]
	binary.BigEndian.PutUint16(udp, srcPort)
	binary.BigEndian.PutUint16(udp[2:], dstPort)
	binary.BigEndian.PutUint16(udp[4:], uint16(len(udp)))
	for i := offPorts + 8; i < size; i++ {
		f[i] = byte(i)
	}
	return t, t.check()
}

func putMAC(b []byte, m model.MAC) {
	binary.BigEndian.PutUint16(b, uint16(m>>32))
	binary.BigEndian.PutUint32(b[2:], uint32(m))
}

// sum16 is the ones' complement sum of RFC 1071 over an even number of octets.
func sum16(b []byte) uint16 {
	var s uint32
	for ; len(b) >= 2; b = b[2:] {
		s += uint32(binary.BigEndian.Uint16(b))
	}
	s = s>>16 + s&0xffff
	return uint16(s>>16 + s)
}

// Constant returns the octets of the template from offset on that are the same in all flows, up to the given number:
// what a sink can expect behind a forwarder that leaves them alone.
func (t *Template) Constant(offset, n int) ([]byte, error) {
	if offset < 0 || n < 1 || offset+n > len(t.Frame) {
		return nil, fmt.Errorf("load: octets %d to %d: the frame has %d", offset, offset+n, len(t.Frame))
	}
	for _, f := range t.Vary {
		if offset < f.Offset+f.Width && f.Offset < offset+n {
			return nil, fmt.Errorf("load: octets %d to %d are not the same in all flows", offset, offset+n)
		}
	}
	return t.Frame[offset : offset+n : offset+n], nil
}
