package compile

import (
	"encoding/binary"
	"maps"
	"slices"

	"penstock/ctrl/model"
	"penstock/ctrl/status"
	"penstock/dataplane/fib"
	"penstock/dataplane/maglev"
)

const (
	protoTCP = 6
	protoUDP = 17
)

var (
	schedulers = map[string]fib.Scheduler{"": fib.SchedMaglev, "maglev": fib.SchedMaglev, "rr": fib.SchedRR,
		"lc": fib.SchedLC}
	hashes = map[string]fib.HashMode{"": fib.HashTuple, "tuple": fib.HashTuple, "client": fib.HashClient,
		"quic": fib.HashQUIC}
)

// tableBudget is how many entries of tables are built in one change of many services' servers, about 25 ms of work.
// The other services follow in changes of their own: none waits for all.
const tableBudget = 1 << 20

func protoOf(s *model.Service) uint8 {
	if s.UDP() {
		return protoUDP
	}
	return protoTCP
}

// fillServices rebuilds the services whose servers, health or settings changed.
func (p *plan) fillServices() {
	built := 0
	for _, key := range slices.Sorted(maps.Keys(p.dirty)) {
		s, ok := p.next.Services[key]
		if !ok {
			continue
		}
		p.fillService(key, &s, &built)
	}
}

func (p *plan) fillService(key string, s *model.Service, built *int) {
	ref, _ := p.services.get(key)
	vip, _ := p.virtual.get(ref.vip)
	v := p.next.VIPs[s.VIPKey()]
	i := ref.ref & fib.RefMask
	e := fib.Service{
		Ref: ref.ref, ID: s.ID, Tenant: p.snapSegments.s[ref.vip.seg].Tenant, VIP: vip.ref & fib.RefMask,
		Proto: protoOf(s),
		Port:  s.Port, PortEnd: s.LastPort(), Scheduler: schedulers[s.Scheduler], Hash: hashes[s.Hash],
		Reject: s.NoServer != "drop", OnePacket: s.OnePacket,
	}
	servers := p.members.at(key)
	list := make([]candidate, len(servers))
	for n, name := range servers {
		list[n] = p.candidate(name, s)
	}
	members, panics := membersOf(list, s.EffectivePanic())
	inUse := make([]bool, len(list))
	names, entries := make([]string, len(members)), make([]maglev.Server, len(members))
	for n, m := range members {
		inUse[m.at] = true
		name := servers[m.at]
		names[n] = serverName(name)
		entries[n] = maglev.Server{Name: names[n], Weight: m.weight}
		e.Members = append(e.Members, p.servers.at(name).ref&fib.RefMask)
		e.Weights = append(e.Weights, m.weight)
	}
	for n, name := range servers {
		p.fillServer(name, s, &e, &list[n], inUse[n])
	}
	p.fillQUIC(&e, servers)

	was := fib.Service{} // the service as it is live
	if int(i) < len(p.snapServices.s) && p.snapServices.s[i].Ref == e.Ref {
		was = p.snapServices.s[i]
	}
	// On a box that is no director nobody looks at the table.
	director := v.Director(p.cfg.Box) >= 0 && p.cfg.Box != ""
	size := int(s.EffectiveTableSize())
	if len(members) > 0 && director && !p.keepTable(&was, &e, size, ref.names, names) {
		if p.quick && *built > 0 && *built+size > tableBudget {
			p.pending[key] = true
			e.Members, e.Weights, e.Table, names = was.Members, was.Weights, was.Table, ref.names
		} else {
			*built += size
			k := maglev.KeyOf(p.cfg.BalanceKey)
			e.Table = maglev.Build(&k, entries, uint32(size))
		}
	}
	ref.names, ref.panics, ref.usable = names, panics, usable(list)
	p.services.set(key, ref)
	if was.Ref != e.Ref || (len(was.Members) > 0) != (len(e.Members) > 0) {
		p.dirtyVIPs[ref.vip] = true
	}
	*p.snapServices.at(i) = e
}

// usable counts the servers that new flows could use now.
func usable(list []candidate) (n int) {
	for i := range list {
		if c := &list[i]; c.enabled && c.found && c.up {
			n++
		}
	}
	return n
}

// keepTable reuses the table of the service if it would be the same: of the same servers by name, weights, size and
// key.
func (p *plan) keepTable(was, e *fib.Service, size int, have, names []string) bool {
	if p.cfg.BalanceKey != p.c.cfg.BalanceKey || len(was.Table) != size || !slices.Equal(was.Weights, e.Weights) ||
		!slices.Equal(have, names) {
		return false
	}
	e.Table = was.Table
	return true
}

// candidate describes a server for the choice of members.
func (p *plan) candidate(key string, of *model.Service) candidate {
	s := p.next.Servers[key]
	ref := p.servers.at(key)
	c := candidate{enabled: s.EffectiveState() == model.StateEnabled, backup: s.Backup, found: ref.at.found(),
		weight: s.EffectiveWeight(), share: 1000}
	if of.EffectiveCheck().Type == model.CheckNone {
		c.up = true
		return c
	}
	h, ok := p.health.get(key)
	c.up, c.share = h.Up, h.Weight
	c.enabled = c.enabled && ok && !h.Init // before the first verdict it counts for nothing, in panic neither
	return c
}

// fillQUIC lists the IDs of the servers that may get packets.
func (p *plan) fillQUIC(e *fib.Service, servers []string) {
	if e.Hash != fib.HashQUIC {
		return
	}
	for _, key := range servers {
		s := p.next.Servers[key]
		id := s.QUICOctets()
		if id == nil {
			continue
		}
		var b [16]byte
		copy(b[:], id)
		e.QUICLen = uint8(len(id))
		e.QUIC = append(e.QUIC, fib.QUICServer{
			ID:     [2]uint64{binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])},
			Server: p.servers.at(key).ref & fib.RefMask,
		})
	}
	slices.SortFunc(e.QUIC, func(a, b fib.QUICServer) int { return compare6(a.ID, b.ID) })
}

func (c *Compiler) serviceStatus(key string) *Status {
	s, ok := c.state.Services[key]
	ref, live := c.balancer.services[key]
	if !ok || !live {
		return nil
	}
	servers, usable, panics := len(c.balancer.members[key]), ref.usable, ref.panics
	st := &Status{Live: true, Servers: &servers, Usable: &usable, Panic: &panics}
	vip := c.state.VIPs[s.VIPKey()]
	if here := c.balancer.virtual[ref.vip].here; !here && vip.Director(c.cfg.Box) < 0 {
		st.Usable, st.Panic = nil, nil // the directors know
	}
	return st
}

// ServiceTable returns the table of a service; why says why it has none here.
func (c *Compiler) ServiceTable(key string) (t status.ServiceTable, why string, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	ref, ok := c.balancer.services[key]
	if !ok {
		return t, "", false
	}
	e := &c.snap.Load().Services[ref.ref&fib.RefMask]
	s := c.state.Services[key]
	vip := c.state.VIPs[s.VIPKey()]
	switch {
	case vip.Director(c.cfg.Box) < 0:
		return t, "this box is no director of VIP " + vip.Key(), true
	case len(e.Table) == 0:
		return t, "the service has no usable server", true
	}
	return status.ServiceTable{Servers: ref.names, Entries: e.Table}, "", true
}
