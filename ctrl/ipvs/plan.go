package ipvs

import (
	"fmt"
	"hash/fnv"
	"net/netip"
	"slices"
	"strings"

	"penstock/ctrl/model"
)

// Existing is what a box has already of the tenant.
type Existing struct {
	Subnets  []model.Subnet
	VIFs     []model.VIF
	VIPs     []model.VIP
	Services []model.Service
	Servers  []model.Server
}

// Target says where the services go.
type Target struct {
	Tenant string
	// Directors are for VIPs that the box does not have: their boxes and own addresses, of both families. Without, a
	// VIP gets the directors of the segment's other VIPs.
	Directors []model.Director
}

// Objects returns the objects that make the box serve what the table says, VIPs before services before servers; what
// the box has already keeps its name, its ID and all that the table does not speak of. Faults are those of Parse and
// those that only show beside the tables of the box; with one of them there are no objects.
func (t *Table) Objects(to Target, x *Existing) ([]model.Object, []Finding) {
	p := plan{to: to, x: x, parser: parser{Table: &Table{}, seen: map[Finding]bool{}}}
	p.index()
	for i := range t.Services {
		p.service(&t.Services[i])
	}
	faults := append(slices.Clone(t.Faults), p.Faults...)
	if len(faults) > 0 {
		slices.SortStableFunc(faults, func(a, b Finding) int { return a.Line - b.Line })
		return nil, faults
	}
	return slices.Concat(p.vips, p.services, p.servers), nil
}

// plan collects the objects.
type plan struct {
	parser
	to                      Target
	x                       *Existing
	vips, services, servers []model.Object

	vipAt     map[netip.Addr]*model.VIP
	serviceAt map[endpointOf]*model.Service
	members   map[string][]model.Server // by the name of their service
	addresses map[string][]netip.Addr   // of VIFs, by name
	ids       map[uint32]bool
	names     map[string]bool // of services and VIPs, by "service NAME"
}

// endpointOf is what a service of one port, or of all, is found by.
type endpointOf struct {
	vip      string
	protocol string
	port     uint16
}

func (p *plan) index() {
	p.vipAt, p.serviceAt = map[netip.Addr]*model.VIP{}, map[endpointOf]*model.Service{}
	p.members, p.addresses = map[string][]model.Server{}, map[string][]netip.Addr{}
	p.ids, p.names = map[uint32]bool{}, map[string]bool{}
	for i := range p.x.VIPs {
		v := &p.x.VIPs[i]
		p.vipAt[v.Address] = v
		p.names["vip "+v.Name] = true
	}
	for i := range p.x.Services {
		s := &p.x.Services[i]
		p.ids[s.ID], p.names["service "+s.Name] = true, true
		if s.PortEnd == 0 || s.PortEnd == s.Port {
			p.serviceAt[endpointOf{s.VIP, protocolOf(s), s.Port}] = s
		}
	}
	for _, s := range p.x.Servers {
		p.members[s.Service] = append(p.members[s.Service], s)
	}
	for _, v := range p.x.VIFs {
		p.addresses[v.Name] = v.Addresses
	}
}

func protocolOf(s *model.Service) string {
	if s.UDP() {
		return "udp"
	}
	return "tcp"
}

// service adds a service with its servers.
func (p *plan) service(s *Service) {
	v := p.vip(s)
	if v == nil {
		return
	}
	o := model.Service{Tenant: p.to.Tenant, VIP: v.Name, Port: s.At.Port}
	if s.At.Protocol != "tcp" {
		o.Protocol = s.At.Protocol
	}
	if old := p.serviceAt[endpointOf{v.Name, s.At.Protocol, s.At.Port}]; old != nil {
		o = *old
	} else {
		o.Name = p.name("service", fmt.Sprintf("%s-%s-%d", nameOf(s.At.Address), s.At.Protocol, s.At.Port))
		o.ID = p.id(s.At)
	}
	set(&o.Scheduler, s.Scheduler, "maglev")
	set(&o.Hash, s.Hash, "tuple")
	o.OnePacket = s.OnePacket
	if s.Check != nil {
		o.Check = s.Check.model()
	}
	p.services = append(p.services, o)
	for i := range s.Servers {
		p.server(&o, &s.Servers[i])
	}
}

// set sets a word, unless the object has it, as the absent default or in writing.
func set(to *string, word, absent string) {
	if word == "" {
		word = absent
	}
	if *to != word && (*to != "" || word != absent) {
		*to = word
		if word == absent {
			*to = ""
		}
	}
}

// vip returns the VIP of a service's address; it adds one if it can.
func (p *plan) vip(s *Service) *model.VIP {
	a := s.At.Address
	if v := p.vipAt[a]; v != nil {
		return v
	}
	v, hint, err := p.x.NewVIP(p.to, a)
	if err != nil {
		p.fault(s.Line, hint, "%v", err)
		return nil
	}
	v.Name = p.name("vip", v.Name)
	p.vipAt[a] = &v
	p.vips = append(p.vips, v)
	return &v
}

// NewVIP returns the VIP for an address that the tenant does not have yet: in the segment of its subnet, with the
// directors of the target, else those of another VIP of the segment. hint is the remedy for the error.
func (x *Existing) NewVIP(to Target, a netip.Addr) (v model.VIP, hint string, err error) {
	v = model.VIP{Tenant: to.Tenant, Name: nameOf(a), Address: a}
	for _, n := range x.Subnets {
		if n.Prefix.Contains(a) {
			v.Segment = n.Segment
		}
	}
	if v.Segment == "" {
		return v, "push the subnet first",
			fmt.Errorf("tenant %s has neither a VIP %s nor a subnet for one", to.Tenant, a)
	}
	for _, d := range to.Directors {
		if d.Address.Is4() == a.Is4() {
			v.Directors = append(v.Directors, d)
		}
	}
	for i := 0; v.Directors == nil && i < len(x.VIPs); i++ {
		if o := &x.VIPs[i]; o.Segment == v.Segment && o.Address.Is4() == a.Is4() {
			v.Directors = o.Directors
		}
	}
	if v.Directors == nil {
		return v, "push the VIP first, or name its directors with --director BOX=ADDRESS",
			fmt.Errorf("tenant %s has no VIP %s", to.Tenant, a)
	}
	return v, "", nil
}

// server adds a server, under the name that it has already.
func (p *plan) server(of *model.Service, s *Server) {
	o := model.Server{Tenant: p.to.Tenant, Service: of.Name, Address: s.Address}
	found := false
	for _, old := range p.members[of.Name] {
		if first, _ := old.Ports(of); first == s.Port &&
			(old.Address == s.Address || slices.Contains(p.addresses[old.VIF], s.Address) && old.VIF != "") {
			o, found = old, true
			break
		}
	}
	if !found {
		o.Name = fmt.Sprintf("%s-%d", nameOf(s.Address), s.Port)
		if s.Port != of.Port {
			o.Port = s.Port
		}
	}
	if o.EffectiveWeight() != uint16(s.Weight) {
		o.Weight = nil
		if s.Weight != 1 {
			w := uint16(s.Weight)
			o.Weight = &w
		}
	}
	o.Backup = s.Backup
	p.servers = append(p.servers, o)
}

// nameOf makes a name of an address.
func nameOf(a netip.Addr) string {
	name := strings.ReplaceAll(a.String(), ":", "-")
	if name[0] == '-' { // reads like an option
		name = "0" + name
	}
	return name
}

// name returns the name, or the next one that is free.
func (p *plan) name(kind, name string) string {
	free := name
	for n := 2; p.names[kind+" "+free]; n++ {
		free = fmt.Sprintf("%s-%d", name, n)
	}
	p.names[kind+" "+free] = true
	return free
}

// id returns an ID that depends on the endpoint alone, so that all boxes come to the same one; the next free one if
// another service has it.
func (p *plan) id(e Endpoint) uint32 {
	id := ServiceID(e, func(id uint32) bool { return p.ids[id] })
	p.ids[id] = true
	return id
}

// ServiceID returns the ID of a service that is given none: a hash of its endpoint, so that all boxes come to the same
// one, or the next one that is not taken.
func ServiceID(e Endpoint, taken func(uint32) bool) uint32 {
	h := fnv.New32a()
	h.Write([]byte(e.String()))
	id := h.Sum32() % model.MaxServiceID
	for {
		if id++; !taken(id) {
			return id
		}
		id %= model.MaxServiceID
	}
}

// model returns the check of a service.
func (c *Check) model() *model.Check {
	m := &model.Check{Type: c.Type, Interval: model.Duration(c.Interval), Timeout: model.Duration(c.Timeout),
		Path: c.Path, Host: c.Host, Status: strings.Join(c.Status, ","), Body: c.Body}
	if c.Fall != 0 {
		n := uint16(c.Fall)
		m.Fall = &n
	}
	if c.Send != "" {
		m.Send = "hex:" + c.Send
	}
	if c.Expect != "" {
		m.Expect = "hex:" + c.Expect
	}
	return m
}
