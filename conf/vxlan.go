package conf

import (
	"fmt"
	"net/netip"
)

// vtepAddress reads an address of IPv4 or IPv6 with or without the length of its network. Without it the network is
// the address alone.
func (s *section) vtepAddress(name string) netip.Prefix {
	k, v, use := s.lookup(name)
	if !use {
		return netip.Prefix{}
	}
	t, _ := v.(string)
	p, err := netip.ParsePrefix(t)
	if err != nil {
		var a netip.Addr
		if a, err = netip.ParseAddr(t); err == nil && a.Zone() == "" {
			p = netip.PrefixFrom(a, a.BitLen())
		}
	}
	switch a := p.Addr(); {
	case err != nil || !p.IsValid() || a.Is4In6():
		s.wrong(name, k, v)
	case !station(a) || a.IsLinkLocalUnicast() || a.Is4() && p.Bits() < 32 && !host(p, a):
		s.failf(s.at(name), "found %s, want the address of one station that is routed", t)
	case p.Bits() < 8:
		s.failf(s.at(name), "found the length %d, want 8 or more", p.Bits())
	default:
		return p
	}
	return netip.Prefix{}
}

// validateVXLAN checks what the keys of VXLAN say of each other.
func (r *reader) validateVXLAN(c *Config) {
	used := map[netip.Addr]int{}
	for i := range c.Ports {
		p := &c.Ports[i]
		at := func(name string) string { return fmt.Sprintf("port[%d].%s", i, name) }
		has := func(name string) bool { return r.idx.lines[at(name)] > 0 }
		if p.Role != RoleFabric || !r.ok(at("encap"), at("vtep_address"), at("gateway"), at("zero_checksum6")) {
			continue
		}
		if p.Encap != EncapVXLAN {
			for _, name := range []string{"vtep_address", "gateway", "zero_checksum6"} {
				if has(name) {
					r.failf(at(name), "only a port with encap = \"vxlan\" has it, and this port's form is %q: "+
						"remove one of the two", p.Encap)
				}
			}
			continue
		}
		for _, name := range []string{"switch_mac", "switch_port"} {
			if has(name) {
				r.failf(at(name), "a port with encap = \"vxlan\" has no place at an edge switch, but "+
					"vtep_address: remove it")
			}
		}
		own := p.VTEPAddress.Addr()
		switch {
		case !own.IsValid():
			if !r.partial {
				r.failf(at("vtep_address"), "missing: a port with encap = \"vxlan\" needs an address, such as "+
					"\"192.0.2.1/24\"")
			}
			continue
		case p.Gateway.IsValid() && p.Gateway.Is4() != own.Is4():
			r.failf(at("gateway"), "found %s, want an address of the same family as vtep_address, %s", p.Gateway, own)
		case p.Gateway == own:
			r.failf(at("gateway"), "found %s, which is vtep_address itself: want the router's", p.Gateway)
		case p.Gateway.IsValid() && p.VTEPAddress.Bits() < own.BitLen() && !p.VTEPAddress.Contains(p.Gateway) &&
			!p.Gateway.IsLinkLocalUnicast():
			r.failf(at("gateway"), "found %s, which is not in the network of vtep_address, %s", p.Gateway,
				p.VTEPAddress.Masked())
		case p.ZeroChecksum6 && own.Is4():
			r.failf(at("zero_checksum6"), "vtep_address is IPv4, where a checksum of 0 is accepted anyway: remove it")
		}
		if first, dup := used[own]; dup {
			r.failf(at("vtep_address"), "%s is the address of the port on line %d already: every port has its own", own,
				r.idx.line(fmt.Sprintf("port[%d].vtep_address", first)))
		} else {
			used[own] = i
		}
	}
}

// encapsulation returns by how many octets the MTU of a fabric port is above the tenants'.
func (p *Port) encapsulation() int {
	switch {
	case p.Encap == EncapUDP:
		return encapUDP
	case p.Encap == EncapVXLAN && p.VTEPAddress.Addr().Is6():
		return encapVXLAN6
	case p.Encap == EncapVXLAN:
		return encapVXLAN
	}
	return encapSize
}
