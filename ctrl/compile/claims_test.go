package compile_test

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"path/filepath"
	"reflect"
	"slices"
	"testing"

	"penstock/ctrl/compile"
	"penstock/ctrl/core"
	"penstock/ctrl/model"
	"penstock/ctrl/store"
	"penstock/dataplane/fib"
	"penstock/dataplane/gateway"
	"penstock/dataplane/table"
)

// The world of the claims: few names, MACs and addresses, so that everything collides all the time.
const (
	homeSwitch = model.MAC(0x02aa00000001)
	farSwitch  = model.MAC(0x02aa00000011)
	claimMACs  = 7 // the last one is the group's
)

func claimMAC(i int) model.MAC { return model.MAC(0x020000000001 + i) }

var claimAddrs = []netip.Addr{
	netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2"), netip.MustParseAddr("10.0.0.3"),
	netip.MustParseAddr("10.0.0.4"),
	netip.MustParseAddr("10.0.0.5"), netip.MustParseAddr("fd00::1"), netip.MustParseAddr("fd00::2"),
	netip.MustParseAddr("fe80::1"),
}

// setup is the configuration of a box.
type setup struct {
	capacity int
	group    bool // there is a gateway group
	groupIP  netip.Addr
	port     uint8 // of the edge switch
}

// claimBox is a box under test, and what was acknowledged.
type claimBox struct {
	t     *testing.T
	path  string
	setup setup

	tb    *table.Bindings
	store *store.Store
	live  *compile.Compiler
	core  *core.Core

	bindings map[model.BindingKey]model.Binding
	ages     map[model.BindingKey]uint64
	early    map[string]string // what the workers find while the delta of the last transaction is in use
}

func (s *setup) groups() []compile.Group {
	if !s.group {
		return nil
	}
	return []compile.Group{{Name: "out", MAC: claimMAC(claimMACs - 1), IPs: []netip.Addr{s.groupIP},
		Policy:  gateway.DefaultPolicy(),
		Members: []compile.GroupMember{{Name: "a", Port: "up0", Gateway: netip.MustParseAddr("192.0.2.1")}}}}
}

func (s *setup) ports() []compile.Port {
	return []compile.Port{{Name: "acc0", Role: fib.RoleAccess}, {Name: "acc1", Role: fib.RoleAccess}, {Name: "up0",
		Role: fib.RoleUplink},
		{Name: "fab0", Role: fib.RoleFabric, SwitchMAC: homeSwitch, SwitchPort: s.port}}
}

func (b *claimBox) compiler(tb *table.Bindings, publish func(*fib.Snapshot)) *compile.Compiler {
	return compile.New(compile.Config{Bindings: tb, Capacity: b.setup.capacity, Ports: b.setup.ports(),
		Groups: b.setup.groups(), Publish: publish})
}

func newTable(t *testing.T, capacity int) *table.Bindings {
	t.Helper()
	tb, err := table.NewBindings(table.Config{Capacity: capacity})
	if err != nil {
		t.Fatal(err)
	}
	return tb
}

// start is what a box does when it starts: nothing that was acknowledged may keep it from starting.
func (b *claimBox) start() {
	b.t.Helper()
	b.tb = newTable(b.t, b.setup.capacity)
	var err error
	if b.store, err = store.Open(b.path, store.Options{NoSync: true}); err != nil {
		b.t.Fatal(err)
	}
	b.live = b.compiler(b.tb, func(s *fib.Snapshot) {
		if s.Delta != nil {
			b.early = answers(s)
		}
	})
	b.core, err = core.New(core.Config{Store: b.store, Live: b.live, Limits: core.Limits{Bindings: b.setup.capacity},
		Options: model.Options{Ports: []model.PortRef{{Name: "acc0", Role: "access"}, {Name: "acc1", Role: "access"},
			{Name: "up0", Role: "uplink"}, {Name: "fab0", Role: "fabric"}}}})
	if err != nil {
		b.t.Fatalf("the box does not start with what it acknowledged: %v", err)
	}
	if s := b.core.Suspended(); len(s) > 0 {
		b.t.Fatalf("the box started and suspended what was live: %+v", s)
	}
}

func (b *claimBox) stop() {
	if err := errors.Join(b.live.Err(), b.store.Close(), b.tb.Close()); err != nil {
		b.t.Fatal(err)
	}
}

// answers is what a worker finds: whose every MAC and every address of every segment is.
func answers(s *fib.Snapshot) map[string]string {
	out := map[string]string{}
	for i, g := range s.Segments {
		if g.Tenant == 0 {
			continue
		}
		where := func(loc fib.Loc) string {
			switch {
			case loc >= fib.GroupLoc(0):
				return "group"
			case loc&fib.LocLocal != 0:
				return "VIF"
			}
			return fmt.Sprintf("%s port %d", model.MAC(s.Switches[loc>>8].MAC), loc&0xff)
		}
		seg := fmt.Sprintf("%d/%d ", g.Tenant, g.ID)
		for m := range claimMACs {
			if loc, ok := table.FindMAC(s.Bindings, s.Delta, uint32(i), uint64(claimMAC(m))); ok {
				out[seg+claimMAC(m).String()] = where(loc)
			}
		}
		for _, a := range claimAddrs {
			var mac uint64
			var loc uint32
			var ok bool
			if x := a.As16(); a.Is4() {
				mac, loc, ok = table.FindIP4(s.Bindings, s.Delta, uint32(i),
					uint32(x[12])<<24|uint32(x[13])<<16|uint32(x[14])<<8|uint32(x[15]))
			} else {
				mac, loc, ok = table.FindIP6(s.Bindings, s.Delta, uint32(i),
					uint64(x[0])<<56|uint64(x[1])<<48, uint64(x[15]))
			}
			if ok {
				out[seg+a.String()] = model.MAC(mac).String() + " " + where(loc)
			}
		}
	}
	return out
}

// want is the same from the desired state alone, by rank, age and MAC.
func (b *claimBox) want() map[string]string {
	type claim struct {
		rank  int
		age   uint64
		mac   model.MAC
		where string
		addrs []netip.Addr
	}
	st := b.core.State()
	rows := map[string]map[model.MAC]claim{} // by segment
	put := func(tenant, segment string, c claim) {
		key := fmt.Sprintf("%d/%d ", st.Tenants[tenant].ID, st.Segments[tenant+"/"+segment].ID)
		if rows[key] == nil {
			rows[key] = map[model.MAC]claim{}
		}
		if o, ok := rows[key][c.mac]; !ok || o.rank < c.rank {
			rows[key][c.mac] = c
		}
	}
	for k, x := range b.bindings {
		if x.SwitchMAC == homeSwitch && x.SwitchPort == uint16(b.setup.port) {
			continue // held back, whoever else has the MAC
		}
		put(k.Tenant, k.Segment, claim{0, b.ages[k], k.MAC, fmt.Sprintf("%s port %d", x.SwitchMAC, x.SwitchPort),
			x.Addresses})
	}
	for _, v := range st.VIFs {
		put(v.Tenant, v.Segment, claim{1, 0, v.MAC, "VIF", v.Addresses})
	}
	for _, t := range st.Tenants {
		for _, n := range st.Subnets {
			if b.setup.group && t.Gateway == "out" && n.Tenant == t.Name && n.Prefix.Contains(b.setup.groupIP) &&
				n.Router != b.setup.groupIP {
				put(t.Name, n.Segment, claim{2, 0, claimMAC(claimMACs - 1), "group", []netip.Addr{b.setup.groupIP}})
			}
		}
	}
	out := map[string]string{}
	for seg, macs := range rows {
		owners := map[netip.Addr]claim{}
		for mac, c := range macs {
			out[seg+mac.String()] = c.where
			for _, a := range c.addrs {
				o, ok := owners[a]
				if !ok || c.rank > o.rank || c.rank == o.rank && (c.age > o.age || c.age == o.age && c.mac > o.mac) {
					owners[a] = c
				}
			}
		}
		for a, c := range owners {
			out[seg+a.String()] = c.mac.String() + " " + c.where
		}
	}
	return out
}

func (b *claimBox) check(what string, got map[string]string) {
	b.t.Helper()
	want := b.want()
	for _, k := range slices.Sorted(maps.Keys(want)) {
		if got[k] != want[k] {
			b.t.Fatalf("%s: %s belongs to %q, want %q", what, k, got[k], want[k])
		}
	}
	for _, k := range slices.Sorted(maps.Keys(got)) {
		if want[k] == "" {
			b.t.Fatalf("%s: %s belongs to %q, want no owner", what, k, got[k])
		}
	}
}

// elsewhere loads what is acknowledged into another box, in any order.
func (b *claimBox) elsewhere(r *rand.Rand) {
	tb := newTable(b.t, b.setup.capacity)
	defer tb.Close()
	c := b.compiler(tb, nil)
	c.SetAges(func(keys []model.BindingKey) ([]uint64, error) {
		out := make([]uint64, len(keys))
		for i, k := range keys {
			out[i] = b.ages[k]
		}
		return out, nil
	})
	p, err := c.Plan(b.core.State(), model.BindingChanges{})
	if err != nil {
		b.t.Fatal(err)
	}
	c.Apply(p)
	list := slices.Collect(maps.Values(b.bindings))
	r.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	err = c.BulkBegin(core.BulkSize{Stored: true, Added: len(list)})
	for i := 0; err == nil && i < len(list); i += 3 {
		err = c.BulkPut(list[i:min(i+3, len(list))])
	}
	c.BulkEnd()
	if err := errors.Join(err, c.Err()); err != nil {
		b.t.Fatal(err)
	}
	b.check("loaded in another order", answers(c.Snapshot()))
}

// took notes what a push changed.
func (b *claimBox) took(revision uint64, puts []model.Binding, deletes []model.BindingKey) {
	for _, k := range deletes {
		delete(b.bindings, k)
		delete(b.ages, k)
	}
	for _, x := range puts {
		slices.SortStableFunc(x.Addresses, func(p, q netip.Addr) int { return p.BitLen() - q.BitLen() })
		if old, ok := b.bindings[x.BindingKey()]; !ok || !reflect.DeepEqual(old, x) {
			b.bindings[x.BindingKey()], b.ages[x.BindingKey()] = x, revision
		}
	}
}

// TestClaimsRandom: after any sequence of pushes, reloads and restarts every MAC and every address has the owner that
// rank and age give it, while a transaction becomes visible and afterwards, and on a box that loads the same in another
// order; and the box starts, whatever its configuration has become.
func TestClaimsRandom(t *testing.T) {
	for seed := range uint64(16) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			r := claimRandom{rand.New(rand.NewPCG(seed, 23))}
			b := &claimBox{t: t, path: filepath.Join(t.TempDir(), "db"),
				setup: setup{capacity: 40, groupIP: claimAddrs[0],
					port: 3},
				bindings: map[model.BindingKey]model.Binding{}, ages: map[model.BindingKey]uint64{}}
			b.start()
			done, refused := 0, 0
			for step := range 250 {
				b.early = nil
				what := fmt.Sprintf("step %d", step)
				var err error
				switch r.IntN(12) {
				case 0:
					what += ", restart"
					b.stop()
					b.setup = r.change(b.setup)
					b.start()
					b.early = nil // the bindings were loaded behind the state
				case 1:
					what += ", reload"
					next := r.change(b.setup)
					next.capacity = b.setup.capacity
					err = b.live.Reconfigure(func(c *compile.Config) {
						c.Groups,
							c.Ports = next.groups(), next.ports()
					})
					if err == nil {
						b.setup = next
					}
				case 2, 3, 4:
					what += ", bulk"
					err = r.bulk(b)
				default:
					what += ", transaction"
					err = r.transaction(b)
				}
				if err != nil {
					refused++
				} else {
					done++
				}
				got := answers(b.live.Snapshot())
				b.check(what, got)
				if b.early != nil && !maps.Equal(b.early, got) {
					t.Fatalf("%s: while the delta was in use workers found\n%v\nafterwards\n%v", what, b.early, got)
				}
				if step%10 == 0 {
					b.elsewhere(r.Rand)
				}
			}
			b.stop()
			b.start()
			b.check("restarted", answers(b.live.Snapshot()))
			b.stop()
			if done < 100 {
				t.Errorf("%d steps done, %d refused: too few to show anything", done, refused)
			}
		})
	}
}
