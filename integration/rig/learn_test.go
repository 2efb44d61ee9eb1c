package rig

import (
	"net/netip"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"penstock/ctrl/model"
	"penstock/dataplane/resolve"
)

// open makes the VIFs of a world learn: nothing of their frames is checked.
func open(o *Options) {
	for key, v := range o.State.VIFs {
		v.AntiSpoof = "off"
		o.State.VIFs[key] = v
	}
}

// TestLearn: control is told of a station on an open attachment and of its addresses in the segment's subnets: every
// second while the bindings do not have them, and every 15 s while they do.
func TestLearn(t *testing.T) {
	const station = model.MAC(0x020000000077)
	mac := resolve.Event{Kind: resolve.LearnMAC, Tenant: 7, Segment: 1, MAC: uint64(station)}
	ip4, ip6 := mac, mac
	ip4.Kind, ip4.IP = resolve.LearnIP4, [16]byte{10, 1, 9, 9}
	ip6.Kind, ip6.IP = resolve.LearnIP6, netip.MustParseAddr("fd00:1::9").As16()
	announcement := arpRequest(t, "10.1.9.9", "10.1.9.9")
	for i, c := range []byte{2, 0, 0, 0, 0, 0x77} {
		announcement[6+i], announcement[22+i] = c, c
	}
	vif := mac
	vif.MAC = uint64(localMAC)
	known, vif4, vif6 := vif, vif, vif
	known.Kind, known.IP = resolve.LearnIP4, [16]byte{10, 1, 9, 8}
	vif4.Kind, vif4.IP = resolve.LearnIP4, [16]byte(append(netip.MustParseAddr(localIP).AsSlice(), make([]byte, 12)...))
	vif6.Kind, vif6.IP = resolve.LearnIP6, netip.MustParseAddr(localIP6).As16()
	for _, c := range []struct {
		name  string
		frame []byte
		want  []resolve.Event
	}{
		{"IPv4", udp(t, remoteMAC(1), station, remoteIP(1), "10.1.9.9", 100), []resolve.Event{mac, ip4}},
		{"IPv6", udp(t, remoteMAC(1), station, "fd00:1::101", "fd00:1::9", 100), []resolve.Event{mac, ip6}},
		{"announcement", announcement, []resolve.Event{mac, ip4}},
		{"from another network", udp(t, remoteMAC(1), station, remoteIP(1), "192.0.2.1", 100), []resolve.Event{mac}},
		{"from the router's address", udp(t, remoteMAC(1), station, remoteIP(1), routerIP, 100), []resolve.Event{mac}},
		{"link-local", udp(t, remoteMAC(1), station, "fd00:1::101", "fe80::9", 100), []resolve.Event{mac}},
		{"neither", build(t, &layers.Ethernet{DstMAC: hw(remoteMAC(1)), SrcMAC: hw(station), EthernetType: 0x8035},
			gopacket.Payload(make([]byte, 46))), []resolve.Event{mac}},
		{"a VIF", udp(t, remoteMAC(1), localMAC, remoteIP(1), localIP, 100), []resolve.Event{vif, vif4}},
		{"a VIF's IPv6", udp(t, remoteMAC(1), localMAC, "fd00:1::101", localIP6, 100), []resolve.Event{vif, vif6}},
		{"a VIF's further address", udp(t, remoteMAC(1), localMAC, remoteIP(1), "10.1.9.8", 100),
			[]resolve.Event{vif, known}},
		{"the router's MAC", udp(t, remoteMAC(1), 0x025053000001, remoteIP(1), "10.1.9.9", 100), nil},
		{"a virtual router's MAC", udp(t, remoteMAC(1), 0x00005e000107, remoteIP(1), "10.1.9.9", 100), nil},
	} {
		r, reader := asking(t, open)
		if err := r.Put([]model.Binding{bound(1)}); err != nil {
			t.Fatal(err)
		}
		receive(t, r, acc0, c.frame, c.frame, c.frame)
		got := told(r, reader)
		if len(got) != len(c.want) {
			t.Errorf("%s: control is told %+v, want %+v", c.name, got, c.want)
			continue
		}
		for i := range got {
			if got[i] != c.want[i] {
				t.Errorf("%s: control is told %+v, want %+v", c.name, got[i], c.want[i])
			}
		}
		r.Publish() // as a worker does every millisecond
		receive(t, r, acc0, c.frame)
		if got := told(r, reader); len(got) != 0 {
			t.Errorf("%s: within a second control is told again: %+v", c.name, got)
		}
		r.Tick(1100 * time.Millisecond)
		r.Publish()
		again := 0
		for _, e := range c.want {
			if e != vif4 && e != vif6 {
				again++
			}
		}
		if receive(t, r, acc0, c.frame); len(told(r, reader)) != again {
			t.Errorf("%s: a second later control is not told again", c.name)
		}
		r.Tick(15 * time.Second)
		r.Publish()
		if receive(t, r, acc0, c.frame); len(told(r, reader)) != len(c.want) {
			t.Errorf("%s: 16 s later control is not told again", c.name)
		}
	}
}

// TestLearnMoved: a station that the bindings have elsewhere, or at another attachment, is told of with the place where
// it is now; when control has put it right, that it lives.
func TestLearnMoved(t *testing.T) {
	var state *model.State
	r, reader := asking(t, open, func(o *Options) { state = o.State })
	if err := r.Put([]model.Binding{bound(1)}); err != nil {
		t.Fatal(err)
	}
	f := udp(t, localMAC, remoteMAC(1), localIP, remoteIP(1), 100)
	receive(t, r, acc0, f)
	if got := told(r, reader); len(got) != 2 || got[0].Kind != resolve.LearnMAC || got[0].Port != acc0 {
		t.Errorf("a station that another box has: told %+v, want LearnMAC at port 0, and its address", got)
	}
	apply(t, r, state, func(s *model.State) {
		s.VIFs["red/moved"] = model.VIF{Tenant: "red", Name: "moved", Segment: "web", MAC: remoteMAC(1), Port: "acc0",
			AntiSpoof: "off", Addresses: []netip.Addr{netip.MustParseAddr(remoteIP(1))}}
	})
	r.Tick(2 * time.Second)
	r.Publish()
	receive(t, r, acc0, f)
	if got := told(r, reader); len(got) != 1 || got[0].Kind != resolve.LearnMAC {
		t.Errorf("a station that is a VIF here: told %+v, want that it lives", got)
	}
	r.Tick(2 * time.Second)
	r.Publish()
	receive(t, r, acc0, f)
	if got := told(r, reader); len(got) != 1 || got[0].Kind != resolve.LearnMAC {
		t.Errorf("2 s later: told %+v, want that it lives: its configured VIF may be claimed elsewhere", got)
	}
}

// TestLearnNot: nothing is learned from a VIF that is held to its addresses or its MAC, and nothing without a control
// VLAN; a flood of MACs has a limit.
func TestLearnNot(t *testing.T) {
	f := udp(t, remoteMAC(1), localMAC, remoteIP(1), localIP, 100)
	g := udp(t, remoteMAC(1), 0x020000000077, remoteIP(1), "10.1.9.9", 100)
	learned := func(list []resolve.Event) (n int) {
		for _, e := range list {
			if e.Kind >= resolve.LearnMAC {
				n++
			}
		}
		return n
	}
	r, reader := asking(t)
	if receive(t, r, acc0, f, g); learned(told(r, reader)) != 0 || dropped(r, acc0)["spoof_mac"] != 1 {
		t.Error("a locked port: a station is told of or passes, want neither")
	}
	r, reader = asking(t, open, func(o *Options) { o.MessageVLAN = 0 })
	if receive(t, r, acc0, f, g); learned(told(r, reader)) != 0 {
		t.Error("without a control VLAN: a station is told of, want nothing")
	}
	r, reader = asking(t, open)
	n := 0
	for i := range 8000 {
		receive(t, r, acc0, udp(t, remoteMAC(1), model.MAC(0x021100000000+i), remoteIP(1), "10.1.9.9", 60))
		if i%100 == 99 {
			n += learned(told(r, reader))
		}
	}
	if n < 2000 || n > 11_000 {
		t.Errorf("%d events of 8,000 stations within 8 s, want the burst and 1,000 a second at most", n)
	}
}
