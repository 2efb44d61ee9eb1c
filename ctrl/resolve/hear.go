package resolve

import (
	"net/netip"
	"slices"

	"penstock/ctrl/compile"
	"penstock/dataplane/resolve"
)

// Message takes a message of another box.
func (s *Service) Message(a resolve.Arrival) {
	s.mu.Lock()
	defer s.mu.Unlock()
	list, ok := s.bodies(a.Payload)
	if !ok {
		return
	}
	now := s.cfg.Now()
	s.rows = s.rows[:0]
	var from *pull // the rows belong to a page
	for i := range list {
		m := &list[i]
		if !a.Broadcast && m.Op != resolve.OpHere && !from1(a.From, m) {
			s.counters.Stranger++ // the sender is not at the place that it says
			continue
		}
		switch m.Op {
		case resolve.OpHere:
			s.counters.Heres++
			s.collect(m)
		case resolve.OpWhere:
			s.counters.Wheres++
			s.where(m, now)
		case resolve.OpNotHere:
			s.counters.NotHeres++
			s.notHere(m, now)
		case resolve.OpHello:
			s.counters.Hellos++
			s.heardHello(m, now)
		case resolve.OpPull:
			s.counters.Pulls++
			if !a.Broadcast {
				s.serve(m, now)
			}
		case resolve.OpPage:
			s.counters.Pages++
			if from = s.page(m, now); from == nil {
				return // of a pull that is over, or not the next one
			}
		default:
			s.counters.Other++
		}
	}
	if len(s.rows) > 0 {
		s.learn(a.Payload, from, now)
	}
	if from != nil {
		s.paged(from, list, now)
	}
}

// from1 reports whether a message comes from the box address of the port number that a body has.
func from1(address uint32, m *body) bool {
	number := uint16(address >> 24)
	if p := uint16(address >> 16 & 0xff); number == 10 && p != 0 { // 10.p.t: 10.p.0.1; p.t: 10.0.0.1
		number = p
	}
	return number == m.Port
}

// collect adds a HERE to the rows. One with FlagAdd has an address more of the row before it.
func (s *Service) collect(m *body) {
	r := compile.FabricRow{FabricKey: keyOf(m), At: placeOf(m), Sequence: m.Sequence,
		Static: m.Flags&resolve.FlagStatic != 0, VTEP: m.Flags&resolve.FlagVTEP != 0}
	if r.MAC == 0 || r.MAC.IsGroup() {
		s.counters.Malformed++
		return
	}
	if m.Flags&resolve.FlagAdd != 0 {
		if n := len(s.rows); n > 0 && s.rows[n-1].FabricKey == r.FabricKey && s.rows[n-1].Sequence == r.Sequence {
			s.rows[n-1].Addresses = merge(s.rows[n-1].Addresses, addresses(nil, m))
			return
		}
		if old, ok := s.cfg.Table.Learned(r.FabricKey); ok && old.Sequence == r.Sequence && old.At == r.At {
			r.Addresses = old.Addresses
		}
	}
	r.Addresses = merge(r.Addresses, addresses(nil, m))
	s.rows = append(s.rows, r)
}

// maxAddresses is the most addresses of a binding.
const maxAddresses = 16

func merge(list, more []netip.Addr) []netip.Addr {
	for _, a := range more {
		if !slices.Contains(list, a) && len(list) < maxAddresses {
			list = append(list, a)
		}
	}
	return list
}

// learn takes the collected rows.
func (s *Service) learn(payload []byte, from *pull, now int64) {
	if from == nil { // what is pulled comes by unicast, as fast as this box asks for it
		s.heard += len(s.rows)
	}
	s.withoutHeld(from)
	virtual := false
	verdicts := s.cfg.Table.LearnRows(s.rows)
	for i, v := range verdicts {
		r := &s.rows[i]
		if r.VTEP {
			s.behindVTEP(r, now)
		}
		s.counters.Verdicts[v]++
		if len(s.owners) > 0 {
			s.ownerHeard(r, now)
		}
		switch v {
		case compile.Moved:
			s.found(r)
			s.moved(r.FabricKey, now)
		case compile.Taken:
			s.found(r)
		case compile.Older:
			s.answerOlder(r, now)
		case compile.Virtual:
			virtual = true
		case compile.Local:
			v = s.rival(r, from, now)
		case compile.Contradicts:
			s.raise(conflictFault(r), now, "")
		case compile.Crowded:
			s.found(r)
			s.raise(fullFault, now, "")
		case compile.Full:
			s.raise(fullFault, now, "")
		case compile.Self:
			s.deny(r, now)
		}
		switch v {
		case compile.Taken, compile.Moved, compile.Same, compile.Crowded:
		default:
			if from != nil {
				from.lacks(r)
			}
		}
	}
	if virtual {
		s.cfg.Directors(payload)
	}
}

// rival is another box's claim of a VIF of this box. An older one is answered. A newer one silences this box, but a
// configured VIF is claimed anew if the other one is only learned, and a learned one goes to the other box. It returns
// what became of the row.
func (s *Service) rival(r *compile.FabricRow, from *pull, now int64) compile.Verdict {
	o := s.own[r.FabricKey]
	if o == nil || r.At == s.self.At {
		return compile.Local
	}
	if from != nil && o.elsewhere.Sequence == r.Sequence && o.elsewhere.At == r.At {
		o.confirmed = from.begin
	}
	newest := o.row.Sequence == 0 || newer(r, &o.row)
	switch {
	case newest && !o.row.Static:
		s.remove(r.FabricKey)
		s.moved(r.FabricKey, now)
		return s.cfg.Table.GiveWay(r)
	case newest && r.Static:
		if o.elsewhere.Sequence == 0 || newer(r, &o.elsewhere) {
			s.moved(r.FabricKey, now)
			o.elsewhere, o.confirmed = *r, 0
			if from != nil {
				o.confirmed = from.begin
			}
			o.elsewhere.Addresses = append([]netip.Addr(nil), r.Addresses...)
			s.raise(vifFault(r.FabricKey), now, vifText(r))
		}
		return compile.Local
	}
	if s.speaks() && now-o.answered >= second {
		o.answered = now
		if newest && o.elsewhere.Sequence == 0 { // what is only learned does not displace what is configured
			o.elsewhere.Sequence = r.Sequence
			s.claim(o, uint64(now))
		} else {
			s.queue = append(s.queue, r.FabricKey)
		}
	}
	return compile.Local
}

// deny answers a claim that a VIF is here which is not: it is said, once a second, that it is not here. So a message
// that is sent once more does not bring back a VIF that was deleted.
func (s *Service) deny(r *compile.FabricRow, now int64) {
	k := not{key: r.FabricKey}
	if !s.speaks() || s.nots[k] != 0 || len(s.nots) >= maxTargets {
		return
	}
	s.nots[k] = now
	s.gone = append(s.gone, s.new(resolve.OpNotHere, r.FabricKey, max(uint64(now), r.Sequence)))
}

// where answers the question for a VIF of this box.
func (s *Service) where(m *body, now int64) {
	if !s.speaks() {
		return
	}
	for _, o := range s.asked(m) {
		if o.elsewhere.Sequence != 0 || o.row.Sequence == 0 || s.holds(o.row.FabricKey) || !s.answerRate.take(1, now) {
			continue
		}
		if !s.unicast(placeOf(m), s.heres(nil, &o.row)) {
			s.queue = append(s.queue, o.row.FabricKey) // no way to the one that asks: tell all
		}
	}
}

// asked returns the VIFs of this box that a WHERE asks for.
func (s *Service) asked(m *body) (list []*ownVIF) {
	if m.MAC != 0 {
		if o := s.own[keyOf(m)]; o != nil {
			list = append(list, o)
		}
		return list
	}
	for _, a := range addresses(nil, m) {
		for _, key := range s.byAddress[target{keyOf(m), a}] {
			list = append(list, s.own[key])
		}
	}
	return list
}

// notHere forgets what is not at the sender's place, and asks where it is.
func (s *Service) notHere(m *body, now int64) {
	if o := s.own[keyOf(m)]; o != nil {
		if o.elsewhere.Sequence != 0 && o.elsewhere.At == placeOf(m) && o.elsewhere.Sequence <= m.Sequence {
			s.claim(o, uint64(now))
		}
		return
	}
	if s.cfg.Table.ForgetRow(keyOf(m), placeOf(m), m.Sequence) {
		if s.holds(keyOf(m)) {
			s.release(keyOf(m)) // one of those that claimed it has given up
		}
		s.ask(target{key: keyOf(m)}, now)
	}
}
