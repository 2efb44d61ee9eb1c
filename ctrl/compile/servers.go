package compile

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"penstock/ctrl/model"
	"penstock/dataplane/fib"
	"penstock/dataplane/table"
)

// target is where the packets to a server go.
type target struct {
	seg    uint32
	mac    uint64
	loc    fib.Loc
	vif    string // key of the VIF of this box
	direct bool   // a station behind port, no VIF
	port   uint16
	source uint64 // with direct: the port's own MAC
	reason string // why it is not found
	stale  bool   // to be found again
}

func (t *target) found() bool { return t.reason == "" && (t.mac != 0) }

// drainUDP is how long UDP flows of a draining server last.
const drainUDP = 30 * time.Second

// findServers finds new and changed servers, and all of them if rows, VIFs, subnets or ports changed.
func (p *plan) findServers() {
	find := func(key string, ref serverRef) {
		s, ok := p.next.Servers[key]
		if !ok {
			return
		}
		at := p.find(key, &s)
		if at == ref.at {
			return
		}
		p.dirtyVIFs[ref.at.vif], p.dirtyVIFs[at.vif] = true, true
		ref.at = at
		p.servers.set(key, ref)
		p.dirtyService(s.ServiceKey())
	}
	if p.recheck {
		for key, ref := range p.servers.base {
			if _, changed := p.servers.changes[key]; !changed {
				find(key, ref)
			}
		}
	}
	for key, ref := range p.servers.changes {
		if ref != nil && (p.recheck || ref.at.stale) {
			find(key, *ref)
		}
	}
}

// find finds a server.
func (p *plan) find(key string, s *model.Server) target {
	none := func(format string, args ...any) target {
		return target{loc: fib.None, seg: fib.None, reason: fmt.Sprintf(format, args...)}
	}
	switch {
	case s.Via != "":
		port := slices.IndexFunc(p.ports, func(x portState) bool { return x.Name == s.Via })
		if port < 0 {
			return none("this box has no port %s", s.Via)
		}
		if role := p.ports[port].Role; role != fib.RoleAccess && role != fib.RoleUplink {
			return none("port %s is a %s port; stations are behind access and uplink ports", s.Via, role)
		}
		mac := p.macs[key]
		if mac == 0 {
			return none("%s has not answered on port %s", s.Address, s.Via)
		}
		return target{loc: fib.None, seg: fib.None, mac: uint64(mac), direct: true, port: uint16(port),
			source: p.ports[port].mac}
	case s.VIF != "":
		v, ok := p.vifs.get(s.Tenant + "/" + s.VIF)
		if !ok {
			return none("this box has no VIF %s; servers of other boxes are found by their address", s.VIF)
		}
		if _, taken := p.stationRows.get(v.row); taken {
			return none("a gateway group has the MAC of VIF %s", s.VIF)
		}
		return target{seg: v.row.seg, mac: v.row.mac, loc: fib.LocLocal | v.index, vif: s.Tenant + "/" + s.VIF}
	}
	ref, ok := p.tenants.get(s.Tenant)
	if !ok {
		return none("the tenant is not live")
	}
	seg, ok := segmentOf(&p.snapRouters.s[ref.router], s.Address)
	if !ok { // a segment without subnets, as the VIP's may be
		service, _ := p.services.get(s.ServiceKey())
		seg = service.vip.seg
	}
	at := keyOf(seg, s.Address)
	var mac uint64
	var loc fib.Loc
	if at.v6 {
		mac, loc, ok = table.FindIP6(p.cfg.Bindings, p.delta, seg, at.hi, at.lo)
	} else {
		mac, loc, ok = table.FindIP4(p.cfg.Bindings, p.delta, seg, uint32(at.lo))
	}
	switch {
	case !ok:
		return none("no VIF and no binding has the address %s", s.Address)
	case fib.LocBox(loc):
		return none("%s is the address of a gateway group or a virtual address", s.Address)
	}
	t := target{seg: seg, mac: mac, loc: loc}
	if loc&fib.LocLocal != 0 {
		t.vif = p.vifName(loc &^ fib.LocLocal)
	}
	return t
}

// vifName returns the key of the VIF of this box with an index.
func (p *plan) vifName(index uint32) string {
	for key, v := range p.vifs.changes {
		if v != nil && v.index == index {
			return key
		}
	}
	b := &p.c.balancer
	if b.vifNames == nil {
		b.vifNames = make(map[uint32]string, len(p.vifs.base))
		for key, v := range p.vifs.base {
			b.vifNames[v.index] = key
		}
	}
	return b.vifNames[index]
}

// fillServer writes a server of the service e.
func (p *plan) fillServer(key string, of *model.Service, e *fib.Service, c *candidate, member bool) {
	s := p.next.Servers[key]
	ref, _ := p.servers.get(key)
	at := &ref.at
	x := fib.Server{Ref: ref.ref, Service: e.Ref & fib.RefMask, Seg: at.seg, Loc: at.loc, MAC: at.mac,
		Source: fib.Mark | uint64(e.ID), Direct: at.direct, Out: at.port}
	if at.direct {
		x.Source = at.source
	}
	if s.Port != of.Port && of.Port != 0 {
		x.Port = s.Port
	}
	since, isDraining := p.draining.get(key)
	if draining := s.EffectiveState() == model.StateDraining; draining != isDraining {
		if draining {
			since = p.now
			p.draining.set(key, since)
		} else {
			p.draining.remove(key)
		}
	}
	switch {
	case member:
		x.Accept = fib.AcceptAll
	case s.EffectiveState() == model.StateDisabled || !c.found || !c.up:
		x.Accept = fib.AcceptNone
	case s.EffectiveState() == model.StateDraining:
		x.Accept = p.drainAccept(&s, of, since)
	default: // a backup that is not needed any more
		x.Accept = fib.AcceptFlows
	}
	if i := ref.ref & fib.RefMask; int(i) >= len(p.snapServers.s) || p.snapServers.s[i] != x {
		*p.snapServers.at(i) = x
	}
}

// drainAccept returns what a server that drains since a time still gets. Flows of QUIC that carry the server's ID go on
// like those of TCP.
func (p *plan) drainAccept(s *model.Server, of *model.Service, since time.Time) fib.Accept {
	udp, end := since.Add(drainUDP), since.Add(time.Duration(of.EffectiveDrainTimeout()))
	if hashes[of.Hash] == fib.HashQUIC && s.QUICID != "" {
		udp = end
	}
	switch {
	case !p.now.Before(end):
		return fib.AcceptNone
	case !p.now.Before(udp):
		p.wakeBy(end)
		return fib.AcceptTCP
	}
	p.wakeBy(udp)
	p.wakeBy(end)
	return fib.AcceptFlows
}

// drainTimers looks for servers that drain and have come to a limit.
func (p *plan) drainTimers() {
	for key, since := range p.draining.base {
		s, ok := p.next.Servers[key]
		if !ok || s.EffectiveState() != model.StateDraining {
			if !ok {
				p.draining.remove(key)
			}
			continue
		}
		of := p.next.Services[s.ServiceKey()]
		accept := p.drainAccept(&s, &of, since)
		ref, _ := p.servers.get(key)
		if i := ref.ref & fib.RefMask; int(i) < len(p.snapServers.s) && p.snapServers.s[i].Accept > accept {
			p.dirtyService(s.ServiceKey())
		}
	}
}

func (c *Compiler) serverStatus(key string) *Status {
	s, ok := c.state.Servers[key]
	ref, live := c.balancer.servers[key]
	if !ok || !live {
		return nil
	}
	of := c.state.Services[s.ServiceKey()]
	st := &Status{Live: ref.at.found(), Reason: ref.at.reason, State: s.EffectiveState()}
	if ref.at.mac != 0 {
		mac := model.MAC(ref.at.mac)
		st.MAC = &mac
	}
	h, known := c.balancer.health[key]
	vip := c.state.VIPs[of.VIPKey()]
	director := vip.Director(c.cfg.Box) >= 0 && c.cfg.Box != ""
	if n, ok := 0, false; c.balancer.flows != nil && director {
		if n, ok = c.balancer.flows(ref.ref); ok {
			st.Flows = &n
		}
	}
	switch {
	case st.State == model.StateDraining:
		e := &c.snap.Load().Servers[ref.ref&fib.RefMask]
		if st.Flows != nil && *st.Flows == 0 || e.Accept == fib.AcceptNone && director {
			st.State = "drained"
		}
	case st.State == model.StateDisabled || !director:
	case of.EffectiveCheck().Type == model.CheckNone || known && h.Up:
		st.State = "up"
	case known && !h.Init:
		st.State = "down"
	default:
		st.State = "init"
	}
	return st
}

// serverName returns the last part of a server's key.
func serverName(key string) string { return key[strings.LastIndexByte(key, '/')+1:] }
