package director

import (
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"testing"
	"time"

	"penstock/ctrl/alarm"
	"penstock/ctrl/compile"
	"penstock/ctrl/model"
	"penstock/ctrl/unicast"
	"penstock/dataplane/fib"
	"penstock/dataplane/flow"
	"penstock/dataplane/resolve"
	"penstock/dataplane/table"
)

const (
	switchMAC = 0x02000000000a
	second    = int64(time.Second)
)

// node is a director whose packet path is a list of frames.
type node struct {
	t      *testing.T
	s      *Service
	at     Place
	now    *int64
	snap   *fib.Snapshot
	state  *model.State
	states map[string]string
	keys   []resolve.Key
	flows  *flow.Table
	news   *flow.News

	sent      [][]byte
	inner     [][]byte
	directing map[string]*compile.Directing
	standby   map[string]bool
	adopted   map[string]string
	alarms    map[string]string // object and text, by kind
}

func (n *node) Inject(_ int, b []byte) bool { n.sent = append(n.sent, slices.Clone(b)); return true }
func (n *node) InjectInner(_, _ uint32, b []byte) bool {
	n.inner = append(n.inner, slices.Clone(b))
	return true
}
func (n *node) FlowNews() []*flow.News { return []*flow.News{n.news} }
func (n *node) ReadFlows(_ int, from uint32, out []flow.Flow) (uint32, int) {
	return n.flows.Read(from, out)
}
func (n *node) AddFlows(list []flow.Flow) (added int) {
	for i := range list {
		var p flow.Probe
		n.flows.Prepare(&p, &list[i].Key)
		if n.flows.Restore(&p, list[i].Server, list[i].State, list[i].OffTable, list[i].Age) {
			added++
		}
	}
	return added
}
func (n *node) Standby(vip string, on bool)               { n.standby[vip] = on }
func (n *node) Adopt(states map[string]string)            { maps.Copy(n.adopted, states) }
func (n *node) Raise(r alarm.Report)                      { n.alarms[string(r.Kind)] = r.Object + ": " + r.Text }
func (n *node) Clear(kind alarm.Kind, _ string)           { delete(n.alarms, string(kind)) }
func (n *node) direct(vips map[string]*compile.Directing) { maps.Copy(n.directing, vips) }

const serverRef = fib.Ref(1 << fib.RefBits)

// newNode makes director number i (0 or 1) of VIP red/www, with a service of two servers.
func newNode(t *testing.T, i int, now *int64) *node {
	t.Helper()
	addr := netip.MustParseAddr
	n := &node{t: t, at: Place{switchMAC, uint8(2 + 6*i)}, now: now, keys: testKeys,
		directing: map[string]*compile.Directing{}, standby: map[string]bool{}, adopted: map[string]string{},
		alarms: map[string]string{}, news: &flow.News{},
		states: map[string]string{"red/http/web1": "up", "red/http/web2": "down"}}
	n.state = &model.State{
		Tenants:  map[string]model.Tenant{"red": {Name: "red", ID: 100}},
		Segments: map[string]model.Segment{"red/web": {Tenant: "red", Name: "web", ID: 1}},
		VIPs: map[string]model.VIP{"red/www": {Tenant: "red", Name: "www", Segment: "web", Address: addr("10.10.1.100"),
			Directors: []model.Director{{Box: "d0", Address: addr("10.10.1.101")},
				{Box: "d1", Address: addr("10.10.1.102")}}}},
		Services: map[string]model.Service{"red/http": {Tenant: "red", Name: "http", VIP: "www", ID: 7, Port: 80}},
		Servers: map[string]model.Server{"red/http/web1": {Tenant: "red", Service: "http", Name: "web1"},
			"red/http/web2": {Tenant: "red", Service: "http", Name: "web2"}},
	}
	bindings, err := table.NewBindings(table.Config{Capacity: 16})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = bindings.Close() }) // the test is over
	other := Place{switchMAC, uint8(8 - 6*i)}
	if err := bindings.Upsert(&table.Binding{Seg: 0, MAC: 0x02560a0a0165 + uint64(1-i),
		Loc: fib.RemoteLoc(0, other.Port)}); err != nil {
		t.Fatal(err)
	}
	n.snap = &fib.Snapshot{
		Ports: []fib.Port{{Role: fib.RoleFabric, Fabric: fib.Fabric{SwitchMAC: switchMAC, Number: n.at.Port,
			HostMask: 0xffff, Prefix: 10<<24 | uint32(n.at.Port)<<16, BoxIP: 10<<24 | uint32(n.at.Port)<<16 | 1}}},
		Switches: []fib.Switch{{MAC: switchMAC, Paths: []fib.Path{{VID: 101, MTU: 1534, DstBase: 10 << 24,
			DstShift: 16, HostMask: 0xffff}}}},
		Segments:    []fib.Segment{{Tenant: 100, ID: 1}},
		SegmentByID: table.NewStatic([]uint64{fib.SegmentKey(100, 1)}, []uint32{0}),
		VIPs:        []fib.VIP{{Ref: 1 << fib.RefBits, IP4: 0x0a0a0164}},
		Services: []fib.Service{{Ref: 1 << fib.RefBits, ID: 7, Tenant: 100, Proto: 6, Port: 80, PortEnd: 80,
			Members: []uint32{0}, Weights: []uint16{1}, Table: []uint16{0, 0, 0}}},
		Servers: []fib.Server{{Ref: serverRef, MAC: 0x020000000114, Port: 8080},
			{Ref: 1<<fib.RefBits | 1, MAC: 0x020000000115, Port: 8080}},
		Bindings: bindings,
	}
	if n.flows, err = flow.New(flow.Config{Flows: 1000, Servers: 8}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = n.flows.Close() }) // the test is over
	n.flows.SetNews(n.news)
	n.s = New(Config{
		Box: fmt.Sprint("d", i), Keys: func() []resolve.Key { return n.keys },
		State: func() *model.State { return n.state },
		Read:  func(fn func(*fib.Snapshot)) { fn(n.snap) }, SetDirectors: n.direct,
		ServerStates: func() map[string]string { return n.states }, Health: n, Engine: n, Alarms: n,
		Log: slog.New(slog.DiscardHandler), Now: func() int64 { return *now },
	})
	n.s.Begin()
	return n
}

// take gives the node what another one has sent.
func (n *node) take(from *node) {
	for _, b := range from.sent {
		if b[41] == 0x2f { // port 7471
			_, _, payload, _ := unicast.Packet(b)
			n.s.Binding(payload)
		} else {
			n.s.Director(0, b)
		}
	}
}

func (n *node) turn() {
	n.flows.Turn(*n.now - 1_799_999_000*second)
	n.s.refresh()
	n.s.Step()
	n.s.follow.step(n.s)
}

// run lets the nodes talk for a time; deaf ones hear nothing.
func run(now *int64, d int64, a, b *node, talk bool) {
	for end := *now + d; *now < end; {
		*now += int64(tick)
		a.turn()
		b.turn()
		if talk {
			a.take(b)
			b.take(a)
		}
		a.sent, b.sent = nil, nil
	}
}

func pair(t *testing.T) (now *int64, a, b *node) {
	now = new(int64)
	*now = 1_800_000_000 * second
	return now, newNode(t, 0, now), newNode(t, 1, now)
}

// TestServiceStandby: the first director claims, the second stands by with the first one's health states and off-table
// flows, and takes over when the first one is silent.
func TestServiceStandby(t *testing.T) {
	now, a, b := pair(t)
	if d := a.directing["red/www"]; d == nil || d.Here {
		t.Errorf("before the start is over: %+v, want that d0 waits", d)
	}
	b.states = map[string]string{"red/http/web1": "init", "red/http/web2": "up"}
	run(now, second, a, b, true)
	if d, e := a.directing["red/www"], b.directing["red/www"]; d == nil || !d.Here || e == nil || e.Here ||
		e.SwitchMAC != switchMAC || e.SwitchPort != 2 {
		t.Fatalf("d0 directs %+v, d1 %+v; want d0 here, and d1 to know its place", d, e)
	}
	if a.standby["red/www"] || !b.standby["red/www"] || !maps.Equal(b.adopted, a.states) {
		t.Errorf("standing by: d0 %v, d1 %v, which adopted %v; want d1 alone, and %v", a.standby["red/www"],
			b.standby["red/www"], b.adopted, a.states)
	}
	if len(a.inner) != 3 || len(b.inner) != 0 {
		t.Errorf("announcements: %d of d0, %d of d1; want 3 at once, and none", len(a.inner), len(b.inner))
	}
	var p flow.Probe
	k := flow.Key{Client: [2]uint64{0, 0x0a0a010a}, VIP: 1 << fib.RefBits, ClientPort: 5, Port: 80, Proto: 6}
	a.flows.Prepare(&p, &k)
	if _, ok := a.flows.Insert(&p, serverRef, flow.HalfOpen, true); !ok {
		t.Fatal("no flow was inserted")
	}
	run(now, 50_000_000, a, b, true)
	b.flows.Prepare(&p, &k)
	if s, ok := b.flows.Find(&p); !ok || b.flows.Entry(s).Server() != serverRef || !b.flows.Entry(s).OffTable() {
		t.Errorf("d1 has the off-table flow: %v, want it", ok)
	}
	began := *now
	for d := b.directing["red/www"]; !d.Here && *now-began < second; d = b.directing["red/www"] {
		run(now, int64(tick), a, b, false)
	}
	if took := *now - began; took > silence+2*int64(tick) {
		t.Errorf("the takeover took %d ms, want at most 320", took/1e6)
	}
	if b.standby["red/www"] {
		t.Error("d1 stands by after its takeover, want it to check servers")
	}
	run(now, second, a, b, false)
	if b.alarms["director_lost"] == "" {
		t.Errorf("alarms of d1: %v, want director_lost", b.alarms)
	}
	run(now, second, a, b, true)
	if d, e := a.directing["red/www"], b.directing["red/www"]; d.Here || !e.Here || len(b.alarms) != 0 {
		t.Errorf("after the return of d0: d0 %+v, d1 %+v, alarms %v; want d1 to go on and no alarm", d, e, b.alarms)
	}
}

// TestServiceForged: flows that are not signed, signed with another key, or sent a second time add nothing and are
// counted.
func TestServiceForged(t *testing.T) {
	now, a, b := pair(t)
	run(now, second, a, b, true)
	write := func(keys []resolve.Key, sequence uint64, port uint16) []byte {
		m := message{opcode: opFlows, sequence: sequence, flows: []flowNews{{tenant: 100, service: 7, state: 2,
			clientPort: port, serverPort: 8080, mac: 0x020000000114, client: netip.MustParseAddr("10.10.1.10")}}}
		_, f, ok := unicast.Frame(a.snap, unicast.AnyPort, 0, 8, PortFlows, unicast.SourcePort(a.at.Switch, a.at.Port),
			m.append(nil, keys))
		if !ok {
			t.Fatal("no frame")
		}
		return f
	}
	good := write(testKeys, uint64(*now), 1)
	for _, c := range []struct {
		name  string
		frame []byte
		want  Counters
	}{
		{"good", good, Counters{Flows: 1, FlowsAdded: 1}},
		{"replayed", good, Counters{Replayed: 1}},
		{"older", write(testKeys, uint64(*now)-1, 2), Counters{Replayed: 1}},
		{"without a tag", write(nil, uint64(*now)+1, 3), Counters{Forged: 1}},
		{"with another key", write([]resolve.Key{{ID: 1, Octets: "another key"}}, uint64(*now)+2, 4),
			Counters{Forged: 1}},
		{"cut", good[:60], Counters{Malformed: 1}},
		{"newer", write(testKeys, uint64(*now)+3, 5), Counters{Flows: 1, FlowsAdded: 1}},
	} {
		before, flows := b.s.Counters(), b.flows.Len()
		b.s.Director(0, c.frame)
		b.s.follow.step(b.s)
		after := b.s.Counters()
		got := Counters{Flows: after.Flows - before.Flows, FlowsAdded: after.FlowsAdded - before.FlowsAdded,
			Malformed: after.Malformed - before.Malformed, Forged: after.Forged - before.Forged,
			Replayed: after.Replayed - before.Replayed}
		if got != c.want || b.flows.Len()-flows != int(c.want.FlowsAdded) {
			t.Errorf("%s: %+v and %d flows more, want %+v", c.name, got, b.flows.Len()-flows, c.want)
		}
	}
}

// TestServiceDiffer: other tables raise an alarm after 10 s, equal ones clear it.
func TestServiceDiffer(t *testing.T) {
	now, a, b := pair(t)
	run(now, 2*second, a, b, true)
	b.snap.BalanceKey[0] = 1
	run(now, 9*second, a, b, true)
	if len(a.alarms)+len(b.alarms) != 0 {
		t.Errorf("after 9 s: alarms %v, %v; want none", a.alarms, b.alarms)
	}
	run(now, 2*second, a, b, true)
	if a.alarms["directors_differ"] == "" || b.alarms["directors_differ"] == "" {
		t.Errorf("after 11 s: alarms %v, %v; want directors_differ on both", a.alarms, b.alarms)
	}
	b.snap.BalanceKey[0] = 0
	run(now, second, a, b, true)
	if len(a.alarms)+len(b.alarms) != 0 {
		t.Errorf("with equal keys: alarms %v, %v; want none", a.alarms, b.alarms)
	}
}

// TestServiceDrained: flows that were the table's and are not any more, since their server drains, are told within a
// second; flows that were told are not told back.
func TestServiceDrained(t *testing.T) {
	now, a, b := pair(t)
	run(now, second, a, b, true)
	var p flow.Probe
	k := flow.Key{Client: [2]uint64{0, 0x0a0a010a}, VIP: 1 << fib.RefBits, ClientPort: 5, Port: 80, Proto: 6}
	a.flows.Prepare(&p, &k)
	s, ok := a.flows.Insert(&p, serverRef, flow.HalfOpen, false)
	if !ok {
		t.Fatal("no flow was inserted")
	}
	a.flows.TCP(s, 0x10)
	run(now, 2*second, a, b, true)
	if b.flows.Len() != 0 {
		t.Errorf("d1 has %d flows, want none: the table gives the server", b.flows.Len())
	}
	for _, n := range []*node{a, b} {
		services := slices.Clone(n.snap.Services)
		services[0].Members = []uint32{1}
		n.snap.Services = services
	}
	run(now, 2*second, a, b, true)
	b.flows.Prepare(&p, &k)
	s, ok = b.flows.Find(&p)
	if !ok {
		t.Fatal("d1 has not got the flow of the server that drains")
	}
	if e := b.flows.Entry(s); e.Server() != serverRef || e.State() != flow.Established || !e.OffTable() {
		t.Errorf("d1 has server %x, %v, off-table %v; want %x, established, off-table", e.Server(), e.State(),
			e.OffTable(), serverRef)
	}
	before := a.s.Counters().Flows
	run(now, 65*second, a, b, true)
	if got := a.s.Counters().Flows; got != before {
		t.Errorf("d1 has sent %d messages with flows, want none of what it was told", got-before)
	}
	if got := b.s.Counters().Flows; got < 2 {
		t.Errorf("d0 has sent %d messages with flows, want them again after a minute", got)
	}
}
