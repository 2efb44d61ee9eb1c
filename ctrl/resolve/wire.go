package resolve

import (
	"encoding/binary"
	"net/netip"

	"penstock/ctrl/compile"
	"penstock/ctrl/model"
	"penstock/dataplane/resolve"
)

// maxPayload is the longest message that is sent: it fits any fabric that carries frames of 1,500 octets.
const maxPayload = 1400

// bodies reads a message. Without keys tags are ignored; with keys one of them has made the tag.
func (s *Service) bodies(b []byte) (list []body, ok bool) {
	if list, ok = resolve.Bodies(b); !ok {
		s.counters.Malformed++
		return nil, false
	}
	keys := s.cfg.Keys()
	if len(keys) == 0 {
		return list, true
	}
	if n := len(list); n > 0 && list[n-1].Flags&resolve.FlagTag != 0 {
		signed, tag := b[:len(b)-resolve.TagLen], b[len(b)-resolve.TagLen:]
		for i := range keys {
			if keys[i].ID == list[n-1].KeyID && keys[i].Made(tag, signed) {
				return list, true
			}
		}
	}
	s.counters.Forged++
	return nil, false
}

func (s *Service) message(list []body) []byte { return resolve.Message(nil, list, s.cfg.Keys()) }

func (s *Service) broadcast(list []body) bool {
	return s.sent(s.cfg.Wire.Broadcast(s.message(list)))
}

func (s *Service) unicast(to compile.Place, list []body) bool {
	return s.sent(s.cfg.Wire.Unicast(to, s.message(list)))
}

func (s *Service) sent(ok bool) bool {
	if ok {
		s.counters.Sent++
	} else {
		s.counters.NotSent++
	}
	return ok
}

// new returns a body of this box.
func (s *Service) new(op uint8, key compile.FabricKey, sequence uint64) body {
	return body{Op: op, Sequence: sequence, Tenant: key.Tenant, Segment: key.Segment, MAC: uint64(key.MAC),
		Switch: uint64(s.self.At.Switch), Port: uint16(s.self.At.Port)}
}

func keyOf(m *body) compile.FabricKey {
	return compile.FabricKey{Tenant: m.Tenant, Segment: m.Segment, MAC: model.MAC(m.MAC)}
}

func placeOf(m *body) compile.Place {
	return compile.Place{Switch: model.MAC(m.Switch), Port: uint8(m.Port)}
}

// heres appends the HEREs of a row of this box.
func (s *Service) heres(list []body, r *compile.FabricRow) []body {
	r.Heres(func(v4, v6 netip.Addr, more bool) {
		m := s.new(resolve.OpHere, r.FabricKey, r.Sequence)
		if r.Static {
			m.Flags |= resolve.FlagStatic
		}
		if r.VTEP {
			m.Flags |= resolve.FlagVTEP
		}
		if more {
			m.Flags |= resolve.FlagAdd
		}
		m.SetAddress(v4)
		m.SetAddress(v6)
		list = append(list, m)
	})
	return list
}

// size is the length of a message of these bodies.
func size(list []body) (n int) {
	for i := range list {
		n += list[i].Len()
	}
	return n + resolve.TagLen
}

// addresses appends the addresses of a body.
func addresses(list []netip.Addr, m *body) []netip.Addr {
	if m.IP4 != 0 {
		var a [4]byte
		binary.BigEndian.PutUint32(a[:], m.IP4)
		list = append(list, netip.AddrFrom4(a))
	}
	if a := netip.AddrFrom16(m.IP6); m.Flags&resolve.FlagIPv6 != 0 && !a.IsUnspecified() && !a.Is4In6() {
		list = append(list, a)
	}
	return list
}
