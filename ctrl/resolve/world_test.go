package resolve

import (
	"bytes"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"penstock/ctrl/alarm"
	"penstock/ctrl/compile"
	"penstock/ctrl/model"
	"penstock/dataplane/resolve"
)

// node is a box under test: its service, and a table by the rules of package compile.
type node struct {
	w       *world
	n       int
	at      compile.Place
	s       *Service
	cfg     Config
	keys    []resolve.Key
	vifs    map[compile.FabricKey]compile.FabricRow
	rows    map[compile.FabricKey]compile.FabricRow
	times   map[compile.FabricKey]uint32
	pushed  map[compile.FabricKey]compile.Place
	unknown map[uint32]bool // tenants that are not here
	room    int             // 0 = any number
	time    uint32
	version uint64
	alarms  map[string]string
	skew    int64
	down    bool
	seen    map[compile.FabricKey]int64 // VIFs that were heard, when
	heardOf []string                    // boxes, and their states
	heardAt map[compile.FabricKey]uint16
	stuck   bool     // the port takes no broadcast
	claimed [][]byte // messages for the directors
	paths   []uint16
	between bool                // it has ports to boxes and to VTEPs
	yielded []compile.FabricKey // segments in which it gives way
	chirped map[uint16][]int64  // by VLAN, when
}

// world is boxes on one broadcast domain.
type world struct {
	t     *testing.T
	now   int64
	rng   *rand.Rand
	loss  float64
	nodes []*node
	air   []letter
	count map[uint8]int // bodies on the air, by opcode
	spy   func(from *node, payload []byte, broadcast bool)
}

type letter struct {
	from      *node
	to        compile.Place // zero = all
	payload   []byte
	broadcast bool
}

func newWorld(t *testing.T, nodes int) *world {
	w := &world{t: t, now: 1_800_000_000_000_000_000, rng: rand.New(rand.NewPCG(1, 2)), count: map[uint8]int{}}
	for i := range nodes {
		n := &node{w: w, n: i, at: compile.Place{Switch: 0x02000000000a + model.MAC(i%2), Port: uint8(1 + i)},
			vifs: map[compile.FabricKey]compile.FabricRow{}, pushed: map[compile.FabricKey]compile.Place{},
			chirped: map[uint16][]int64{}, unknown: map[uint32]bool{}, alarms: map[string]string{}}
		n.cfg = Config{Table: n, Wire: n, Alarms: n, Log: slog.New(slog.DiscardHandler),
			Keys: func() []resolve.Key { return n.keys }, Now: func() int64 { return w.now + n.skew },
			File:      filepath.Join(t.TempDir(), "claims.json"),
			Heard:     func(b Box) { n.heardOf = append(n.heardOf, fmt.Sprint(b.At.Port, " ", b.State)) },
			Directors: func(b []byte) { n.claimed = append(n.claimed, b) }}
		w.nodes = append(w.nodes, n)
		n.start()
	}
	return w
}

// start starts the box with nothing but its VIFs, pushed bindings and claims.
func (n *node) start() {
	n.seen, n.heardAt = map[compile.FabricKey]int64{}, map[compile.FabricKey]uint16{}
	n.rows, n.times, n.down = map[compile.FabricKey]compile.FabricRow{}, map[compile.FabricKey]uint32{}, false
	n.s = New(n.cfg)
	n.s.SetSelf(Self{At: n.at, MAC: model.MAC(0x02000000fb00 + n.n), Since: time.Unix(0, n.w.now)})
}

func (n *node) stop() {
	if err := n.s.Save(); err != nil {
		n.w.t.Fatal(err)
	}
	n.down = true
}

func vif(tenant uint32, mac model.MAC) compile.FabricKey {
	return compile.FabricKey{Tenant: tenant, Segment: 7, MAC: 0x020000000000 + mac}
}

// put gives the box a VIF with an address that follows from the VIF.
func (n *node) put(key compile.FabricKey, more ...netip.Addr) {
	a := netip.AddrFrom4([4]byte{10, byte(key.MAC >> 16), byte(key.MAC >> 8), byte(key.MAC)})
	r := compile.FabricRow{FabricKey: key, Static: true, Addresses: append([]netip.Addr{a}, more...)}
	if old, ok := n.rows[key]; ok {
		r.Sequence = old.Sequence
		n.forget(key)
	}
	n.vifs[key] = r
	n.s.Refresh()
}

func (n *node) delete(key compile.FabricKey) {
	delete(n.vifs, key)
	n.s.Refresh()
}

func (n *node) forget(key compile.FabricKey) {
	delete(n.rows, key)
	delete(n.times, key)
	n.version++
}

func (n *node) OwnVIFs() (list []compile.FabricRow) {
	for _, r := range n.vifs {
		r.Addresses = slices.Clone(r.Addresses)
		list = append(list, r)
	}
	slices.SortFunc(list, func(a, b compile.FabricRow) int { return a.FabricKey.Compare(b.FabricKey) })
	return list
}

func (n *node) OwnVIF(key compile.FabricKey) (compile.FabricRow, bool) {
	r, ok := n.vifs[key]
	r.Addresses = slices.Clone(r.Addresses)
	return r, ok
}

// LearnVIFs knows no attachments: each number of a port is one.
func (n *node) LearnVIFs(list []compile.Heard, now int64) (verdicts []compile.HeardVerdict,
	changed []compile.FabricKey) {
	for _, x := range list {
		v := n.hear(&x, now)
		if verdicts = append(verdicts, v); v >= compile.HeardNew && v <= compile.HeardAddress {
			changed = append(changed, x.FabricKey)
		}
	}
	return verdicts, changed
}

func (n *node) hear(x *compile.Heard, now int64) compile.HeardVerdict {
	r, own := n.vifs[x.FabricKey]
	told, known := n.rows[x.FabricKey]
	v := compile.HeardSame
	switch _, pushed := n.pushed[x.FabricKey]; {
	case pushed:
		return compile.HeardTaken
	case known && told.Static:
		return compile.HeardFixed
	case own && r.Static:
		return compile.HeardSame
	case x.Held && (!own || n.heardAt[x.FabricKey] != x.Port):
		return compile.HeardHeld
	case !own:
		v, r = compile.HeardNew, compile.FabricRow{FabricKey: x.FabricKey}
	case n.heardAt[x.FabricKey] != x.Port:
		v = compile.HeardMoved
	}
	if known {
		v, r.Sequence = compile.HeardMoved, told.Sequence
		n.forget(x.FabricKey)
	}
	if x.Address.IsValid() && !slices.Contains(r.Addresses, x.Address) {
		r.Addresses = append(slices.Clone(r.Addresses), x.Address)
		v = max(v, compile.HeardNew)
	}
	if v != compile.HeardSame {
		r.Sequence = max(uint64(now), r.Sequence+1)
	}
	n.vifs[x.FabricKey], n.seen[x.FabricKey], n.heardAt[x.FabricKey] = r, now, x.Port
	return v
}

func (n *node) AgeVIFs(since int64) (changed []compile.FabricKey) {
	for key, at := range n.seen {
		if at < since {
			delete(n.seen, key)
			delete(n.vifs, key)
			changed = append(changed, key)
		}
	}
	return changed
}

func (n *node) GiveWay(r *compile.FabricRow) compile.Verdict {
	delete(n.vifs, r.FabricKey)
	delete(n.seen, r.FabricKey)
	return n.learn(r)
}

func (n *node) SettleLearned() {}

func (n *node) AttachmentName(port, vid uint16) string { return fmt.Sprint(port, "/", vid) }

func (n *node) LearnRows(rows []compile.FabricRow) (list []compile.Verdict) {
	for i := range rows {
		list = append(list, n.learn(&rows[i]))
	}
	return list
}

func (n *node) learn(r *compile.FabricRow) compile.Verdict {
	old, had := n.rows[r.FabricKey]
	if n.unknown[r.Tenant] {
		return compile.Unknown
	}
	if _, own := n.vifs[r.FabricKey]; own {
		return compile.Local
	}
	if r.MAC>>32 == 0x0256 {
		return compile.Virtual
	}
	if at, ok := n.pushed[r.FabricKey]; ok {
		if at == r.At {
			return compile.Pushed
		}
		return compile.Contradicts
	}
	switch {
	case r.At == n.at:
		return compile.Self
	case had && newer(&old, r):
		return compile.Older
	case had && old.Sequence == r.Sequence && old.At == r.At && fmt.Sprint(old.Addresses) == fmt.Sprint(r.Addresses):
		n.times[r.FabricKey] = n.time
		return compile.Same
	case !had && n.room > 0 && len(n.rows) >= n.room:
		return compile.Full
	}
	x := *r
	x.Addresses = slices.Clone(r.Addresses)
	slices.SortFunc(x.Addresses, netip.Addr.Compare)
	n.rows[r.FabricKey], n.times[r.FabricKey] = x, n.time
	n.version++
	if had && old.At != r.At {
		return compile.Moved
	}
	return compile.Taken
}

func (n *node) ForgetRow(key compile.FabricKey, at compile.Place, sequence uint64) bool {
	r, ok := n.rows[key]
	if !ok || r.At != at || r.Sequence > sequence {
		return false
	}
	n.forget(key)
	return true
}

func (n *node) Learned(key compile.FabricKey) (compile.FabricRow, bool) {
	r, ok := n.rows[key]
	r.Addresses = slices.Clone(r.Addresses)
	return r, ok
}

func (n *node) SweepBegin() uint32 { n.time++; return n.time }

func (n *node) SweepEnd(at compile.Place, begin uint32) (swept int) {
	for key, r := range n.rows {
		if r.At == at && n.times[key] < begin {
			n.forget(key)
			swept++
		}
	}
	return swept
}

func (n *node) Digests() (map[compile.Place]compile.Digest, uint64) {
	digests := map[compile.Place]compile.Digest{}
	for _, r := range n.rows {
		d := digests[r.At]
		d.Add(&r)
		digests[r.At] = d
	}
	return digests, n.version
}

func (n *node) LearnedVersion() uint64 { return n.version }

func (n *node) Raise(r alarm.Report) { n.alarms[string(r.Kind)] = r.Text }

func (n *node) Clear(kind alarm.Kind, _ string) { delete(n.alarms, string(kind)) }

func (n *node) Broadcast(b []byte) bool {
	return !n.stuck && n.send(letter{from: n, payload: b, broadcast: true})
}

func (n *node) Unicast(to compile.Place, b []byte) bool {
	return n.send(letter{from: n, to: to, payload: b})
}

func (n *node) Paths() []uint16 { return n.paths }

func (n *node) Chirp(vlan uint16, b []byte) bool {
	n.chirped[vlan] = append(n.chirped[vlan], n.w.now)
	if m, _, ok := resolve.Parse(b); !ok || m.Op != resolve.OpHello || placeOf(&m) != n.at {
		n.w.t.Errorf("in VLAN %d: got %x, want a HELLO", vlan, b)
	}
	return true
}

func (n *node) send(l letter) bool {
	for rest := l.payload; len(rest) > 0; {
		m, size, ok := resolve.Parse(rest)
		if !ok {
			break
		}
		n.w.count[m.Op]++
		rest = rest[size:]
	}
	if len(l.payload) > maxPayload+resolve.TagLen {
		n.w.t.Errorf("a message of %d octets, want at most %d", len(l.payload), maxPayload)
	}
	if n.w.spy != nil {
		n.w.spy(n, l.payload, l.broadcast)
	}
	n.w.air = append(n.w.air, l)
	return true
}

// address is the box address of a place.
func address(at compile.Place) uint32 { return 10<<24 | uint32(at.Port)<<16 | 1 }

// pass lets time pass, in ticks; messages take one.
func (w *world) pass(d time.Duration) {
	for end := w.now + int64(d); w.now < end; {
		w.now += tick
		air := w.air
		w.air = nil
		for _, l := range air {
			for _, n := range w.nodes {
				if n == l.from || n.down || l.from.down || !l.broadcast && n.at != l.to || w.rng.Float64() < w.loss {
					continue
				}
				a := resolve.Arrival{Broadcast: l.broadcast, MAC: uint64(l.from.at.Switch),
					Payload: bytes.Clone(l.payload)}
				if !l.broadcast {
					a.From = address(l.from.at)
				}
				n.s.Message(a)
			}
		}
		for _, n := range w.nodes {
			if !n.down {
				n.s.Tick()
			}
		}
	}
}

// agree reports what is different between what the boxes know and what their owners say; "" = nothing.
func (w *world) agree() string {
	for _, n := range w.nodes {
		if n.down {
			continue
		}
		want := map[compile.FabricKey]*ownVIF{}
		for _, o := range w.nodes {
			if o == n || o.down {
				continue
			}
			for key, v := range o.s.own {
				if _, own := n.vifs[key]; own || n.unknown[key.Tenant] || v.elsewhere.Sequence != 0 {
					continue
				}
				if _, pushed := n.pushed[key]; !pushed {
					want[key] = v
				}
			}
		}
		for key, v := range want {
			r, ok := n.rows[key]
			if !ok || r.At != v.row.At || r.Sequence != v.row.Sequence || len(r.Addresses) != len(v.row.Addresses) {
				return fmt.Sprintf("box %d has %s, want %s", n.n, &r, &v.row)
			}
		}
		for key, r := range n.rows {
			if o := w.owner(r.At); want[key] == nil && o != nil && !o.down {
				return fmt.Sprintf("box %d has %s, which nobody owns", n.n, &r)
			}
		}
	}
	return ""
}

func (w *world) owner(at compile.Place) *node {
	for _, n := range w.nodes {
		if n.at == at {
			return n
		}
	}
	return nil
}

// settle lets time pass until all agree.
func (w *world) settle(limit time.Duration) time.Duration {
	w.t.Helper()
	begin := w.now
	text := ""
	for w.now-begin < int64(limit) {
		w.pass(100 * time.Millisecond)
		if text = w.agree(); text == "" {
			return time.Duration(w.now - begin)
		}
	}
	w.t.Fatalf("after %s: %s", limit, text)
	return 0
}
