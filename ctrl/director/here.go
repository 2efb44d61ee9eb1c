package director

import (
	"encoding/binary"
	"net/netip"

	"penstock/dataplane/resolve"
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

// body returns the claim as a binding message has it.
func (h *here) body() resolve.Body {
	m := resolve.Body{
		Op: resolve.OpHere, Flags: resolve.FlagStatic, // it is configured
		Sequence: h.sequence, Tenant: h.tenant, Segment: h.segment, MAC: h.mac,
		Switch: h.at.Switch, Port: uint16(h.at.Port),
	}
	m.SetAddress(h.address)
	return m
}

func (h *here) size() int {
	m := h.body()
	return m.Len()
}

// appendHeres writes a message of claims.
func appendHeres(b []byte, list []here, keys []resolve.Key) []byte {
	bodies := make([]resolve.Body, len(list))
	for i := range list {
		bodies[i] = list[i].body()
	}
	return resolve.Message(b, bodies, keys)
}

// hereOf is the reverse of body. ok is false if the body has no place.
func hereOf(m *resolve.Body) (h here, ok bool) {
	if m.Port == 0 || m.Port > 255 || m.Switch == 0 || m.Switch>>40&1 != 0 {
		return here{}, false
	}
	h = here{sequence: m.Sequence, tenant: m.Tenant, segment: m.Segment, mac: m.MAC,
		at: Place{m.Switch, uint8(m.Port)}}
	if m.Flags&resolve.FlagIPv6 != 0 {
		h.address = netip.AddrFrom16(m.IP6)
	} else if m.IP4 != 0 {
		h.address = netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, m.IP4)))
	}
	return h, true
}

// parseHeres reads the claims of a binding message. Bodies of other opcodes are skipped; unknown counts them.
func parseHeres(b []byte, keys []resolve.Key) (list []here, unknown int, err error) {
	bodies, ok := resolve.Bodies(b)
	if !ok {
		return nil, 0, errMalformed
	}
	flags := uint16(0)
	for i := range bodies {
		m := &bodies[i]
		flags = m.Flags
		if m.Op != resolve.OpHere {
			unknown++
			continue
		}
		h, ok := hereOf(m)
		if !ok {
			return nil, 0, errMalformed
		}
		list = append(list, h)
	}
	if _, err := verified(b, flags, keys); err != nil {
		return nil, 0, err
	}
	return list, unknown, nil
}
