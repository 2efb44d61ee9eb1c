package compile

import (
	"fmt"
	"hash/fnv"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"penstock/ctrl/core"
	"penstock/ctrl/model"
	"penstock/dataplane/fib"
	"penstock/dataplane/table"
)

// describe writes what a compiler made of virtual addresses, services, servers and agents, in names instead of indices.
func describe(c *Compiler) []string {
	s := c.Snapshot()
	var out []string
	say := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	segment := func(seg uint32) string {
		if seg == fib.None {
			return "none"
		}
		return c.segs[seg].name.tenant + "/" + c.segs[seg].name.segment
	}
	vifs, services, servers := map[uint32]string{}, map[uint32]string{}, map[uint32]string{}
	for key, v := range c.vifs {
		vifs[v.index] = key
	}
	for key, ref := range c.balancer.services {
		services[ref.ref&fib.RefMask] = key
	}
	for key, ref := range c.balancer.servers {
		servers[ref.ref&fib.RefMask] = key
	}
	vip := func(i uint32) string {
		v := &s.VIPs[i]
		return fmt.Sprintf("%s %x %x own %v", segment(v.Seg), v.IP4, v.IP6, v.Own)
	}
	loc := func(l fib.Loc) string {
		switch {
		case l == fib.None:
			return "none"
		case l&fib.LocLocal != 0 && l&fib.LocVIP != 0:
			return "VIP " + vip(fib.LocVIPIndex(l))
		case l&fib.LocLocal != 0:
			return "VIF " + vifs[l&^fib.LocLocal]
		}
		return fmt.Sprintf("%x port %d", s.Switches[switchOf(l)].MAC, uint8(l))
	}
	for i := range s.VIPs {
		v := &s.VIPs[i]
		if v.Ref == 0 {
			continue
		}
		at, ok := c.cfg.Bindings.FindMAC(v.Seg, v.MAC)
		row := "nowhere"
		if ok {
			row = loc(at)
		}
		say("vip %s: %x here %v silent %v ping %d usable %v tenant %d at %s", vip(uint32(i)), v.MAC, v.Here,
			v.Silent, v.Ping,
			v.Usable, v.Tenant, row)
		for _, r := range v.Ranges {
			say("  vip %s range %d %d-%d %s", vip(uint32(i)), r.Proto, r.First, r.Last, services[r.Service])
		}
		for index, key := range services {
			e := &s.Services[index]
			if got, ok := v.Exact.Get(fib.ServiceKey(e.Proto, e.Port)); ok && e.VIP == uint32(i) &&
				e.Port == e.PortEnd {
				say("  vip %s port %d %d %s of %s", vip(uint32(i)), e.Proto, e.Port, services[got], key)
			}
		}
	}
	for i := range s.Segments {
		for _, v := range s.Segments[i].VIPs4 {
			say("segment %s: %x %s", segment(uint32(i)), v.IP, vip(v.VIP))
		}
		for _, v := range s.Segments[i].VIPs6 {
			say("segment %s: %x %s", segment(uint32(i)), v.IP, vip(v.VIP))
		}
	}
	for i := range s.Services {
		e := &s.Services[i]
		if e.Ref == 0 {
			continue
		}
		h := fnv.New64()
		for _, x := range e.Table {
			h.Write([]byte{byte(x), byte(x >> 8)})
		}
		line := fmt.Sprintf("service %s: id %d tenant %d vip %s ports %d %d-%d %d %d %v %v table %d %x weights %v "+
			"members",
			services[uint32(i)], e.ID, e.Tenant, vip(e.VIP), e.Proto, e.Port, e.PortEnd, e.Scheduler, e.Hash, e.Reject,
			e.OnePacket, len(e.Table), h.Sum64(), e.Weights)
		for _, m := range e.Members {
			line += " " + servers[m]
		}
		out = append(out, line)
	}
	for i := range s.Servers {
		e := &s.Servers[i]
		if e.Ref != 0 {
			say("server %s of %s: %x %x seg %s at %s port %d accept %d direct %v %d", servers[uint32(i)],
				services[e.Service],
				e.MAC, e.Source, segment(e.Seg), loc(e.Loc), e.Port, e.Accept, e.Direct, e.Out)
		}
	}
	for i := range s.VIFs {
		a := s.VIFs[i].Agent
		if a == nil {
			continue
		}
		for _, x := range a.VIPs4 {
			say("agent %s: %x %s", vifs[uint32(i)], x.IP, vip(x.VIP))
		}
		for _, r := range a.Rules {
			server := "gone"
			if r.Server != fib.None {
				server = services[r.Service] + " " + servers[r.Server]
			}
			say("agent %s: vip %s %d %d-%d to %d id %d shared %v %s", vifs[uint32(i)], vip(r.VIP), r.Proto, r.First,
				r.Last,
				r.To, r.ID, r.Shared, server)
		}
	}
	slices.Sort(out)
	return out
}

// TestBalanceRandom makes random changes and compares what came of them with what a compiler makes that gets the whole
// state at once.
func TestBalanceRandom(t *testing.T) {
	for seed := range uint64(4) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { randomBalance(t, seed) })
	}
}

func randomBalance(t *testing.T, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 7))
	box := []string{"D", "E", "H"}[seed%3]
	b := newBalanced(t, box)
	health := map[string]ServerHealth{}
	directing := map[string]*Directing{}
	bindings := map[model.BindingKey]model.Binding{}
	revisions := map[model.BindingKey]uint64{}
	ages := func(keys []model.BindingKey) ([]uint64, error) {
		out := make([]uint64, len(keys))
		for i, k := range keys {
			out[i] = revisions[k]
		}
		return out, nil
	}
	b.c.SetAges(ages)
	addr := func(n int) netip.Addr { return netip.AddrFrom4([4]byte{10, 10, 1, byte(n)}) }
	rounds := 400
	if testing.Short() {
		rounds = 150
	}
	for round := range rounds {
		bulk := false
		var ch model.BindingChanges
		d := model.NewDraft(b.state)
		for range 1 + rng.IntN(3) {
			n := rng.IntN(6)
			name := fmt.Sprintf("x%d", n)
			switch rng.IntN(12) {
			case 0, 1:
				if rng.IntN(4) == 0 {
					d.Delete(model.KindVIF, "red/"+name)
					break
				}
				d.Put(model.VIF{Tenant: "red", Name: name, Segment: "web", MAC: model.MAC(0x020000000200 + n),
					Port: "acc0",
					VLAN: uint16(10), Addresses: []netip.Addr{addr(20 + rng.IntN(6))},
					GuestAgent: "/a", GuestAddresses: []netip.Addr{addr(100 + rng.IntN(4))}})
			case 2, 3:
				x := model.VIP{Tenant: "red", Name: name, Segment: "web", Address: addr(100 + rng.IntN(8)),
					Mode: []string{"", "standby", "anycast"}[rng.IntN(3)], Ping: []string{"", "never"}[rng.IntN(2)]}
				for i, box := range []string{"D", "E", "F"} {
					if rng.IntN(2) == 0 {
						x.Directors = append(x.Directors, model.Director{Box: box, Address: addr(200 + i)})
					}
				}
				rng.Shuffle(len(x.Directors), func(i, j int) {
					x.Directors[i], x.Directors[j] = x.Directors[j],
						x.Directors[i]
				})
				if rng.IntN(5) == 0 {
					d.Delete(model.KindVIP, x.Key())
				} else {
					d.Put(x)
				}
			case 4, 5:
				x := model.Service{Tenant: "red", Name: name, VIP: fmt.Sprintf("x%d", rng.IntN(6)),
					ID: uint32(n + 1), TableSize: 1009,
					Protocol: []string{"tcp", "udp"}[rng.IntN(2)], Port: uint16(rng.IntN(4)) * 10,
					SharedPorts: rng.IntN(2) == 0}
				if x.Port != 0 && rng.IntN(3) == 0 {
					x.PortEnd = x.Port + uint16(rng.IntN(4))
				}
				if rng.IntN(2) == 0 {
					x.Check = &model.Check{Type: model.CheckNone}
				}
				if rng.IntN(6) == 0 {
					d.Delete(model.KindService, x.Key())
				} else {
					d.Put(x)
				}
			case 6, 7, 8:
				x := model.Server{Tenant: "red", Service: fmt.Sprintf("x%d", rng.IntN(6)), Name: fmt.Sprintf("s%d",
					rng.IntN(5))}
				if rng.IntN(2) == 0 {
					x.VIF = name
				} else {
					x.Address = addr(20 + rng.IntN(10))
				}
				w := uint16(1 + rng.IntN(3))
				x.Weight, x.Backup = &w, rng.IntN(4) == 0
				x.State = []string{"", "", "enabled", "disabled"}[rng.IntN(4)]
				if rng.IntN(2) == 0 {
					x.Port = uint16(8000 + rng.IntN(3))
				}
				if rng.IntN(5) == 0 {
					d.Delete(model.KindServer, x.Key())
				} else {
					d.Put(x)
				}
			default:
				mac := model.MAC(0x020000000300 + rng.IntN(8))
				if rng.IntN(3) == 0 {
					mac = 0x02560a0a0100 | model.MAC([]int{100, 101, 102, 200, 201, 202}[rng.IntN(6)])
				}
				x := model.Binding{Tenant: "red", Segment: "web", MAC: mac, SwitchMAC: allSwitches[rng.IntN(4)],
					SwitchPort: uint16(1 + rng.IntN(8)), Addresses: []netip.Addr{addr(20 + rng.IntN(12))}}
				if rng.IntN(4) == 0 {
					ch.Deletes = append(ch.Deletes, x.BindingKey())
				} else {
					ch.Puts = append(ch.Puts, x)
				}
			}
		}
		opts := model.Options{Ports: []model.PortRef{{Name: "acc0", Role: "access"}}}
		if len(d.Validate(opts)) > 0 {
			d = model.NewDraft(b.state)
		}
		ch = lastOfEach(ch)
		bulk = rng.IntN(3) == 0
		if bulk {
			pushBulk(t, b.c, ch)
		} else {
			plan, err := b.c.Plan(&d.State, ch)
			if err == nil {
				err = b.c.Apply(plan)
			}
			if err != nil {
				t.Fatalf("round %d: %v", round, err)
			}
			b.state = &d.State
		}
		for _, x := range ch.Puts {
			bindings[x.BindingKey()], revisions[x.BindingKey()] = x, uint64(round+1)
		}
		for _, k := range ch.Deletes {
			delete(bindings, k)
		}
		if keys := b.state.Keys(model.KindServer); len(keys) > 0 && rng.IntN(2) == 0 {
			h := ServerHealth{Up: rng.IntN(3) > 0, Weight: uint16(100 * (1 + rng.IntN(10)))}
			key := keys[rng.IntN(len(keys))]
			health[key] = h
			b.c.SetHealth(map[string]ServerHealth{key: h})
		}
		if keys := b.state.Keys(model.KindVIP); len(keys) > 0 && rng.IntN(4) == 0 {
			x := &Directing{Here: rng.IntN(2) == 0}
			if rng.IntN(2) == 0 {
				x.SwitchMAC, x.SwitchPort = allSwitches[rng.IntN(5)], 9
			}
			if rng.IntN(4) == 0 {
				x = nil
			}
			key := keys[rng.IntN(len(keys))]
			directing[key] = x
			b.c.SetDirectors(map[string]*Directing{key: x})
		}
		if err := b.c.Err(); err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		b.clock.turn(time.Hour) // what outlives its server is gone
		got, want := describe(b.c), describe(fresh(t, b, ages, bindings, health, directing))
		if !slices.Equal(got, want) {
			t.Fatalf("round %d (bulk %v): the tables differ from those made at once:\nhave %s\nwant %s", round, bulk,
				strings.Join(without(got, want), "\n     "), strings.Join(without(want, got), "\n     "))
		}
	}
}

func without(a, b []string) (out []string) {
	for _, s := range a {
		if !slices.Contains(b, s) {
			out = append(out, s)
		}
	}
	return out
}

// lastOfEach keeps one change of each binding.
func lastOfEach(ch model.BindingChanges) (out model.BindingChanges) {
	seen := map[model.BindingKey]bool{}
	for _, x := range ch.Puts {
		if !seen[x.BindingKey()] {
			seen[x.BindingKey()] = true
			out.Puts = append(out.Puts, x)
		}
	}
	for _, k := range ch.Deletes {
		if !seen[k] {
			seen[k] = true
			out.Deletes = append(out.Deletes, k)
		}
	}
	return out
}

func pushBulk(t *testing.T, c *Compiler, ch model.BindingChanges) {
	t.Helper()
	slices.SortFunc(ch.Puts, func(a, b model.Binding) int { return strings.Compare(a.Key(), b.Key()) })
	if err := c.BulkBegin(core.BulkSize{Added: len(ch.Puts)}); err != nil {
		t.Fatal(err)
	}
	if err := c.BulkPut(ch.Puts); err != nil {
		t.Fatal(err)
	}
	if err := c.BulkDelete(ch.Deletes); err != nil {
		t.Fatal(err)
	}
	c.BulkEnd()
}

type ageOfKeys = func([]model.BindingKey) ([]uint64, error)

// fresh compiles the same input at once.
func fresh(t *testing.T, b *balanced, ages ageOfKeys, bindings map[model.BindingKey]model.Binding,
	health map[string]ServerHealth,
	directing map[string]*Directing) *Compiler {
	t.Helper()
	tb, err := table.NewBindings(table.Config{Capacity: 4096})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tb.Close() })
	cfg := b.c.cfg
	cfg.Bindings, cfg.Publish = tb, nil
	cfg.After = func(time.Duration, func()) func() { return func() {} }
	c := New(cfg)
	c.SetAges(ages)
	plan, err := c.Plan(b.state, model.BindingChanges{})
	if err == nil {
		err = c.Apply(plan)
	}
	if err == nil {
		err = c.BulkBegin(core.BulkSize{Stored: true, Added: len(bindings)})
	}
	if err == nil {
		err = c.BulkPut(slices.SortedFunc(maps.Values(bindings),
			func(a, b model.Binding) int { return strings.Compare(a.Key(), b.Key()) }))
	}
	if err != nil {
		t.Fatal(err)
	}
	c.BulkEnd()
	c.SetDirectors(directing)
	c.SetHealth(health)
	return c
}
