package lab

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"strings"
)

func (t *Topology) writeConfigs() error {
	for _, n := range t.Boxes {
		if err := n.SetTOML(t.toml(n)); err != nil {
			return err
		}
	}
	for _, n := range t.Switches {
		if err := n.SetTOML(t.toml(n)); err != nil {
			return err
		}
	}
	return nil
}

// SetTOML replaces the configuration file of the node.
func (n *Node) SetTOML(text string) error {
	n.TOML = text
	return os.WriteFile(n.Config, []byte(text), 0o644)
}

// toml returns the configuration of a node.
func (t *Topology) toml(n *Node) string {
	d := &t.Options.Dataplane
	var b strings.Builder
	fmt.Fprintf(&b, "[box]\nname = %q\nstate_dir = %q\nscheme = %q\n\n[dataplane]\n", n.Name, n.State, t.Options.Scheme)
	for _, kv := range []struct {
		key   string
		value int
	}{{"workers", d.Workers}, {"frames", d.Frames}, {"frame_size", d.FrameSize}, {"ring_size", d.RingSize},
		{"bindings", d.Bindings}} {
		if kv.value != 0 {
			fmt.Fprintf(&b, "%s = %d\n", kv.key, kv.value)
		}
	}
	if d.Poll != "" {
		fmt.Fprintf(&b, "poll = %q\n", d.Poll)
	}
	if d.Verify {
		b.WriteString("verify = true\n")
	}
	if d.Handoff {
		b.WriteString("handoff = true\n")
	}
	for _, p := range n.Ports {
		fmt.Fprintf(&b, "\n[[port]]\nname = %q\ninterface = %q\nrole = %q\nqueues = %d\n", p.Name, p.Name, p.Role,
			d.Queues)
		if d.Mode != "" {
			fmt.Fprintf(&b, "mode = %q\n", d.Mode)
		}
		switch p.Role {
		case "access":
			b.WriteString("complete_checksums = true\n")
		case "fabric":
			if t.Options.NoPlaces {
				break
			}
			fmt.Fprintf(&b, "switch_mac = %q\nswitch_port = %d\n", n.SwitchMAC, n.SwitchPort)
			if t.Options.Encap != "" {
				fmt.Fprintf(&b, "encap = %q\n", t.Options.Encap)
			}
		case "downlink":
			fmt.Fprintf(&b, "switch_port = %d\n", p.Number)
		case "trunk":
			vlans := p.VLANs
			if v := t.Options.ControlVLAN; v != 0 && p.Control { // a tree, as any VLAN
				vlans = append(slices.Clone(vlans), v)
			}
			fmt.Fprintf(&b, "vlans = %s\n", strings.ReplaceAll(fmt.Sprint(vlans), " ", ", "))
		}
	}
	b.WriteString(t.groupTOML(n))
	fabric := t.Options.Fabric
	if t.Options.ControlVLAN != 0 {
		fabric = fmt.Sprintf("control_vlan = %d\n%s", t.Options.ControlVLAN, fabric)
	}
	if fabric != "" && n.Switch != "" {
		fmt.Fprintf(&b, "\n[fabric]\n%s\n", fabric)
	}
	if n.Switch != "" {
		fmt.Fprintf(&b, "\n[probe]\n%s\n", cmp.Or(t.Options.Probe, `interval = "0s"`))
	}
	if t.Options.Balancer != "" && n.Switch != "" {
		fmt.Fprintf(&b, "\n[balancer]\n%s\n", t.Options.Balancer)
	}
	if n.Switch == "" {
		fmt.Fprintf(&b, "\n[edge]\nmac = %q\n", n.MAC)
		if v := t.Options.ControlVLAN; v != 0 {
			fmt.Fprintf(&b, "control_vlan = %d\n", v)
		}
	}
	fmt.Fprintf(&b, "\n[control]\nsocket = %q\n", n.Socket)
	if d.LogLevel != "" {
		fmt.Fprintf(&b, "\n[log]\nlevel = %q\n", d.LogLevel)
	}
	return b.String()
}
