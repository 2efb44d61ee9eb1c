package compile

import (
	"maps"
	"net/netip"
	"slices"

	"penstock/ctrl/model"
	"penstock/dataplane/fib"
)

// Target is a real server of a service that this box may direct: what its health check needs to know.
type Target struct {
	Key     string
	Server  model.Server
	Service model.Service
	VIP     model.VIP
	Own     model.Director // this box's own address in the VIP's segment

	Tenant, Segment uint32     // IDs, of the VIP's segment
	Address         netip.Addr // the server's own, of the VIP's family; not valid if none is known

	Found         bool       // MAC, and with Direct the port, are known
	Entry         fib.Server // as the dataplane has it
	ServerSegment uint32     // ID of the segment of the server's VIF
}

// Targets returns the servers of all services that name this box as a director of their VIP, in the order of their
// keys.
func (c *Compiler) Targets() (list []Target) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.snap.Load()
	for _, key := range slices.Sorted(maps.Keys(c.balancer.servers)) {
		server, ok := c.state.Servers[key]
		if !ok {
			continue
		}
		t := Target{Key: key, Server: server, Service: c.state.Services[server.ServiceKey()]}
		t.VIP = c.state.VIPs[t.Service.VIPKey()]
		at := t.VIP.Director(c.cfg.Box)
		seg, known := c.segments[segName{t.VIP.Tenant, t.VIP.Segment}]
		if at < 0 || c.cfg.Box == "" || !known || int(seg) >= len(s.Segments) {
			continue
		}
		t.Own = t.VIP.Directors[at]
		t.Tenant, t.Segment = s.Segments[seg].Tenant, s.Segments[seg].ID
		ref := c.balancer.servers[key]
		if i := ref.ref & fib.RefMask; int(i) < len(s.Servers) && s.Servers[i].Ref == ref.ref {
			t.Entry = s.Servers[i]
			t.Found = ref.at.found()
			if t.ServerSegment = t.Segment; int(t.Entry.Seg) < len(s.Segments) {
				t.ServerSegment = s.Segments[t.Entry.Seg].ID
			}
		}
		t.Address = c.addressOf(&server, t.VIP.Address.Is4())
		list = append(list, t)
	}
	return list
}

// addressOf returns an address of a server's own.
func (c *Compiler) addressOf(s *model.Server, v4 bool) (a netip.Addr) {
	if s.Address.IsValid() && s.Address.Is4() == v4 {
		return s.Address
	}
	name := s.Tenant + "/" + s.VIF
	if s.VIF == "" {
		name = c.balancer.servers[s.Key()].at.vif
	}
	if v, ok := c.state.VIFs[name]; ok {
		for _, ip := range v.Addresses {
			if ip.Is4() == v4 {
				return ip
			}
		}
	}
	return a
}
