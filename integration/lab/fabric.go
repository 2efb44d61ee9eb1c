package lab

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"

	"penstock/ctrl/model"
)

// The MTUs of a lab's links unless the options say otherwise: what a tenant expects, and room for encapsulation (34
// octets) on the fabric's side.
const (
	AccessMTU = 1500
	FabricMTU = 1600
)

// FabricOptions are the options of Fabric. The zero value is the demo: two boxes, each behind an edge switch of its
// own, two trunks between the switches, and two tenants with the same addresses.
type FabricOptions struct {
	Scheme   model.Scheme
	Tenants  []model.Tenant  // nil: DemoTenants
	Segments []model.Segment // nil: DemoSegments
	Subnets  []model.Subnet  // nil: DemoSubnets
	Boxes    []BoxSpec       // nil: DemoBoxes
	VMs      []VMSpec        // nil: DemoVMs
	Trunks   []uint16        // the path VLAN of each trunk between the switches; nil: 101 and 102
	// Links are trunks between edge switches, any number of these, in place of Trunks; no path table is pushed then.
	Links []LinkSpec
	// lead every trunk through a bridge in the namespace TapNamespace, where packet sockets see it
	Tap bool
	// NoPlaces leaves out where the boxes' fabric ports are plugged in: LLDP has to say it.
	NoPlaces bool
	// ControlVLAN is the VLAN in which boxes tell each other where VIFs are; 0: bindings are pushed.
	ControlVLAN uint16
	Encap       string // of the boxes' fabric ports; "" = their default

	Gateways []GatewaySpec // upstream gateways of boxes; tenants use them if they name GatewayGroup
	Group    string        // keys of [[gateway_group]], as TOML: "probe_interval = \"10ms\""
	Balancer string        // keys of [balancer], as TOML
	Fabric   string        // keys of [fabric], as TOML
	Probe    string        // keys of [probe], as TOML; "": paths are not probed

	// Of the balancer, for all boxes. Other boxes get bindings for directors' own addresses.
	VIPs     []model.VIP
	Services []model.Service
	Servers  []model.Server

	AccessMTU, FabricMTU int // 0: the constants of that name
	Dataplane            DataplaneOptions
}

// DataplaneOptions goes into the [dataplane] table of every configuration. Zero values leave the box's defaults.
type DataplaneOptions struct {
	Workers, Frames, FrameSize, RingSize, Bindings int
	Poll                                           string
	Verify, Handoff                                bool
	Queues                                         int    // of every veth and port; 0 = Workers
	Mode                                           string // of every port
	LogLevel                                       string // of [log]
}

// BoxSpec is a box and the downlink it hangs from.
type BoxSpec struct {
	Name   string
	Switch string // the first name in FabricOptions.Boxes is one end of the trunks, the next other name the other
	Port   uint8  // number of the switch's downlink, 1 … 255
}

// LinkSpec is a trunk between two edge switches.
type LinkSpec struct {
	A, B    string
	VLANs   []uint16
	Control bool // also carry the control VLAN
}

// VMSpec is a VIF with the namespace behind it.
type VMSpec struct {
	Tenant, Segment, Name, Box string
	MAC                        model.MAC
	// the first of each family is given a default route, if its subnet has a router
	Addresses []netip.Prefix
	Virtual   []netip.Prefix // virtual addresses, on lo: no part of the VIF
	AntiSpoof string
	VLAN      uint16
	// another VM of the box: share its namespace and access port, and have no interface and no stack
	Behind string
	Raw    bool // an interface without addresses and IPv6: for frames that a test sends itself
}

// Topology is a built fabric: what runs where, with which configuration, and which tables have to be pushed.
type Topology struct {
	Options  FabricOptions
	Boxes    []*Node
	Switches []*Node
	VMs      []*VM
	Trunks   []Trunk
	Gateways []*Gateway

	lab *Lab
}

// Node is one Penstock process: a box or an edge switch.
type Node struct {
	Name      string
	Namespace string
	Config    string // path of the TOML file
	Socket    string // path of the control socket
	State     string // path of the state directory
	TOML      string // content of the file Config
	MAC       model.MAC
	Ports     []NodePort
	Documents Documents // to be pushed; empty for an edge switch

	Switch     string // boxes: the edge switch, and the number of its downlink
	SwitchMAC  model.MAC
	SwitchPort uint8
}

// NodePort is a port of a node and what is at the other end of its veth pair.
type NodePort struct {
	Name          string // also of the interface
	Role          string
	Number        uint8    // downlinks
	VLANs         []uint16 // trunks
	Control       bool     // trunks: also carry the control VLAN
	PeerNamespace string
	PeerInterface string
}

// VM is a built VMSpec.
type VM struct {
	VMSpec
	Namespace string
	Interface string
	Port      string // the box's access port
}

// Trunk is a link between two edge switches.
type Trunk struct {
	VLAN              uint16 // 0 = several: see FabricOptions.Links
	NamespaceA, PortA string
	NamespaceB, PortB string
	Tap               string // interface in TapNamespace towards A; "" without FabricOptions.Tap
}

// TapNamespace is where trunks can be listened to. On the trunk ports themselves they cannot: AF_XDP goes past packet
// sockets, in both directions.
const TapNamespace = "tap"

// DemoTenants returns two tenants.
func DemoTenants() []model.Tenant {
	return []model.Tenant{{Name: "red", ID: 100}, {Name: "blue", ID: 200}}
}

// DemoSegments returns one segment for each demo tenant, with the same ID in both.
func DemoSegments() []model.Segment {
	return []model.Segment{{Tenant: "red", Name: "web", ID: 7}, {Tenant: "blue", Name: "web", ID: 7}}
}

// DemoSubnets returns the same IPv4 and the same IPv6 subnet for both demo tenants.
func DemoSubnets() []model.Subnet {
	var s []model.Subnet
	for _, tenant := range []string{"red", "blue"} {
		s = append(s,
			model.Subnet{Tenant: tenant, Name: "web4", Segment: "web", Prefix: netip.MustParsePrefix("10.0.0.0/24"),
				Router: netip.MustParseAddr("10.0.0.254")},
			model.Subnet{Tenant: tenant, Name: "web6", Segment: "web", Prefix: netip.MustParsePrefix("fd00::/64"),
				Router: netip.MustParseAddr("fd00::fe")})
	}
	return s
}

// DemoBoxes returns two boxes behind two edge switches.
func DemoBoxes() []BoxSpec {
	return []BoxSpec{{Name: "box1", Switch: "swa", Port: 1}, {Name: "box2", Switch: "swb", Port: 2}}
}

// DemoVMs returns two VMs for each demo tenant, with the same MACs and addresses in both tenants.
func DemoVMs() []VMSpec {
	var vms []VMSpec
	for _, tenant := range []string{"red", "blue"} {
		for i, box := range []string{"box1", "box2"} {
			vms = append(vms, VMSpec{
				Tenant: tenant, Segment: "web", Name: fmt.Sprintf("%s-vm%d", tenant, i+1), Box: box,
				MAC: 0x020000000001 + model.MAC(i), Addresses: DemoAddresses(byte(i + 1)),
			})
		}
	}
	return vms
}

// DemoAddresses are the addresses of a demo tenant's nth VM.
func DemoAddresses(n byte) []netip.Prefix {
	return []netip.Prefix{host4(10, 0, 0, n, 24), netip.MustParsePrefix(fmt.Sprintf("fd00::%d/64", n))}
}

func host4(a, b, c, d byte, bits int) netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{a, b, c, d}), bits)
}

// SwitchMAC is the MAC of the nth edge switch of a lab, from 0.
func SwitchMAC(n int) model.MAC { return 0x02000000fa0a + model.MAC(n) }

// BoxMAC is the MAC of the nth box's fabric port, from 0.
func BoxMAC(n int) model.MAC { return 0x02000000fb01 + model.MAC(n) }

// LinkLocal is the link-local address that a kernel derives from a MAC (RFC 4291, appendix A).
func LinkLocal(m model.MAC) netip.Addr {
	h := hardware(m)
	return netip.AddrFrom16([16]byte{0: 0xfe, 1: 0x80, 8: h[0] ^ 2, 9: h[1], 10: h[2], 11: 0xff, 12: 0xfe, 13: h[3],
		14: h[4], 15: h[5]})
}

// Fabric builds the namespaces and links of a fabric, and writes a configuration for each box and edge switch into
// the lab's directory. It starts nothing.
func Fabric(l *Lab, opts FabricOptions) (*Topology, error) {
	fillIn(&opts)
	t := &Topology{Options: opts, lab: l}
	for _, step := range []func() error{t.buildSwitches, t.buildBoxes, t.buildTrunks, t.buildVMs, t.buildGateways,
		t.writeConfigs, t.document} {
		if err := step(); err != nil {
			return nil, fmt.Errorf("build the fabric: %w", err)
		}
	}
	return t, nil
}

func fillIn(o *FabricOptions) {
	if o.Scheme == "" {
		o.Scheme = model.DefaultScheme
	}
	if o.Tenants == nil {
		o.Tenants = DemoTenants()
	}
	if o.Segments == nil {
		o.Segments = DemoSegments()
	}
	if o.Subnets == nil {
		o.Subnets = DemoSubnets()
	}
	if o.Boxes == nil {
		o.Boxes = DemoBoxes()
	}
	if o.VMs == nil {
		o.VMs = DemoVMs()
	}
	if o.Trunks == nil {
		o.Trunks = []uint16{101, 102}
	}
	if o.AccessMTU == 0 {
		o.AccessMTU = AccessMTU
	}
	if o.FabricMTU == 0 {
		o.FabricMTU = FabricMTU
	}
	if o.Dataplane.Queues == 0 {
		o.Dataplane.Queues = max(1, o.Dataplane.Workers)
	}
}

// Node returns the box or edge switch of the given name, nil if there is none.
func (t *Topology) Node(name string) *Node {
	for _, n := range slices.Concat(t.Boxes, t.Switches) {
		if n.Name == name {
			return n
		}
	}
	return nil
}

// VM returns the VM of the given name, nil if there is none.
func (t *Topology) VM(name string) *VM {
	i := slices.IndexFunc(t.VMs, func(v *VM) bool { return v.Name == name })
	if i < 0 {
		return nil
	}
	return t.VMs[i]
}

// newNode makes the namespace and the directory of a node. The kernel's own IPv6 stack is off in it: its
// solicitations would leave by the ports.
func (t *Topology) newNode(name string) (*Node, error) {
	dir := filepath.Join(t.lab.Dir(), name)
	n := &Node{
		Name: name, Namespace: name, Config: filepath.Join(dir, "penstock.toml"),
		Socket: filepath.Join(dir, "control.sock"), State: filepath.Join(dir, "state"),
	}
	if err := os.MkdirAll(n.State, 0o755); err != nil {
		return nil, err
	}
	if err := t.lab.Namespace(name); err != nil {
		return nil, err
	}
	return n, t.lab.noIPv6(name)
}

func (l *Lab) noIPv6(namespace string) error {
	for _, scope := range []string{"all", "default"} {
		if err := l.Sysctl(namespace, "net/ipv6/conf/"+scope+"/disable_ipv6", "1"); err != nil {
			return err
		}
	}
	return nil
}
