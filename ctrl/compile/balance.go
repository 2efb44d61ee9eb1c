package compile

import (
	"maps"
	"reflect"
	"slices"
	"time"

	"penstock/ctrl/model"
	"penstock/dataplane/fib"
	"penstock/dataplane/maglev"
	"penstock/dataplane/table"
)

// The balancer
//
// vips decides where each virtual address lives, before the rows of the bindings are decided: a virtual address is a
// row of its segment. balance follows when the rows are known: it finds the servers, chooses the members of the
// services, and lists with the VIFs that are servers what their replies are translated to. What is rebuilt is what
// depends on something that changed: a service with its table, the agent of a VIF. Servers are found again whenever any
// row changes; nothing follows from a server that is where it was.

// balancer is what the compiler keeps of virtual addresses, services and servers.
type balancer struct {
	virtual  map[addrKey]vipRef    // virtual addresses: VIPs, and directors' own
	vipRows  map[rowKey]vipRow     // those of them that have a row in the table
	services map[string]serviceRef // by key
	servers  map[string]serverRef  // by key
	members  map[string][]string   // by service: the keys of its servers, sorted
	agents   map[string]agentState // by key of a VIF

	vipIDs, serviceIDs, serverIDs    ids
	vipUses, serviceUses, serverUses []uint16 // by index: how many owners it has had

	directing map[string]Directing    // by key of a VIP, see SetDirectors
	health    map[string]ServerHealth // by key of a server, see SetHealth
	draining  map[string]time.Time    // by key of a server: since when it drains
	flows     func(server fib.Ref) (n int, known bool)
	stations  map[string]model.MAC // by key of a server, see SetStations
	pending   map[string]bool      // services whose tables are out of date
	wake      func()               // stops the timer
	wakeAt    time.Time
	stopped   bool
	remains   uint64            // version of Remains
	vifNames  map[uint32]string // by index; nil = to be made
}

func newBalancer() balancer {
	return balancer{
		virtual: map[addrKey]vipRef{}, vipRows: map[rowKey]vipRow{}, services: map[string]serviceRef{},
		servers: map[string]serverRef{}, members: map[string][]string{}, agents: map[string]agentState{},
		directing: map[string]Directing{}, health: map[string]ServerHealth{},
		draining: map[string]time.Time{}, stations: map[string]model.MAC{},
		pending: map[string]bool{},
	}
}

// serviceRef is a live service.
type serviceRef struct {
	ref    fib.Ref
	vip    addrKey
	names  []string // of the members of the table
	panics bool
	usable int
}

// serverRef is a live server.
type serverRef struct {
	ref fib.Ref
	at  target
}

// balanceStep is the balancer's part of a plan.
type balanceStep struct {
	virtual  edit[addrKey, vipRef]
	vipRows  edit[rowKey, vipRow]
	services edit[string, serviceRef]
	servers  edit[string, serverRef]
	members  edit[string, []string]
	agents   edit[string, agentState]
	health   edit[string, ServerHealth]
	draining edit[string, time.Time]

	vipIDs, serviceIDs, serverIDs refEdit

	directing map[string]Directing
	macs      map[string]model.MAC
	now       time.Time
	recheck   bool            // servers are to be found again, virtual addresses placed again
	dirty     map[string]bool // services to be rebuilt
	dirtyVIPs map[addrKey]bool
	dirtyVIFs map[string]bool
	guests    bool      // there are other virtual addresses, which guests may have
	wakeAt    time.Time // the next time that something changes by itself

	quick   bool // tables beyond tableBudget wait for the next plan
	pending map[string]bool

	snapVIPs     cow[fib.VIP]
	snapServices cow[fib.Service]
	snapServers  cow[fib.Server]
	delta        *table.Delta
}

func (c *Compiler) newBalanceStep(s *fib.Snapshot) balanceStep {
	b := &c.balancer
	return balanceStep{
		virtual: edit[addrKey, vipRef]{base: b.virtual}, vipRows: edit[rowKey, vipRow]{base: b.vipRows},
		services: edit[string, serviceRef]{base: b.services}, servers: edit[string, serverRef]{base: b.servers},
		members: edit[string, []string]{base: b.members}, agents: edit[string, agentState]{base: b.agents},
		vipIDs:     refEdit{idEdit: idEdit{of: &b.vipIDs}, uses: &b.vipUses},
		serviceIDs: refEdit{idEdit: idEdit{of: &b.serviceIDs}, uses: &b.serviceUses},
		serverIDs:  refEdit{idEdit: idEdit{of: &b.serverIDs}, uses: &b.serverUses},
		health:     edit[string, ServerHealth]{base: b.health}, draining: edit[string, time.Time]{base: b.draining},
		directing: b.directing, macs: b.stations, now: c.now(),
		dirty: maps.Clone(b.pending), dirtyVIPs: map[addrKey]bool{}, dirtyVIFs: map[string]bool{},
		pending:  map[string]bool{},
		snapVIPs: cow[fib.VIP]{s: s.VIPs}, snapServices: cow[fib.Service]{s: s.Services},
		snapServers: cow[fib.Server]{s: s.Servers},
	}
}

// refEdit is idEdit with a count of each index's owners (fib.Ref).
type refEdit struct {
	idEdit
	uses  *[]uint16
	given map[uint32]uint16
}

const maxUses = 1<<(32-fib.RefBits) - 1

func (e *refEdit) allocRef() fib.Ref {
	i := e.alloc()
	n := uint16(1)
	if int(i) < len(*e.uses) {
		n = (*e.uses)[i]%maxUses + 1
	}
	if e.given == nil {
		e.given = map[uint32]uint16{}
	}
	e.given[i] = n
	return i | uint32(n)<<fib.RefBits
}

func (e *refEdit) commit() {
	for i, n := range e.given {
		for int(i) >= len(*e.uses) {
			*e.uses = append(*e.uses, 0)
		}
		(*e.uses)[i] = n
	}
	e.idEdit.commit()
}

// balance finds the servers and brings services, virtual addresses and agents into line with what changed.
func (p *plan) balance() error {
	if len(p.upserts)+len(p.deletes) > 0 {
		p.delta = table.NewDelta(p.cfg.Bindings, p.upserts, p.deletes)
		p.recheck = true
	}
	p.recheck = p.recheck || p.portsChanged || p.linksChanged || len(p.vifs.changes) > 0 ||
		p.snapSegments.owned || p.snapRouters.owned
	if p.cfg.BalanceKey != p.c.cfg.BalanceKey || p.cfg.Box != p.c.cfg.Box {
		for key := range p.next.Services {
			p.dirty[key] = true
		}
	}
	if err := p.diffServices(); err != nil {
		return err
	}
	p.diffServers()
	p.findServers()
	for _, ch := range diff(p.c.state.VIFs, p.next.VIFs, func(a, b model.VIF) bool { return reflect.DeepEqual(a, b) }) {
		p.dirtyVIFs[ch.key] = true // also what the entry of the VIF lost when it was written anew
	}
	if p.guests {
		for key, v := range p.next.VIFs {
			if len(v.GuestAddresses) > 0 {
				p.dirtyVIFs[key] = true
			}
		}
		for key := range p.agents.base { // no rule outlives its VIP
			p.dirtyVIFs[key] = true
		}
	}
	p.drainTimers()
	p.fillServices()
	p.fillVIPs()
	p.expireRules()
	p.fillAgents()
	p.snap.VIPs, p.snap.Services, p.snap.Servers = p.snapVIPs.s, p.snapServices.s, p.snapServers.s
	p.snap.BalanceKey = maglev.KeyOf(p.cfg.BalanceKey)
	return nil
}

// wakeBy makes the compiler look again at t.
func (p *plan) wakeBy(t time.Time) {
	if p.wakeAt.IsZero() || t.Before(p.wakeAt) {
		p.wakeAt = t
	}
}

func (p *plan) balanceChanged() bool {
	return p.snapVIPs.owned || p.snapServices.owned || p.snapServers.owned
}

func (p *plan) commitBalance() {
	b := &p.c.balancer
	if len(p.agents.changes)+len(p.draining.changes) > 0 {
		b.remains++
	}
	p.virtual.commit()
	p.vipRows.commit()
	p.services.commit()
	p.servers.commit()
	p.members.commit()
	p.agents.commit()
	p.vipIDs.commit()
	p.serviceIDs.commit()
	p.serverIDs.commit()
	p.health.commit()
	p.draining.commit()
	b.directing, b.stations = p.directing, p.macs
	if len(p.vifs.changes) > 0 {
		b.vifNames = nil
	}
	b.pending = p.pending
	p.c.setTimer(p.wakeAt)
}

// same compares two objects; pointers of unchanged ones are the same.
func same[T comparable](a, b T) bool { return a == b || reflect.DeepEqual(a, b) }

// diffServices gives indices to new services and takes those of services that went.
func (p *plan) diffServices() error {
	if len(p.renumbered) > 0 {
		for key := range p.next.Services {
			p.dirty[key] = true
		}
	}
	for _, ch := range diff(p.c.state.Services, p.next.Services, same[model.Service]) {
		ref, existed := p.services.get(ch.key)
		if existed {
			p.dirtyVIPs[ref.vip] = true
			for _, server := range p.members.at(ch.key) {
				p.dirtyVIFs[p.servers.at(server).at.vif] = true
			}
		}
		if ch.new == nil {
			*p.snapServices.at(ref.ref & fib.RefMask) = fib.Service{}
			p.serviceIDs.release(ref.ref & fib.RefMask)
			p.services.remove(ch.key)
			delete(p.dirty, ch.key)
			continue
		}
		vip, ok := p.next.VIPs[ch.new.VIPKey()]
		if !ok {
			return fail(model.KindService, ch.key, "vip", ErrReference)
		}
		if !existed {
			ref.ref = p.serviceIDs.allocRef()
		}
		ref.vip, _ = p.addrOf(vip.Tenant, vip.Segment, vip.Address)
		p.services.set(ch.key, ref)
		p.dirty[ch.key], p.dirtyVIPs[ref.vip] = true, true
	}
	if !sameMap(p.c.state.VIPs, p.next.VIPs) { // addresses of VIPs may have changed
		for key, s := range p.next.Services {
			vip := p.next.VIPs[s.VIPKey()]
			ref, _ := p.services.get(key)
			if at, ok := p.addrOf(vip.Tenant, vip.Segment, vip.Address); ok && at != ref.vip {
				p.dirtyVIPs[ref.vip] = true
				ref.vip = at
				p.services.set(key, ref)
			}
			p.dirty[key], p.dirtyVIPs[ref.vip] = true, true
		}
	}
	return nil
}

func sameMap[V any](a, b map[string]V) bool {
	return reflect.ValueOf(a).Pointer() == reflect.ValueOf(b).Pointer()
}

// diffServers gives indices to new servers and takes those of servers that went.
func (p *plan) diffServers() {
	changes := diff(p.c.state.Servers, p.next.Servers, same[model.Server])
	if len(changes) == 0 {
		return
	}
	lists := map[string][]string{} // of services whose servers come and go
	list := func(service string) []string {
		l, ok := lists[service]
		if !ok {
			l = slices.Clone(p.members.at(service))
		}
		return l
	}
	for _, ch := range changes {
		ref, existed := p.servers.get(ch.key)
		if ch.new == nil {
			service := ch.old.ServiceKey()
			*p.snapServers.at(ref.ref & fib.RefMask) = fib.Server{}
			p.serverIDs.release(ref.ref & fib.RefMask)
			p.servers.remove(ch.key)
			p.dirtyVIFs[ref.at.vif] = true
			l := list(service)
			if i, ok := slices.BinarySearch(l, ch.key); ok {
				l = slices.Delete(l, i, i+1)
			}
			lists[service] = l
			p.dirtyService(service)
			continue
		}
		service := ch.new.ServiceKey()
		if !existed {
			ref = serverRef{ref: p.serverIDs.allocRef()}
			l := list(service)
			i, _ := slices.BinarySearch(l, ch.key)
			lists[service] = slices.Insert(l, i, ch.key)
		}
		ref.at.stale = true
		p.servers.set(ch.key, ref)
		p.dirtyService(service)
		p.dirtyVIFs[ref.at.vif] = true
	}
	for service, l := range lists {
		if len(l) == 0 {
			p.members.remove(service)
		} else {
			p.members.set(service, l)
		}
	}
}

func (p *plan) dirtyService(key string) {
	if _, ok := p.next.Services[key]; ok {
		p.dirty[key] = true
	}
}
