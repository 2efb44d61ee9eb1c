package rig

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"testing"

	"penstock/ctrl/model"
	"penstock/dataplane/fib"
	"penstock/dataplane/wire/checksum"
)

// The balancer's world: clients behind acc0, servers behind another edge switch, and between them this box, which
// directs the virtual address.
const (
	clientsMAC  = model.MAC(0x020000000001)
	virtualIP   = "10.1.255.1"
	virtualMAC  = 0x02560a01ff01
	outerOctets = 38 // of an encapsulation with a path's tag
	maxServers  = 128
)

// TCP flags (RFC 9293, section 3.1).
const (
	fin = 1
	syn = 2
	rst = 4
	ack = 16
)

// balanceWorld has a virtual address with the service red/http, from port 80 to port 8080, without servers.
func balanceWorld(tableSize uint32) Options {
	o := world(0)
	s := o.State
	s.VIFs["red/vm1"] = model.VIF{Tenant: "red", Name: "vm1", Segment: "web", MAC: clientsMAC, Port: "acc0",
		AntiSpoof: "mac"}
	s.VIPs = map[string]model.VIP{"red/www": {Tenant: "red", Name: "www", Segment: "web",
		Address:   netip.MustParseAddr(virtualIP),
		Directors: []model.Director{{Box: "box", Address: netip.MustParseAddr("10.1.255.2")}}}}
	s.Services = map[string]model.Service{"red/http": {Tenant: "red", Name: "http", VIP: "www", ID: 7, Port: 80,
		TableSize: tableSize, Check: &model.Check{Type: "none"}}}
	s.Servers = map[string]model.Server{}
	for k := range maxServers {
		o.Bindings = append(o.Bindings, model.Binding{Tenant: "red", Segment: "web", MAC: serverMAC(k),
			SwitchMAC: otherSwitch, SwitchPort: uint16(4 + k), Addresses: []netip.Addr{serverAddr(k)}})
	}
	o.Box, o.Flows = "box", 1<<18
	o.Frames = 8192
	return o
}

func serverMAC(k int) model.MAC { return model.MAC(0x020000010000 + k) }

func serverAddr(k int) netip.Addr { return netip.AddrFrom4([4]byte{10, 1, 1, byte(1 + k)}) }

// server is server k of the service, named after its number.
func server(k int) model.Server {
	return model.Server{Tenant: "red", Service: "http", Name: serverName(k), Address: serverAddr(k), Port: 8080}
}

func serverName(k int) string { return fmt.Sprintf("web%03d", k) }

// push makes a change of the servers live.
func push(t *testing.T, r *Rig, old *model.State, change func(map[string]model.Server)) *model.State {
	t.Helper()
	s := *old
	s.Servers = make(map[string]model.Server, len(old.Servers))
	for k, v := range old.Servers {
		s.Servers[k] = v
	}
	change(s.Servers)
	if err := r.Apply(&s, model.BindingChanges{}); err != nil {
		t.Fatal(err)
	}
	return &s
}

// clientFrame is a TCP segment of client flow n to the virtual service. The TCP checksum is left out: what is wrong
// stays wrong.
func clientFrame(n int, flags byte) []byte {
	f := make([]byte, 60)
	copy(f, hw(virtualMAC))
	copy(f[6:], hw(clientsMAC))
	f[12] = 8
	ip := f[14:]
	ip[0], ip[6], ip[8], ip[9] = 0x45, 0x40, 64, 6
	binary.BigEndian.PutUint16(ip[2:], 40)
	binary.BigEndian.PutUint32(ip[12:], 10<<24|2<<16|uint32(n)&0xffff)
	vip := netip.MustParseAddr(virtualIP).As4()
	copy(ip[16:], vip[:])
	binary.BigEndian.PutUint16(ip[10:], checksum.Checksum(ip[:20], 0))
	tcp := ip[20:]
	binary.BigEndian.PutUint16(tcp, uint16(20_000+n>>16))
	binary.BigEndian.PutUint16(tcp[2:], 80)
	tcp[12], tcp[13] = 0x50, flags
	return f
}

// send has clients send a segment each, and returns the number of the server that got it, by flow; -1 for a reset.
func send(t *testing.T, r *Rig, flags byte, flows ...int) map[int]int {
	t.Helper()
	to := make(map[int]int, len(flows))
	for len(flows) > 0 {
		part := flows[:min(1024, len(flows))]
		flows = flows[len(part):]
		frames := make([][]byte, len(part))
		for i, n := range part {
			frames[i] = clientFrame(n, flags)
		}
		receive(t, r, acc0, frames...)
		for _, f := range r.Sent(fab0) {
			n, k := arrived(t, f)
			to[n] = k
		}
		for _, f := range r.Sent(acc0) {
			if n, ok := reset(f); ok {
				to[n] = -1
			}
		}
	}
	return to
}

// arrived is the flow and the server of a request, which must be as a director makes it.
func arrived(t *testing.T, f []byte) (flow, server int) {
	t.Helper()
	if len(f) < outerOctets+54 {
		t.Fatalf("a frame of %d octets left for the fabric: %x", len(f), f)
	}
	in := f[outerOctets:]
	k := int(mac6(in)) - int(serverMAC(0))
	if k < 0 || k >= maxServers || fib.Marked(mac6(in[6:])) == false || in[14+8] != 63 ||
		binary.BigEndian.Uint16(in[36:]) != 8080 {
		t.Fatalf("request: got %x, want it to a server's MAC and port 8080, marked, with a TTL of 63", in)
	}
	return int(binary.BigEndian.Uint16(in[28:])) | (int(binary.BigEndian.Uint16(in[34:]))-20_000)<<16, k
}

// reset is the flow that a reset ends.
func reset(f []byte) (flow int, ok bool) {
	if len(f) < 54 || f[23] != 6 || f[47]&rst == 0 {
		return 0, false
	}
	return int(binary.BigEndian.Uint16(f[32:])) | (int(binary.BigEndian.Uint16(f[36:]))-20_000)<<16, true
}

func mac6(b []byte) uint64 {
	return uint64(binary.BigEndian.Uint16(b))<<32 | uint64(binary.BigEndian.Uint32(b[2:]))
}

// serviceOf is the compiled service of the world.
func serviceOf(r *Rig) *fib.Service {
	for i := range r.Compiler.Snapshot().Services {
		if s := &r.Compiler.Snapshot().Services[i]; s.Ref != 0 {
			return s
		}
	}
	return nil
}
