package compile

import (
	"cmp"
	"reflect"
	"slices"
	"time"

	"penstock/dataplane/fib"
)

// replySpec is what one server of a VIF needs: replies from the VIP and the server's ports get the service's port back.
type replySpec struct {
	vip         addrKey
	proto       uint8
	first, last uint16
	to          uint16 // the service's port for first
	id          uint32 // of the service, as in the mark
}

// reply is a replySpec with its server.
type reply struct {
	replySpec
	service, server string // keys
	until           time.Time
}

// agentState is what the box knows of a VIF that is a server, or was one lately.
type agentState struct {
	live []reply
	gone []reply // of servers that are not there any more, until the drain timeout of their service
}

// fillAgents writes what the boxes' VIFs that changed need as real servers, or as guests with virtual addresses.
func (p *plan) fillAgents() {
	delete(p.dirtyVIFs, "")
	if len(p.dirtyVIFs) == 0 {
		return
	}
	live := map[string][]reply{}
	add := func(key string, ref *serverRef) {
		if p.dirtyVIFs[ref.at.vif] && ref.at.found() {
			live[ref.at.vif] = append(live[ref.at.vif], p.replyOf(key))
		}
	}
	for key, ref := range p.servers.base {
		if _, changed := p.servers.changes[key]; !changed {
			add(key, &ref)
		}
	}
	for key, ref := range p.servers.changes {
		if ref != nil {
			add(key, ref)
		}
	}
	for key := range p.dirtyVIFs {
		p.fillAgent(key, live[key])
	}
}

// replyOf returns what the replies of a server need.
func (p *plan) replyOf(key string) reply {
	s := p.next.Servers[key]
	of := p.next.Services[s.ServiceKey()]
	ref, _ := p.services.get(s.ServiceKey())
	r := reply{service: s.ServiceKey(), server: key}
	r.vip, r.proto, r.to, r.id = ref.vip, protoOf(&of), of.Port, of.ID
	r.first, r.last = s.Ports(&of)
	return r
}

func (p *plan) fillAgent(key string, live []reply) {
	v, ok := p.vifs.get(key)
	old := p.agents.at(key)
	if !ok {
		if len(old.live)+len(old.gone) > 0 {
			p.agents.remove(key)
		}
		return
	}
	state := agentState{live: live}
	has := make(map[replySpec]bool, len(live))
	for i := range live {
		has[live[i].replySpec] = true
	}
	gone := slices.Clone(old.gone)
	for _, r := range old.live {
		if !has[r.replySpec] {
			was := p.c.state.Services[r.service]
			r.until = p.now.Add(time.Duration(was.EffectiveDrainTimeout()))
			gone = append(gone, r)
		}
	}
	for _, r := range gone {
		if ref, known := p.virtual.get(r.vip); known && !ref.own && p.now.Before(r.until) && !has[r.replySpec] {
			has[r.replySpec] = true
			state.gone = append(state.gone, r)
			p.wakeBy(r.until)
		}
	}
	if !reflect.DeepEqual(state, old) {
		if len(state.live)+len(state.gone) == 0 {
			p.agents.remove(key)
		} else {
			p.agents.set(key, state)
		}
	}
	a := p.agentOf(key, &state)
	if f := &p.snapVIFs.s[v.index]; !reflect.DeepEqual(f.Agent, a) {
		p.snapVIFs.at(v.index).Agent = a
	}
}

// expireRules looks for rules that have outlived their server for long enough.
func (p *plan) expireRules() {
	for key, a := range p.agents.base {
		for i := range a.gone {
			if p.now.Before(a.gone[i].until) {
				p.wakeBy(a.gone[i].until)
			} else {
				p.dirtyVIFs[key] = true
			}
		}
	}
}

// agentOf makes the table of a VIF; nil if it is no server and has no virtual address.
func (p *plan) agentOf(key string, state *agentState) *fib.Agent {
	a := &fib.Agent{}
	add := func(at addrKey) {
		ref, ok := p.virtual.get(at)
		if !ok || ref.own {
			return
		}
		if x := (fib.SegmentVIP6{IP: [2]uint64{at.hi, at.lo}, VIP: ref.ref & fib.RefMask}); at.v6 {
			if !slices.Contains(a.VIPs6, x) {
				a.VIPs6 = append(a.VIPs6, x)
			}
		} else if x := (fib.SegmentVIP4{IP: uint32(at.lo), VIP: ref.ref & fib.RefMask}); !slices.Contains(a.VIPs4, x) {
			a.VIPs4 = append(a.VIPs4, x)
		}
	}
	list := slices.Concat(state.live, state.gone)
	for i := range list {
		add(list[i].vip)
	}
	v := p.next.VIFs[key]
	for _, guest := range v.GuestAddresses {
		if ref, ok := p.tenants.get(v.Tenant); ok {
			seg, ok := segmentOf(&p.snapRouters.s[ref.router], guest)
			if own, _ := p.vifs.get(key); !ok {
				seg = own.row.seg
			}
			add(keyOf(seg, guest))
		}
	}
	if len(a.VIPs4)+len(a.VIPs6) == 0 {
		return nil
	}
	sortVIPs(a.VIPs4, a.VIPs6)
	a.Rules = p.rulesOf(list)
	a.Shared = slices.ContainsFunc(a.Rules, func(r fib.ReplyRule) bool { return r.Shared })
	p.snap.SharedReplies = p.snap.SharedReplies || a.Shared
	return a
}

// rulesOf makes rules whose ranges are equal or do not overlap. Where several servers need one, those that lead to one
// port of the VIP are one rule: that of a service of one port rather than of a range, of a server that is there rather
// than of one that was. All others are shared.
func (p *plan) rulesOf(list []reply) (rules []fib.ReplyRule) {
	slices.SortFunc(list, func(a, b reply) int {
		gone := func(r *reply) int {
			if r.until.IsZero() {
				return 0
			}
			return 1
		}
		return cmp.Or(compareAddr(a.vip, b.vip), cmp.Compare(a.proto, b.proto), cmp.Compare(gone(&a), gone(&b)),
			cmp.Compare(a.last-a.first, b.last-b.first), cmp.Compare(a.first, b.first), cmp.Compare(a.to, b.to),
			cmp.Compare(a.id, b.id), cmp.Compare(a.server, b.server))
	})
	for from := 0; from < len(list); {
		to := from + 1
		for to < len(list) && list[to].vip == list[from].vip && list[to].proto == list[from].proto {
			to++
		}
		rules = append(rules, p.rulesOfVIP(list[from:to])...)
		from = to
	}
	slices.SortStableFunc(rules, func(a, b fib.ReplyRule) int {
		return cmp.Or(cmp.Compare(a.VIP, b.VIP), cmp.Compare(a.Proto, b.Proto), cmp.Compare(a.First, b.First),
			cmp.Compare(a.Service, b.Service))
	})
	return rules
}

func compareAddr(a, b addrKey) int {
	return cmp.Or(cmp.Compare(a.seg, b.seg), cmp.Compare(a.hi, b.hi), cmp.Compare(a.lo, b.lo))
}

// rulesOfVIP is rulesOf for one VIP and protocol: the ranges are cut where one of them begins or ends.
func (p *plan) rulesOfVIP(list []reply) (rules []fib.ReplyRule) {
	var cuts []int // first ports of pieces
	for i := range list {
		cuts = append(cuts, int(list[i].first), int(list[i].last)+1)
	}
	slices.Sort(cuts)
	cuts = slices.Compact(cuts)
	for i := 0; i+1 < len(cuts); i++ {
		first, last := cuts[i], cuts[i+1]-1
		from := len(rules)
		for j := range list {
			r := &list[j]
			if int(r.first) > first || int(r.last) < last {
				continue
			}
			rule := p.rule(r)
			rule.First, rule.Last, rule.To = uint16(first), uint16(last), r.to+(uint16(first)-r.first)
			if !slices.ContainsFunc(rules[from:], func(x fib.ReplyRule) bool { return x.To == rule.To }) {
				rules = append(rules, rule)
			}
		}
		for j := range rules[from:] {
			rules[from+j].Shared = len(rules)-from > 1
		}
	}
	return rules
}

func (p *plan) rule(r *reply) fib.ReplyRule {
	vip, _ := p.virtual.get(r.vip)
	rule := fib.ReplyRule{VIP: vip.ref & fib.RefMask, Proto: r.proto, ID: r.id, Service: fib.None, Server: fib.None}
	if service, ok := p.services.get(r.service); ok {
		rule.Service = service.ref & fib.RefMask
	}
	if server, ok := p.servers.get(r.server); ok {
		rule.Server = server.ref & fib.RefMask
	}
	return rule
}
