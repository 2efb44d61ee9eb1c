package rig

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"penstock/ctrl/model"
	"penstock/dataplane/await"
	"penstock/dataplane/frame"
	"penstock/dataplane/resolve"
	"penstock/dataplane/wire"
)

// asking is a box with binding messages whose two segments do not flood what is unknown. It has no bindings.
func asking(t *testing.T, change ...func(*Options)) (*Rig, *resolve.Reader) {
	t.Helper()
	o := world(0)
	o.MessageVLAN = 4000
	for key, s := range o.State.Segments {
		s.UnknownUnicast = ""
		o.State.Segments[key] = s
	}
	for _, f := range change {
		f(&o)
	}
	r := start(t, o)
	t.Cleanup(func() {
		r.Tick(2 * time.Second)
		for range 8 {
			r.Tick(time.Millisecond)
		}
		if c := r.Verify.Count(); c["waiting"] != 0 || c["batch"] != 0 {
			t.Errorf("frames by owner at the end: %v, want none waiting", c)
		}
	})
	return r, resolve.NewReader(r.Resolve)
}

// bound is binding n of red, as it comes from another box.
func bound(n int) model.Binding {
	ip6 := netip.MustParseAddr(fmt.Sprintf("fd00:1::%x", 0x100+n))
	return model.Binding{Tenant: "red", Segment: "web", MAC: remoteMAC(n), SwitchMAC: otherSwitch,
		SwitchPort: uint16(4 + n), Addresses: []netip.Addr{netip.MustParseAddr(remoteIP(n)), ip6}}
}

// told takes the events that control has been told.
func told(r *Rig, reader *resolve.Reader) (list []resolve.Event) {
	r.Resolve.Wake()
	reader.TakeEvents(func(e resolve.Event) { list = append(list, e) })
	return list
}

// waits lets time pass until all targets have been looked at.
func waits(r *Rig, d time.Duration) {
	r.Tick(d)
	for range 4 {
		r.Tick(time.Millisecond)
	}
}

func arpRequest(t *testing.T, sender, target string) []byte {
	t.Helper()
	s, to := netip.MustParseAddr(sender).As4(), netip.MustParseAddr(target).As4()
	return build(t, &layers.Ethernet{DstMAC: hw(0xffffffffffff), SrcMAC: hw(localMAC),
		EthernetType: layers.EthernetTypeARP},
		&layers.ARP{AddrType: layers.LinkTypeEthernet, Protocol: layers.EthernetTypeIPv4, HwAddressSize: 6,
			ProtAddressSize: 4, Operation: 1, SourceHwAddress: hw(localMAC), SourceProtAddress: s[:],
			DstHwAddress: make([]byte, 6), DstProtAddress: to[:]})
}

func solicitation(t *testing.T, sender, target string) []byte {
	t.Helper()
	to := netip.MustParseAddr(target)
	group := netip.MustParseAddr(fmt.Sprintf("ff02::1:ff00:%x", to.As16()[15]))
	ip := &layers.IPv6{Version: 6, HopLimit: 255, NextHeader: layers.IPProtocolICMPv6,
		SrcIP: netip.MustParseAddr(sender).AsSlice(), DstIP: group.AsSlice()}
	icmp := &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(layers.ICMPv6TypeNeighborSolicitation, 0)}
	_ = icmp.SetNetworkLayerForChecksum(ip)
	return build(t, &layers.Ethernet{DstMAC: hw(0x3333ff000000 | model.MAC(to.As16()[15])), SrcMAC: hw(localMAC),
		EthernetType: layers.EthernetTypeIPv6}, ip, icmp,
		&layers.ICMPv6NeighborSolicitation{TargetAddress: to.AsSlice()})
}

// TestWaitForBinding: what misses a binding is told, waits, and goes on when the binding is there: by MAC, through the
// router, as a question.
func TestWaitForBinding(t *testing.T) {
	router := model.MAC(0x025053000001)
	for _, c := range []struct {
		name  string
		frame func(*testing.T) []byte
		event resolve.Event
		port  int // where it comes out
		check func(f []byte) bool
	}{
		{"MAC", func(t *testing.T) []byte { return udp(t, remoteMAC(1), localMAC, remoteIP(1), localIP, 100) },
			resolve.Event{Kind: resolve.MissMAC, MAC: uint64(remoteMAC(1))}, fab0,
			func(f []byte) bool { return wire.MAC(f[38:]) == uint64(remoteMAC(1)) && f[60] == 64 }},
		{"router", func(t *testing.T) []byte { return udp(t, router, localMAC, remoteIP(1), localIP, 100) },
			resolve.Event{Kind: resolve.MissIP4, IP: [16]byte{10, 1, 1, 2}}, fab0,
			func(f []byte) bool { return wire.MAC(f[38:]) == uint64(remoteMAC(1)) && f[60] == 63 }},
		{"router, IPv6", func(t *testing.T) []byte { return udp(t, router, localMAC, "fd00:1::101", localIP6, 100) },
			resolve.Event{Kind: resolve.MissIP6, IP: netip.MustParseAddr("fd00:1::101").As16()}, fab0,
			func(f []byte) bool { return wire.MAC(f[38:]) == uint64(remoteMAC(1)) && f[59] == 63 }},
		{"ARP", func(t *testing.T) []byte { return arpRequest(t, localIP, remoteIP(1)) },
			resolve.Event{Kind: resolve.MissIP4, IP: [16]byte{10, 1, 1, 2}}, acc0,
			func(f []byte) bool { return f[21] == 2 && wire.MAC(f[22:]) == uint64(remoteMAC(1)) }},
		{"solicitation", func(t *testing.T) []byte { return solicitation(t, localIP6, "fd00:1::101") },
			resolve.Event{Kind: resolve.MissIP6, IP: netip.MustParseAddr("fd00:1::101").As16()}, acc0,
			func(f []byte) bool { return f[54] == 136 && wire.MAC(f[80:]) == uint64(remoteMAC(1)) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, reader := asking(t)
			f := c.frame(t)
			receive(t, r, acc0, f, f)
			c.event.Tenant, c.event.Segment = 7, 1
			if got := told(r, reader); len(got) != 1 || got[0] != c.event {
				t.Errorf("control is told %+v, want %+v once", got, c.event)
			}
			if n := r.Verify.Count()["waiting"]; n != 2 || len(r.Sent(fab0))+len(r.Sent(acc0)) != 0 {
				t.Errorf("%d frames wait, want 2 and nothing sent", n)
			}
			waits(r, 0)
			if n := r.Verify.Count()["waiting"]; n != 2 {
				t.Errorf("%d frames wait without the binding, want 2", n)
			}
			if err := r.Put([]model.Binding{bound(1)}); err != nil {
				t.Fatal(err)
			}
			waits(r, 0)
			out := r.Sent(c.port)
			if len(out) != 2 || !c.check(out[0]) || !bytes.Equal(out[0], out[1]) && c.port == acc0 {
				t.Errorf("%d frames go on with the binding, want 2: % x", len(out), out)
			}
			if d := dropped(r, acc0); len(d) != 0 {
				t.Errorf("dropped %v, want nothing", d)
			}
			if c := r.Await.Counters; c.Waited != 2 || c.Found != 2 {
				t.Errorf("counters %+v, want 2 that waited and went on", c)
			}
			if receive(t, r, acc0, f); len(r.Sent(c.port)) != 1 {
				t.Error("the next frame does not pass at once")
			}
		})
	}
}

// TestWaitInVain: what waits for a second is dropped for a reason of its own, or answered as the router does; then
// control is told again.
func TestWaitInVain(t *testing.T) {
	r, reader := asking(t)
	f := udp(t, remoteMAC(1), localMAC, remoteIP(1), localIP, 100)
	routed := udp(t, 0x025053000001, localMAC, remoteIP(2), localIP, 100)
	receive(t, r, acc0, f, routed, arpRequest(t, localIP, remoteIP(3)))
	if n := len(told(r, reader)); n != 3 {
		t.Errorf("%d events, want 3", n)
	}
	waits(r, 900*time.Millisecond)
	if d := dropped(r, acc0); len(d) != 0 {
		t.Errorf("dropped after 0.9 s: %v, want nothing", d)
	}
	receive(t, r, acc0, f)
	if n := len(told(r, reader)); n != 0 {
		t.Errorf("%d events after 0.9 s for a target that was told, want none", n)
	}
	waits(r, 100*time.Millisecond)
	if d := dropped(r, acc0); len(d) != 1 || d["resolve_timeout"] != 2 {
		t.Errorf("dropped after 1 s: %v, want 2 resolve_timeout: the frame to the MAC and the ARP request", d)
	}
	if out := r.Sent(acc0); len(out) != 1 || out[0][34] != 3 || out[0][35] != 1 {
		t.Errorf("the router answers % x after 1 s, want ICMP host unreachable", out)
	}
	receive(t, r, acc0, f)
	if got := told(r, reader); len(got) != 1 || got[0].Kind != resolve.MissMAC {
		t.Errorf("told %+v after a second, want the miss again", got)
	}
}

// TestWaitLimits: 4 packets of a target, as many as there is room in all, 100 targets of a VIF at once; strangers to
// each other keep what is theirs.
func TestWaitLimits(t *testing.T) {
	r, reader := asking(t)
	to := func(n int) []byte { return udp(t, remoteMAC(n), localMAC, remoteIP(n%200), localIP, 60) }
	for range await.PerTarget + 2 {
		receive(t, r, acc0, to(1))
	}
	if d := dropped(r, acc0); d["resolve_full"] != 2 || r.Verify.Count()["waiting"] != await.PerTarget {
		t.Errorf("%v dropped and %v waiting of one target, want 2 and 4", d, r.Verify.Count()["waiting"])
	}
	r.Await.Room = 20
	for n := 2; n < 30; n++ {
		receive(t, r, acc0, to(n))
	}
	if n := r.Verify.Count()["waiting"]; n != 20 {
		t.Errorf("%d frames wait, want 20: the room", n)
	}
	r.Await.Room = await.MaxPackets
	told(r, reader)
	for n := range 300 {
		receive(t, r, acc0, to(1000+n))
	}
	if n := len(told(r, reader)); n < 80 || n > 140 {
		t.Errorf("%d targets of a VIF within 0.3 s, want some 100", n)
	}
	if d := dropped(r, acc0); d["unresolved"] < 150 {
		t.Errorf("dropped %v, want those beyond the VIF's limit as unresolved", d)
	}
	f := udp(t, remoteMAC(1), localMAC, remoteIP(1), localIP, 100)
	if receive(t, r, acc1, f); len(told(r, reader)) != 1 {
		t.Error("another VIF's miss is not told")
	}
}

// TestWaitOff: without a control VLAN nothing waits; a segment that floods what is unknown goes on doing so, and
// control is told once a second.
func TestWaitOff(t *testing.T) {
	f := udp(t, remoteMAC(1), localMAC, remoteIP(1), localIP, 100)
	r, reader := asking(t, func(o *Options) { o.MessageVLAN = 0 })
	receive(t, r, acc0, f, arpRequest(t, localIP, remoteIP(1)))
	if d := dropped(r, acc0); len(told(r, reader)) != 0 || d["unresolved"] != 1 || d["arp_unresolved"] != 1 {
		t.Errorf("without a control VLAN: dropped %v, want unresolved and arp_unresolved, and no event", d)
	}
	r, reader = asking(t, func(o *Options) {
		*o = world(3)
		o.MessageVLAN = 4000
	})
	f = udp(t, remoteMAC(9), localMAC, remoteIP(9), localIP, 100)
	for range 3 {
		receive(t, r, acc0, f)
	}
	if n, sent := len(told(r, reader)), len(r.Sent(fab0)); n != 1 || sent != 9 {
		t.Errorf("a segment that floods: %d events and %d copies, want 1 and 9", n, sent)
	}
}

// TestWaitForgets: a packet does not go on in the name of a VIF that has gone meanwhile, whoever has the index now.
func TestWaitForgets(t *testing.T) {
	var state *model.State
	r, _ := asking(t, func(o *Options) { state = o.State })
	receive(t, r, acc0, udp(t, remoteMAC(1), localMAC, remoteIP(1), localIP, 100))
	old, _ := r.Compiler.VIFIndex("red/vm1")
	s := apply(t, r, state, func(s *model.State) { delete(s.VIFs, "red/vm1") })
	apply(t, r, s, func(s *model.State) {
		v := state.VIFs["red/vm1"]
		v.Name, v.MAC = "vm9", 0x020000000099
		s.VIFs["red/vm9"] = v
	})
	if i, _ := r.Compiler.VIFIndex("red/vm9"); i != old {
		t.Fatalf("the new VIF has index %d, not %d: the test shows nothing", i, old)
	}
	if err := r.Put([]model.Binding{bound(1)}); err != nil {
		t.Fatal(err)
	}
	waits(r, 0)
	if d := dropped(r, acc0); len(r.Sent(fab0)) != 0 || d["resolve_timeout"] != 1 {
		t.Errorf("dropped %v, want the packet of the VIF that has gone: resolve_timeout", d)
	}
}

// TestWaitDrain: at the end of a worker, no frame is lost that waits.
func TestWaitDrain(t *testing.T) {
	r, _ := asking(t)
	for n := range 50 {
		receive(t, r, acc0, udp(t, remoteMAC(n), localMAC, remoteIP(n), localIP, 100))
	}
	r.Await.Drain()
	if c := r.Verify.Count(); c[frame.OwnerWaiting.String()] != 0 || r.Await.Waiting() {
		t.Errorf("frames by owner: %v, want none waiting", c)
	}
	if d := dropped(r, acc0); d["resolve_timeout"] != 50 {
		t.Errorf("dropped %v, want 50 resolve_timeout", d)
	}
}

// TestWaitAllocates: neither a miss, nor what comes of it, nor a new station allocates.
func TestWaitAllocates(t *testing.T) {
	r, reader := asking(t, open, func(o *Options) { o.Frames = 8192 })
	f := udp(t, remoteMAC(1), localMAC, remoteIP(1), localIP, 100)
	g := udp(t, 0x025053000001, localMAC, remoteIP(2), localIP, 100)
	n := uint32(0)
	s := r.Compiler.Snapshot()
	b := &frame.Batch{}
	if a := testing.AllocsPerRun(500, func() {
		n++
		binary.BigEndian.PutUint32(f[2:], n)
		binary.BigEndian.PutUint32(f[8:], n)
		b.N = 0
		for _, x := range [][]byte{f, g} {
			addr, _ := r.Cache.Get()
			r.Verify.Move(addr, frame.OwnerPool, frame.OwnerBatch)
			p := &b.Pkt[b.N]
			p.Off, p.Port, p.Len = addr+frame.Headroom, acc0, uint16(copy(r.Mem[addr+frame.Headroom:], x))
			b.N++
		}
		r.now += 20e6
		r.SetTime(r.now)
		r.Process(acc0, b, s)
		r.Waited(s)
		r.Resolve.Wake()
		reader.TakeEvents(func(resolve.Event) {})
		for _, d := range r.Out(acc0) {
			r.Free(uint32(d.Addr))
		}
	}); a != 0 {
		t.Errorf("%.1f allocations per turn with misses, want none", a)
	}
	if r.Await.Counters.Waited < 500 {
		t.Errorf("%d packets waited, want hundreds: the test shows nothing", r.Await.Counters.Waited)
	}
}

// TestNotHere: control is told once a second of a packet from the fabric for a VIF that is not here, with the place of
// its sender: by the inner source MAC, or by the address behind another box's virtual router.
func TestNotHere(t *testing.T) {
	r, reader := asking(t)
	if err := r.Put([]model.Binding{bound(1), bound(2)}); err != nil {
		t.Fatal(err)
	}
	encapsulated := func(inner []byte) []byte {
		ip := &layers.IPv4{Version: 4, TTL: 63, Protocol: 143, SrcIP: net.IPv4(10, 5, 0, 1),
			DstIP: net.IPv4(10, 3, 0, 7)}
		return build(t, &layers.Ethernet{DstMAC: hw(boxMAC), SrcMAC: hw(ourSwitch),
			EthernetType: layers.EthernetTypeIPv4}, ip, gopacket.Payload(inner))
	}
	const router, gone = model.MAC(0x025053000001), model.MAC(0x020000000999)
	place := resolve.Event{Kind: resolve.NotHere, Tenant: 7, Segment: 1, MAC: uint64(gone),
		Switch: uint64(otherSwitch), Number: 5}
	for _, c := range []struct {
		name  string
		inner []byte
		why   string
		want  resolve.Event
	}{
		{"by MAC", udp(t, gone, remoteMAC(1), "10.1.9.9", remoteIP(1), 100), "fabric_not_here", place},
		{"routed", udp(t, gone, router, "10.1.9.9", remoteIP(1), 100), "fabric_not_here", place},
		{"routed, IPv6", udp(t, gone+1, router, "fd00:1::99", "fd00:1::101", 100), "fabric_not_here", place},
		{"unknown sender", udp(t, gone, 0x020000000777, "10.1.9.9", "10.1.9.8", 100), "fabric_not_here", place},
		{"elsewhere", udp(t, remoteMAC(2), remoteMAC(1), remoteIP(2), remoteIP(1), 100), "fabric_relay", place},
	} {
		c.want.MAC, c.want.Sender = wire.MAC(c.inner), wire.MAC(c.inner[6:])
		if c.name == "unknown sender" {
			c.want.Switch, c.want.Number = 0, 0
		}
		before := dropped(r, fab0)[c.why]
		receive(t, r, fab0, encapsulated(c.inner), encapsulated(c.inner))
		if got := told(r, reader); len(got) != 1 || got[0] != c.want {
			t.Errorf("%s: control is told %+v, want %+v once", c.name, got, c.want)
		}
		if n := dropped(r, fab0)[c.why] - before; n != 2 {
			t.Errorf("%s: %d dropped as %s, want 2", c.name, n, c.why)
		}
		r.Tick(time.Second)
		receive(t, r, fab0, encapsulated(c.inner))
		if n := len(told(r, reader)); n != 1 {
			t.Errorf("%s: %d events a second later, want 1", c.name, n)
		}
	}
	for n := range 1000 {
		receive(t, r, fab0, encapsulated(udp(t, gone, model.MAC(0x020000010000+n), "10.1.9.9", "10.1.9.8", 60)))
	}
	if n := len(told(r, reader)); n < 100 || n > 250 {
		t.Errorf("%d events of a thousand senders within a second, want 100 and those of the second", n)
	}
}
