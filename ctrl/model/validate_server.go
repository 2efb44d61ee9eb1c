package model

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"penstock/dataplane/maglev"
)

func (v *validator) servers() {
	keys := sorted(v, KindServer, v.s.Servers, func(s *Server) string { return s.Tenant })
	if len(keys) == 0 {
		return
	}
	vips := map[inSegment[netip.Addr]]string{} // by tenant
	for key, x := range v.s.VIPs {
		if v.in(x.Tenant) {
			vips[inSegment[netip.Addr]{x.Tenant, x.Address}] = key
		}
	}
	count := map[string]int{}
	for _, key := range keys {
		s := v.s.Servers[key]
		r := v.at(KindServer, key)
		v.name(r, "name", s.Name)
		of, known := v.s.Services[s.ServiceKey()]
		if v.refTenant(r, s.Tenant) && !known {
			r("service", CodeNotFound, "create the service first, or in the same transaction",
				"tenant %s has no service %q", clip(s.Tenant), clip(s.Service)).about(KindService, s.ServiceKey())
		}
		count[s.ServiceKey()]++
		v.target(r, &s, vips)
		v.oneOf(r, "state", s.State, serverStateWords)
		if known {
			serverPort(r, &s, &of)
		}
		if s.QUICID != "" && s.QUICOctets() == nil {
			r("quic_id", CodeInvalid, fmt.Sprintf("give 1 to %d octets as hexadecimal digits, as 01aa", MaxQUICID),
				"%q is no ID", clip(s.QUICID))
		}
	}
	v.serverCounts(keys, count)
	v.quicIDs(keys)
	v.replyRules(keys)
}

// target checks what finds the server.
func (v *validator) target(r reporter, s *Server, vips map[inSegment[netip.Addr]]string) {
	named, addressed := s.VIF != "", s.Address.IsValid()
	switch tenant, name, of := strings.Cut(s.VIF, "/"); {
	case named && addressed:
		r("address", CodeConflict, "give vif or address", "the server has a VIF and an address")
	case !named && !addressed:
		r("vif", CodeRequired, "give vif, the name of a VIF of the tenant, or address",
			"nothing says where the server is")
	case named && of && tenant != s.Tenant && ValidName(tenant) && ValidName(name):
		r("vif", CodeConflict, fmt.Sprintf("give the name of a VIF of tenant %s", clip(s.Tenant)),
			"VIF %s belongs to tenant %s, and a server is of the tenant of its service", s.VIF, tenant)
	case named && of && tenant == s.Tenant && ValidName(name):
		r("vif", CodeInvalid, fmt.Sprintf("write \"%s\"", name), "%q has the tenant in front of the name", s.VIF)
	case named && !ValidName(s.VIF):
		r("vif", CodeInvalid, nameHint, "%q is not a name", clip(s.VIF))
	}
	if addressed {
		switch why := notUnicast(s.Address); {
		case s.Address.Is4In6():
			r("address", CodeInvalid, fmt.Sprintf("write \"%s\"", s.Address.Unmap()), "%s is an IPv4-mapped address",
				s.Address)
		case s.Address.Zone() != "" || s.Address.Is6() && s.Address.IsLinkLocalUnicast():
			r("address", CodeInvalid, "give an address of one of the tenant's subnets", "%s is link-local", s.Address)
		case why != "":
			r("address", CodeInvalid, "give a unicast address", "%s is %s", s.Address, why)
		default:
			if vip, ok := vips[inSegment[netip.Addr]{s.Tenant, s.Address}]; ok {
				r("address", CodeInvalid, "give the server's own address", "%s is VIP %s", s.Address,
					vip).about(KindVIP, vip)
			}
		}
	}
	switch {
	case s.Via == "":
	case named:
		r("via", CodeConflict, "leave via out, or give address instead of vif", "a station behind a port is no VIF")
	case !ValidName(s.Via):
		r("via", CodeInvalid, nameHint, "%q cannot be the name of a port", clip(s.Via))
	}
}

// serverPort checks the port of a server against those of its service.
func serverPort(r reporter, s *Server, of *Service) {
	first, last := of.Port, of.LastPort()
	switch {
	case s.Port == 0:
	case of.Port == 0:
		r("port", CodeConflict, "leave the port out", "service %s has all ports, which are not translated", of.Key())
	case s.Via != "" && s.Port != of.Port:
		r("port", CodeConflict, fmt.Sprintf("leave the port out, or write %d", of.Port),
			"replies of a station that is no VIF are not translated, so its port is the service's")
	case int(s.Port)+int(last)-int(first) > 65_535:
		r("port", CodeInvalid, fmt.Sprintf("choose a port up to %d", 65_535-int(last-first)),
			"the range of %d ports from %d on ends behind port 65535", int(last)-int(first)+1, s.Port)
	}
}

// serverCounts holds the number of servers to what the tables of their services can hold. Of what a push adds, the last
// one is too much.
func (v *validator) serverCounts(keys []string, count map[string]int) {
	for key, n := range count {
		of, known := v.s.Services[key]
		if !known {
			continue
		}
		size := of.EffectiveTableSize()
		if n <= MaxServiceServers && uint64(n)*TableSizePerServer <= uint64(size) {
			continue
		}
		r, field := v.at(KindService, key), "table_size"
		if i := lastServer(keys, key); !v.wrote(KindService, key) && i >= 0 && v.wrote(KindServer, keys[i]) {
			r, field = v.at(KindServer, keys[i]), "service"
		}
		if n > MaxServiceServers {
			r(field, CodeLimit, "spread the servers over more services", "service %s has %d servers, more than the "+
				"%d allowed",
				key, n, MaxServiceServers).about(KindService, key)
		} else {
			r(field, CodeInvalid, fmt.Sprintf("set table_size of the service to %d or a larger prime",
				maglev.NextPrime(uint32(n)*TableSizePerServer)),
				"a table of %d entries is too small for the %d servers of service %s, it needs %d for each", size, n,
				key,
				TableSizePerServer).about(KindService, key)
		}
	}
}

// lastServer returns the position of the last server of a service in the list, -1 if there is none.
func lastServer(keys []string, service string) int {
	for i := len(keys) - 1; i >= 0; i-- {
		if serviceOf(keys[i]) == service {
			return i
		}
	}
	return -1
}

// quicIDs reports IDs of unlike lengths in a service, and those that two servers have.
func (v *validator) quicIDs(keys []string) {
	type in struct{ service, id string }
	first, owner := map[string]string{}, map[in]string{}
	for _, key := range keys {
		s := v.s.Servers[key]
		id := s.QUICOctets()
		if id == nil {
			continue
		}
		r, service := v.at(KindServer, key), s.ServiceKey()
		if o, ok := first[service]; !ok {
			first[service] = key
		} else if x := v.s.Servers[o]; len(x.QUICOctets()) != len(id) {
			r("quic_id", CodeConflict, "the IDs of a service are of one length",
				"the ID has %d octets, that of server %s has %d", len(id), o, len(x.QUICOctets())).about(KindServer, o)
			continue
		}
		if o, taken := owner[in{service, string(id)}]; taken {
			r("quic_id", CodeDuplicate, "give every server of a service its own ID",
				"%s is the ID of server %s already",
				s.QUICID, o).about(KindServer, o)
			continue
		}
		owner[in{service, string(id)}] = key
	}
}

// place is where a server's replies are translated: a VIF, by name or by an address of it, and what they come from.
type place struct {
	tenant, vip string
	udp         bool
	vif         string // "" = address
	address     netip.Addr
}

// replyRules reports servers whose replies cannot be told apart: on one VIF, of one VIP and protocol, from the same
// port, for different ports of the VIP.
func (v *validator) replyRules(keys []string) {
	byAddress := map[inSegment[netip.Addr]]string{} // of a tenant → VIF
	for _, f := range v.s.VIFs {
		if v.in(f.Tenant) {
			for _, a := range f.Addresses {
				byAddress[inSegment[netip.Addr]{f.Tenant, a}] = f.Name
			}
		}
	}
	spans := map[place][]portSpan{}
	for _, key := range keys {
		s := v.s.Servers[key]
		of, known := v.s.Services[s.ServiceKey()]
		if !known || s.VIF == "" && !s.Address.IsValid() || of.LastPort() < of.Port {
			continue
		}
		at := place{tenant: s.Tenant, vip: of.VIP, udp: of.UDP(), vif: s.VIF}
		if s.VIF == "" {
			if at.vif = byAddress[inSegment[netip.Addr]{s.Tenant, s.Address}]; at.vif == "" {
				at.address = s.Address
			}
		}
		p := portSpan{key: key}
		if p.first, p.last = s.Ports(&of); p.last < p.first {
			continue
		}
		p.to = int(of.Port) - int(p.first)
		spans[at] = append(spans[at], p)
	}
	for _, list := range spans {
		if len(list) > 1 {
			v.ambiguous(list)
		}
	}
}

// ambiguous compares the servers of one place.
func (v *validator) ambiguous(list []portSpan) {
	slices.SortFunc(list, func(a, b portSpan) int {
		return cmp.Or(cmp.Compare(a.first, b.first), strings.Compare(a.key, b.key))
	})
	for i := range list {
		for j := i + 1; j < len(list) && list[j].first <= list[i].last; j++ {
			v.pair(&list[i], &list[j])
		}
	}
}

// pair reports two servers of one place whose ports overlap.
func (v *validator) pair(a, b *portSpan) {
	if x, y := v.wroteServer(a.key), v.wroteServer(b.key); x && !y || x == y && strings.Compare(a.key, b.key) > 0 {
		a, b = b, a
	}
	x, y := v.s.Services[serviceOf(a.key)], v.s.Services[serviceOf(b.key)]
	kind, r, field := KindServer, v.at(KindServer, b.key), "port"
	if !v.wrote(KindServer, b.key) && v.wrote(KindService, y.Key()) {
		kind, r, field = KindService, v.at(KindService, y.Key()), "shared_ports"
	}
	other := func(p *Problem) {
		if kind == KindService || v.wrote(KindService, x.Key()) && !v.wrote(KindServer, b.key) {
			p.about(KindService, x.Key())
			return
		}
		p.about(KindServer, a.key)
	}
	ports := fmt.Sprintf("port %d", max(a.first, b.first))
	if first, last := max(a.first, b.first), min(a.last, b.last); first != last {
		ports = fmt.Sprintf("ports %d to %d", first, last)
	}
	switch {
	case x.Key() == y.Key() && a.to == b.to:
		other(r("port", CodeDuplicate, "name every server of a service once",
			"server %s is the same: %s of the same VIF",
			a.key, ports))
	case a.to == b.to, x.SharedPorts && y.SharedPorts && x.Key() != y.Key():
	default:
		other(r(field, CodeAmbiguous, "give one of the servers another port, or set shared_ports on both services",
			"services %s and %s both lead to %s of one VIF (servers %s and %s): from a reply nobody could tell to "+
				"which of them it belongs",
			x.Key(), y.Key(), ports, a.key, b.key))
	}
}

// wroteServer reports whether the change wrote a server or its service.
func (v *validator) wroteServer(key string) bool {
	return v.wrote(KindServer, key) || v.wrote(KindService, serviceOf(key))
}
