package compile

import (
	"slices"

	"penstock/ctrl/model"
	"penstock/dataplane/fib"
)

// Place is where a fabric port is plugged in.
type Place struct {
	Switch model.MAC // of the edge switch
	Port   uint8     // number of that switch's port
}

// Known reports whether both halves of the place are known.
func (a Place) Known() bool { return a.Switch != 0 && a.Port != 0 }

// place returns the configured place of a fabric port.
func (p *Port) place() Place {
	if p.Role != fib.RoleFabric {
		return Place{}
	}
	return Place{p.SwitchMAC, p.SwitchPort}
}

// SetPlace sets the place of a fabric port whose place is not configured, as LLDP tells it; one with a half that is 0
// means that it is not known: the port then has no paths. Addresses, paths and bindings follow in one publication.
// Pushed bindings that lead to the new place are held back, as those are that are pushed later. SetPlace returns when
// every worker uses the place. It ignores other ports.
func (c *Compiler) SetPlace(port int, at Place) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if port < 0 || port >= len(c.ports) || c.ports[port].Role != fib.RoleFabric || c.ports[port].place().Known() {
		return nil
	}
	if !at.Known() {
		at = Place{}
	}
	if c.ports[port].at == at {
		return nil
	}
	p := c.newPlan()
	p.portsChanged, p.replaced = true, true
	p.ports = slices.Clone(c.ports)
	p.ports[port].at = at
	return c.force(p)
}

// touchAt lists all rows that lead to a location, if there are any.
func (p *plan) touchAt(loc fib.Loc) {
	any := false
	for i := range p.c.segs {
		_, found := p.c.segs[i].find(loc)
		any = any || found
	}
	if any {
		p.cfg.Bindings.Each(func(seg uint32, mac uint64, at fib.Loc) {
			if at == loc {
				p.touch(rowKey{seg, mac})
			}
		})
	}
}
