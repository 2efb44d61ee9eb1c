package lab

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"penstock/ctrl/model"
)

func (t *Topology) buildSwitches() error {
	for _, b := range t.Options.Boxes {
		if t.Node(b.Switch) != nil {
			continue
		}
		n, err := t.newNode(b.Switch)
		if err != nil {
			return err
		}
		n.MAC = SwitchMAC(len(t.Switches))
		t.Switches = append(t.Switches, n)
	}
	if len(t.Switches) > 2 && t.Options.Links == nil {
		return fmt.Errorf("%d edge switches: without links a lab's fabric has one or two", len(t.Switches))
	}
	return nil
}

// buildBoxes makes the boxes and joins each with its edge switch.
func (t *Topology) buildBoxes() error {
	for i, spec := range t.Options.Boxes {
		n, err := t.newNode(spec.Name)
		if err != nil {
			return err
		}
		sw := t.Node(spec.Switch)
		n.MAC, n.Switch, n.SwitchMAC, n.SwitchPort = BoxMAC(i), spec.Switch, sw.MAC, spec.Port
		downlink := fmt.Sprintf("down%d", spec.Port)
		if err := t.join(n, "fab0", sw, downlink, BoxMAC(i), sw.MAC); err != nil {
			return err
		}
		n.Ports = append(n.Ports, NodePort{Name: "fab0", Role: "fabric", PeerNamespace: sw.Namespace,
			PeerInterface: downlink})
		sw.Ports = append(sw.Ports, NodePort{Name: downlink, Role: "downlink", Number: spec.Port,
			PeerNamespace: n.Namespace, PeerInterface: "fab0"})
		t.Boxes = append(t.Boxes, n)
	}
	return nil
}

func (t *Topology) buildTrunks() error {
	if len(t.Switches) < 2 {
		return nil
	}
	a, b := t.Switches[0], t.Switches[1]
	if t.Options.Tap {
		if err := errors.Join(t.lab.Namespace(TapNamespace), t.lab.noIPv6(TapNamespace)); err != nil {
			return err
		}
	}
	links := t.Options.Links
	if links == nil {
		for i, vlan := range t.Options.Trunks {
			links = append(links, LinkSpec{a.Name, b.Name, []uint16{vlan}, i == 0})
		}
	}
	for i, l := range links {
		if a, b = t.Node(l.A), t.Node(l.B); a == nil || b == nil {
			return fmt.Errorf("link %s – %s: no box hangs from one of them", l.A, l.B)
		}
		name := fmt.Sprintf("trunk%d", i+1)
		trunk := Trunk{NamespaceA: a.Namespace, PortA: name, NamespaceB: b.Namespace, PortB: name}
		if t.Options.Links == nil {
			trunk.VLAN = l.VLANs[0]
		}
		if t.Options.Tap {
			trunk.Tap = name + "a"
			if err := t.joinByTap(a, b, name); err != nil {
				return err
			}
		} else if err := t.join(a, name, b, name, 0, 0); err != nil {
			return err
		}
		a.Ports = append(a.Ports, NodePort{Name: name, Role: "trunk", VLANs: l.VLANs, Control: l.Control,
			PeerNamespace: b.Namespace, PeerInterface: name})
		b.Ports = append(b.Ports, NodePort{Name: name, Role: "trunk", VLANs: l.VLANs, Control: l.Control,
			PeerNamespace: a.Namespace, PeerInterface: name})
		t.Trunks = append(t.Trunks, trunk)
	}
	return nil
}

// Plug makes the cable between a box and a downlink of an edge switch, whose interfaces must be gone.
func (t *Topology) Plug(box, sw string, number uint8) error {
	n, s := t.Node(box), t.Node(sw)
	n.Switch, n.SwitchMAC, n.SwitchPort = sw, s.MAC, number
	return t.join(n, "fab0", s, fmt.Sprintf("down%d", number), n.MAC, s.MAC)
}

// join makes a link on the fabric's side. AF_XDP runs on both ends.
func (t *Topology) join(a *Node, portA string, b *Node, portB string, macA, macB model.MAC) error {
	return t.lab.Veth(a.Namespace, portA, b.Namespace, portB, VethOptions{
		MTU: t.Options.FabricMTU, Queues: t.Options.Dataplane.Queues,
		A: EndOptions{MAC: macA, GRO: true, NoTSO: true},
		B: EndOptions{MAC: macB, GRO: true, NoTSO: true},
	})
}

// joinByTap makes a trunk of two links and a bridge between them.
func (t *Topology) joinByTap(a, b *Node, name string) error {
	opts := VethOptions{MTU: t.Options.FabricMTU, Queues: t.Options.Dataplane.Queues,
		A: EndOptions{GRO: true, NoTSO: true}, B: EndOptions{NoTSO: true, InlineTags: true}}
	for _, end := range []struct {
		node   *Node
		suffix string
	}{{a, "a"}, {b, "b"}} {
		if err := t.lab.Veth(end.node.Namespace, name, TapNamespace, name+end.suffix, opts); err != nil {
			return err
		}
	}
	// A bridge here has one table for all VLANs, and a MAC may be on different sides in different ones: it must not
	// learn.
	return errors.Join(t.lab.Bridge(TapNamespace, "br-"+name, name+"a", name+"b"),
		t.lab.NoLearning(TapNamespace, name+"a"), t.lab.NoLearning(TapNamespace, name+"b"))
}

func (t *Topology) buildVMs() error {
	for _, spec := range t.Options.VMs {
		box := t.Node(spec.Box)
		if box == nil || box.Switch == "" {
			return fmt.Errorf("VM %s: no box %q", spec.Name, spec.Box)
		}
		vm := &VM{VMSpec: spec, Namespace: spec.Name, Interface: "eth0"}
		if spec.Behind != "" {
			host := t.VM(spec.Behind)
			if host == nil {
				return fmt.Errorf("VM %s is behind %q, which is not there yet", spec.Name, spec.Behind)
			}
			vm.Namespace, vm.Port = host.Namespace, host.Port
		} else if err := t.buildVM(vm, box); err != nil {
			return err
		}
		t.VMs = append(t.VMs, vm)
	}
	return nil
}

func (t *Topology) buildVM(vm *VM, box *Node) error {
	l := t.lab
	access := 0
	for _, p := range box.Ports {
		if p.Role == "access" {
			access++
		}
	}
	vm.Port = fmt.Sprintf("acc%d", access)
	if err := l.Namespace(vm.Namespace); err != nil {
		return err
	}
	addresses := vm.Addresses
	if vm.Raw || !slices.ContainsFunc(addresses, func(p netip.Prefix) bool { return p.Addr().Is6() }) {
		if err := l.noIPv6(vm.Namespace); err != nil {
			return err
		}
	}
	if vm.Raw {
		addresses = nil
	}
	for key, value := range map[string]string{"accept_ra": "0", "router_solicitations": "0", "accept_dad": "0",
		"addr_gen_mode": "0"} {
		if err := l.Sysctl(vm.Namespace, "net/ipv6/conf/default/"+key, value); err != nil {
			return err
		}
	}
	// The VM's stack leaves checksums to its interface, as with virtio: the box completes them.
	if err := l.Veth(vm.Namespace, vm.Interface, box.Namespace, vm.Port, VethOptions{
		MTU: t.Options.AccessMTU, Queues: t.Options.Dataplane.Queues,
		A: EndOptions{MAC: vm.MAC, Addresses: addresses, NoTSO: true},
		B: EndOptions{GRO: true, NoTSO: true},
	}); err != nil {
		return err
	}
	box.Ports = append(box.Ports, NodePort{Name: vm.Port, Role: "access", PeerNamespace: vm.Namespace,
		PeerInterface: vm.Interface})
	for _, a := range vm.Virtual {
		if err := l.Address(vm.Namespace, "lo", a); err != nil {
			return err
		}
	}
	for _, a := range addresses {
		if router := t.routerOf(vm.Tenant, vm.Segment, a.Addr()); router.IsValid() {
			if err := l.DefaultRoute(vm.Namespace, vm.Interface, router); err != nil {
				return err
			}
		}
	}
	return nil
}

// routerOf returns the virtual router's address in the subnet of addr; the zero Addr if there is none.
func (t *Topology) routerOf(tenant, segment string, addr netip.Addr) netip.Addr {
	for _, s := range t.Options.Subnets {
		if s.Tenant == tenant && s.Segment == segment && s.Prefix.Contains(addr) {
			return s.Router
		}
	}
	return netip.Addr{}
}
