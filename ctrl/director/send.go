package director

import (
	"slices"

	"penstock/ctrl/announce"
	"penstock/ctrl/model"
	"penstock/ctrl/unicast"
	"penstock/dataplane/fib"
)

// helloFrames is the most frames of a hello. What does not fit follows in the next ones.
const helloFrames = 8

// next returns the sequence of a message: nanoseconds since 1970, and more than any before.
func (s *Service) next() uint64 {
	s.sequence = max(s.sequence+1, uint64(s.cfg.Now()))
	return s.sequence
}

// post sends a payload to the box at a place.
func (s *Service) post(snap *fib.Snapshot, at Place, udpPort uint16, payload []byte) {
	sw := slices.IndexFunc(snap.Switches, func(x fib.Switch) bool { return x.MAC == at.Switch })
	if sw < 0 {
		return
	}
	source := unicast.SourcePort(s.self.Switch, s.self.Port)
	if port, b, ok := unicast.Frame(snap, unicast.AnyPort, uint32(sw), at.Port, udpPort, source, payload); ok {
		s.counters.Sent++
		s.cfg.Engine.Inject(port, b)
	}
}

// hellos sends what is due to the other directors.
func (s *Service) hellos(now int64) {
	if !s.selfOK {
		return
	}
	s.cfg.Read(func(snap *fib.Snapshot) {
		for _, box := range sorted(s.peers) {
			if p := s.peers[box]; p.placed && now-p.sent >= helloEvery-int64(tick)/2 {
				p.sent = now
				s.hello(snap, p, now)
			}
		}
	})
}

// hello sends one hello: of the services in turn, as many as fit in helloFrames.
func (s *Service) hello(snap *fib.Snapshot, p *peer, now int64) {
	keys := s.cfg.Keys()
	asks := false
	for _, v := range s.vips {
		asks = asks || v.listens(now, s.started)
	}
	order := s.view.order
	if s.states == nil {
		order = nil // the health checks have not told yet
	}
	sent := 0
	for range helloFrames {
		m := message{opcode: opHello, sequence: s.next(), solicit: asks}
		for size := headerLen + tagLen; sent < len(order); sent++ {
			if p.nextHello >= len(order) {
				p.nextHello = 0
			}
			k := order[p.nextHello]
			x := s.view.services[k]
			i, live := s.view.indices[k]
			n := serviceLen + len(x.servers)
			if size+n > maxPayload && n <= maxServers {
				break
			}
			if p.nextHello++; !live || len(x.servers) > maxServers {
				continue
			}
			w := service{tenant: uint32(k >> 32), id: uint32(k), digest: s.digests.of(snap, i)}
			for _, server := range x.servers {
				w.states = append(w.states, stateCode(s.states[server]))
			}
			m.services = append(m.services, w)
			size += n
		}
		s.post(snap, p.at, PortFlows, m.append(nil, keys))
		if sent == len(order) {
			return
		}
	}
}

// The states of a server in a hello.
var stateNames = [...]string{"init", "up", "down"}

func stateCode(state string) byte { return byte(max(0, slices.Index(stateNames[:], state))) }

// claims tells this box's claims: at once three times, then to the other directors every second, and to all boxes of
// the tenant every ten.
func (s *Service) claims(now int64) {
	if !s.selfOK {
		return
	}
	to := map[Place][]here{}
	s.cfg.Read(func(snap *fib.Snapshot) {
		for _, key := range sorted(s.vips) {
			v := s.vips[key]
			if !v.mine {
				continue
			}
			if s.soon || now-v.told >= tellEvery || v.burst > 0 && now-v.told >= helloEvery {
				v.told, v.toldDirectors = now, now
				for _, at := range s.boxesOf(snap, v) {
					to[at] = append(to[at], v.here())
				}
			} else if now-v.toldDirectors >= claimEvery {
				v.toldDirectors = now
				for _, box := range v.directors {
					if at, ok := s.placeOf(v, box); ok {
						to[at] = append(to[at], v.here())
					}
				}
			}
		}
		s.soon = false
		for at, list := range to {
			s.sendClaims(snap, at, list)
		}
	})
}

func (s *Service) sendClaims(snap *fib.Snapshot, at Place, list []here) {
	keys := s.cfg.Keys()
	for len(list) > 0 {
		n, size := 0, tagLen
		for n < len(list) && size+list[n].size() <= maxPayload {
			size += list[n].size()
			n++
		}
		s.post(snap, at, PortBinding, appendHeres(nil, list[:n], keys))
		list = list[n:]
	}
}

// boxesOf returns the places of all boxes that may send to a VIP: those with a VIF in a segment of the tenant, and the
// other directors.
func (s *Service) boxesOf(snap *fib.Snapshot, v *vip) (list []Place) {
	add := func(at Place) {
		if at != s.self && !slices.Contains(list, at) {
			list = append(list, at)
		}
	}
	for i := range snap.Segments {
		if snap.Segments[i].Tenant != v.tenant {
			continue
		}
		for _, loc := range snap.Segments[i].Remote {
			if uint(loc>>8) < uint(len(snap.Switches)) {
				add(Place{snap.Switches[loc>>8].MAC, uint8(loc)})
			}
		}
	}
	for _, box := range v.directors {
		if at, ok := s.placeOf(v, box); ok {
			add(at)
		}
	}
	return list
}

// announce tells the stations of the segments that the VIP is where it is, three times at once and then every minute:
// by gratuitous ARP (RFC 5227, 3) or an unsolicited neighbour advertisement (RFC 4861, 7.2.6).
func (s *Service) announce(now int64) {
	for _, key := range sorted(s.vips) {
		v := s.vips[key]
		if !v.mine || now-v.announced < helloEvery || v.burst == 0 && now-v.announced < allEvery {
			continue
		}
		v.announced, v.burst = now, max(v.burst-1, 0)
		if st := s.view.state.VIPs[key]; st.ARP == "drop" {
			continue
		}
		here := announce.Move{Addr: v.address, MAC: model.MAC(v.mac)}
		s.cfg.Engine.InjectInner(v.tenant, v.segment, announce.Frame(here, 0, 0, false))
	}
}
