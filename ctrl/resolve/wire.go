package resolve

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"net/netip"

	"penstock/ctrl/compile"
	"penstock/ctrl/model"
	"penstock/dataplane/resolve"
)

// maxPayload is the longest message that is sent: it fits any fabric that carries frames of 1,500 octets.
const maxPayload = 1400

// tag returns the authentication tag of a message: the first half of HMAC-SHA-256 (RFC 2104, section 5).
func tag(b []byte, k Key) []byte {
	h := hmac.New(sha256.New, []byte(k.Octets))
	_, _ = h.Write(b) // never fails (hash.Hash)
	return h.Sum(nil)[:resolve.TagLen]
}

// bodies reads a message. Without keys tags are ignored; with keys one of them has made the tag.
func (s *Service) bodies(b []byte) (list []body, ok bool) {
	tagged := false
	rest := b
	for len(rest) > 0 && !tagged {
		m, n, whole := resolve.Parse(rest)
		if !whole {
			s.counters.Malformed++
			return nil, false
		}
		list = append(list, m)
		tagged, rest = m.Flags&resolve.FlagTag != 0, rest[n:]
	}
	if tagged && len(rest) != resolve.TagLen {
		s.counters.Malformed++
		return nil, false
	}
	keys := s.cfg.Keys()
	if len(keys) == 0 {
		return list, true
	}
	if tagged {
		signed, id := b[:len(b)-resolve.TagLen], list[len(list)-1].KeyID
		for _, k := range keys {
			if k.ID == id && hmac.Equal(tag(signed, k), rest) {
				return list, true
			}
		}
	}
	s.counters.Forged++
	return nil, false
}

// message packs bodies; the last one bears the tag.
func (s *Service) message(list []body) []byte {
	keys := s.cfg.Keys()
	var b []byte
	for i := range list {
		m := list[i]
		if i == len(list)-1 && len(keys) > 0 {
			m.Flags |= resolve.FlagTag
			m.KeyID = keys[0].ID
		}
		b = m.Append(b)
	}
	if len(keys) > 0 {
		b = append(b, tag(b, keys[0])...)
	}
	return b
}

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
		if v4.IsValid() {
			a := v4.As4()
			m.IP4 = binary.BigEndian.Uint32(a[:])
		}
		if v6.IsValid() {
			m.Flags |= resolve.FlagIPv6
			m.IP6 = v6.As16()
		}
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
