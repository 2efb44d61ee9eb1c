package rig

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"penstock/ctrl/model"
	"penstock/dataplane/fib"
)

// TestReplyTooBigForUplink: the director's box is also the one with the uplink. A real server on another box hears that
// its reply to a client outside does not fit the uplink, with its own port in the quoted reply.
func TestReplyTooBigForUplink(t *testing.T) {
	const vip = "10.1.0.100"
	o := smallWorld("here")
	o.Box, o.MTU = "box", []uint16{up0: small}
	o.State.VIPs = map[string]model.VIP{"red/www": {Tenant: "red", Name: "www", Segment: "web",
		Address:   netip.MustParseAddr(vip),
		Directors: []model.Director{{Box: "box", Address: netip.MustParseAddr("10.1.0.101")}}}}
	o.State.Services = map[string]model.Service{"red/dns": {Tenant: "red", Name: "dns", VIP: "www", ID: 7,
		Protocol: "udp", Port: 1000, Check: &model.Check{Type: "none"}}}
	o.State.Servers = map[string]model.Server{"red/dns/a": {Tenant: "red", Service: "dns", Name: "a",
		Address: netip.MustParseAddr("10.1.0.50"), Port: 5300}}
	o.Bindings = append(o.Bindings, model.Binding{Tenant: "red", Segment: "web", MAC: serverMAC(0),
		SwitchMAC: otherSwitch, SwitchPort: 9, Addresses: []netip.Addr{netip.MustParseAddr("10.1.0.50")}})
	o.Groups[0].IPs = []netip.Addr{netip.MustParseAddr("10.1.0.77")} // a station of red/web
	r := start(t, o)
	for _, g := range r.Compiler.LiveGroups() {
		g.Members[0].Live.SetGateway(uint64(gatewayMAC), true, false)
		g.Live.Active.Store(g.Members[0].Slot)
	}
	for _, src := range []model.MAC{routerMAC, serverMAC(0)} {
		receive(t, r, fab0, encapsulated(t, 1, udp(t, groupMAC, src, outsideIP, vip, 1500)))
		out := r.Sent(fab0)
		if len(out) != 1 {
			t.Fatalf("%d errors to the server, want 1; dropped %v", len(out), dropped(r, fab0))
		}
		f := out[0]
		if got, want := model.MAC(mac6(f[38:])), serverMAC(0); got != want {
			t.Errorf("the error went to %v, want the server %v", got, want)
		}
		if got, want := mac6(f[44:]), uint64(fib.Mark|7); got != want {
			t.Errorf("the error came from %012x, want the mark %012x", got, want)
		}
		if got := binary.BigEndian.Uint16(f[38+14+20+8+20:]); got != 5300 {
			t.Errorf("the quoted reply is from port %d, want the server's own, 5300", got)
		}
	}
}
