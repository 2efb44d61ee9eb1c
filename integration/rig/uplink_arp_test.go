package rig_test

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"penstock/ctrl/model"
	"penstock/dataplane/drop"
	"penstock/dataplane/gateway"
	"penstock/dataplane/wire"
	"penstock/integration/endpoint"
)

const evil = model.MAC(0x02666666)

// arpFrame builds an ARP packet in which nothing need agree.
func arpFrame(
	op uint16, dst, src, sender model.MAC, senderIP netip.Addr, target model.MAC, targetIP netip.Addr,
) []byte {
	f := make([]byte, 60)
	e := wire.Ethernet(f)
	e.SetDst(uint64(dst))
	e.SetSrc(uint64(src))
	e.SetType(wire.EtherTypeARP)
	ip := func(a netip.Addr) (n uint32) {
		for _, b := range a.As4() {
			n = n<<8 | uint32(b)
		}
		return n
	}
	wire.ARP(f[14:]).Set(op, uint64(sender), ip(senderIP), uint64(target), ip(targetIP))
	return f
}

// Forged, gratuitous and foreign ARP: each is discarded under its reason, and none changes anything.
func TestForgedARP(t *testing.T) {
	const reply, request = wire.ARPReply, wire.ARPRequest
	p := policy()
	p.DataLiveness = false
	for _, tc := range []struct {
		name  string
		port  int
		frame func(a, b *station) []byte
		why   drop.Reason
	}{
		{"answer for a, by the port of b", up1, func(a, b *station) []byte {
			return tagged(arpFrame(reply, vmac, a.MAC, a.MAC, a.IPv4, vmac, ourIP), 7)
		}, drop.UplinkARPUnasked},
		{"answer for a, in another VLAN", up0, func(a, b *station) []byte {
			return tagged(arpFrame(reply, vmac, a.MAC, a.MAC, a.IPv4, vmac, ourIP), 5)
		}, drop.UplinkVLAN},
		{"sender is no single station", up0, func(a, b *station) []byte {
			return arpFrame(reply, vmac, evil, 0x01005e000012, a.IPv4, vmac, ourIP)
		}, drop.UplinkARPForged},
		{"sender is nobody", up0, func(a, b *station) []byte {
			return arpFrame(reply, vmac, evil, 0, a.IPv4, vmac, ourIP)
		}, drop.UplinkARPForged},
		{"sender is the virtual MAC", up0, func(a, b *station) []byte {
			return arpFrame(reply, vmac, evil, vmac, a.IPv4, vmac, ourIP)
		}, drop.UplinkLoop},
		{"sender is another port of the box", up0, func(a, b *station) []byte {
			return arpFrame(reply, vmac, evil, mac1, a.IPv4, vmac, ourIP)
		}, drop.UplinkLoop},
		{"broadcast answer to somebody else", up0, func(a, b *station) []byte {
			return arpFrame(reply, model.MAC(wire.Broadcast), a.MAC, a.MAC, a.IPv4, evil, ourIP)
		}, drop.UplinkARPUnasked},
		{"broadcast answer to what another port asks", up0, func(a, b *station) []byte {
			return arpFrame(reply, model.MAC(wire.Broadcast), a.MAC, a.MAC, a.IPv4, mac1, ourIP)
		}, drop.UplinkARPUnasked},
		{"answer to all of a multicast group", up0, func(a, b *station) []byte {
			return arpFrame(reply, 0x01005e000001, a.MAC, a.MAC, a.IPv4, vmac, ourIP)
		}, drop.UplinkARPUnasked},
		{"gratuitous, from elsewhere", up0, func(a, b *station) []byte {
			return arpFrame(reply, model.MAC(wire.Broadcast), evil, evil, a.IPv4, model.MAC(wire.Broadcast), a.IPv4)
		}, drop.UplinkARPUnasked},
		{"announcement, from elsewhere", up0, func(a, b *station) []byte {
			return arpFrame(request, model.MAC(wire.Broadcast), evil, evil, a.IPv4, 0, a.IPv4)
		}, drop.UplinkARPUnasked},
		{"answer to somebody else", up0, func(a, b *station) []byte {
			return arpFrame(reply, vmac, evil, evil, a.IPv4, evil, ourIP)
		}, drop.UplinkARPUnasked},
		{"answer for another address of ours", up0, func(a, b *station) []byte {
			return arpFrame(reply, vmac, evil, evil, a.IPv4, vmac, addr("192.0.2.99"))
		}, drop.UplinkARPUnasked},
		{"answer from nobody we asked", up0, func(a, b *station) []byte {
			return arpFrame(reply, vmac, evil, evil, addr("192.0.2.50"), vmac, ourIP)
		}, drop.UplinkARPUnasked},
		{"another station has our address", up0, func(a, b *station) []byte {
			return arpFrame(request, model.MAC(wire.Broadcast), evil, evil, ourIP, 0, a.IPv4)
		}, drop.UplinkARPForged},
		{"another station has the group's address", up0, func(a, b *station) []byte {
			return arpFrame(reply, vmac, evil, evil, addr("203.0.113.1"), vmac, ourIP)
		}, drop.UplinkARPForged},
		{"from the virtual MAC", up0, func(a, b *station) []byte {
			return arpFrame(reply, vmac, vmac, vmac, a.IPv4, vmac, ourIP)
		}, drop.UplinkLoop},
		{"from the port's own MAC", up0, func(a, b *station) []byte {
			return arpFrame(reply, vmac, mac0, mac0, a.IPv4, vmac, ourIP)
		}, drop.UplinkLoop},
		{"question for nobody here", up0, func(a, b *station) []byte {
			return arpFrame(request, model.MAC(wire.Broadcast), a.MAC, a.MAC, a.IPv4, 0, addr("203.0.113.77"))
		}, drop.UplinkARPForeign},
		{"an operation that is neither", up0, func(a, b *station) []byte {
			return arpFrame(7, vmac, evil, evil, addr("192.0.2.50"), vmac, ourIP)
		}, drop.UplinkARPUnasked},
	} {
		t.Run(tc.name, func(t *testing.T) {
			l := up(t, p)
			mac, _ := l.member("a").Gateway()
			before := l.drops(tc.port, tc.why)
			const n = 1000
			for range n {
				l.in(tc.port, tc.frame(l.stations[0], l.stations[1]))
			}
			if got := l.drops(tc.port, tc.why) - before; got != n {
				t.Errorf("%d frames counted as %v, want all %d", got, tc.why, n)
			}
			l.run(3 * time.Second)
			if now, _ := l.member("a").Gateway(); now != mac {
				t.Errorf("a's gateway is at %x after the frames, want %x as before", now, mac)
			}
			l.want("a", gateway.WhyAnswers)
			// They do not keep a dead gateway alive either, nor bring it back.
			l.stations[0].mute = true
			for range 2000 {
				l.in(tc.port, tc.frame(l.stations[0], l.stations[1]))
				l.run(ms)
			}
			if l.state("a") != gateway.Down {
				t.Errorf("a is %v with a silent gateway, want %v", l.state("a"), gateway.Down)
			}
			l.want("b", gateway.WhySilent)
		})
	}
}

// tagged puts a frame into a VLAN.
func tagged(f []byte, vlan uint16) []byte {
	out := append(append(append([]byte{}, f[:12]...), 0x81, 0, byte(vlan>>8), byte(vlan)), f[12:]...)
	return out
}

// A gateway that answers with another MAC, and no more with the one in use, was replaced: taken over, with an event,
// after the second probe and without failing.
func TestMACChanged(t *testing.T) {
	for _, unsolicited := range []bool{false, true} {
		l := up(t, policy())
		fails := l.member("a").Fails.Load()
		l.stations[0].MAC = 0x020000aa0099
		if unsolicited { // as a gateway announces itself: a hint, which is checked
			a := l.stations[0]
			l.in(up0, arpFrame(wire.ARPRequest, model.MAC(wire.Broadcast), a.MAC, a.MAC, a.IPv4, 0, a.IPv4))
		}
		took := l.until(time.Second, func() bool { m, _ := l.member("a").Gateway(); return m == 0x020000aa0099 })
		if took > 350*ms {
			t.Errorf("the new MAC is taken over after %v, want at most 350ms", took)
		}
		l.want("a", gateway.WhyAnswers)
		if l.member("a").Fails.Load() != fails || l.emitted(gateway.MACChanged) != 1 {
			t.Errorf("failed %d times, %d events of a new MAC; want none and one",
				l.member("a").Fails.Load()-fails, l.emitted(gateway.MACChanged))
		}
		const sent = "port 1 02:ff:00:00:00:01→02:00:00:aa:00:99 TTL 64;"
		if got := l.out(at4(vm1, vm1IP), at4(vmac, farIP), 0); got != sent {
			t.Errorf("a packet to the outside was sent as %q, want %q", got, sent)
		}
	}
}

// A station that sends forged answers all the time gains nothing by the gateway's lost ones, as long as these are not
// two in a row.
func TestTakeover(t *testing.T) {
	l := up(t, policy())
	a := l.stations[0]
	forge := func(d time.Duration) {
		for end := l.Now() + int64(d); l.Now() < end; l.run(ms) {
			l.in(up0, arpFrame(wire.ARPReply, vmac, evil, evil, a.IPv4, vmac, ourIP))
		}
	}
	for range 200 {
		a.mute = true
		forge(80 * ms)
		a.mute = false
		forge(231 * ms)
	}
	if mac, _ := l.member("a").Gateway(); mac != uint64(a.MAC) || l.emitted(gateway.MACChanged) > 0 {
		t.Errorf("a's gateway is at %x, taken over %d times; want %x and never",
			mac, l.emitted(gateway.MACChanged), uint64(a.MAC))
	}
	if n := l.member("a").Missed.Load(); n < 100 {
		t.Errorf("%d misses, want at least 100: the test shows nothing", n)
	}
	l.want("a", gateway.WhyAnswers)
}

// Two stations with the gateway's IP: the one in use stays, whoever answers first, and control is told, now and then.
func TestMACConflict(t *testing.T) {
	l := up(t, policy())
	a := l.stations[0]
	for range 3000 {
		l.in(up0, arpFrame(wire.ARPReply, vmac, evil, evil, a.IPv4, vmac, ourIP))
		l.run(10 * ms)
	}
	if mac, _ := l.member("a").Gateway(); mac != uint64(a.MAC) {
		t.Errorf("a's gateway is at %x, want %x", mac, uint64(a.MAC))
	}
	l.want("a", gateway.WhyAnswers)
	if n := l.emitted(gateway.MACConflict); n < 3 || n > 4 {
		t.Errorf("%d events of a conflict in half a minute, want 3 or 4", n)
	}
	if l.emitted(gateway.MACChanged)+l.emitted(gateway.MemberChanged)+l.emitted(gateway.ActiveChanged) != 0 {
		t.Error("the MAC, a member or the active member changed, want no change")
	}
	if l.drops(up0, drop.UplinkARPForged) == 0 {
		t.Error("no answer was counted as forged, want at least one")
	}
}

// A configured MAC is never asked for by broadcast, and never taken over.
func TestStaticMAC(t *testing.T) {
	g := group(policy())
	g.Members[0].MAC = 0x020000aa0001
	l := newLab(t, g)
	l.run(time.Second)
	l.want("a", gateway.WhyAnswers)
	l.stations[0].MAC = 0x020000aa0099
	l.run(3 * time.Second)
	if mac, _ := l.member("a").Gateway(); mac != 0x020000aa0001 || l.stations[0].bcast != 0 {
		t.Errorf("a's gateway is at %x, probed by broadcast %d times; want 20000aa0001 and never",
			mac, l.stations[0].bcast)
	}
	l.want("b", gateway.WhySilent)
}

// Two members that turn out to be one gateway: told, since there is then nothing to switch to.
func TestMACShared(t *testing.T) {
	g := group(policy())
	g.Members[1].Port, g.Members[1].VLAN = "up0", 0
	l := newLab(t, g)
	l.stations[1].port, l.stations[1].vlan, l.stations[1].MAC = up0, 0, l.stations[0].MAC
	l.run(time.Second)
	if l.emitted(gateway.MACShared) == 0 {
		t.Error("no event of a shared MAC, want at least one")
	}
	if l.state("a") != gateway.Up || l.state("b") != gateway.Up {
		t.Errorf("a is %v, b is %v; want both %v", l.state("a"), l.state("b"), gateway.Up)
	}
}

// Who asks on a gateway's network is answered for what is behind the group: with the virtual MAC by the active member's
// port, with the port's own by another, so that the virtual MAC is in one place only.
func TestQuestions(t *testing.T) {
	l := up(t, policy())
	for _, tc := range []struct {
		port   int
		target string
		answer model.MAC // 0 = none
	}{
		{up0, "192.0.2.9", vmac}, {up0, "203.0.113.1", vmac}, {up0, "203.0.113.10", vmac},
		{up0, "10.0.0.1", vmac}, {up0, "10.0.0.254", vmac},
		{up0, "203.0.113.11", 0}, {up0, "10.0.0.2", 0}, {up0, "8.8.8.8", 0},
		{up1, "192.0.2.9", mac1}, {up1, "203.0.113.10", mac1}, {up1, "203.0.113.11", 0},
	} {
		l.clear()
		s := l.stations[tc.port-up0]
		f, err := endpoint.ARPRequest(s.Host, s.vlan, addr(tc.target))
		if err != nil {
			t.Fatal(err)
		}
		l.in(tc.port, f)
		var got model.MAC
		for _, f := range l.take(tc.port) {
			if a := endpoint.ParseARP(f); a.Operation == wire.ARPReply {
				got = endpoint.MACAt(a.SourceHwAddress)
				e := wire.Ethernet(f)
				want := fmt.Sprintln(s.MAC, s.IPv4, tc.target, s.vlan)
				vlan := uint16(0)
				if e.Type() == wire.EtherTypeVLAN {
					vlan = e.Tag().VID()
				}
				to := netip.AddrFrom4([4]byte(a.DstProtAddress))
				from := netip.AddrFrom4([4]byte(a.SourceProtAddress))
				have := fmt.Sprintln(model.MAC(e.Dst()), to, from, vlan)
				if src := model.MAC(e.Src()); have != want || src != got {
					t.Errorf("%s: answer %s from %s, want %s from %s", tc.target, have, src, want, got)
				}
			}
		}
		if got != tc.answer {
			t.Errorf("port %d, %s: answered %s, want %s", tc.port, tc.target, got, tc.answer)
		}
	}
	for _, tc := range []struct {
		port   int
		target string
		answer model.MAC
	}{
		{up0, "2001:db8::9", vmac}, {up0, "2001:db8:1::1", vmac}, {up0, "2001:db8:1::10", vmac},
		{up0, "2001:db8:1::11", 0},
		{up1, "2001:db8::9", mac1}, {up1, "2001:db8:1::10", mac1},
	} {
		l.clear()
		s := l.stations[tc.port-up0]
		from := s.Host
		from.IPv6 = addr("2001:db8::1")
		f, err := endpoint.NeighborSolicitation(from, s.vlan, addr(tc.target))
		if err != nil {
			t.Fatal(err)
		}
		l.in(tc.port, f)
		var got model.MAC
		for _, f := range l.take(tc.port) {
			if ip, mac, ok := endpoint.ParseNeighborAdvertisement(f); ok {
				got = mac
				if ip != addr(tc.target) || model.MAC(wire.Ethernet(f).Dst()) != s.MAC {
					t.Errorf("%s: answer for %s to % x, want it for the target and to %s", tc.target, ip, f, s.MAC)
				}
				if err := endpoint.CheckSums(f); err != nil {
					t.Error(err)
				}
			}
		}
		if got != tc.answer {
			t.Errorf("port %d, %s: answered %s, want %s", tc.port, tc.target, got, tc.answer)
		}
	}
}

// Probes of the standby do not carry the virtual MAC; those of the active member do.
func TestProbeSource(t *testing.T) {
	l := up(t, policy())
	l.stations = nil // so that the probes are seen
	l.run(250 * ms)
	for port, want := range map[int]model.MAC{up0: vmac, up1: mac1} {
		n := 0
		for _, f := range l.take(port) {
			if a := endpoint.ParseARP(f); a != nil {
				n++
				src, sender := model.MAC(wire.Ethernet(f).Src()), endpoint.MACAt(a.SourceHwAddress)
				if src != want || sender != want || len(f) < 60 {
					t.Errorf("port %d: probe of %d octets from %s, sender %s; want at least 60 octets, both %s",
						port, len(f), src, sender, want)
				}
			}
		}
		if n == 0 {
			t.Errorf("port %d: no probe, want at least one", port)
		}
	}
}

// Two uplinks in one Ethernet: each frame that is sent by one, or to all, is heard by the other. One answer to a
// question, the virtual MAC on the active member's port only, and nothing but the loop is counted.
func TestOneEthernet(t *testing.T) {
	g := group(policy())
	g.Members[1].VLAN = 0
	l := newLab(t, g)
	l.stations[1].vlan = 0
	hub := func(d time.Duration) (virtual [3]int) {
		for end := l.Now() + int64(d); l.Now() < end; {
			l.run(ms)
			for port, other := range map[int]int{up0: up1, up1: up0} {
				for _, f := range l.take(port) {
					if wire.Ethernet(f).Src() == uint64(vmac) {
						virtual[port]++
					}
					l.in(other, f)
				}
			}
		}
		return virtual
	}
	// Broadcasts of the box reach both stations and come back.
	l.stations[0].port, l.stations[1].port = up0, up1
	hub(2 * time.Second)
	l.want("a", gateway.WhyAnswers)
	if l.state("a") != gateway.Up || l.state("b") != gateway.Up {
		t.Errorf("a is %v, b is %v; want both %v", l.state("a"), l.state("b"), gateway.Up)
	}
	if v := hub(5 * time.Second); v[up1] != 0 {
		t.Errorf("the virtual MAC is seen on the standby's port %d times, want never", v[up1])
	}
	for i, s := range l.stations {
		q, err := endpoint.ARPRequest(s.Host, 0, vm1IP)
		if err != nil {
			t.Fatal(err)
		}
		l.clear()
		l.in(up0, q)
		l.in(up1, q)
		var answers []model.MAC
		for port := up0; port <= up1; port++ {
			for _, f := range l.take(port) {
				if a := endpoint.ParseARP(f); a != nil && a.Operation == wire.ARPReply {
					answers = append(answers, endpoint.MACAt(a.SourceHwAddress))
				}
			}
		}
		if want := []model.MAC{vmac, mac1}[i]; len(answers) != 1 || answers[0] != want {
			t.Errorf("station %d: answers %v, want %v alone", i, answers, want)
		}
	}
	if n := l.drops(up0, drop.UplinkARPForged) + l.drops(up1, drop.UplinkARPForged); n != 0 {
		t.Errorf("%d of the box's own frames counted as forged, want none", n)
	}
	if l.drops(up1, drop.UplinkLoop) == 0 {
		t.Error("no frame counted as a loop, want at least one")
	}
}
