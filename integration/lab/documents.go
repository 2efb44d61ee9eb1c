package lab

import (
	"net/netip"

	"penstock/ctrl/model"
)

// Documents is the tables of one box.
type Documents struct {
	Tenants  []model.Tenant
	Segments []model.Segment
	Subnets  []model.Subnet
	VIFs     []model.VIF
	Bindings []model.Binding
	Paths    []model.Path
	VIPs     []model.VIP
	Services []model.Service
	Servers  []model.Server
}

// Operation is one operation of a transaction (POST /v1/transactions).
type Operation struct {
	Op    string     `json:"op"`
	Kind  model.Kind `json:"kind"`
	Key   string     `json:"key"`
	Value any        `json:"value,omitempty"`
}

// Operations returns the puts that make the tables, in an order in which every reference is to something earlier.
func (d *Documents) Operations() []Operation {
	var ops []Operation
	put := func(o model.Object) { ops = append(ops, Operation{Op: "put", Kind: o.Kind(), Key: o.Key(), Value: o}) }
	for _, v := range d.Tenants {
		put(v)
	}
	for _, v := range d.Segments {
		put(v)
	}
	for _, v := range d.Subnets {
		put(v)
	}
	for _, v := range d.VIFs {
		put(v)
	}
	for _, v := range d.Bindings {
		put(v)
	}
	for _, v := range d.Paths {
		put(v)
	}
	for _, v := range d.VIPs {
		put(v)
	}
	for _, v := range d.Services {
		put(v)
	}
	for _, v := range d.Servers {
		put(v)
	}
	return ops
}

// document fills in what has to be pushed to each box: the fabric's tables, its own VIFs, and bindings for the others'.
func (t *Topology) document() error {
	for _, n := range t.Boxes {
		d := &n.Documents
		d.Tenants, d.Segments, d.Subnets = t.Options.Tenants, t.Options.Segments, t.Options.Subnets
		if t.Options.Links == nil {
			d.Paths = t.Paths(t.Options.Trunks)
		}
		for _, vm := range t.VMs {
			if vm.Box == n.Name {
				d.VIFs = append(d.VIFs, vm.VIF())
			} else if t.Options.ControlVLAN == 0 {
				d.Bindings = append(d.Bindings, t.Binding(vm))
			}
		}
		d.VIPs, d.Services, d.Servers = t.Options.VIPs, t.Options.Services, t.Options.Servers
		for _, v := range d.VIPs {
			for _, at := range v.Directors {
				if at.Box != n.Name {
					d.Bindings = append(d.Bindings, t.director(&v, &at))
				}
			}
		}
	}
	return nil
}

// Paths returns the path table in which the given VLANs connect the two edge switches, and the first trunk's VLAN
// each switch with itself.
func (t *Topology) Paths(vlans []uint16) []model.Path {
	var paths []model.Path
	for i, a := range t.Switches {
		paths = append(paths, model.Path{A: a.MAC, B: a.MAC, VLANs: []model.PathVLAN{{VID: t.Options.Trunks[0]}}})
		for _, b := range t.Switches[i+1:] {
			p := model.Path{A: a.MAC, B: b.MAC}
			for _, vid := range vlans {
				p.VLANs = append(p.VLANs, model.PathVLAN{VID: vid})
			}
			paths = append(paths, p)
		}
	}
	return paths
}

// VIF returns the VM as its box has it.
func (vm *VM) VIF() model.VIF {
	return model.VIF{
		Tenant: vm.Tenant, Name: vm.Name, Segment: vm.Segment, MAC: vm.MAC, Addresses: vm.addrs(),
		Port: vm.Port, VLAN: vm.VLAN, AntiSpoof: vm.AntiSpoof,
	}
}

// Binding returns the VM as the other boxes have it.
func (t *Topology) Binding(vm *VM) model.Binding {
	box := t.Node(vm.Box)
	return model.Binding{
		Tenant: vm.Tenant, Segment: vm.Segment, MAC: vm.MAC, Addresses: vm.addrs(),
		SwitchMAC: box.SwitchMAC, SwitchPort: uint16(box.SwitchPort),
	}
}

// director returns a director's own address as the other boxes have it.
func (t *Topology) director(v *model.VIP, d *model.Director) model.Binding {
	box := t.Node(d.Box)
	return model.Binding{
		Tenant: v.Tenant, Segment: v.Segment, MAC: d.EffectiveMAC(), Addresses: []netip.Addr{d.Address},
		SwitchMAC: box.SwitchMAC, SwitchPort: uint16(box.SwitchPort),
	}
}

// addrs returns the VM's addresses, with the link-local one that IPv6 brings with it.
func (vm *VM) addrs() []netip.Addr {
	var addrs []netip.Addr
	six := false
	for _, p := range vm.Addresses {
		addrs = append(addrs, p.Addr())
		six = six || p.Addr().Is6()
	}
	if six {
		addrs = append(addrs, LinkLocal(vm.MAC))
	}
	return addrs
}
