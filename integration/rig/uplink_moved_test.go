package rig_test

import (
	"testing"
	"time"

	"penstock/ctrl/model"
	"penstock/dataplane/gateway"
	"penstock/dataplane/wire"
)

// The gateway's address moves to another router, and the old one goes on sending: whatever data is worth as a sign of
// life, the new one is the next hop within three probes, and the group never fails.
func TestAddressMoves(t *testing.T) {
	for _, tc := range []struct {
		name string
		set  func(p *gateway.Policy)
	}{
		{"data counts", func(*gateway.Policy) {}},
		{"data does not count", func(p *gateway.Policy) { p.DataLiveness = false }},
		{"data counts for a while", func(p *gateway.Policy) { p.DataMax = 2 }},
		{"one miss", func(p *gateway.Policy) { p.Misses = 1; p.DataLiveness = false }},
	} {
		for _, alone := range []bool{false, true} { // the group's only fit member
			t.Run(tc.name, func(t *testing.T) {
				p := policy()
				tc.set(&p)
				l := up(t, p)
				if alone {
					l.Keeper.SetCarrier(l.Now(), up1, false)
				}
				old := l.stations[0].MAC
				l.stations[0].MAC = burned
				f := udp4(t, at4(old, farIP), at4(vmac, vm1IP), 0, 100, 0)
				took, down := time.Duration(0), false
				for end := l.Now() + int64(3*time.Second); l.Now() < end; {
					l.in(up0, f)
					l.run(5 * ms)
					if mac, _ := l.member("a").Gateway(); took == 0 && mac == uint64(burned) {
						took = 3*time.Second - time.Duration(end-l.Now())
					}
					down = down || l.active() == "" && p.Misses > 1
				}
				if took == 0 || took > 350*ms || down || l.state("a") != gateway.Up {
					t.Errorf("taken over after %v, without gateway %v, a is %v; want at most 350ms, never, up",
						took, down, l.state("a"))
				}
				if p.Misses > 1 {
					l.want("a", gateway.WhyAnswers)
				}
				if n := l.emitted(gateway.MACChanged); n != 1 {
					t.Errorf("%d events of the new MAC, want one", n)
				}
			})
		}
	}
}

// Data never decides who the next hop is, nor do lost answers: with one of the two routers answering, or now and then
// none, nothing changes however much anybody sends.
func TestDataNeverMoves(t *testing.T) {
	l := up(t, policy())
	a := l.stations[0]
	f := udp4(t, at4(evil, farIP), at4(vmac, vm1IP), 0, 100, 0)
	own := udp4(t, at4(a.MAC, farIP), at4(vmac, vm1IP), 0, 100, 0)
	for i := range 2000 {
		a.mute = i%40 < 30 // three answers in four are lost
		l.in(up0, f)
		if a.mute {
			l.in(up0, own)
		}
		l.run(5 * ms)
	}
	if mac, _ := l.member("a").Gateway(); mac != uint64(a.MAC) || l.emitted(gateway.MACChanged) != 0 {
		t.Errorf("a is at %s, %d events of a new MAC; want %s and none",
			model.MAC(mac), l.emitted(gateway.MACChanged), a.MAC)
	}
	l.want("a", gateway.WhyAnswers)
}

// A station that forges answers all the time takes nothing over while the gateway answers, data or not, and in
// whichever way the gateway is probed.
func TestForgedWhileAnswering(t *testing.T) {
	for _, deaf := range []bool{false, true} {
		l := newLab(t, group(policy()))
		a := l.stations[0]
		a.deaf = deaf
		l.run(5 * time.Second)
		l.events = nil
		for range 3000 {
			l.in(up0, arpFrame(wire.ARPReply, vmac, evil, evil, a.IPv4, vmac, ourIP))
			l.in(up0, arpFrame(wire.ARPReply, model.MAC(wire.Broadcast), burned, evil, a.IPv4, vmac, ourIP))
			l.run(10 * ms)
		}
		changes := l.emitted(gateway.MACChanged) + l.emitted(gateway.ActiveChanged)
		if mac, _ := l.member("a").Gateway(); mac != uint64(a.MAC) || changes != 0 {
			t.Errorf("deaf to unicast %v: a is at %s after %d changes, want %s and none",
				deaf, model.MAC(mac), changes, a.MAC)
		}
		if n := l.emitted(gateway.MACConflict); n < 3 || n > 4 {
			t.Errorf("deaf to unicast %v: %d events of a conflict in half a minute, want 3 or 4", deaf, n)
		}
	}
}

// A gateway that answers broadcasts alone is probed by broadcast from then on, so that a lost answer does it no harm;
// by unicast again when it answers that.
func TestAnswersBroadcastsAlone(t *testing.T) {
	for _, misses := range []uint32{1, 3} {
		for which := range 2 { // active, standby
			p := policy()
			p.Misses = misses
			l := newLab(t, group(p))
			g := l.stations[which]
			g.deaf = true
			name := []string{"a", "b"}[which]
			l.run(20 * time.Second)
			if l.state(name) != gateway.Up {
				t.Fatalf("misses %d: %s is %v after 20 s, want up", misses, name, l.state(name))
			}
			m := l.member(name)
			missed, fails, unicast := m.Missed.Load(), m.Fails.Load(), g.probed-g.bcast
			l.run(200 * time.Second)
			if n := m.Missed.Load() - missed; n != 0 || m.Fails.Load() != fails {
				t.Errorf("misses %d, %s: %d misses and %d failures while every broadcast was answered, want none",
					misses, name, n, m.Fails.Load()-fails)
			}
			if tried := g.probed - g.bcast - unicast; tried < 2 || tried > 10 {
				t.Errorf("misses %d, %s: probed by unicast %d times in 200 s, want about once a minute",
					misses, name, tried)
			}
			// Silence is detected as fast as ever.
			g.mute = true
			most := time.Duration(misses+2) * 100 * ms
			if took := l.until(time.Second, func() bool { return l.state(name) == gateway.Down }); took > most {
				t.Errorf("misses %d, %s: silence detected after %v, want at most %v", misses, name, took, most)
			}
			g.mute = false
			l.until(10*time.Second, func() bool { return l.state(name) == gateway.Up })
			g.deaf = false
			l.run(70 * time.Second)
			before := g.bcast
			l.run(10 * time.Second)
			if g.bcast != before {
				t.Errorf("misses %d, %s: probed by broadcast %d times in 10 s though it answers unicast, want never",
					misses, name, g.bcast-before)
			}
		}
	}
}

// One lost answer in ten, of a gateway that answers broadcasts alone, does not take it down.
func TestBroadcastsAndLoss(t *testing.T) {
	l := newLab(t, group(policy()))
	g := l.stations[0]
	g.deaf = true
	l.run(5 * time.Second)
	fails := l.member("a").Fails.Load()
	for i := range 1000 {
		g.mute = i%5 == 0
		l.run(100 * ms)
	}
	if n := l.member("a").Fails.Load() - fails; n != 0 {
		t.Errorf("failed %d times, want never", n)
	}
	l.want("a", gateway.WhyAnswers)
}

// The round-trip time is that of a probe and its own answer, however many probes went out in between; and right again
// when the answers come early again.
func TestRTT(t *testing.T) {
	for _, deaf := range []bool{false, true} {
		for _, late := range []time.Duration{0, 40 * ms, 130 * ms, 250 * ms, 980 * ms} {
			l := newLab(t, group(policy()))
			g := l.stations[0]
			g.deaf = deaf
			is := func(what string, want time.Duration) {
				t.Helper()
				if got := time.Duration(l.member("a").RTT.Load()); got < want || got > want+4*ms {
					t.Errorf("%s, late by %v, deaf to unicast %v: %v, want %v", what, late, deaf, got, want)
				}
			}
			g.late = late
			l.run(15 * time.Second)
			is("from the start", late)
			g.late = 0
			l.run(15 * time.Second)
			is("in time again", 0)
			g.mute = true
			l.run(150 * ms)
			g.mute = false
			l.run(10 * time.Second)
			is("after a lost answer", 0)
			g.late = late
			l.run(15 * time.Second)
			is("late again", late)
			if n := l.member("a").RTTs.Load(); n == 0 {
				t.Error("no round-trip time was measured, want at least one")
			}
		}
	}
}
