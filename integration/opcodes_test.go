package integration

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"penstock/ctrl/compile"
	"penstock/ctrl/model"
	"penstock/ctrl/neighbor/lldp"
	"penstock/ctrl/unicast"
	"penstock/dataplane/resolve"
	"penstock/integration/endpoint"
	"penstock/integration/lab"
)

// The neighbour that floods, and one that does not, are behind the same switch.
var (
	flooder = compile.Place{Switch: joinSwitch, Port: 17}
	honest  = compile.Place{Switch: joinSwitch, Port: 18}
)

// opcodeFlood is what one neighbour sends as fast as it can: message i.
type opcodeFlood struct {
	name      string
	broadcast bool
	message   func(i int) resolve.Body
	lldp      bool
	same      bool // the honest neighbour's message is of the same opcode: there its share is not its own
}

func opcodeFloods(own model.MAC) []opcodeFlood {
	body := func(op uint8, change func(m *resolve.Body, i int)) func(i int) resolve.Body {
		return func(i int) resolve.Body {
			m := resolve.Body{Op: op, Sequence: uint64(time.Now().UnixNano()), Tenant: 100, Segment: 7,
				MAC: uint64(own), Switch: uint64(flooder.Switch), Port: uint16(flooder.Port)}
			change(&m, i)
			return m
		}
	}
	none := func(*resolve.Body, int) {}
	return []opcodeFlood{
		{name: "WHERE", broadcast: true, message: body(resolve.OpWhere, none)},
		{name: "HERE", broadcast: true, same: true, message: body(resolve.OpHere, func(m *resolve.Body, i int) {
			m.MAC = 0x021700000000 + uint64(i%2000)
		})},
		{name: "NOT-HERE", broadcast: true, message: body(resolve.OpNotHere, func(m *resolve.Body, i int) {
			m.MAC = honestMAC + uint64(i%100)
		})},
		{name: "HELLO", broadcast: true, message: body(resolve.OpHello, func(m *resolve.Body, i int) {
			m.MAC = 0x021700000001
			m.Flags = resolve.FlagSolicit
			m.SetSummary(resolve.Summary{Count: 10, Digest: uint64(i), Held: 9})
		})},
		{name: "PULL", message: body(resolve.OpPull, func(m *resolve.Body, i int) { m.MAC, m.IP4 = 0, 32 })},
		{name: "PAGE", message: body(resolve.OpPage, func(m *resolve.Body, i int) { m.Flags = resolve.FlagLast })},
		{name: "PROBE", message: body(resolve.OpProbe, func(m *resolve.Body, i int) { m.Tenant, m.Segment = 0, 102 })},
		{name: "ECHO", message: body(resolve.OpEcho, func(m *resolve.Body, i int) { m.Tenant, m.Segment = 0, 102 })},
		{name: "unknown opcode", message: body(9, none)},
		{name: "LLDP", lldp: true},
	}
}

// honestMAC is the first VIF of the neighbour that does not flood.
const honestMAC = 0x021800000000

// TestOpcodeFloods: one neighbour floods with each opcode, and with LLDP; another one's new VIFs are known
// nevertheless, its old ones stay, and no data frame is lost.
func TestOpcodeFloods(t *testing.T) {
	o := joinTown(100)
	f := startFabric(t, o)
	n := f.Node("box1")
	paths := model.Path{A: joinSwitch, B: n.SwitchMAC, VLANs: []model.PathVLAN{{VID: 102}}}
	f.push("box1", []lab.Operation{{Op: "put", Kind: paths.Kind(), Key: paths.Key(), Value: paths}})
	f.waitThrough("red-vm1", "red-vm2", 5*time.Second)
	before := f.memory(t, "box1")
	first := f.edge(t, "box1")
	vifs := 0
	for _, x := range opcodeFloods(f.VM("red-vm1").MAC) {
		t.Run(x.name, func(t *testing.T) {
			s := f.steady(t, "red-vm1", "red-vm2", 2000, 4)
			drops := f.drops("box1")
			var done atomic.Bool
			var sent atomic.Uint64
			var threads sync.WaitGroup
			sw := f.edge(t, "box1")
			threads.Go(func() { x.run(t, sw, &done, &sent) })
			began := time.Now()
			worst := time.Duration(0)
			for range 5 {
				worst = max(worst, f.learnsHonest(t, first, vifs, x.same))
				vifs++
			}
			time.Sleep(max(0, 300*time.Millisecond-time.Since(began)))
			done.Store(true)
			threads.Wait()
			took := time.Since(began)
			r := stop(t, s)
			after := f.drops("box1")
			for reason, n := range drops {
				if after[reason] -= n; after[reason] == 0 {
					delete(after, reason)
				}
			}
			t.Logf("%.0f frames a second; a new VIF of another was known after %v at most; drops %v",
				float64(sent.Load())/took.Seconds(), worst.Round(time.Millisecond), after)
			if r.Lost() > r.SendErrors+r.Overruns {
				t.Errorf("data frames: %v, want none lost", r)
			}
			for i := range vifs {
				if !f.knows(honestMAC + uint64(i)) {
					t.Errorf("the other's VIF %d is not known any more", i)
				}
			}
		})
	}
	grown := f.memory(t, "box1") - before
	t.Logf("memory grew by %d MB", grown>>10)
	if grown > 128<<10 {
		t.Errorf("memory grew by %d KiB, want less than 128 MiB", grown)
	}
	f.waitThrough("red-vm1", "red-vm2", 5*time.Second)
}

// run floods until done is set.
func (x *opcodeFlood) run(t *testing.T, sw *endpoint.Switch, done *atomic.Bool, sent *atomic.Uint64) {
	w := joinWorld{sw: sw}
	for i := 0; !done.Load(); i++ {
		var b []byte
		switch {
		case x.lldp:
			a := lldp.Advert{Source: 0x021700000000, Chassis: lldp.MACID(lldp.ChassisMAC, 0x021700000000+model.MAC(i)),
				Port: lldp.ID{Subtype: lldp.PortName, Octets: "swp9"}, TTL: 120}
			b = a.Append(nil)
		case x.broadcast:
			m := x.message(i)
			b = unicast.Broadcast(uint64(flooder.Switch), controlVLAN, m.Append(nil))
		default:
			m := x.message(i)
			b = w.unicast(flooder.Port, m.Append(nil))
		}
		err := sw.Send(b)
		if errors.Is(err, unix.ENOBUFS) {
			continue
		}
		if err != nil {
			t.Error(err)
			return
		}
		sent.Add(1)
	}
}

// learnsHonest has the honest neighbour announce a VIF, and returns the time until the box knows it. Where its message
// may be lost it says it again, as its HELLO would have the box pull it.
func (f *fabric) learnsHonest(t *testing.T, sw *endpoint.Switch, vif int, again bool) time.Duration {
	t.Helper()
	m := resolve.Body{Op: resolve.OpHere, Flags: resolve.FlagStatic, Sequence: uint64(time.Now().UnixNano()),
		Tenant: 100, Segment: 7, MAC: honestMAC + uint64(vif), IP4: 0x0a000080 + uint32(vif),
		Switch: uint64(honest.Switch), Port: uint16(honest.Port)}
	frame := unicast.Broadcast(uint64(honest.Switch), controlVLAN, m.Append(nil))
	began := time.Now()
	var last time.Time
	for ; time.Since(began) < 20*time.Second; time.Sleep(2 * time.Millisecond) {
		if last.IsZero() || again && time.Since(last) > 100*time.Millisecond {
			if err := sw.Send(frame); err == nil {
				last = time.Now()
			} else if !errors.Is(err, unix.ENOBUFS) {
				t.Fatal(err)
			}
		}
		if f.knows(m.MAC) {
			return time.Since(began)
		}
	}
	t.Errorf("the other's new VIF %d is not known after 20 s; drops %v", vif, f.drops("box1"))
	return time.Since(began)
}

// knows reports whether box1 has a binding of the demo segment.
func (f *fabric) knows(m uint64) bool {
	var b model.Binding
	key := fmt.Sprintf("/v1/bindings/red/web/%s", model.MAC(m))
	return f.call("box1", "GET", key, nil, &b) == nil && b.SwitchPort == uint16(honest.Port)
}
