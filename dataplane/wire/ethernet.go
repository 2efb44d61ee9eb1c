package wire

import "encoding/binary"

// EtherTypes (IEEE registration authority). A value below EtherTypeMin is an IEEE 802.3 length.
const (
	EtherTypeMin      = 0x0600
	EtherTypeIPv4     = 0x0800
	EtherTypeARP      = 0x0806
	EtherTypeVLAN     = 0x8100 // IEEE 802.1Q C-tag
	EtherTypeIPv6     = 0x86dd
	EtherTypeSTag     = 0x88a8 // IEEE 802.1ad S-tag
	EtherTypeOldQinQ  = 0x9100 // S-tag of switches older than 802.1ad
	EtherTypeLLDP     = 0x88cc
	EtherTypePenstock = 0x88b5 // binding messages (PROTOCOL.md#binding-messages); local experimental 1
)

// Ethernet header (IEEE 802.3, 3.1.1):
//
//	octets 0–5 destination | 6–11 source | 12–13 type or length
const (
	ethDst  = 0
	ethSrc  = 6
	ethType = 12

	EthernetLen = 14 // octets of an Ethernet header
	VLANTagLen  = 4  // octets of an 802.1Q tag
)

// Ethernet is a frame from its first octet on.
type Ethernet []byte

// Dst returns the destination MAC.
func (h Ethernet) Dst() uint64 { return MAC(h[ethDst:]) }

// Src returns the source MAC.
func (h Ethernet) Src() uint64 { return MAC(h[ethSrc:]) }

// Type returns the EtherType (EtherTypeVLAN for a tagged frame) or the 802.3 length.
func (h Ethernet) Type() uint16 { return binary.BigEndian.Uint16(h[ethType:]) }

// SetDst writes the destination MAC.
func (h Ethernet) SetDst(m uint64) { PutMAC(h[ethDst:], m) }

// SetSrc writes the source MAC.
func (h Ethernet) SetSrc(m uint64) { PutMAC(h[ethSrc:], m) }

// SetType writes the EtherType.
func (h Ethernet) SetType(t uint16) { binary.BigEndian.PutUint16(h[ethType:], t) }

// Tag returns the 802.1Q tag of a frame whose Type is EtherTypeVLAN.
func (h Ethernet) Tag() VLANTag { return VLANTag(h[ethType:]) }

// VLANTag is an 802.1Q tag from its EtherType (TPID) on (IEEE 802.1Q, 9.3–9.6):
//
//	octets 0–1 TPID | 2–3 PCP (3 bits), DEI (1 bit), VID (12 bits)
//
// followed by the type of what the tag is in front of.
type VLANTag []byte

// TPID returns the tag's EtherType.
func (t VLANTag) TPID() uint16 { return binary.BigEndian.Uint16(t) }

// TCI returns PCP, DEI and VID as one number.
func (t VLANTag) TCI() uint16 { return binary.BigEndian.Uint16(t[2:]) }

// VID returns the VLAN ID; 0 is a priority tag.
func (t VLANTag) VID() uint16 { return t.TCI() & 0x0fff }

// PCP returns the priority, 0–7.
func (t VLANTag) PCP() uint8 { return t[2] >> 5 }

// Type returns the EtherType behind the tag.
func (t VLANTag) Type() uint16 { return binary.BigEndian.Uint16(t[4:]) }

// Set writes TPID 0x8100, the priority (0–7) and the VLAN ID, with DEI 0.
func (t VLANTag) Set(vid uint16, pcp uint8) {
	binary.BigEndian.PutUint32(t, EtherTypeVLAN<<16|TCI(vid, pcp))
}

// TCI packs the VLAN ID (12 bits) and the priority (3 bits) as an 802.1Q tag carries them, DEI 0.
func TCI(vid uint16, pcp uint8) uint32 { return uint32(pcp)<<13 | uint32(vid&0x0fff) }
