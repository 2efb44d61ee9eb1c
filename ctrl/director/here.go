package director

import (
	"encoding/binary"
	"net/netip"
)

// Place is where a box hangs.
type Place struct {
	Switch uint64 // MAC
	Port   uint8
}

// here is a claim: the VIP with this MAC is directed by the box at a place.
type here struct {
	sequence        uint64
	tenant, segment uint32
	mac             uint64
	address         netip.Addr
	at              Place
}

func (h *here) size() int {
	if h.address.Is6() {
		return hereLen + 16
	}
	return hereLen
}

// appendHeres writes claims, several bodies in one message, and the tag of all on the last one.
func appendHeres(b []byte, list []here, keys []Key) []byte {
	start := len(b)
	for i := range list {
		h := &list[i]
		flags, id, ip4 := uint16(1<<3), uint8(0), uint32(0) // static: it is configured
		if h.address.Is6() {
			flags |= flagIPv6
		} else if h.address.Is4() {
			a := h.address.As4()
			ip4 = binary.BigEndian.Uint32(a[:])
		}
		if i == len(list)-1 && len(keys) > 0 {
			flags |= flagTag
			id = keys[0].ID
		}
		b = append(binary.BigEndian.AppendUint16(b, magic), version, opHere)
		b = append(binary.BigEndian.AppendUint16(b, flags), id, 0)
		b = binary.BigEndian.AppendUint64(b, h.sequence)
		b = put48(put24(put24(b, h.tenant), h.segment), h.mac)
		b = put48(binary.BigEndian.AppendUint32(b, ip4), h.at.Switch)
		b = binary.BigEndian.AppendUint16(b, uint16(h.at.Port))
		if flags&flagIPv6 != 0 {
			b = append(b, h.address.AsSlice()...)
		}
	}
	if len(keys) > 0 {
		b = append(b, tag(b[start:], keys[0])...)
	}
	return b
}

// parseHeres reads the claims of a binding message. Bodies of other opcodes are skipped; unknown counts them.
func parseHeres(b []byte, keys []Key) (list []here, unknown int, err error) {
	rest, tagged := b, uint16(0)
	for len(rest) > 0 && tagged == 0 {
		if len(rest) < hereLen || binary.BigEndian.Uint16(rest) != magic || rest[2] != version {
			return nil, 0, errMalformed
		}
		flags, n := binary.BigEndian.Uint16(rest[4:]), hereLen
		h := here{
			sequence: binary.BigEndian.Uint64(rest[8:]), tenant: get24(rest[16:]), segment: get24(rest[19:]),
			mac: get48(rest[22:]), at: Place{Switch: get48(rest[32:])},
		}
		if ip4 := [4]byte(rest[28:32]); ip4 != [4]byte{} {
			h.address = netip.AddrFrom4(ip4)
		}
		port := binary.BigEndian.Uint16(rest[38:])
		h.at.Port = uint8(port)
		if flags&flagIPv6 != 0 {
			if n += 16; len(rest) < n {
				return nil, 0, errMalformed
			}
			h.address = netip.AddrFrom16([16]byte(rest[40:56]))
		}
		if rest[3] != opHere {
			unknown++
		} else if port == 0 || port > 255 || h.at.Switch == 0 || h.at.Switch>>40&1 != 0 {
			return nil, 0, errMalformed
		} else {
			list = append(list, h)
		}
		tagged, rest = flags&flagTag, rest[n:]
	}
	if tagged != 0 && len(rest) != tagLen {
		return nil, 0, errMalformed
	}
	if _, err := verified(b, tagged, keys); err != nil {
		return nil, 0, err
	}
	return list, unknown, nil
}
