package resolve

import (
	"encoding/binary"
	"net/netip"

	"penstock/ctrl/compile"
	"penstock/ctrl/model"
	"penstock/dataplane/resolve"
)

// target is what is asked for: a MAC, or an address of a segment.
type target struct {
	key compile.FabricKey // MAC 0: by the address
	ip  netip.Addr
}

// asked is when a target was asked for, and how long to wait until the next time.
type asked struct {
	last int64
	wait int64
}

// maxTargets is how many targets are remembered.
const maxTargets = 16_384

// not is a NOT-HERE that was sent.
type not struct {
	to  compile.Place
	key compile.FabricKey
}

// Events takes what the packet path tells.
func (s *Service) Events(list []resolve.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.cfg.Now()
	s.stations = s.stations[:0]
	for i := range list {
		switch e := &list[i]; e.Kind {
		case resolve.LearnMAC, resolve.LearnIP4, resolve.LearnIP6:
			s.collectStation(e)
		default:
			s.event(e, now)
		}
	}
	s.learnStations(now)
}

func (s *Service) event(e *resolve.Event, now int64) {
	t := target{key: compile.FabricKey{Tenant: e.Tenant, Segment: e.Segment}}
	switch e.Kind {
	case resolve.MissMAC:
		t.key.MAC = model.MAC(e.MAC)
		s.ask(t, now)
	case resolve.MissIP4:
		t.ip = netip.AddrFrom4([4]byte(e.IP[:4]))
		s.ask(t, now)
	case resolve.MissIP6:
		t.ip = netip.AddrFrom16(e.IP)
		s.ask(t, now)
	case resolve.NotHere:
		t.key.MAC = model.MAC(e.MAC)
		s.refuse(t.key, compile.Place{Switch: model.MAC(e.Switch), Port: e.Number}, now)
	}
}

// ask broadcasts a WHERE: at once, then after 1, 2, 4 … 30 s.
func (s *Service) ask(t target, now int64) {
	if !s.self.At.Known() {
		return
	}
	a := s.targets[t]
	if a == nil {
		if len(s.targets) >= maxTargets {
			return
		}
		a = &asked{}
		s.targets[t] = a
	}
	if a.last != 0 && now-a.last < a.wait || !s.whereRate.take(1, now) {
		return
	}
	if a.wait *= 2; a.wait == 0 {
		a.wait = second
	}
	a.last, a.wait = now, min(a.wait, 30*second)
	m := s.new(resolve.OpWhere, t.key, uint64(now))
	switch {
	case t.ip.Is4():
		b := t.ip.As4()
		m.IP4 = binary.BigEndian.Uint32(b[:])
	case t.ip.Is6():
		m.Flags, m.IP6 = resolve.FlagIPv6, t.ip.As16()
	}
	s.broadcast([]body{m})
}

// found ends the questions for a row.
func (s *Service) found(r *compile.FabricRow) {
	if len(s.targets) == 0 {
		return
	}
	delete(s.targets, target{key: r.FabricKey})
	key := r.FabricKey
	key.MAC = 0
	for _, a := range r.Addresses {
		delete(s.targets, target{key: key, ip: a})
	}
}

// refuse says NOT-HERE to a box that has sent a packet for a VIF that is not on this box.
func (s *Service) refuse(key compile.FabricKey, to compile.Place, now int64) {
	k := not{to, key}
	if !s.speaks() || !to.Known() || to == s.self.At || s.nots[k] != 0 && now-s.nots[k] < second ||
		len(s.nots) >= maxTargets {
		return
	}
	s.nots[k] = now
	s.unicast(to, []body{s.new(resolve.OpNotHere, key, uint64(now))})
}

// maxOwners is how many owners are asked for at a time.
const maxOwners = 16_384

// ownership is when the box that owns a VIF was asked for it, and when it has answered.
type ownership struct{ asked, answered int64 }

// AskOwner broadcasts a WHERE for a VIF that another box has told, once a second at most: whoever owns it answers.
func (s *Service) AskOwner(key compile.FabricKey) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.cfg.Now()
	o := s.owners[key]
	if o == nil {
		if len(s.owners) >= maxOwners {
			return
		}
		o = &ownership{}
		s.owners[key] = o
	}
	if o.asked != 0 && now-o.asked < second || !s.self.At.Known() || !s.whereRate.take(1, now) {
		return
	}
	o.asked = now
	s.broadcast([]body{s.new(resolve.OpWhere, key, uint64(now))})
}

// Answered returns when the owner of a VIF was heard last after AskOwner, in nanoseconds; 0 = it was not.
func (s *Service) Answered(key compile.FabricKey) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if o := s.owners[key]; o != nil {
		return o.answered
	}
	return 0
}

// ownerHeard notes that the box at a place says that it owns a VIF.
func (s *Service) ownerHeard(r *compile.FabricRow, now int64) {
	if o := s.owners[r.FabricKey]; o != nil && r.At != s.self.At {
		o.answered = now
	}
}
