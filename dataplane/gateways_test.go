package dataplane

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"penstock/dataplane/fib"
	"penstock/dataplane/gateway"
	"penstock/dataplane/table"
	"penstock/dataplane/wire"
	"penstock/dataplane/xsk"
	"penstock/dataplane/xsk/xsktest"
)

const groupMAC = 0x02ff00000001

// gate is a gateway at the far end of an uplink. It answers ARP for its address unless it is mute, and counts the
// frames that it receives.
type gate struct {
	sock     *xsktest.PacketSocket
	mac      uint64
	ip       uint32
	mute     atomic.Bool
	received atomic.Uint64
}

func (g *gate) run(quit *atomic.Bool) {
	for !quit.Load() {
		f := g.sock.Receive(5 * time.Millisecond)
		if len(f) < 42 {
			continue
		}
		e := wire.Ethernet(f)
		if e.Type() != wire.EtherTypeARP {
			if e.Dst() == g.mac && e.Src() == groupMAC {
				g.received.Add(1)
			}
			continue
		}
		a := wire.ARP(f[14:])
		if a.Op() != wire.ARPRequest || a.TargetIP() != g.ip || g.mute.Load() {
			continue
		}
		r := make([]byte, 60)
		e = wire.Ethernet(r)
		e.SetDst(a.SenderMAC())
		e.SetSrc(g.mac)
		e.SetType(wire.EtherTypeARP)
		wire.ARP(r[14:]).Set(wire.ARPReply, g.mac, g.ip, a.SenderMAC(), a.SenderIP())
		_ = g.sock.TrySend(r) // fails when the link is gone
	}
}

// withGateways returns a bench with two uplinks, each with a gateway. Both gateways are members of group 1, which is
// for the VIFs on port 0.
func withGateways(t *testing.T, workers int, poll PollMode) (x *bench, gates [2]*gate, stop func()) {
	t.Helper()
	cfg := small(workers)
	cfg.Poll = poll
	cfg.Frames = 16384
	cfg.Ports = []PortConfig{
		{Interface: "pu", Queues: workers, Mode: xsk.ModeCopy}, {Interface: "pv", Queues: workers, Mode: xsk.ModeCopy},
	}
	x = newBench(t, workers, cfg)
	names := [][2]string{{"pu", "fu"}, {"pv", "fv"}}
	s := x.snap
	g := fib.Group{Live: fib.NewGroupLive(), MAC: groupMAC, Policy: gateway.DefaultPolicy(), Order: []uint8{0, 1}}
	g.Policy.Interval, g.Policy.FlapCount = 20_000_000, 0
	for i := range gates {
		_, far := xsktest.Veth(t, names[i][0], names[i][1], xsktest.VethConfig{Queues: workers})
		gates[i] = &gate{sock: xsktest.Packet(t, far), mac: 0x020000aa0001 + uint64(i), ip: 0xc0000201 + uint32(i)}
		g.Members = append(g.Members, fib.Member{
			Live: &fib.MemberLive{}, Port: uint16(2 + i), IP: gates[i].ip, Source: 0xc0000209, Stat: uint32(i),
		})
		s.Ports = append(s.Ports, fib.Port{Role: fib.RoleUplink, Up: true, MTU: 1500, MAC: 0x020000000f02 + uint64(i),
			Uplink: []fib.UplinkMember{{Slot: uint16(i), Group: 1}}})
	}
	s.Groups = []fib.Group{{}, g}
	s.Segments[0].Gateway = 1
	s.Segments[0].Router = 0
	s.Routers = []fib.Router{{Tenant: s.Segments[0].Tenant, Gateway: 1, Outside4: []fib.Subnet4{{End: ^uint32(0)}}}}
	if err := x.bindings.Upsert(&table.Binding{MAC: groupMAC, Loc: fib.GroupLoc(1)}); err != nil {
		t.Fatal(err)
	}
	s.Generation = 2
	x.Publish(&s)
	var quit atomic.Bool
	var wg sync.WaitGroup
	for _, g := range gates {
		wg.Go(func() { g.run(&quit) })
	}
	return x, gates, sync.OnceFunc(func() { quit.Store(true); wg.Wait() })
}

// toGroup returns a frame of a flow to the group's MAC.
func toGroup(flow int, seq uint64) []byte {
	f := data(flow, seq)
	wire.PutMAC(f, groupMAC)
	return f
}

// within waits until ok, and fails after 20 s.
func within(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("not within 20 s: " + what)
		}
	}
}

// TestGateways: probes, carrier, transmit errors, silence and commands over real sockets, in every poll mode, under
// traffic, and with concurrent readers of the live state.
func TestGateways(t *testing.T) {
	for name, tc := range map[string]struct {
		workers int
		poll    PollMode
	}{"interrupt": {1, PollInterrupt}, "adaptive, two workers": {2, PollAdaptive}, "busy": {1, PollBusy}} {
		t.Run(name, func(t *testing.T) {
			x, gates, stop := withGateways(t, tc.workers, tc.poll)
			defer stop()
			if err := x.SwitchGateway(1, 0); !errors.Is(err, ErrNotRunning) {
				t.Errorf("switch before the start: %v, want ErrNotRunning", err)
			}
			x.start()
			g := x.snapshot.Load().Groups[1]
			state := func(i int) gateway.State { return gateway.State(g.Members[i].Live.State.Load()) }
			active := func(slot uint32) func() bool { return func() bool { return g.Live.Active.Load() == slot } }
			up := func() bool { return state(0) == gateway.Up && state(1) == gateway.Up }

			var quit atomic.Bool
			var wg sync.WaitGroup
			defer func() { quit.Store(true); wg.Wait() }()
			wg.Go(func() { // control reads all live state, all the time
				for !quit.Load() {
					for i := range g.Members {
						l := g.Members[i].Live
						_ = l.State.Load() + l.Why.Load()
						_ = l.RTT.Load() + l.Since.Load()
						_, _ = l.Gateway()
					}
					x.GatewayEvents().Take(func(gateway.Event) {})
					time.Sleep(time.Millisecond)
				}
			})
			wg.Go(func() {
				for seq := uint64(0); !quit.Load(); seq++ {
					_ = x.a.TrySend(toGroup(int(seq%flows), seq))
					time.Sleep(200 * time.Microsecond)
				}
			})
			arrives := func(i int) {
				t.Helper()
				n := gates[i].received.Load()
				within(t, "traffic to gateway", func() bool { return gates[i].received.Load() > n+10 })
			}

			within(t, "both gateways up", up)
			first := g.Live.Active.Load()
			if err := x.SwitchGateway(1, 1-first); err != nil {
				t.Fatal(err)
			}
			if g.Live.Active.Load() != 1-first {
				t.Errorf("member %d is active after the command, want %d", int32(g.Live.Active.Load()), 1-first)
			}
			arrives(int(1 - first))
			if err := x.SwitchGateway(1, 0); err != nil && first != 0 {
				t.Fatal(err)
			}

			if err := x.SetCarrier(2, false); err != nil {
				t.Fatal(err)
			}
			if g.Live.Active.Load() != 1 || gateway.Why(g.Live.Why.Load()) != gateway.WhyCarrier {
				t.Errorf("member %d is active for %v after SetCarrier, want 1 for %v",
					int32(g.Live.Active.Load()), gateway.Why(g.Live.Why.Load()), gateway.WhyCarrier)
			}
			arrives(1)
			if err := x.SetCarrier(2, true); err != nil {
				t.Fatal(err)
			}
			within(t, "the first gateway up again", up)

			gates[1].mute.Store(true)
			within(t, "silence", active(0))
			arrives(0)
			gates[1].mute.Store(false)
			within(t, "the second gateway up again", up)

			// The kernel refuses to send on an interface that is down. Control has not called SetCarrier.
			xsktest.Down(t, "pu")
			within(t, "a transmit error", active(1))
			within(t, "member 0 failed for that", func() bool { // the active member is told first
				return gateway.Why(g.Members[0].Live.Why.Load()) == gateway.WhyTransmit
			})
			arrives(1)
			xsktest.Up(t, "pu")
			within(t, "the first gateway up again", up)

			// The port closes with its sockets, and opens again.
			x.ClosePort(2)
			if err := x.SetCarrier(2, false); err != nil {
				t.Fatal(err)
			}
			if err := x.OpenPort(2); err != nil {
				t.Fatal(err)
			}
			if err := x.SetCarrier(2, true); err != nil {
				t.Fatal(err)
			}
			within(t, "the first gateway up again", up)
			if err := x.SwitchGateway(1, gateway.None); err != nil {
				t.Fatal(err)
			}
			arrives(0)
			if r := x.Member(0); r.Tx.Packets == 0 || r.Tx.Bytes < 64*r.Tx.Packets {
				t.Errorf("traffic to member 0 %+v, want packets of 64 octets at least", r.Tx)
			}
			if p := g.Members[0].Live.Probes.Load(); p < 20 {
				t.Errorf("%d probes of member 0, want 20 at least", p)
			}
			quit.Store(true)
			wg.Wait()
			x.end()
			stop()
			if err := x.SetCarrier(2, false); !errors.Is(err, ErrNotRunning) {
				t.Errorf("SetCarrier after the stop: %v, want ErrNotRunning", err)
			}
		})
	}
}
