package resolve

import "encoding/binary"

// Arrival is a message that came to this box: its structure is checked, its tag is not. Payload is valid only during
// the call that it is given to.
type Arrival struct {
	Port      uint16 // fabric port, dense index
	Broadcast bool   // on the control VLAN, not to the box address
	From      uint32 // the sender's box address; 0 of a broadcast
	Source    uint16 // its UDP source port; 0 of a broadcast
	MAC       uint64 // source MAC of the frame
	Payload   []byte // the bodies and the tag
}

// EventKind is what the packet path has to tell control.
type EventKind uint8

// The kinds of events.
const (
	// MissMAC, MissIP4, MissIP6: a packet's destination, or an address that somebody asked for, has no binding.
	MissMAC EventKind = iota + 1
	MissIP4
	MissIP6
	// NotHere: a packet came from the fabric for a VIF that is not on this box.
	NotHere
	// LearnMAC, LearnIP4, LearnIP6: a station sent a frame by an attachment that allows learning, and the bindings do
	// not lead to it there, or its address not to its MAC. Told once a second while it goes on.
	LearnMAC
	LearnIP4
	LearnIP6
	// LearnVTEP, LearnVTEP4, LearnVTEP6: a station sent a frame by a VTEP, or said there that it has an address. Told
	// once a second while the bindings do not lead there, and seldom while they do.
	LearnVTEP
	LearnVTEP4
	LearnVTEP6
	// LoopVTEP: a frame came from a VTEP with the MAC of a VIF of this box.
	LoopVTEP

	EventKinds // number of kinds and 1, not a kind
)

// Event is one thing that the packet path tells. IDs and not indices name the segment: an index may have another owner
// when control reads the event.
type Event struct {
	Kind    EventKind
	Tenant  uint32 // ID
	Segment uint32 // ID
	// MAC is the VIF that was missed (MissMAC) or is not here (NotHere), or the station (Learn).
	MAC uint64
	// IP is the address that was missed or learned: octets of an IPv6 address, or of an IPv4 address in the first four.
	IP [16]byte
	// Sender is the inner source MAC of the packet of NotHere; Switch and Number are the place of its sender, by the
	// bindings, 0 if they do not have it. Switch is also the key of the VTEP in events of VTEPs (fib.Switch.MAC).
	Sender uint64
	Switch uint64
	Number uint8
	// Port and VID are the attachment of Learn: an access port (dense index) and its VLAN ID, 0 = untagged.
	Port uint16
	VID  uint16
}

// SetIP sets IP to an IPv4 address, the low 32 bits of lo, or to an IPv6 address.
func (e *Event) SetIP(v4 bool, hi, lo uint64) {
	if v4 {
		binary.BigEndian.PutUint32(e.IP[:], uint32(lo))
		return
	}
	binary.BigEndian.PutUint64(e.IP[0:], hi)
	binary.BigEndian.PutUint64(e.IP[8:], lo)
}
