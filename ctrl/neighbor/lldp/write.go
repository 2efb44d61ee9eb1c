package lldp

import (
	"encoding/binary"

	"penstock/ctrl/model"
)

// The capabilities that a box may have (IEEE 802.1AB, table 8-4).
const (
	CapabilityBridge  = 1 << 2
	CapabilityRouter  = 1 << 4
	CapabilityStation = 1 << 7
)

// Append appends a frame, without FCS, to the nearest bridge, with what a says. Texts longer than a TLV are cut.
func (a *Advert) Append(f []byte) []byte {
	f = appendMAC(appendMAC(f, NearestBridge), a.Source)
	f = binary.BigEndian.AppendUint16(f, EtherType)
	for _, x := range []struct {
		kind int
		id   ID
	}{{tlvChassis, a.Chassis}, {tlvPort, a.Port}} {
		f = tlv(f, x.kind, append([]byte{x.id.Subtype}, x.id.Octets[:min(len(x.id.Octets), maxID)]...))
	}
	f = tlv(f, tlvTTL, binary.BigEndian.AppendUint16(nil, a.TTL))
	if a.TTL != 0 { // a frame that says good-bye has no more (IEEE 802.1AB, 9.2.7.2)
		for _, x := range []struct {
			kind int
			text string
		}{{tlvPortDescription, a.PortDescription}, {tlvSystemName, a.SystemName},
			{tlvSystemDescription, a.SystemDescription}} {
			if x.text != "" {
				f = tlv(f, x.kind, []byte(x.text[:min(len(x.text), maxID)]))
			}
		}
		f = tlv(f, tlvCapabilities, binary.BigEndian.AppendUint16(
			binary.BigEndian.AppendUint16(nil, a.Capabilities), a.Enabled))
	}
	f = append(f, 0, 0)
	for len(f) < 60 {
		f = append(f, 0)
	}
	return f
}

func tlv(f []byte, kind int, value []byte) []byte {
	return append(binary.BigEndian.AppendUint16(f, uint16(kind<<9|len(value)&511)), value...)
}

func appendMAC(b []byte, m model.MAC) []byte {
	return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint16(b, uint16(m>>32)), uint32(m))
}

// MACID returns the chassis ID or port ID of a MAC, by the subtype of its kind of ID.
func MACID(subtype uint8, m model.MAC) ID { return ID{subtype, string(appendMAC(nil, m))} }
