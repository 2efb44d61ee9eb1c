package compile

import (
	"fmt"
	"slices"

	"penstock/ctrl/model"
	"penstock/dataplane/fib"
)

// SetLink sets the state of a port's interface from netlink: carrier and administrative state, MTU in octets, MAC.
// It returns when every worker uses it. A port index outside the configuration is ignored.
func (c *Compiler) SetLink(port int, up bool, mtu uint16, mac uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if port < 0 || port >= len(c.ports) {
		return
	}
	s := c.ports[port]
	if s.up == up && s.mtu == mtu && s.mac == mac {
		return
	}
	p := c.newPlan()
	p.linksChanged = true
	s.up, s.mtu, s.mac = up, mtu, mac
	p.ports = slices.Clone(c.ports)
	p.ports[port] = s
	_ = c.force(p) // Err has it
}

// SetBoxMAC sets the MAC of the box behind downlink number; 0 = not resolved.
func (c *Compiler) SetBoxMAC(number uint8, mac model.MAC) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.boxMACs[number] == uint64(mac) {
		return
	}
	p := c.newPlan()
	macs := c.boxMACs
	macs[number] = uint64(mac)
	p.boxMACs = &macs
	_ = c.force(p) // Err has it
}

// Reconfigure applies a changed configuration to the running dataplane: rates, the switches of access ports (checksums,
// MSS), gateway groups, a fabric port's place, a trunk's VLANs, the edge's MAC and control VLAN. change edits a copy;
// what cannot change while the box runs (scheme, the list of ports, names, roles) is refused with ErrFixed and nothing
// is done.
func (c *Compiler) Reconfigure(change func(*Config)) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.newPlan()
	p.cfg.Ports = slices.Clone(c.cfg.Ports)
	change(&p.cfg)
	p.cfg.Groups = cloneGroups(p.cfg.Groups)
	if p.cfg.UDPPort != c.cfg.UDPPort {
		return fmt.Errorf("udp_port: %w; restart the box", ErrFixed)
	}
	if p.cfg.Scheme != c.cfg.Scheme || p.cfg.Bindings != c.cfg.Bindings || p.cfg.Capacity != c.cfg.Capacity {
		return fmt.Errorf("scheme and bindings table: %w; restart the box", ErrFixed)
	}
	if len(p.cfg.Ports) != len(c.ports) {
		return fmt.Errorf("the list of ports: %w; restart the box", ErrFixed)
	}
	p.reconfigured = true
	p.ports = slices.Clone(c.ports)
	for i, n := range p.cfg.Ports {
		s := &p.ports[i]
		if n.Name != s.Name || n.Role != s.Role || n.Encap != s.Encap || n.VTEPAddress != s.VTEPAddress ||
			n.Gateway != s.Gateway || n.ZeroChecksum6 != s.ZeroChecksum6 {
			return fmt.Errorf("port %q: name, role, encap and its addresses: %w; restart the box", s.Name, ErrFixed)
		}
		if n.SwitchMAC != s.SwitchMAC || n.SwitchPort != s.SwitchPort || n.CompleteChecksums != s.CompleteChecksums ||
			n.ClampMSS != s.ClampMSS || !slices.Equal(n.VLANs, s.VLANs) {
			p.portsChanged = true
		}
		s.Port = n
		if at := n.place(); at.Known() {
			s.at = at
		}
		s.VLANs = slices.Clone(n.VLANs)
	}
	if err := p.compile(); err != nil {
		return err
	}
	c.apply(p)
	return nil
}

// fillPorts writes the port table.
func (p *plan) fillPorts() {
	if p.portsChanged || p.linksChanged {
		for i := range p.ports {
			p.fillPort(i)
		}
	}
	for i := range p.uplinks {
		if p.ports[i].Role == fib.RoleUplink {
			p.snapPorts.at(uint32(i)).Uplink = p.uplinks[i]
		}
	}
	for port := range p.reports {
		f := p.snapPorts.at(uint32(port))
		f.Untagged, f.Tagged = fib.None, nil
		for i, a := range p.snapAttachments.s {
			switch {
			case a.Seg == fib.None || a.Port != port:
			case a.VID == 0:
				f.Untagged = uint32(i)
			default:
				if f.Tagged == nil {
					f.Tagged = new([4096]uint32)
					for v := range f.Tagged {
						f.Tagged[v] = fib.None
					}
				}
				f.Tagged[a.VID&4095] = uint32(i)
			}
		}
	}
}

func (p *plan) fillPort(i int) {
	s := &p.ports[i]
	isNew := i >= len(p.snapPorts.s)
	f := p.snapPorts.at(uint32(i))
	if isNew {
		f.Untagged = fib.None
	}
	f.Role, f.Up, f.MTU, f.MAC = s.Role, s.up, s.mtu, s.mac
	f.CompleteChecksums, f.ClampMSS = s.CompleteChecksums, s.ClampMSS || s.Role == fib.RoleUplink
	f.Fabric = fib.Fabric{SwitchIdx: fib.None, Form: s.Encap, UDP: p.cfg.UDPPort}
	if own := s.VTEPAddress.Addr(); s.Encap.VXLAN() && own.IsValid() {
		f.Fabric.OwnMAC, f.Fabric.ZeroChecksum6 = s.mac, s.ZeroChecksum6
		if own.Is4() {
			f.Fabric.BoxIP = ip4(own)
		} else {
			f.Fabric.Own6 = ip6(own)
		}
		return
	}
	if s.onFabric() {
		sw, _ := p.switches.get(uint64(s.at.Switch))
		prefix := p.cfg.prefix(s.at.Port)
		f.Fabric = fib.Fabric{
			SwitchMAC: uint64(s.at.Switch), OwnMAC: s.mac, Prefix: prefix, HostMask: p.cfg.hostMask(),
			BoxIP: prefix | 1, Number: s.at.Port, SwitchIdx: sw,
			Form: s.Encap, UDP: p.cfg.UDPPort,
		}
	}
}

// fillEdge writes the tables of the box as edge switch.
func (p *plan) fillEdge() {
	if !p.reconfigured && p.boxMACs == nil {
		return
	}
	macs := &p.c.boxMACs
	if p.boxMACs != nil {
		macs = p.boxMACs
	}
	p.snap.Edge = fib.Edge{}
	if !slices.ContainsFunc(p.ports, func(s portState) bool {
		return s.Role == fib.RoleDownlink ||
			s.Role == fib.RoleTrunk
	}) {
		return
	}
	e := &p.snap.Edge
	e.MAC, e.HostBits, e.Net = uint64(p.cfg.EdgeMAC), p.cfg.shift(), p.cfg.base()
	e.ControlVID = p.cfg.ControlVLAN
	e.ByPort = make([]fib.EdgePort, len(p.ports))
	e.VLANs = new([4096][]uint16)
	for i := range p.ports {
		s := &p.ports[i]
		switch s.Role {
		case fib.RoleDownlink:
			e.ByPort[i].Number = s.SwitchPort
			if s.SwitchPort != 0 {
				e.Downlinks[s.SwitchPort] = fib.EdgeDownlink{Valid: true, Port: uint16(i), BoxMAC: macs[s.SwitchPort]}
			}
			if v := p.cfg.ControlVLAN; v != 0 {
				e.VLANs[v&4095] = append(e.VLANs[v&4095], uint16(i))
			}
		case fib.RoleTrunk:
			allow := new([64]uint64)
			for _, v := range s.VLANs {
				v &= 4095
				if allow[v/64]>>(v%64)&1 == 0 {
					allow[v/64] |= 1 << (v % 64)
					e.VLANs[v] = append(e.VLANs[v], uint16(i))
				}
			}
			e.ByPort[i].Allow = allow
		}
	}
}

// selfLocations works out this box's own locations, and lists the rows that were held back because they led to one.
func (p *plan) selfLocations() error {
	if !p.portsChanged {
		return nil
	}
	p.self = nil
	for i := range p.ports {
		s := &p.ports[i]
		if !s.onFabric() {
			continue
		}
		sw, err := p.switchIndex(uint64(s.at.Switch))
		if err != nil {
			return fmt.Errorf("port %q: %w", s.Name, err)
		}
		loc := fib.RemoteLoc(sw, s.at.Port)
		if !slices.Contains(p.c.self, loc) {
			if !p.replaced { // a pushed row in the way is held back, too
				if err := p.free(s, loc); err != nil {
					return err
				}
			}
			p.touchAt(loc)
		}
		p.self = append(p.self, loc)
	}
	for k := range p.c.held {
		p.touch(k)
	}
	return nil
}

// pushedAt reports whether a pushed row of a segment leads to a location.
func (p *plan) pushedAt(seg uint32, loc fib.Loc) (found bool) {
	p.cfg.Bindings.Each(func(s uint32, mac uint64, at fib.Loc) {
		found = found || s == seg && at == loc && !p.c.isLearned(rowKey{s, mac})
	})
	return found
}

// free makes sure that no row of the table leads to a location that becomes this box's own. The table can be asked for
// a row, not for the rows of a location; that there are some is known from the flood lists.
func (p *plan) free(s *portState, loc fib.Loc) error {
	for i := range p.c.segs {
		g := &p.c.segs[i]
		if _, found := g.find(loc); found && p.pushedAt(uint32(i), loc) {
			return fmt.Errorf(
				"port %q: bindings of segment %s/%s lead to %s port %d, which would become this box itself: %w; "+
					"delete them first",
				s.Name, g.name.tenant, g.name.segment, s.at.Switch, s.at.Port, ErrFixed)
		}
	}
	return nil
}
