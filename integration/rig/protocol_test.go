package rig

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"penstock/ctrl/compile"
	"penstock/ctrl/model"
	"penstock/dataplane/fib"
	"penstock/integration/endpoint"
)

// The worked example of PROTOCOL.md, held to the code: its tables are the input, what boxes and edge switches made of
// them send is compared with its other tables.

const (
	exampleTenant  = 300
	exampleSegment = 7
	examplePayload = 40
)

var exampleVLANs = []uint16{101, 102, 103}

// exampleBox is a row of the table of boxes.
type exampleBox struct {
	name, edge, prefix     string
	switchMAC, mac, vifMAC model.MAC
	port                   uint8
	address, vif           netip.Addr
}

func host4(s string) [4]byte { return netip.MustParseAddr(s).As4() }

func host6(s string) [16]byte { return netip.MustParseAddr(s).As16() }

// marked returns the lines of PROTOCOL.md between the marks of a name.
func marked(t *testing.T, name string) []string {
	t.Helper()
	text, err := os.ReadFile("../../PROTOCOL.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(text), "<!-- "+name+": begin -->\n")
	body, _, closed := strings.Cut(rest, "<!-- "+name+": end -->")
	if !found || !closed {
		t.Fatalf("PROTOCOL.md has no part %q between its marks", name)
	}
	return strings.Split(strings.TrimRight(body, "\n"), "\n")
}

// rows returns the cells of a marked table.
func rows(t *testing.T, name string) (out [][]string) {
	t.Helper()
	for _, line := range marked(t, name)[2:] {
		cells := strings.Split(strings.Trim(line, "| "), "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		out = append(out, cells)
	}
	return out
}

func exampleMAC(t *testing.T, s string) model.MAC {
	t.Helper()
	m, err := model.ParseMAC(s)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func exampleBoxes(t *testing.T) (out []exampleBox) {
	t.Helper()
	for _, c := range rows(t, "boxes") {
		port, err := strconv.ParseUint(c[3], 10, 8)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, exampleBox{name: c[0], edge: c[1], switchMAC: exampleMAC(t, c[2]), port: uint8(port),
			mac: exampleMAC(t, c[4]), address: netip.MustParseAddr(c[5]), prefix: c[6],
			vifMAC: exampleMAC(t, c[7]), vif: netip.MustParseAddr(c[8])})
	}
	return out
}

// exampleTables is the desired state of box here, or of no box.
func exampleTables(boxes []exampleBox, here string) (*model.State, []model.Binding) {
	path := model.Path{A: boxes[0].switchMAC, B: boxes[len(boxes)-1].switchMAC}
	for _, vid := range exampleVLANs {
		path.VLANs = append(path.VLANs, model.PathVLAN{VID: vid, Weight: 1})
	}
	s := &model.State{
		Tenants:  map[string]model.Tenant{"red": {Name: "red", ID: exampleTenant}},
		Segments: map[string]model.Segment{"red/web": {Tenant: "red", Name: "web", ID: exampleSegment}},
		VIFs:     map[string]model.VIF{},
		Paths:    map[string]model.Path{"p": path},
	}
	var bindings []model.Binding
	for _, b := range boxes {
		addresses := []netip.Addr{b.vif}
		if b.name == here {
			s.VIFs["red/vm"] = model.VIF{Tenant: "red", Name: "vm", Segment: "web", MAC: b.vifMAC,
				Addresses: addresses, Port: "acc0"}
			continue
		}
		bindings = append(bindings, model.Binding{Tenant: "red", Segment: "web", MAC: b.vifMAC, Addresses: addresses,
			SwitchMAC: b.switchMAC, SwitchPort: uint16(b.port)})
	}
	return s, bindings
}

// startExampleBox starts a box of the example: access port 0, fabric port 1.
func startExampleBox(t *testing.T, boxes []exampleBox, b exampleBox) *Rig {
	t.Helper()
	s, bindings := exampleTables(boxes, b.name)
	return start(t, Options{
		State: s, Bindings: bindings, MTU: []uint16{1500, 1534}, MAC: []model.MAC{0, b.mac},
		Ports: []compile.Port{
			{Name: "acc0", Role: fib.RoleAccess},
			{Name: "fab0", Role: fib.RoleFabric, SwitchMAC: b.switchMAC, SwitchPort: b.port},
		},
	})
}

// startExampleEdge starts an edge switch: a trunk for each VLAN, then a downlink for each of its boxes.
func startExampleEdge(t *testing.T, boxes []exampleBox, name string) (r *Rig, downlink map[string]int) {
	t.Helper()
	o := Options{}
	for _, vid := range exampleVLANs {
		o.Ports = append(o.Ports, compile.Port{Name: fmt.Sprint("trunk", vid), Role: fib.RoleTrunk,
			VLANs: []uint16{vid}})
		o.MTU = append(o.MTU, 1534)
	}
	downlink = map[string]int{}
	for _, b := range boxes {
		if b.edge == name {
			o.EdgeMAC = b.switchMAC
			downlink[b.name] = len(o.Ports)
			o.Ports = append(o.Ports, compile.Port{Name: b.name, Role: fib.RoleDownlink, SwitchPort: b.port})
			o.MTU = append(o.MTU, 1534)
		}
	}
	r = start(t, o)
	for _, b := range boxes {
		if b.edge == name {
			r.Compiler.SetBoxMAC(b.port, b.mac)
		}
	}
	return r, downlink
}

// exampleFrame is what VIF a sends to VIF b.
func exampleFrame(t *testing.T, a, b exampleBox, port uint16) []byte {
	t.Helper()
	return build(t, &layers.Ethernet{DstMAC: hw(b.vifMAC), SrcMAC: hw(a.vifMAC), EthernetType: layers.EthernetTypeIPv4},
		&layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolUDP, SrcIP: a.vif.AsSlice(),
			DstIP: b.vif.AsSlice()},
		&layers.UDP{SrcPort: layers.UDPPort(port), DstPort: 9}, gopacket.Payload(make([]byte, examplePayload)))
}

// one returns the only frame that a rig has sent, which must have left by port.
func one(t *testing.T, r *Rig, ports, port int, what string) []byte {
	t.Helper()
	var found []byte
	for p := range ports {
		for _, f := range r.Sent(p) {
			if p != port || found != nil {
				t.Fatalf("%s: a frame by port %d, want one by port %d alone", what, p, port)
			}
			found = f
		}
	}
	if found == nil {
		t.Fatalf("%s: no frame by port %d", what, port)
	}
	return found
}

// TestProtocolExample sends the flows of the example from box to box by way of both edge switches, and compares every
// field that the table names at the place where it is on the wire.
func TestProtocolExample(t *testing.T) {
	boxes := exampleBoxes(t)
	by := map[string]exampleBox{}
	for _, b := range boxes {
		by[b.name] = b
		if want := fmt.Sprintf("10.%d.0.0/16", b.port); b.prefix != want {
			t.Errorf("%s: prefix %s, want %s", b.name, b.prefix, want)
		}
		if want := endpoint.Special(model.Scheme16, b.port, 1); b.address != want {
			t.Errorf("%s: box address %v, want %v", b.name, b.address, want)
		}
	}
	for i, row := range rows(t, "flows") {
		port, err := strconv.ParseUint(row[2], 10, 16)
		if err != nil {
			t.Fatal(err)
		}
		a, b := by[row[0]], by[row[1]]
		t.Run(fmt.Sprintf("%d %s to %s", i+1, a.name, b.name), func(t *testing.T) {
			exampleFlow(t, boxes, a, b, uint16(port), row)
		})
	}
}

func exampleFlow(t *testing.T, boxes []exampleBox, a, b exampleBox, port uint16, row []string) {
	frame := exampleFrame(t, a, b, port)
	from := startExampleBox(t, boxes, a)
	receive(t, from, 0, frame)
	encapsulated := one(t, from, 2, 1, "sending box")
	o, err := endpoint.DecodeOuter(encapsulated)
	if err != nil {
		t.Fatal(err)
	}
	if !o.Tagged || o.ID != o.VID {
		t.Errorf("identification %d, want that of the VLAN, %d", o.ID, o.VID)
	}

	// The ingress switch forwards within the VLAN, unless it is the egress switch as well.
	onWire := encapsulated
	if a.edge != b.edge {
		ingress, downlink := startExampleEdge(t, boxes, a.edge)
		trunk := int(o.VID - exampleVLANs[0])
		receive(t, ingress, downlink[a.name], encapsulated)
		onWire = one(t, ingress, 5, trunk, "ingress switch")
		if string(onWire) != string(encapsulated) {
			t.Error("the ingress switch has changed the frame: want it as the box sent it")
		}
	}
	egress, downlink := startExampleEdge(t, boxes, b.edge)
	in := int(o.VID - exampleVLANs[0])
	if a.edge == b.edge {
		in = downlink[a.name]
	}
	receive(t, egress, in, onWire)
	routed := one(t, egress, 5, downlink[b.name], "egress switch")
	r, err := endpoint.DecodeOuter(routed)
	if err != nil {
		t.Fatal(err)
	}
	if r.Tagged || r.TTL != 63 || o.TTL != 64 {
		t.Errorf("behind the egress switch: tagged %t, TTL %d of %d; want untagged, 63 of 64", r.Tagged, r.TTL, o.TTL)
	}

	src4, dst4 := a.vif.As4(), b.vif.As4()
	flow := docFlow4(binary.BigEndian.Uint32(src4[:]), binary.BigEndian.Uint32(dst4[:]), 17, uint32(port)<<16|9, true)
	got := []string{a.name, b.name, fmt.Sprint(port), fmt.Sprintf("0x%08x", flow), fmt.Sprint(o.VID), o.DstMAC.String(),
		o.SrcMAC.String(), o.Src.String(), o.Dst.String(), r.DstMAC.String() + ", " + r.SrcMAC.String()}
	if strings.Join(got, " | ") != strings.Join(row, " | ") {
		t.Errorf("on the wire:\n| %s |\nwant as in PROTOCOL.md:\n| %s |", strings.Join(got, " | "),
			strings.Join(row, " | "))
	}

	to := startExampleBox(t, boxes, b)
	receive(t, to, 1, routed)
	if delivered := one(t, to, 2, 0, "receiving box"); string(delivered) != string(frame) {
		t.Errorf("delivered % x, want % x", delivered, frame)
	}
}

// TestProtocolSeeds compares the seeds of the example with the formula. That a box uses them is TestPathChoice.
func TestProtocolSeeds(t *testing.T) {
	for _, row := range rows(t, "seeds") {
		port, _ := strconv.ParseUint(row[1], 10, 8)
		vid, _ := strconv.ParseUint(row[3], 10, 12)
		seed := docSeed(exampleMAC(t, row[2]), uint16(vid), exampleMAC(t, row[0]), uint8(port))
		if got := fmt.Sprintf("0x%08x", seed); got != row[4] {
			t.Errorf("%v: seed %s, want %s", row[:4], row[4], got)
		}
	}
}

// TestProtocolSwitch compares switch A of the example with the boxes behind it, and its commands with its words.
func TestProtocolSwitch(t *testing.T) {
	table := strings.Join(marked(t, "switch"), "\n") + "\n"
	commands := strings.Join(marked(t, "commands"), "\n") + "\n"
	hold := func(text, line, what string) {
		t.Helper()
		if strings.Count(text, line) != 1 {
			t.Errorf("switch A, %s: %q occurs %d times, want once", what, line, strings.Count(text, line))
		}
	}
	for _, b := range exampleBoxes(t) {
		if b.edge != "A" {
			continue
		}
		link := strings.Replace(b.prefix, "/16", "/31", 1)
		hold(table, fmt.Sprintf("| port %d, untagged | IP interface %s, MTU 1534 |\n", b.port, link), "words")
		hold(table, fmt.Sprintf("| route | %s via %s |\n", b.prefix, b.address), "words")
		hold(commands, fmt.Sprintf("ip route %s %s\n", b.prefix, b.address), "commands")
		vlan := 3000 + int(b.port)
		hold(commands, fmt.Sprintf("interface Vlan%d\n   mtu 1534\n   ip address %s\n", vlan, link), "commands")
		hold(commands,
			fmt.Sprintf("interface Ethernet%d\n   switchport mode trunk\n   switchport trunk native vlan %d\n"+
				"   switchport trunk allowed vlan 101-103,%[2]d\n   no switchport mac address learning\n", b.port,
				vlan),
			"commands")
	}
	for i, vid := range exampleVLANs {
		address := fmt.Sprintf("198.51.100.%d/29", 1+8*i)
		hold(table, fmt.Sprintf("| VLAN %d | IP interface %s, MTU 1534, no spanning tree |\n", vid, address), "words")
		hold(table, fmt.Sprintf("| port %d, tagged | VLAN %d |\n", 49+i, vid), "words")
		hold(commands, fmt.Sprintf("interface Vlan%d\n   mtu 1534\n   ip address %s\n", vid, address), "commands")
		hold(commands,
			fmt.Sprintf("interface Ethernet%d\n   switchport mode trunk\n   switchport trunk allowed vlan %d\n",
				49+i, vid), "commands")
	}
}
