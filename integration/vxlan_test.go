package integration

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"testing"
	"time"

	"penstock/ctrl/model"
	"penstock/dataplane/wire"
	"penstock/dataplane/wire/checksum"
	"penstock/integration/endpoint"
	"penstock/integration/lab"
)

const (
	vxlanVNI   = 4096
	rackMAC    = model.MAC(0x020000000050) // of the stations behind VTEPs
	underlayNS = "underlay"
)

// underlay is an IP network of one family with box1 and two Linux machines that are VTEPs.
type underlay struct {
	*fabric
	port   string       // of box1
	own    netip.Prefix // its address
	racks  [2]netip.Prefix
	boxMAC model.MAC
}

// startUnderlay runs the fabric of the demo with a segment in VXLAN: box1 has a port with VXLAN over IPv4 or IPv6.
func startUnderlay(t *testing.T, v6 bool, control uint16) *underlay {
	t.Helper()
	segments := lab.DemoSegments()
	for i := range segments {
		segments[i].VNI = uint32(vxlanVNI + i)
		segments[i].UnknownUnicast = "flood"
	}
	u := &underlay{port: "vx0", own: netip.MustParsePrefix("10.17.0.1/24"), racks: [2]netip.Prefix{
		netip.MustParsePrefix("10.17.0.2/24"), netip.MustParsePrefix("10.17.0.3/24")}}
	if v6 {
		u.own, u.racks = netip.MustParsePrefix("2001:db8::1/64"), [2]netip.Prefix{
			netip.MustParsePrefix("2001:db8::2/64"), netip.MustParsePrefix("2001:db8::3/64")}
	}
	f := startFabric(t, options{only: "-", noPush: true,
		FabricOptions: lab.FabricOptions{Segments: segments, ControlVLAN: control}})
	u.fabric = f
	l := f.lab
	must(t, l.Namespace(underlayNS))
	must(t, l.Sysctl(underlayNS, "net/ipv6/conf/all/disable_ipv6", "1"))
	must(t, l.Sysctl(underlayNS, "net/ipv6/conf/default/disable_ipv6", "1"))
	link := lab.VethOptions{MTU: 1600, Queues: 1, A: lab.EndOptions{NoTSO: true, NoTxSum: true},
		B: lab.EndOptions{GRO: true, NoTSO: true, NoTxSum: true}}
	box := f.Node("box1")
	must(t, l.Veth(underlayNS, "box", box.Namespace, u.port, link))
	ports := []string{"box"}
	for i, own := range u.racks {
		rack := fmt.Sprintf("rack%d", i+1)
		must(t, l.Namespace(rack))
		must(t, l.Sysctl(rack, "net/ipv6/conf/default/accept_dad", "0"))
		x := link
		x.A.Addresses, x.B = []netip.Prefix{own}, lab.EndOptions{NoTSO: true}
		must(t, l.Veth(rack, "eth0", underlayNS, rack, x))
		ports = append(ports, rack)
		u.tunnel(t, rack, "vx0", vxlanVNI, own.Addr(), rackMAC+model.MAC(i))
	}
	must(t, l.Bridge(underlayNS, "br0", ports...))
	var err error
	u.boxMAC, err = l.MAC(box.Namespace, u.port)
	must(t, err)
	must(t, box.SetTOML(box.TOML+fmt.Sprintf("\n[[port]]\nname = %q\ninterface = %q\nrole = \"fabric\"\n"+
		"encap = \"vxlan\"\nvtep_address = %q\nqueues = 1\n", u.port, u.port, u.own)))
	nodes := []string{"box1", "box2", "swa", "swb"}
	for _, n := range nodes {
		f.start(n)
	}
	for _, n := range nodes {
		f.waitReady(n)
		f.push(n, f.Node(n).Documents.Operations())
	}
	for i, own := range u.racks {
		name := fmt.Sprintf("rack%d", i+1)
		u.push("box1", []lab.Operation{{Op: "put", Kind: model.KindVTEP, Key: name,
			Value: model.VTEP{Name: name, Address: own.Addr(), Flood: true}}})
	}
	return u
}

// tunnel makes a Linux VXLAN device towards box1, with station n's addresses.
func (u *underlay) tunnel(t *testing.T, ns, name string, vni int, local netip.Addr, mac model.MAC) {
	t.Helper()
	run := func(args ...string) {
		if out, err := u.lab.Run(ns, args...); err != nil {
			t.Fatalf("%v: %v\n%s", args, err, out)
		}
	}
	run("ip", "link", "add", name, "address", mac.String(), "type", "vxlan", "id", fmt.Sprint(vni), "local",
		local.String(), "remote", u.own.Addr().String(), "dstport", "4789")
	run("ethtool", "-K", name, "tso", "off", "gso", "off")
	run("ip", "link", "set", name, "up", "mtu", "1500")
	n := byte(mac)
	run("ip", "addr", "add", fmt.Sprintf("10.0.0.%d/24", n), "dev", name)
	run("ip", "addr", "add", fmt.Sprintf("fd00::%x/64", n), "dev", name)
}

// rackIP is the address of a station behind a VTEP.
func rackIP(mac model.MAC) string { return fmt.Sprintf("10.0.0.%d", byte(mac)) }

// transfer sends n octets over TCP from one namespace to an address of another, and expects all to arrive.
func (u *underlay) transfer(t *testing.T, from, to, address string, n int64) {
	t.Helper()
	var l net.Listener
	must(t, u.lab.Do(to, func() (err error) {
		l, err = net.Listen("tcp", net.JoinHostPort(address, "0"))
		return err
	}))
	defer l.Close()
	type result struct {
		n   int64
		err error
	}
	done := make(chan result, 1)
	go func() {
		c, err := l.Accept()
		if err != nil {
			done <- result{0, err}
			return
		}
		defer c.Close()
		k, err := io.Copy(io.Discard, c)
		done <- result{k, err}
	}()
	var c net.Conn
	must(t, u.lab.Do(from, func() (err error) {
		c, err = net.DialTimeout("tcp", l.Addr().String(), 20*time.Second)
		return err
	}))
	_ = c.SetDeadline(time.Now().Add(60 * time.Second))
	block := make([]byte, 64<<10)
	for left := n; left > 0; left -= int64(len(block)) {
		if _, err := c.Write(block[:min(left, int64(len(block)))]); err != nil {
			t.Fatalf("%s to %s: %v; box1 dropped %v", from, address, err, u.drops("box1"))
		}
	}
	c.Close()
	select {
	case r := <-done:
		if r.n != n || r.err != nil {
			t.Errorf("%s to %s: %d octets arrived (%v), want %d", from, address, r.n, r.err, n)
		}
	case <-time.After(60 * time.Second):
		t.Errorf("%s to %s: nothing is done after 60 s", from, address)
	}
}

// outerOf returns where UDP and the inner frame of a VXLAN packet begin, false if it is none.
func (u *underlay) outerOf(f []byte) (udp int, ok bool) {
	udp = 34
	if u.own.Addr().Is6() {
		udp = 54
	}
	typ := binary.BigEndian.Uint16(f[12:])
	ip := typ == 0x0800 && udp == 34 && f[23] == 17 || typ == 0x86dd && udp == 54 && f[20] == 17
	return udp, ip && len(f) > udp+16+14 && binary.BigEndian.Uint16(f[udp+2:]) == 4789
}

// checkOuter compares the outer headers of a packet of box1 with PROTOCOL.md#in-vxlan.
func (u *underlay) checkOuter(t *testing.T, f []byte) {
	t.Helper()
	udp, _ := u.outerOf(f)
	x := wire.UDP(f[udp:])
	if udp == 34 {
		ip := wire.IPv4(f[14:])
		if ip.TTL() != 64 || ip.FlagsFragment() != wire.IPv4DF || x.Checksum() != 0 {
			t.Errorf("outer headers % x: want TTL 64, DF, no UDP checksum", f[14:50])
		}
	} else {
		ip := wire.IPv6(f[14:])
		sum := checksum.Checksum(f[udp:], checksum.PseudoIPv6(ip.Src(), ip.Dst(), 17, uint32(len(f)-udp)))
		if ip.HopLimit() != 64 || x.Checksum() == 0 || sum != 0 {
			t.Errorf("outer headers % x: want hop limit 64 and a right UDP checksum", f[14:70])
		}
	}
	if x.SrcPort() < 49152 || int(x.Length()) != len(f)-udp ||
		binary.BigEndian.Uint64(f[udp+8:]) != 0x08<<56|vxlanVNI<<8 {
		t.Errorf("UDP and VXLAN headers % x: want a source port from 49152 on and VNI %d", f[udp:udp+16], vxlanVNI)
	}
}

// TestVXLANLinux: Linux machines with the kernel's own VXLAN devices and VMs talk to each other, over IPv4 and IPv6.
// PENSTOCK_VXLAN=full sends 1 GiB where it sends 4 MiB.
func TestVXLANLinux(t *testing.T) {
	for _, v6 := range []bool{false, true} {
		name := "IPv4"
		if v6 {
			name = "IPv6"
		}
		t.Run(name, func(t *testing.T) { testVXLANLinux(t, v6) })
	}
}

func testVXLANLinux(t *testing.T, v6 bool) {
	u := startUnderlay(t, v6, 100)
	before := u.drops("box1") // of what came before the VTEPs were known
	vm1, vm2 := u.VM("red-vm1"), u.VM("red-vm2")
	size := int64(4 << 20)
	if os.Getenv("PENSTOCK_VXLAN") == "full" {
		size = 1 << 30
	}
	u.transfer(t, vm1.Namespace, "rack1", rackIP(rackMAC), size)
	u.transfer(t, "rack1", vm1.Namespace, "10.0.0.1", size)
	u.transfer(t, vm2.Namespace, "rack1", rackIP(rackMAC), size) // by box2, and form "ip"
	u.transfer(t, "rack2", vm2.Namespace, "10.0.0.2", size)
	u.spread(t)
	u.broadcasts(t)
	u.moves(t)
	for _, why := range []string{"vxlan_header", "vxlan_vni", "vxlan_vtep", "vxlan_source", "fabric_udp_checksum",
		"vxlan_zero_checksum", "fabric_fragment", "too_big"} {
		if n := u.drops("box1")[why] - before[why]; n != 0 {
			t.Errorf("box1 dropped %d frames for %s, want none", n, why)
		}
	}
}

// spread sends 100 flows, and expects many source ports in right outer headers.
func (u *underlay) spread(t *testing.T) {
	t.Helper()
	tap := u.open(t, underlayNS, "box")
	var c net.PacketConn
	must(t, u.lab.Do(u.VM("red-vm1").Namespace, func() error {
		for i := range 100 {
			var err error
			if c, err = net.ListenPacket("udp", fmt.Sprintf("10.0.0.1:%d", 20000+i)); err != nil {
				return err
			}
			_, err = c.WriteTo([]byte("which port"), &net.UDPAddr{IP: net.ParseIP(rackIP(rackMAC)), Port: 9})
			c.Close()
			if err != nil {
				return err
			}
		}
		return nil
	}))
	got := gather(t, tap, 100, func(f []byte) bool {
		udp, ok := u.outerOf(f)
		if !ok {
			return false
		}
		inner := f[udp+16:]
		return model.MAC(wire.Ethernet(f).Src()) == u.boxMAC && len(inner) > 42 && inner[23] == 17 &&
			binary.BigEndian.Uint16(inner[36:]) == 9
	})
	ports := map[uint16]bool{}
	for _, f := range got {
		u.checkOuter(t, f)
		udp, _ := u.outerOf(f)
		ports[wire.UDP(f[udp:]).SrcPort()] = true
	}
	if len(got) != 100 || len(ports) < 50 {
		t.Errorf("%d packets with %d source ports, want 100 with 50 at least", len(got), len(ports))
	}
}

// gather waits for n frames that match, and returns them with those that follow at once.
func gather(t *testing.T, tap *endpoint.Raw, n int, match func([]byte) bool) [][]byte {
	t.Helper()
	list, err := tap.Gather(n, 20*time.Second, match)
	must(t, err)
	return slices.DeleteFunc(list, func(f []byte) bool { return !match(f) })
}

// broadcasts: one of a VM goes once to each VTEP, one of a VTEP to none.
func (u *underlay) broadcasts(t *testing.T) {
	t.Helper()
	tap := u.open(t, underlayNS, "box")
	say := func(ns, from string) {
		must(t, u.lab.Do(ns, func() error {
			c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.ParseIP(from), Port: 7000})
			if err != nil {
				return err
			}
			defer c.Close()
			_, err = c.WriteTo([]byte("to all of you"), &net.UDPAddr{IP: net.IPv4(10, 0, 0, 255), Port: 7001})
			return err
		}))
	}
	mine := func(f []byte) bool {
		udp, ok := u.outerOf(f)
		return ok && model.MAC(wire.Ethernet(f).Src()) == u.boxMAC && f[udp+16] == 0xff && f[udp+16+12] == 8
	}
	say(u.VM("red-vm1").Namespace, "10.0.0.1")
	got := gather(t, tap, 2, mine)
	to := map[string]int{}
	for _, f := range got {
		to[string(f[:6])]++
	}
	if len(got) != 2 || len(to) != 2 {
		t.Errorf("%d copies to %d next hops, want one to each of two", len(got), len(to))
	}
	heard := u.open(t, u.VM("red-vm1").Namespace, "eth0")
	say("rack1", rackIP(rackMAC))
	_, err := heard.Find(20*time.Second, func(f []byte) bool {
		return f[0] == 0xff && model.MAC(wire.Ethernet(f).Src()) == rackMAC && binary.BigEndian.Uint16(f[12:]) == 0x0800
	})
	must(t, err)
	more, err := tap.Collect(100 * time.Millisecond)
	must(t, err)
	if more = slices.DeleteFunc(more, func(f []byte) bool { return !mine(f) }); len(more) > 0 {
		t.Errorf("%d more copies to VTEPs, want none of a VTEP's broadcast", len(more))
	}
}

// moves: the MAC behind the first VTEP is found behind the second one after its first frame from there.
func (u *underlay) moves(t *testing.T) {
	t.Helper()
	at := func() string {
		var b struct {
			Status struct{ VTEP, Origin string }
		}
		u.get("box1", "/v1/bindings/red/web/"+rackMAC.String(), &b)
		return b.Status.VTEP + " " + b.Status.Origin
	}
	if got := at(); got != "rack1 vtep" {
		t.Errorf("the station is at %s, want rack1 vtep", got)
	}
	for ns, args := range map[string][]string{"rack1": {"ip", "link", "set", "vx0", "down"},
		"rack2": {"ip", "link", "set", "vx0", "address", rackMAC.String()}} {
		if out, err := u.lab.Run(ns, args...); err != nil {
			t.Fatalf("%v: %v\n%s", args, err, out)
		}
	}
	must(t, u.lab.Do("rack2", func() error { // a frame to nobody
		c, err := net.Dial("udp", "10.0.0.9:7002")
		if err == nil {
			_, err = c.Write([]byte("here I am"))
		}
		return err
	}))
	u.eventually(t, "the station has moved", func() bool { return at() == "rack2 vtep" })
	if out, err := u.lab.Run("rack2", "ip", "addr", "add", rackIP(rackMAC)+"/24", "dev", "vx0"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	u.transfer(t, u.VM("red-vm1").Namespace, "rack2", rackIP(rackMAC), 1<<20)
	u.transfer(t, u.VM("red-vm2").Namespace, "rack2", rackIP(rackMAC), 1<<20)
	var told struct {
		Status struct{ Origin string }
	}
	u.get("box2", "/v1/bindings/red/web/"+rackMAC.String(), &told)
	if told.Status.Origin != "fabric" {
		t.Errorf("box2 has the station by %q, want box1 to have told it", told.Status.Origin)
	}
}
