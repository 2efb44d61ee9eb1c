package compile

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"time"

	"penstock/ctrl/model"
)

// Remains is what the balancer keeps of the past and the desired state does not tell: since when servers drain, and
// the reply rules that outlive their server. A box saves it and goes on with it after a restart.
type Remains struct {
	Draining map[string]time.Time `json:"draining,omitempty"` // by key of a server: since when
	Rules    []RemainingRule      `json:"rules,omitempty"`
}

// RemainingRule is a reply rule of a VIF whose server is gone. First, Last and Port are ports: those of the server, and
// that of the service for First.
type RemainingRule struct {
	VIF      string     `json:"vif"` // key
	Tenant   string     `json:"tenant"`
	Segment  string     `json:"segment"` // of the virtual address
	Address  netip.Addr `json:"address"`
	Protocol uint8      `json:"protocol"` // of IP
	First    uint16     `json:"first"`
	Last     uint16     `json:"last"`
	Port     uint16     `json:"port"`
	ID       uint32     `json:"id"` // of the service
	Service  string     `json:"service"`
	Server   string     `json:"server"`
	Until    time.Time  `json:"until"`
}

// maxOutlive is the longest drain timeout that a service may have: a saved time further off is not believed.
const maxOutlive = 7 * 24 * time.Hour

// RemainsVersion changes with what Remains returns.
func (c *Compiler) RemainsVersion() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.balancer.remains
}

// Remains returns what is to be saved, and its version.
func (c *Compiler) Remains() (r Remains, version uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	b := &c.balancer
	r.Draining = maps.Clone(b.draining)
	for vif, a := range b.agents {
		for i := range a.gone {
			x := &a.gone[i]
			name := c.segs[x.vip.seg].name
			r.Rules = append(r.Rules, RemainingRule{VIF: vif, Tenant: name.tenant, Segment: name.segment,
				Address: x.vip.addr(), Protocol: x.proto, First: x.first, Last: x.last, Port: x.to, ID: x.id,
				Service: x.service, Server: x.server, Until: x.until})
		}
	}
	slices.SortFunc(r.Rules, func(a, b RemainingRule) int {
		return cmp.Or(cmp.Compare(a.VIF, b.VIF), cmp.Compare(a.Server, b.Server), a.Address.Compare(b.Address),
			cmp.Compare(a.First, b.First), a.Until.Compare(b.Until))
	})
	return r, b.remains
}

// Restore goes on with what an earlier run saved, once the stored state is live. What does not go with the state any
// more is left out: servers that do not drain, rules of VIFs and virtual addresses that are not there.
func (c *Compiler) Restore(r Remains) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.newPlan()
	for key, since := range r.Draining {
		s, ok := c.state.Servers[key]
		if ok && s.EffectiveState() == model.StateDraining && !since.IsZero() && since.Before(p.now) {
			p.draining.set(key, since)
			p.dirtyService(s.ServiceKey())
		}
	}
	for i := range r.Rules {
		x := &r.Rules[i]
		at, ok := p.addrOf(x.Tenant, x.Segment, x.Address)
		_, here := p.vifs.get(x.VIF)
		if !ok || !here || x.Protocol != protoTCP && x.Protocol != protoUDP || x.First > x.Last ||
			x.Until.After(p.now.Add(maxOutlive)) {
			continue
		}
		a := p.agents.at(x.VIF)
		a.gone = append(slices.Clone(a.gone), reply{replySpec: replySpec{vip: at, proto: x.Protocol, first: x.First,
			last: x.Last, to: x.Port, id: x.ID}, service: x.Service, server: x.Server, until: x.Until})
		p.agents.set(x.VIF, a)
		p.dirtyVIFs[x.VIF] = true
	}
	c.publishQuick(p)
}
