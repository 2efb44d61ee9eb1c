// Package lldp has the Link Layer Discovery Protocol (IEEE 802.1AB): its frames, and what they say of the place where a
// port of this box is plugged in. It is pure: no clock, no socket.
//
//	frame.go   a frame → what the neighbour says
//	write.go   what this box says → a frame
//	number.go  the number of the neighbour's port, from the texts that it sends
package lldp

import (
	"encoding/binary"
	"encoding/hex"
	"net/netip"
	"strings"

	"penstock/ctrl/model"
)

// EtherType is that of LLDP.
const EtherType = 0x88cc

// The subtypes of chassis and port IDs that say more than their octets (IEEE 802.1AB, tables 8-2 and 8-3).
const (
	ChassisMAC     = 4
	ChassisAddress = 5
	PortAlias      = 1
	PortMAC        = 3
	PortAddress    = 4
	PortName       = 5 // of the interface
	PortLocal      = 7 // locally assigned
)

// The types of TLVs.
const (
	tlvEnd = iota
	tlvChassis
	tlvPort
	tlvTTL
	tlvPortDescription
	tlvSystemName
	tlvSystemDescription
	tlvCapabilities
	tlvManagement
)

// maxID is the largest length of an ID, in octets.
const maxID = 255

// ID is a chassis ID or a port ID.
type ID struct {
	Subtype uint8
	Octets  string
}

// Advert is what a frame says.
type Advert struct {
	Source  model.MAC // of the frame
	VID     uint16    // of the frame's tag, 0 = untagged
	Chassis ID
	Port    ID
	TTL     uint16 // seconds; 0 = the neighbour leaves

	PortDescription   string
	SystemName        string
	SystemDescription string
	Capabilities      uint16 // that the neighbour has; a bit each (IEEE 802.1AB, table 8-4)
	Enabled           uint16 // those in use
	Management        netip.Addr
}

// Fault is why a frame is refused.
type Fault uint8

// The faults.
const (
	ErrShort Fault = iota
	ErrAddress
	ErrOrder
	ErrID
	ErrTruncate
	Faults // how many there are
)

var faults = [Faults]struct{ name, text string }{
	ErrShort:    {"short", "the frame is cut off"},
	ErrAddress:  {"address", "the frame is not to an LLDP group address, or has a group address as source"},
	ErrOrder:    {"order", "chassis ID, port ID and TTL do not come first, in this order, once each"},
	ErrID:       {"id", "an ID has no octets, or more than 255"},
	ErrTruncate: {"truncated", "a TLV is longer than the frame"},
}

// Error implements error.
func (f Fault) Error() string { return faults[f].text }

// String is the fault's name in counters.
func (f Fault) String() string { return faults[f].name }

// Groups are the destination addresses of LLDP: nearest bridge, nearest bridge that is no two-port MAC relay, nearest
// customer bridge (IEEE 802.1AB, table 7-1).
func isGroup(dst model.MAC) bool {
	return dst == NearestBridge || dst == 0x0180c2000003 || dst == 0x0180c2000000
}

// NearestBridge is the destination of frames that no bridge forwards.
const NearestBridge = model.MAC(0x0180c200000e)

// Parse reads a frame without FCS, untagged or with one tag. It skips TLVs that it does not know, ignores anything
// behind the end, and accepts a frame without an end.
// The error is a Fault.
func Parse(f []byte) (a Advert, err error) {
	if len(f) < 14 {
		return a, ErrShort
	}
	a.Source = mac(f[6:])
	if !isGroup(mac(f)) || a.Source == 0 || a.Source.IsGroup() {
		return a, ErrAddress
	}
	typ, b := binary.BigEndian.Uint16(f[12:]), f[14:]
	if typ == 0x8100 || typ == 0x88a8 || typ == 0x9100 {
		if len(b) < 4 {
			return a, ErrShort
		}
		a.VID = binary.BigEndian.Uint16(b) & 4095
		typ, b = binary.BigEndian.Uint16(b[2:]), b[4:]
	}
	if typ != EtherType {
		return a, ErrShort
	}
	for n := 0; ; n++ {
		kind, value, rest, ok := next(b)
		if !ok {
			return a, ErrTruncate
		}
		if value == nil && n > tlvTTL-tlvChassis { // the end
			return a, nil
		}
		if err := a.take(n, kind, value); err != nil {
			return a, err
		}
		b = rest
	}
}

func mac(b []byte) model.MAC {
	return model.MAC(uint64(binary.BigEndian.Uint16(b))<<32 | uint64(binary.BigEndian.Uint32(b[2:])))
}

// next takes a TLV off b. value is nil at the end, by an End TLV or by the end of b.
func next(b []byte) (kind int, value, rest []byte, ok bool) {
	if len(b) == 0 {
		return tlvEnd, nil, nil, true
	}
	if len(b) < 2 {
		return 0, nil, nil, false
	}
	h := binary.BigEndian.Uint16(b)
	kind, n := int(h>>9), int(h&511)
	if kind == tlvEnd {
		return tlvEnd, nil, nil, true
	}
	if len(b) < 2+n {
		return 0, nil, nil, false
	}
	return kind, b[2 : 2+n : 2+n], b[2+n:], true
}

// take notes TLV n.
func (a *Advert) take(n, kind int, value []byte) error {
	mandatory := kind >= tlvChassis && kind <= tlvTTL
	if mandatory != (n < tlvTTL) || mandatory && kind != n+1 {
		return ErrOrder
	}
	switch kind {
	case tlvChassis, tlvPort:
		if len(value) < 2 || len(value) > 1+maxID {
			return ErrID
		}
		id := ID{value[0], string(value[1:])}
		if kind == tlvChassis {
			a.Chassis = id
		} else {
			a.Port = id
		}
	case tlvTTL:
		if len(value) < 2 {
			return ErrTruncate
		}
		a.TTL = binary.BigEndian.Uint16(value)
	case tlvPortDescription:
		a.PortDescription = text(value)
	case tlvSystemName:
		a.SystemName = text(value)
	case tlvSystemDescription:
		a.SystemDescription = text(value)
	case tlvCapabilities:
		if len(value) >= 4 {
			a.Capabilities, a.Enabled = binary.BigEndian.Uint16(value), binary.BigEndian.Uint16(value[2:])
		}
	case tlvManagement:
		if addr := management(value); addr.IsValid() && !a.Management.IsValid() {
			a.Management = addr
		}
	}
	return nil
}

// management reads a management address (IEEE 802.1AB, 8.5.9): the length of what follows, its family, the address.
func management(b []byte) (a netip.Addr) {
	if len(b) < 2 || int(b[0]) < 2 || len(b) < 1+int(b[0]) {
		return a
	}
	if family, octets := b[1], b[2:1+int(b[0])]; family == 1 && len(octets) == 4 || family == 2 && len(octets) == 16 {
		a, _ = netip.AddrFromSlice(octets)
	}
	return a
}

// text is a string from outside, which some devices end with zero octets.
func text(b []byte) string { return strings.TrimRight(string(b), "\x00") }

// Chassis IDs and port IDs for people.

// ChassisText returns the chassis ID: a MAC or an address where it is one, else its text.
func (a *Advert) ChassisText() string { return a.Chassis.text(ChassisMAC, ChassisAddress) }

// PortText returns the port ID likewise.
func (a *Advert) PortText() string { return a.Port.text(PortMAC, PortAddress) }

func (i ID) text(macSubtype, addressSubtype uint8) string {
	b := []byte(i.Octets)
	switch {
	case i.Subtype == macSubtype && len(b) == 6:
		return mac(b).String()
	case i.Subtype == addressSubtype && len(b) > 0:
		if a, ok := netip.AddrFromSlice(b[1:]); ok && (b[0] == 1 || b[0] == 2) {
			return a.String()
		}
	}
	for _, c := range b {
		if c == 0 {
			return hex.EncodeToString(b)
		}
	}
	return i.Octets
}

// ChassisMAC returns the chassis ID if it is a MAC that can be an edge switch's, else 0.
func (a *Advert) ChassisMAC() model.MAC {
	if a.Chassis.Subtype != ChassisMAC || len(a.Chassis.Octets) != 6 {
		return 0
	}
	if m := mac([]byte(a.Chassis.Octets)); !m.IsGroup() {
		return m
	}
	return 0
}
