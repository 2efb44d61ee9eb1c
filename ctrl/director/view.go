package director

import (
	"slices"
	"strings"

	"penstock/ctrl/model"
	"penstock/dataplane/fib"
	"penstock/dataplane/table"
)

// view is what the tables say, made anew when they change.
type view struct {
	state    *model.State
	services map[uint64]*serviceView // by serviceKey: of VIPs with other directors
	order    []uint64
	places   map[dirKey]Place
	indices  map[uint64]uint32 // of services in the snapshot, by serviceKey
	first    *fib.Service      // of the snapshot that indices are of
	count    int
	server   *fib.Server         // of the snapshot that members are of
	members  map[uint32][]uint32 // servers by service, indices
}

type serviceView struct {
	key     string
	vip     string
	servers []string // keys, in the order of their names
}

// look takes over what has changed in the tables.
func (s *Service) look() {
	st := s.cfg.State()
	if st != s.view.state {
		s.takeState(st)
	}
	s.cfg.Read(func(snap *fib.Snapshot) {
		s.self, s.selfOK = Place{}, false
		for i := range snap.Ports {
			if f := &snap.Ports[i].Fabric; snap.Ports[i].Role == fib.RoleFabric && f.SwitchMAC != 0 {
				s.self, s.selfOK = Place{f.SwitchMAC, f.Number}, true
				break
			}
		}
		s.locate(snap)
		if len(snap.Servers) > 0 && &snap.Servers[0] != s.view.server {
			s.view.server, s.view.members = &snap.Servers[0], map[uint32][]uint32{}
			for i := range snap.Servers {
				if x := &snap.Servers[i]; x.Ref != 0 {
					s.view.members[x.Service] = append(s.view.members[x.Service], uint32(i))
				}
			}
		}
		if len(snap.Services) != s.view.count || len(snap.Services) > 0 && &snap.Services[0] != s.view.first {
			s.view.indices, s.view.count = map[uint64]uint32{}, len(snap.Services)
			s.flows.again = true
			for i := range snap.Services {
				if svc := &snap.Services[i]; svc.Ref != 0 {
					s.view.indices[serviceKey(svc.Tenant, svc.ID)] = uint32(i)
				}
			}
			if s.view.first = nil; len(snap.Services) > 0 {
				s.view.first = &snap.Services[0]
			}
		}
	})
}

// locate finds the places of the other directors.
func (s *Service) locate(snap *fib.Snapshot) {
	for _, v := range s.vips {
		seg, ok := snap.SegmentByID.Get(fib.SegmentKey(v.tenant, v.segment))
		for i, box := range v.directors {
			key := dirKey{v.key, box}
			if i == v.own {
				continue
			}
			delete(s.view.places, key)
			if !ok {
				continue
			}
			d := s.view.state.VIPs[v.key].Directors[i]
			loc, found := table.FindMAC(snap.Bindings, snap.Delta, seg, uint64(d.EffectiveMAC()))
			if !found || loc&fib.LocLocal != 0 || uint(loc>>8) >= uint(len(snap.Switches)) {
				continue
			}
			at := Place{snap.Switches[loc>>8].MAC, uint8(loc)}
			s.view.places[key] = at
			if p := s.peers[box]; p != nil {
				p.at, p.placed = at, true
			}
		}
	}
}

// takeState takes over other tables. What is known of claims stays.
func (s *Service) takeState(st *model.State) {
	now := s.cfg.Now()
	vips, peers := map[string]*vip{}, map[string]*peer{}
	s.byMAC = map[macKey]*vip{}
	for key, m := range st.VIPs {
		v := s.vips[key]
		if v == nil {
			v = &vip{key: key, own: -1}
		}
		v.tenant = uint32(st.Tenants[m.Tenant].ID)
		v.segment = uint32(st.Segments[m.Tenant+"/"+m.Segment].ID)
		v.mac, v.address, v.anycast = uint64(m.EffectiveMAC()), m.Address, m.Anycast()
		was := v.own
		v.own, v.directors = m.Director(s.cfg.Box), nil
		if was < 0 && v.own >= 0 {
			v.since = now
		}
		for _, d := range m.Directors {
			v.directors = append(v.directors, d.Box)
			if v.own < 0 || d.Box == s.cfg.Box {
				continue
			}
			if p := s.peers[d.Box]; p != nil {
				peers[d.Box] = p
			} else if peers[d.Box] == nil {
				peers[d.Box] = &peer{box: d.Box, first: now, remote: map[uint64]remote{}}
			}
		}
		vips[key] = v
		s.byMAC[macKey{v.tenant, v.segment, v.mac}] = v
	}
	for box, p := range s.peers {
		if peers[box] == nil {
			s.forget(p)
		}
	}
	s.vips, s.peers = vips, peers
	s.view.state, s.view.services, s.view.order = st, map[uint64]*serviceView{}, nil
	s.view.places = map[dirKey]Place{}
	byService := map[string]*serviceView{}
	for key, m := range st.Services {
		v := vips[m.VIPKey()]
		if v == nil || v.own < 0 || len(v.directors) < 2 {
			continue
		}
		x := &serviceView{key: key, vip: v.key}
		k := serviceKey(v.tenant, m.ID)
		s.view.services[k], byService[key] = x, x
		s.view.order = append(s.view.order, k)
	}
	slices.Sort(s.view.order)
	for key, m := range st.Servers {
		if x := byService[m.ServiceKey()]; x != nil {
			x.servers = append(x.servers, key)
		}
	}
	for _, x := range byService {
		slices.SortFunc(x.servers, strings.Compare)
	}
}
