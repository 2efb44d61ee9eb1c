package compile

import (
	"slices"

	"penstock/ctrl/model"
	"penstock/dataplane/fib"
)

func routerMAC(t model.Tenant) uint64 {
	if t.RouterMAC != nil {
		return uint64(*t.RouterMAC)
	}
	return uint64(model.DefaultRouterMAC)
}

func (p *plan) diffTenants() {
	changes := diff(p.c.state.Tenants, p.next.Tenants, func(a, b model.Tenant) bool {
		return a.ID == b.ID && routerMAC(a) == routerMAC(b) && a.Gateway == b.Gateway &&
			slices.Equal(a.GatewayAddresses, b.GatewayAddresses)
	})
	for _, ch := range changes {
		p.regate[ch.key] = true
		ref, _ := p.tenants.get(ch.key)
		if ch.new == nil {
			*p.snapRouters.at(ref.router) = fib.Router{}
			p.routerIDs.release(ref.router)
			p.tenants.remove(ch.key)
			p.tenantKeys, p.goneTenants = true, true
			continue
		}
		if ch.old == nil {
			ref.router = p.routerIDs.alloc()
		}
		if ref.id != ch.new.ID {
			p.tenantKeys = true
			if ch.old != nil {
				p.renumbered[ref.router] = ch.new.ID
			}
		}
		ref.id = ch.new.ID
		p.tenants.set(ch.key, ref)
		r := p.snapRouters.at(ref.router)
		r.Tenant, r.MAC = ref.id, routerMAC(*ch.new)
	}
}

func (c *Compiler) tenantStatus(key string) *Status {
	if _, ok := c.tenants[key]; !ok {
		return nil
	}
	t := c.state.Tenants[key]
	return &Status{Live: true, Reason: c.gatewayReason(&t)}
}
