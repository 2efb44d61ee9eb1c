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

const ms = time.Millisecond

// up brings both gateways up, a active, and the announcements of the start to an end.
func up(t testing.TB, p gateway.Policy) *lab {
	t.Helper()
	l := newLab(t, group(p))
	l.run(5 * time.Second)
	if l.state("a") != gateway.Up || l.state("b") != gateway.Up {
		t.Fatalf("a is %v, b is %v; want both %v", l.state("a"), l.state("b"), gateway.Up)
	}
	l.want("a", gateway.WhyAnswers)
	l.events = nil
	l.clear()
	return l
}

// The first that answers is used at once; the other is probed all the same.
func TestFirstAnswer(t *testing.T) {
	l := newLab(t, group(policy()))
	l.want("", gateway.WhyNone)
	l.stations[0].mute = true
	l.run(5 * ms)
	l.want("b", gateway.WhyAnswers)
	if n := l.emitted(gateway.MACLearned); n != 1 {
		t.Errorf("%d events of a gateway resolved, want 1", n)
	}
	l.stations[0].mute = false
	l.run(3 * time.Second)
	l.want("b", gateway.WhyAnswers)
	if n := l.emitted(gateway.MACLearned); l.state("a") != gateway.Up || n != 2 {
		t.Errorf("a is %v, %d events of a gateway resolved; want %v and 2", l.state("a"), n, gateway.Up)
	}
	before := l.stations[1].bcast
	l.run(3 * time.Second)
	for i, s := range l.stations {
		if s.probed < 25 {
			t.Errorf("gateway %d was probed %d times in 3 s, want at least 25", i, s.probed)
		}
	}
	if n := l.stations[1].bcast; n != before {
		t.Errorf("a gateway that answers was probed by broadcast %d times, want never", n-before)
	}
}

// Silence: N probes in a row, no fewer, and nobody notices anything but the gap. The old one is the standby when it
// is back.
func TestSilent(t *testing.T) {
	for _, tc := range []struct {
		interval time.Duration
		misses   uint32
	}{{10 * ms, 3}, {100 * ms, 3}, {100 * ms, 1}, {time.Second, 5}} {
		p := policy()
		p.Interval, p.Misses = int64(tc.interval), tc.misses
		l := up(t, p)
		l.run(4 * tc.interval)
		l.stations[0].mute = true
		took := l.until(time.Minute, func() bool { return l.active() == "b" })
		least, most := time.Duration(tc.misses-1)*tc.interval, time.Duration(tc.misses+1)*tc.interval+5*ms
		if took < least || took > most {
			t.Errorf("%v × %d: switched after %v, want %v to %v", tc.interval, tc.misses, took, least, most)
		}
		l.want("b", gateway.WhySilent)
		if l.state("a") != gateway.Down {
			t.Errorf("a is %v with a silent gateway, want %v", l.state("a"), gateway.Down)
		}
		l.stations[0].mute = false
		back := l.until(time.Minute, func() bool { return l.state("a") == gateway.Up })
		if least := time.Duration(p.Recover-1) * tc.interval; back < least || back > 7*tc.interval+1100*ms {
			t.Errorf("%v: up again after %v, want %v or a little more", tc.interval, back, least)
		}
		l.run(10 * tc.interval)
		l.want("b", gateway.WhySilent)
	}
}

// Misses count in a row, never summed up.
func TestNeverCumulative(t *testing.T) {
	l := up(t, policy())
	for range 100 {
		l.stations[0].mute = true
		l.run(200 * ms)
		l.stations[0].mute = false
		l.run(100 * ms)
	}
	if n := l.member("a").Missed.Load(); n < 100 {
		t.Fatalf("%d misses, want at least 100: the test shows nothing", n)
	}
	l.want("a", gateway.WhyAnswers)
	if n := l.member("a").Fails.Load(); n != 0 {
		t.Errorf("a failed %d times, want never", n)
	}
}

// Data from the gateway counts as liveness, if wanted, and never keeps a member alive whose port is down.
func TestData(t *testing.T) {
	for _, tc := range []struct {
		counts bool
		most   uint32
		active string
	}{{true, 0, "a"}, {false, 0, "b"}, {true, 20, "b"}} {
		p := policy()
		p.DataLiveness, p.DataMax = tc.counts, tc.most
		l := up(t, p)
		l.stations[0].mute = true
		from := at4(l.stations[0].MAC, farIP)
		f, err := endpoint.UDP4(from, at4(vmac, vm1IP), 0, 1, 2, nil)
		if err != nil {
			t.Fatal(err)
		}
		for range 60 {
			l.in(up0, f)
			l.run(50 * ms)
		}
		if l.active() != tc.active {
			t.Errorf("data counts %v, at most %d misses excused: %q is active, want %q",
				tc.counts, tc.most, l.active(), tc.active)
		}
		if n := l.member("a").Excused.Load(); tc.counts && n < 19 {
			t.Errorf("data counts, at most %d misses excused: %d are, want at least 19", tc.most, n)
		}
		if tc.active == "a" {
			l.Keeper.SetCarrier(l.Now(), up0, false)
			l.in(up0, f)
			l.run(ms)
			l.want("b", gateway.WhyCarrier)
		}
	}
}

// A port without carrier switches in the same call, whatever the gateways say; so does a socket that cannot send.
func TestPortFault(t *testing.T) {
	l := up(t, policy())
	pub := at4(vm1, vm1IP)
	gw := at4(vmac, farIP)
	const toA = "port 1 02:ff:00:00:00:01→02:00:00:aa:00:01 TTL 64;"
	if got := l.out(pub, gw, 0); got != toA {
		t.Errorf("while a is active, a packet was sent as %q, want %q", got, toA)
	}
	l.Keeper.SetCarrier(l.Now(), up0, false)
	l.want("b", gateway.WhyCarrier)
	const toB = "port 2 VLAN 7 02:ff:00:00:00:01→02:00:00:aa:00:02 TTL 64;"
	if got := l.out(pub, gw, 0); got != toB {
		t.Errorf("while b is active, a packet was sent as %q, want %q", got, toB)
	}
	// The snapshot still says that the port is up, as it does until control has compiled the next one.
	l.run(ms)
	l.want("b", gateway.WhyCarrier)
	l.Keeper.SetCarrier(l.Now(), up0, true)
	l.until(2*time.Second, func() bool { return l.state("a") == gateway.Up })

	l.Uplink.Shared.Fault(up1, true)
	l.run(ms)
	l.want("a", gateway.WhyTransmit)
	if l.state("b") != gateway.Down {
		t.Errorf("b is %v on a port that cannot send, want %v", l.state("b"), gateway.Down)
	}
	l.Uplink.Shared.Fault(up1, false)
	l.until(2*time.Second, func() bool { return l.state("b") == gateway.Up })
	l.want("a", gateway.WhyTransmit)

	// Both gone, and one back: used with its first answer.
	l.Keeper.SetCarrier(l.Now(), up0, false)
	l.Keeper.SetCarrier(l.Now(), up1, false)
	l.want("", gateway.WhyCarrier)
	got := l.out(pub, gw, 0)
	if n := l.drops(acc, drop.UplinkNoActive); got != "" || n != 1 {
		t.Errorf("without a gateway a packet was sent as %q, %d drops; want none sent, 1 drop", got, n)
	}
	l.Keeper.SetCarrier(l.Now(), up0, true)
	if took := l.until(time.Second, func() bool { return l.active() == "a" }); took > 5*ms {
		t.Errorf("a is used after %v, want at most 5ms", took)
	}
	l.want("a", gateway.WhyOnly)
}

// A worker that was kept from its CPU in the middle of a turn hears answers and data in a turn that began before they
// were asked for: they are news all the same, and each counts once.
func TestStaleTurn(t *testing.T) {
	p := policy()
	p.Interval, p.Misses = int64(10*ms), 1
	for _, data := range []bool{false, true} {
		l := up(t, p)
		l.Behind = 9 * ms
		if data {
			l.stations[0].mute = true
		}
		f, err := endpoint.UDP4(at4(l.stations[0].MAC, farIP), at4(vmac, vm1IP), 0, 1, 2, nil)
		if err != nil {
			t.Fatal(err)
		}
		for range 1000 {
			if probed := l.stations[0].probed; data {
				l.until(100*ms, func() bool { return l.stations[0].probed > probed })
				l.in(up0, f)
			} else {
				l.run(ms)
			}
		}
		if n := l.member("a").Missed.Load() + l.member("b").Missed.Load(); n != 0 {
			t.Errorf("data %v: %d misses, want none", data, n)
		}
		l.want("a", gateway.WhyAnswers)
		l.stations[0].mute = true
		if took := l.until(time.Second, func() bool { return l.active() == "b" }); took > 25*ms {
			t.Errorf("data %v: silence detected after %v, want at most 25ms", data, took)
		}
	}
	// The only one left is used with its first answer.
	l := newLab(t, group(p))
	l.Behind = 9 * ms
	l.stations[1].mute = true
	if took := l.until(time.Second, func() bool { return l.active() == "a" }); took > 5*ms {
		t.Errorf("a is used after %v, want at most 5ms", took)
	}
}

// A port that is not open yet, or no more, is no fault: nobody is asked by it, and nobody judged. The first question
// goes out with the turn after it was opened.
func TestNotOpen(t *testing.T) {
	for _, start := range []uint32{gateway.None, 0, 1} {
		l := newLab(t, group(policy()))
		l.gw.Live.Start = start
		for port := range 3 {
			l.Uplink.Shared.Open(port, false)
		}
		l.run(5 * time.Second)
		a, b := l.state("a"), l.state("b")
		if n := l.stations[0].probed + l.stations[1].probed; n != 0 || a != gateway.Init || b != gateway.Init {
			t.Fatalf("probed %d times by closed ports, a is %v, b is %v; want never, both %v", n, a, b, gateway.Init)
		}
		l.Uplink.Shared.Open(up0, true)
		l.run(5 * time.Second)
		if l.state("a") != gateway.Up || l.state("b") != gateway.Init {
			t.Errorf("a is %v, b is %v; want %v, %v", l.state("a"), l.state("b"), gateway.Up, gateway.Init)
		}
		switches := l.gw.Live.Switches.Load()
		l.stations[1].mute = true
		l.Uplink.Shared.Open(up1, true)
		l.run(ms)
		if l.stations[1].bcast != 1 {
			t.Errorf("start %d: probed by broadcast %d times in the turn after the port was opened, want once",
				int32(start), l.stations[1].bcast)
		}
		l.stations[1].mute = false
		l.until(5*time.Second, func() bool { return l.state("b") == gateway.Up })
		if n := l.gw.Live.Switches.Load() - switches; n != 0 {
			t.Errorf("start %d: switched %d times when the second port was opened, want never", int32(start), n)
		}
		if start == 1 {
			l.want("b", gateway.WhyStart)
		}
		missed := l.member("a").Missed.Load() + l.member("b").Missed.Load()
		l.Uplink.Shared.Open(up0, false)
		l.Uplink.Shared.Open(up1, false)
		l.stations[0].mute, l.stations[1].mute = true, true
		l.run(5 * time.Second)
		misses := l.member("a").Missed.Load() + l.member("b").Missed.Load() - missed
		if n := l.gw.Live.Switches.Load() - switches; misses != 0 || n != 0 {
			t.Errorf("%d misses and %d switches while the ports were closed, want none", misses, n)
		}
	}
}

// Timers that run late (the worker did not get its CPU) are counted, and no miss, however late, if the answer is there.
func TestLate(t *testing.T) {
	p := policy()
	p.Interval = 10 * int64(ms)
	l := up(t, p)
	missed, late := l.member("a").Missed.Load(), l.member("a").Late.Load()
	for i := range 500 {
		l.Tick(time.Duration(i%97) * ms) // the box stands still, and the answers with it
		l.collect()
	}
	if n := l.member("a").Missed.Load() + l.member("b").Missed.Load() - missed; n != 0 {
		t.Errorf("%d misses, want none", n)
	}
	if n := l.member("a").Late.Load() - late; n < 100 {
		t.Errorf("%d late timers, want at least 100", n)
	}
	l.want("a", gateway.WhyAnswers)
	// It still detects: every turn is late, but the gateway is silent.
	l.stations[0].mute = true
	for range 200 {
		l.Tick(15 * ms)
		l.collect()
	}
	l.want("b", gateway.WhySilent)
}

// A machine that stood still goes on with a timer that is late, and only then receives what arrived meanwhile.
func TestLateAnswer(t *testing.T) {
	p := policy()
	p.Interval, p.Misses = 10*int64(ms), 1
	l := up(t, p)
	missed := l.member("a").Missed.Load() + l.member("b").Missed.Load()
	for range 100 {
		a, b := l.stations[0], l.stations[1]
		a.mute, b.mute = true, true
		// Probes go out, and the answers stay on the way.
		for a0, b0 := a.probed, b.probed; a.probed == a0 || b.probed == b0; {
			l.Tick(ms)
			l.collect()
		}
		l.Tick(50 * ms)
		for range 5 {
			l.Tick(100 * time.Microsecond)
		}
		for i, s := range l.stations {
			f, err := endpoint.ARPReply(s.Host, s.vlan, endpoint.Host{MAC: []model.MAC{vmac, mac1}[i], IPv4: ourIP})
			if err != nil {
				t.Fatal(err)
			}
			l.in(s.port, f)
		}
	}
	if n := l.member("a").Missed.Load() + l.member("b").Missed.Load() - missed; n != 0 {
		t.Errorf("%d misses, want none", n)
	}
	l.want("a", gateway.WhyAnswers)
}

// No miss before every worker has looked at what had arrived when the time was up.
func TestClean(t *testing.T) {
	l := up(t, policy())
	clean := false
	l.Keeper.Clean = func(int64) bool { return clean }
	l.stations[0].mute, l.stations[1].mute = true, true
	l.run(10 * time.Second)
	l.want("a", gateway.WhyAnswers)
	if l.state("a") != gateway.Up {
		t.Errorf("a is %v before a verdict, want %v", l.state("a"), gateway.Up)
	}
	if n := l.Keeper.Next() - l.Now(); n > 0 {
		t.Errorf("the worker may sleep for %v while a verdict waits, want not at all", time.Duration(n))
	}
	clean = true
	l.stations[1].mute = false
	l.until(2*time.Second, func() bool { return l.active() == "b" })
}

// A full transmit ring delays a probe and is no miss, however long it is full, as long as the kernel takes frames
// from it; one of which it takes none for an interval is, unless the gateway is heard all the same.
func TestNoRoom(t *testing.T) {
	p := policy()
	p.Interval = int64(10 * ms)
	l := up(t, p)
	missed := l.member("a").Missed.Load()
	none := func(ring string) {
		t.Helper()
		if m := l.member("a").Missed.Load() - missed; m != 0 {
			t.Errorf("%s: %d misses, want none", ring, m)
		}
		l.want("a", gateway.WhyAnswers)
	}
	n, taken, pending := 0, uint32(0), true
	l.Keeper.Stuck = func(port uint16, since uint32) (bool, uint32) { return pending && since == taken, taken }
	l.Keeper.Room = func(port uint16) int {
		if port != up0 {
			return 256
		}
		if n++; n%7 != 0 {
			return 1
		}
		return 256
	}
	l.run(5 * time.Second)
	none("room now and then")
	l.Keeper.Room = func(port uint16) int {
		if port != up0 {
			return 256
		}
		return 0
	}
	for range 500 {
		taken++
		l.run(9 * ms)
	}
	none("full, and moving")
	pending = false
	l.run(5 * time.Second)
	none("no buffers, and nothing waits")
	pending = true
	f, err := endpoint.UDP4(at4(l.stations[0].MAC, farIP), at4(vmac, vm1IP), 0, 1, 2, nil)
	if err != nil {
		t.Fatal(err)
	}
	for range 500 {
		l.in(up0, f)
		l.run(3 * ms)
	}
	none("stuck, but the gateway sends")
	took := l.until(2*time.Second, func() bool { return l.active() == "b" })
	if took > 60*ms {
		t.Errorf("switched after %v, want at most 60ms", took)
	}
	l.want("b", gateway.WhySilent)
}

// The worker sleeps no longer than the next timer says, and that is enough.
func TestSleepBetweenTimers(t *testing.T) {
	l := up(t, policy())
	l.stations[0].mute = true
	probed := l.stations[1].probed
	turns := 0
	end := l.Now() + int64(2*time.Second)
	for ; l.Now() < end; turns++ {
		l.Tick(time.Duration(max(l.Keeper.Next()-l.Now(), 1000)))
		l.collect()
	}
	if n := l.stations[1].probed - probed; n < 19 || n > 21 {
		t.Errorf("probed %d times in 2 s, want 19 to 21", n)
	}
	l.want("b", gateway.WhySilent)
	if n := l.member("b").Late.Load(); n != 0 {
		t.Errorf("%d late timers, want none", n)
	}
	if turns > 400 {
		t.Errorf("%d turns in 2 s, want at most 400", turns)
	}
}

// A box that starts with an operator's choice stays on it, although a member before it is up, and says so until it
// fails.
func TestStartChosen(t *testing.T) {
	p := policy()
	p.Preempt, p.PreemptDelay = true, int64(time.Second)
	g := group(p)
	g.Start, g.StartChosen = "b", true
	l := newLab(t, g)
	l.run(3 * time.Second)
	l.want("b", gateway.WhyStart)
	if !l.gw.Live.Chosen.Load() {
		t.Error("the operator's choice is not kept for the next start, want it kept")
	}
	l.Keeper.SetCarrier(l.Now(), up1, false)
	l.want("a", gateway.WhyCarrier)
	if l.gw.Live.Chosen.Load() {
		t.Error("another member is active and counts as chosen, want it not to")
	}
}

// After a switch the box announces by the new port: the virtual MAC first, then every address that lives behind it.
func TestAnnouncements(t *testing.T) {
	p := policy()
	p.AnnounceInterval = int64(10 * time.Second)
	l := up(t, p)
	if err := l.Gateways.Switch(l.Now(), l.gw.Index, l.gw.Members[1].Slot); err != nil {
		t.Fatal(err)
	}
	l.want("b", gateway.WhyOperator)
	count := func(port int) (rarp, garp, na int, first string) {
		for _, f := range l.take(port) {
			e := wire.Ethernet(f)
			if port == up1 && (e.Type() != wire.EtherTypeVLAN || e.Tag().VID() != 7 || e.Src() != uint64(vmac)) {
				t.Errorf("announced as % x, want VLAN 7 and source %s", f, vmac)
			}
			what := ""
			switch typ := e.Tag().Type(); {
			case typ == 0x8035:
				rarp++
				what = "rarp"
			case typ == wire.EtherTypeARP:
				garp++
				what = "garp"
			case typ == wire.EtherTypeIPv6:
				na++
				what = "na"
				if err := endpoint.CheckSums(f); err != nil {
					t.Error(err)
				}
			}
			if first == "" {
				first = what
			}
		}
		return
	}
	l.run(900 * ms)
	rarp, garp, na, first := count(up1)
	// ARP: source, group, vm1; ND: source, group, vm1.
	if rarp != 1 || garp != 3 || na != 3 || first != "rarp" {
		t.Errorf("%d RARP, %d ARP, %d ND, first %s; want 1, 3, 3, first rarp", rarp, garp, na, first)
	}
	if n := len(l.take(up0)); n != 0 {
		t.Errorf("%d frames by the old port, want none", n)
	}
	l.run(3 * time.Second) // two more rounds after 1 and 2 s
	if rarp, garp, na, _ := count(up1); rarp != 2 || garp != 6 || na != 6 {
		t.Errorf("burst: %d RARP, %d ARP, %d ND; want 2, 6, 6", rarp, garp, na)
	}
	l.run(30 * time.Second) // then every 10 s
	if rarp, _, _, _ := count(up1); rarp != 3 {
		t.Errorf("later: %d rounds in 30 s, want 3", rarp)
	}
	if n := l.emitted(gateway.AnnounceFinish); n != 1 {
		t.Errorf("%d events of announcements finished, want 1", n)
	}
	if n := l.gw.Live.Announced.Load(); n < 7*6 {
		t.Errorf("%d announcements counted, want at least 42", n)
	}
}

// Announcements keep to their rate, over the whole range that can be configured.
func TestAnnounceRate(t *testing.T) {
	for _, rate := range []uint32{1000, 8000, 8500, 20_000, 64_000} {
		p := policy()
		p.AnnounceRate = rate
		l := newLab(t, group(p))
		vifs := map[string]model.VIF{}
		for i := range 200 { // addresses in a row, so that no lookup is in vain
			name := fmt.Sprintf("vm%d", i)
			vifs["pub/"+name] = model.VIF{
				Tenant: "pub", Name: name, Segment: "net", Port: "acc", MAC: vm1 + model.MAC(i),
				Addresses: []netip.Addr{netip.AddrFrom4([4]byte{203, 0, 113, byte(10 + i)})},
			}
		}
		subnet := model.Subnet{
			Tenant: "pub", Name: "n4", Segment: "net", Prefix: netip.MustParsePrefix("203.0.113.0/24"),
		}
		if err := l.Apply(&model.State{
			Tenants:  map[string]model.Tenant{"pub": {Name: "pub", ID: 2}},
			Segments: map[string]model.Segment{"pub/net": {Tenant: "pub", Name: "net", ID: 1}},
			Subnets:  map[string]model.Subnet{"pub/n4": subnet},
			VIFs:     vifs,
		}, model.BindingChanges{}); err != nil {
			t.Fatal(err)
		}
		l.run(5 * time.Second)
		if err := l.Gateways.Switch(l.Now(), l.gw.Index, l.gw.Members[1].Slot); err != nil {
			t.Fatal(err)
		}
		before, done := l.gw.Live.Announced.Load(), l.emitted(gateway.AnnounceFinish)
		var took time.Duration
		for l.emitted(gateway.AnnounceFinish) == done { // in steps shorter than the rate's
			l.Tick(50 * time.Microsecond)
			took += 50 * time.Microsecond
			if took > time.Second {
				t.Fatalf("%d/s: announcements not at an end after %v, want at most 1s", rate, took)
			}
		}
		n := l.gw.Live.Announced.Load() - before
		want := time.Duration(n) * time.Second / time.Duration(rate)
		if n < 200 || took < want*3/4 || took > want*5/4+2*ms {
			t.Errorf("%d/s: %d announcements in %v, want at least 200 in about %v", rate, n, took, want)
		}
	}
}
