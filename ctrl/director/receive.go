package director

import (
	"bytes"
	"errors"
	"fmt"

	"penstock/ctrl/alarm"
	"penstock/ctrl/unicast"
	"penstock/dataplane/fib"
)

// Binding takes a binding message of another box.
func (s *Service) Binding(payload []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	list, unknown, err := parseHeres(payload, s.cfg.Keys())
	if err != nil {
		s.refuse(err)
		return
	}
	s.counters.Unknown += uint64(unknown)
	now := s.cfg.Now()
	changed := false
	for i := range list {
		h := &list[i]
		v := s.byMAC[macKey{h.tenant, h.segment, h.mac}]
		if v == nil {
			s.counters.Unknown++
			continue
		}
		s.counters.Heres++
		was := v.mine
		moved, answer := v.hear(h, now, s.self)
		if was && !v.mine {
			s.cfg.Log.Info("another box directs the virtual address", "vip", v.key, "switch", h.at.Switch,
				"port", h.at.Port)
		}
		changed = changed || moved
		if answer {
			s.cfg.Read(func(snap *fib.Snapshot) { s.sendClaims(snap, h.at, []here{v.here()}) })
		}
	}
	if changed {
		s.publish(now)
	}
}

func (s *Service) refuse(err error) {
	if errors.Is(err, errForged) {
		s.counters.Forged++
	} else {
		s.counters.Malformed++
	}
}

// Director takes a frame with a hello or flows of another director.
func (s *Service) Director(_ int, frame []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	from, source, payload, ok := unicast.Packet(frame)
	if !ok {
		s.counters.Malformed++
		return
	}
	keys := s.cfg.Keys()
	m, err := parse(payload, keys)
	if err != nil {
		s.refuse(err)
		return
	}
	p := s.sender(from, source)
	if p == nil {
		s.counters.Stranger++
		return
	}
	now := s.cfg.Now()
	if !p.takes(&m, now, len(keys) > 0) {
		s.counters.Replayed++
		return
	}
	if m.opcode == opFlows {
		s.counters.Flows++
		s.takeFlows(&m)
		return
	}
	s.counters.Hellos++
	back := !p.alive(now)
	p.heard = now
	if back || m.solicit {
		s.tellClaims(p)
	}
	s.takeHello(p, &m, now)
}

// sender finds the director that a message comes from. Boxes behind ports with the same number of several switches have
// one box address: then the source port tells them apart.
func (s *Service) sender(from uint32, source uint16) *peer {
	number := uint8(from >> 24)
	if number == 10 && s.scheme16() {
		number = uint8(from >> 16)
	}
	var found *peer
	for _, box := range sorted(s.peers) {
		p := s.peers[box]
		if !p.placed || p.at.Port != number {
			continue
		}
		if unicast.SourcePort(p.at.Switch, p.at.Port) == source {
			return p
		}
		if found != nil {
			return nil
		}
		found = p
	}
	return found
}

// scheme16 reports whether box addresses are 10.p.0.1.
func (s *Service) scheme16() (yes bool) {
	s.cfg.Read(func(snap *fib.Snapshot) {
		for i := range snap.Ports {
			if f := &snap.Ports[i].Fabric; f.SwitchMAC != 0 {
				yes = f.HostMask == 0xffff
			}
		}
	})
	return yes
}

// tellClaims tells a director of this box's claims: it has begun, or was not heard for a while.
func (s *Service) tellClaims(p *peer) {
	var list []here
	for _, key := range sorted(s.vips) {
		if v := s.vips[key]; v.mine {
			list = append(list, v.here())
		}
	}
	if len(list) > 0 && p.placed {
		s.cfg.Read(func(snap *fib.Snapshot) { s.sendClaims(snap, p.at, list) })
	}
}

// takeHello compares what a director says of the services of common VIPs, and adopts how its servers are where it
// directs.
func (s *Service) takeHello(p *peer, m *message, now int64) {
	states := map[string]string{}
	for i := range m.services {
		w := &m.services[i]
		k := serviceKey(w.tenant, w.id)
		x := s.view.services[k]
		if x == nil {
			continue
		}
		p.remote[k] = remote{w.digest, bytes.Clone(w.states), now}
		v := s.vips[x.vip]
		if v == nil || s.adopts(v, now) != p || len(w.states) != len(x.servers) {
			continue
		}
		for i, code := range w.states {
			if int(code) < len(stateNames) && s.states[x.servers[i]] != stateNames[code] {
				states[x.servers[i]] = stateNames[code]
			}
		}
	}
	if len(states) > 0 {
		s.follow.adopt(states)
	}
}

const (
	lostAfter   = 1_000_000_000  // of silence
	differAfter = 10_000_000_000 // of other digests
	remoteAge   = 5_000_000_000  // what a director has said of a service counts for this long
)

// watch raises and clears the alarms.
func (s *Service) watch(now int64) {
	for _, box := range sorted(s.peers) {
		p := s.peers[box]
		object := "director " + box
		if lost := !p.alive(now) && now-max(p.heard, p.first, s.started+grace) >= lostAfter; lost && !p.lost {
			text := fmt.Sprintf("Director %s has not been heard for a second. Its virtual addresses are served by "+
				"this box or the next one; check the box and its links.", box)
			if !p.placed {
				text = fmt.Sprintf("Director %s cannot be reached: push a binding of its own MAC.", box)
			}
			p.lost = true
			s.cfg.Alarms.Raise(alarm.Report{Kind: alarm.DirectorLost, Object: object, Text: text})
		} else if !lost && p.lost && p.alive(now) {
			p.lost = false
			s.cfg.Alarms.Clear(alarm.DirectorLost, object)
		}
		if now-s.started < grace || now/helloEvery == (now-int64(tick))/helloEvery {
			continue // ten times a second
		}
		which := s.differing(p, now)
		if which == "" {
			if p.differ = 0; p.wrong {
				p.wrong = false
				s.cfg.Alarms.Clear(alarm.DirectorsDiffer, object)
			}
		} else if p.differ == 0 {
			p.differ = now
		} else if !p.wrong && now-p.differ >= differAfter {
			p.wrong = true
			s.cfg.Alarms.Raise(alarm.Report{Kind: alarm.DirectorsDiffer, Object: object, Text: fmt.Sprintf(
				"Director %s and this box have different tables of service %s (and perhaps of others): a takeover "+
					"moves connections. Compare balancer.key, and the revision of the pushed tables.", box, which)})
		}
	}
}

// differing returns the first service whose table is another one on a director that lives.
func (s *Service) differing(p *peer, now int64) (which string) {
	if !p.alive(now) {
		return ""
	}
	s.cfg.Read(func(snap *fib.Snapshot) {
		for _, k := range s.view.order {
			x, r := s.view.services[k], p.remote[k]
			i, live := s.view.indices[k]
			if !live || r.at == 0 || now-r.at > remoteAge || !s.shared(x, p.box) ||
				uint(i) >= uint(len(snap.Services)) {
				continue
			}
			if len(r.states) != len(x.servers) || r.digest != s.digests.of(snap, i) {
				which = x.key
				return
			}
		}
	})
	return which
}

// shared reports whether the box is a director of the service's VIP.
func (s *Service) shared(x *serviceView, box string) bool {
	v := s.vips[x.vip]
	if v == nil {
		return false
	}
	for _, d := range v.directors {
		if d == box {
			return true
		}
	}
	return false
}

// forget clears the alarms of a box that is no director any more.
func (s *Service) forget(p *peer) {
	s.cfg.Alarms.Clear(alarm.DirectorLost, "director "+p.box)
	s.cfg.Alarms.Clear(alarm.DirectorsDiffer, "director "+p.box)
}
