package compile

import (
	"cmp"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"slices"
	"testing"

	"github.com/cespare/xxhash/v2"

	"penstock/ctrl/core"
	"penstock/ctrl/model"
	"penstock/dataplane/fib"
)

// told reports whether a learned row still counts: its segment has the IDs that it was learned with, nothing was pushed
// for it, no VIF of this box has it, and it does not lead to this box.
func (w *world) told(k model.BindingKey, r *FabricRow) bool {
	g, ok := w.state.Segments[k.Tenant+"/"+k.Segment]
	if !ok || g.ID != r.Segment || w.state.Tenants[k.Tenant].ID != r.Tenant {
		return false
	}
	if _, pushed := w.bindings[k]; pushed {
		return false
	}
	for _, v := range w.state.VIFs {
		if v.Tenant == k.Tenant && v.Segment == k.Segment && v.MAC == k.MAC {
			return false
		}
	}
	return !w.self(r.At)
}

func (w *world) self(at Place) bool {
	return slices.ContainsFunc(w.links, func(p portState) bool {
		return p.Role == fib.RoleFabric && p.SwitchPort != 0 && p.SwitchMAC == at.Switch && p.SwitchPort == at.Port
	})
}

// prune forgets what no longer counts.
func (w *world) prune() {
	maps.DeleteFunc(w.learned, func(k model.BindingKey, r FabricRow) bool { return !w.told(k, &r) })
}

// learn has the compiler and the model learn, forget and sweep.
func (r random) learn() {
	w := r.w
	at := func() Place { return Place{allSwitches[r.pick(5)], []uint8{3, 7, 200}[r.pick(3)]} }
	var rows []FabricRow
	var names []model.BindingKey
	for range 1 + r.pick(20) {
		n := r.pick(3)
		k := model.BindingKey{Tenant: fmt.Sprintf("T%d", r.pick(4)), Segment: fmt.Sprintf("s%d", n), MAC: r.mac()}
		g, ok := w.state.Segments[k.Tenant+"/"+k.Segment]
		if !ok {
			continue
		}
		rows = append(rows, FabricRow{FabricKey: FabricKey{w.state.Tenants[k.Tenant].ID, g.ID, k.MAC}, At: at(),
			Addresses: r.addresses(n), Sequence: uint64(r.pick(50)), Static: r.pick(2) == 0})
		names = append(names, k)
	}
	for i, v := range w.c.LearnRows(rows) {
		x, k := rows[i], names[i]
		x.Addresses = slices.Clone(x.Addresses)
		was, known := w.learned[k]
		want := Taken
		probe := x
		probe.At = Place{switchX, 99}
		switch {
		case !w.told(k, &probe):
			want = Contradicts
			if b := w.bindings[k]; b.SwitchMAC == x.At.Switch && b.SwitchPort == uint16(x.At.Port) {
				want = Pushed
			}
			for _, vif := range w.state.VIFs {
				if vif.Tenant == k.Tenant && vif.Segment == k.Segment && vif.MAC == k.MAC {
					want = Local
				}
			}
		case w.self(x.At):
			want = Self
		case known && (x.Sequence < was.Sequence || x.Sequence == was.Sequence && was.At.Compare(x.At) > 0 ||
			was.Static && !x.Static && was.At != x.At):
			want = Older
		case known && x.Sequence == was.Sequence && x.At == was.At && sameSet(x.Addresses, was.Addresses):
			want = Same
		default:
			if known && x.At != was.At {
				want = Moved
			}
			w.learned[k] = x
		}
		if v != want {
			w.t.Fatalf("%s: got verdict %d, want %d; known %v", &x, v, want, &was)
		}
	}
	for _, k := range r.learnedKeys() {
		x := w.learned[k]
		if r.pick(10) > 0 {
			continue
		}
		key := FabricKey{x.Tenant, x.Segment, x.MAC}
		if w.c.ForgetRow(key, Place{switchX, 98}, ^uint64(0)) ||
			x.Sequence > 0 && w.c.ForgetRow(key, x.At, x.Sequence-1) {
			w.t.Fatalf("%s was forgotten, by another place or with an older sequence", &x)
		}
		if !w.c.ForgetRow(key, x.At, x.Sequence) {
			w.t.Fatalf("%s was not forgotten", &x)
		}
		delete(w.learned, k)
	}
	if r.pick(5) == 0 {
		r.sweep(at())
	}
	r.digests()
}

func (r random) learnedKeys() []model.BindingKey {
	return slices.SortedFunc(maps.Keys(r.w.learned), func(a, b model.BindingKey) int {
		return cmp.Or(cmp.Compare(a.Tenant, b.Tenant), cmp.Compare(a.Segment, b.Segment), cmp.Compare(a.MAC, b.MAC))
	})
}

func sameSet(a, b []netip.Addr) bool {
	a, b = slices.Clone(a), slices.Clone(b)
	slices.SortFunc(a, netip.Addr.Compare)
	slices.SortFunc(b, netip.Addr.Compare)
	return slices.Equal(a, b)
}

// sweep hears half of the rows at a place again and sweeps the others.
func (r random) sweep(at Place) {
	w := r.w
	begin := w.c.SweepBegin()
	var again []FabricRow
	want := 0
	for _, k := range r.learnedKeys() {
		x := w.learned[k]
		if r.pick(2) == 0 {
			again = append(again, x)
		} else if x.At == at {
			want++
			delete(w.learned, k)
		}
	}
	for i, v := range w.c.LearnRows(again) {
		if v != Same {
			w.t.Fatalf("%s again: got verdict %d, want %d", &again[i], v, Same)
		}
	}
	if n := w.c.SweepEnd(at, begin); n != want {
		w.t.Fatalf("swept %d rows, want %d", n, want)
	}
}

// digests compares the digests and the rows with the model.
func (r random) digests() {
	w := r.w
	want := map[Place]Digest{}
	for _, x := range w.learned {
		d := want[x.At]
		d.Add(&x)
		want[x.At] = d
	}
	got, _ := w.c.Digests()
	if !maps.Equal(got, want) {
		w.t.Fatalf("digests: got %v, want %v", got, want)
	}
	r.list()
}

// list compares listings with the model: all rows in pages, and those that a filter selects.
func (r random) list() {
	w := r.w
	match := func(f core.BindingFilter) (keys []string) {
		for k, x := range w.learned {
			if (f.Tenant == "" || f.Tenant == k.Tenant) && (f.Segment == "" || f.Segment == k.Segment) &&
				(f.Switch == 0 || f.Switch == x.At.Switch) {
				keys = append(keys, k.String())
			}
		}
		slices.Sort(keys)
		return keys
	}
	for _, f := range []core.BindingFilter{{}, {Tenant: "T1"}, {Tenant: "T2", Segment: "s1"}, {Switch: switchX}} {
		want := match(f)
		var got []string
		var after model.BindingKey
		for n := 1 + r.pick(20); ; {
			page := w.c.LearnedBindings(f, after, n)
			for i := range page {
				after = page[i].BindingKey()
				got = append(got, after.String())
				x := w.learned[after]
				b, ok := w.c.LearnedBinding(after)
				if !ok || !reflect.DeepEqual(b, page[i]) || b.SwitchMAC != x.At.Switch ||
					uint8(b.SwitchPort) != x.At.Port || !sameSet(b.Addresses, x.Addresses) {
					w.t.Fatalf("binding %s: got %+v, listed as %+v, want %s", after, b, page[i], &x)
				}
			}
			if len(page) < n {
				break
			}
		}
		if !slices.Equal(got, want) {
			w.t.Fatalf("learned bindings of %+v: got %v, want %v", f, got, want)
		}
	}
	for k, x := range w.learned {
		s, ok := w.c.Status(model.KindBinding, k.String()).(*Status)
		if !ok || s.Origin != model.OriginFabric || s.Sequence != x.Sequence || s.TenantID != x.Tenant ||
			s.SegmentID != x.Segment {
			w.t.Fatalf("status of %s: got %+v, want origin, sequence and IDs of %s", k, s, &x)
		}
		break
	}
}

// TestEvict: in a full table new rows take the place of learned ones that were heard long ago, of pushed ones never,
// and what was pushed beyond the capacity is made up for.
func TestEvict(t *testing.T) {
	const capacity, asked = 2000, 200
	w := big(t, 1000, capacity)
	rows := learnedRows(w, 4*capacity)
	learn := func(rows []FabricRow) (n [Verdicts]int) {
		t.Helper()
		for _, v := range w.c.LearnRows(rows) {
			n[v]++
		}
		if n := w.c.pushed + w.c.learned.count; n > capacity && w.c.pushed == 0 {
			t.Fatalf("%d rows, want %d at most", n, capacity)
		}
		return n
	}
	if n := learn(rows[:capacity]); n[Taken] != capacity {
		t.Fatalf("an empty table: got verdicts %v, want all taken", n)
	}
	late := rows[:asked] // what is asked for again and again
	for from := capacity; from < len(rows); from += 50 {
		if n := learn(rows[from : from+50]); n[Crowded] != 50 {
			t.Fatalf("a full table: got verdicts %v, want 50 that displace others", n)
		}
		learn(late)
	}
	there, stay := 0, 0
	for i := range rows {
		if _, ok := w.c.Learned(rows[i].FabricKey); ok {
			there++
			if i < asked {
				stay++
			}
		}
	}
	if there != capacity || stay < asked*9/10 {
		t.Errorf("%d rows, and %d of those that are told again; want %d and at least %d", there, stay, capacity,
			asked*9/10)
	}
	x := w.begin()
	for i := range 1500 {
		r := &rows[i]
		name := fmt.Sprintf("tenant%05d", r.Tenant-2)
		x.ch.Puts = append(x.ch.Puts, model.Binding{Tenant: name, Segment: "net", MAC: r.MAC + 0x100000,
			SwitchMAC: r.At.Switch, SwitchPort: uint16(r.At.Port)})
	}
	p, err := w.c.Plan(x.next, x.ch)
	if err != nil {
		t.Fatal(err)
	}
	w.c.Apply(p)
	if n := learn(rows[len(rows)/2:]); n[Full] > 0 {
		t.Errorf("many pushed rows: got verdicts %v, want none that is refused", n)
	}
	if w.c.pushed != 1500 || w.c.learned.count != capacity-1500 {
		t.Errorf("%d pushed and %d learned rows, want 1,500 and 500", w.c.pushed, w.c.learned.count)
	}
	digests, _ := w.c.Digests()
	sum := 0
	for _, d := range digests {
		sum += d.Count
	}
	if sum != w.c.learned.count {
		t.Errorf("the digests have %d rows, want %d", sum, w.c.learned.count)
	}
}

// TestFreed: when a pushed binding or a VIF goes that stood before what another box has told, this shows, and the row
// is taken when it is told again.
func TestFreed(t *testing.T) {
	w := newWorld(t, model.Scheme16, testPorts(), 100)
	x := w.begin()
	x.next.Tenants = map[string]model.Tenant{"RED": {Name: "RED", ID: 300}}
	x.next.Segments = map[string]model.Segment{"RED/web": {Tenant: "RED", Name: "web", ID: 7}}
	x.commit()
	told := []FabricRow{{FabricKey: FabricKey{300, 7, redVM1}, At: Place{switchX, 9}, Sequence: 5}}
	expect := func(what string, want Verdict) {
		t.Helper()
		if v := w.c.LearnRows(told)[0]; v != want {
			t.Fatalf("%s: got verdict %d, want %d", what, v, want)
		}
	}
	moves := func(what string, change func()) {
		t.Helper()
		before := w.c.Freed()
		if change(); w.c.Freed() == before {
			t.Errorf("%s: nothing shows that there is room", what)
		}
	}
	expect("a new row", Taken)
	key := model.BindingKey{Tenant: "RED", Segment: "web", MAC: redVM1}
	push := model.Binding{Tenant: "RED", Segment: "web", MAC: redVM1, SwitchMAC: switchX, SwitchPort: 3}
	for _, bulk := range []bool{false, true} {
		before := w.c.Freed()
		x = w.begin()
		x.ch.Puts = append(x.ch.Puts, push)
		x.commit()
		if w.c.Freed() != before {
			t.Error("a push: shows as if a row had gone")
		}
		w.bindings[key] = push
		expect("beside a pushed one", Contradicts)
		moves("a pushed binding is deleted", func() {
			if bulk {
				if err := w.c.BulkDelete([]model.BindingKey{key}); err != nil {
					t.Fatal(err)
				}
				w.c.BulkEnd()
				return
			}
			x := w.begin()
			x.ch.Deletes = append(x.ch.Deletes, key)
			x.commit()
		})
		delete(w.bindings, key)
		expect("after it", Taken)
	}
	x = w.begin()
	x.next.VIFs = map[string]model.VIF{"RED/vm1": {Tenant: "RED", Name: "vm1", Segment: "web", MAC: redVM1,
		Port: "acc0", VLAN: 5}}
	x.commit()
	expect("beside a VIF of this box", Local)
	moves("the VIF is deleted", func() {
		x := w.begin()
		x.next.VIFs = map[string]model.VIF{}
		x.commit()
	})
	expect("after it", Taken)
}

// TestDigest: the hash of a binding, from the octets of its message.
func TestDigest(t *testing.T) {
	here, err := hex.DecodeString("505301020000000018fae27693b4000000012c0000070200000001010a00000102000000000a0011")
	if err != nil {
		t.Fatal(err)
	}
	r := FabricRow{FabricKey: FabricKey{300, 7, 0x020000000101}, Sequence: 1_800_000_000_000_000_000,
		Addresses: []netip.Addr{netip.MustParseAddr("10.0.0.1")}}
	var d Digest
	d.Add(&r)
	if want := xxhash.Sum64(here[8:32]); d.Sum != want || d.Count != 1 {
		t.Errorf("IPv4: got %+v, want the sum %#x", d, want)
	}
	six := netip.MustParseAddr("fd00::1").As16()
	second := slices.Clone(here[8:32])
	binary.BigEndian.PutUint32(second[20:], 0x0a000002)
	r.Addresses = append(r.Addresses, netip.MustParseAddr("fd00::1"), netip.MustParseAddr("10.0.0.2"))
	d = Digest{}
	d.Add(&r)
	if want := xxhash.Sum64(append(slices.Clone(here[8:32]), six[:]...)) + xxhash.Sum64(second); d.Sum != want {
		t.Errorf("two IPv4 and an IPv6 address: got %#x, want %#x", d.Sum, want)
	}
}

// TestKnown compares the memory of learned rows with a map.
func TestKnown(t *testing.T) {
	var h known
	model := map[rowKey]knownRow{}
	r := rand.New(rand.NewPCG(1, 2))
	for range 200_000 {
		k := rowKey{uint32(r.IntN(3)) << 15, uint64(r.IntN(4000))}
		switch r.IntN(3) {
		case 0:
			h.remove(k)
			delete(model, k)
		default:
			x := knownRow{r.Uint64(), knownUsed | uint8(r.IntN(4))<<1, r.Uint32N(1 << 24), r.Uint32N(knownTimes)}
			if err := h.put(k, x); err != nil {
				t.Fatal(err)
			}
			model[k] = x
		}
		k = rowKey{uint32(r.IntN(3)) << 15, uint64(r.IntN(4000))}
		got, ok := h.get(k)
		if want, there := model[k]; ok != there || got != want {
			t.Fatalf("row %v: got %+v, %v, want %+v, %v", k, got, ok, want, there)
		}
	}
	n := 0
	h.each(func(k rowKey, x knownRow) {
		if n++; model[k] != x {
			t.Errorf("each: row %v is %+v, want %+v", k, x, model[k])
		}
	})
	if n != len(model) || h.count != n {
		t.Errorf("rows: got %d, counted %d, want %d", n, h.count, len(model))
	}
}

// TestKnownTimes: times go on beyond what a slot holds, and the oldest rows stay older than the others.
func TestKnownTimes(t *testing.T) {
	var l learned
	old, late := rowKey{1, 1}, rowKey{1, 2}
	if err := l.put(old, knownRow{sequence: 1}); err != nil {
		t.Fatal(err)
	}
	for range 3 * knownTimes {
		l.next()
	}
	if err := l.put(late, knownRow{sequence: 2, time: l.time}); err != nil {
		t.Fatal(err)
	}
	begin := l.next()
	a, _ := l.get(old)
	b, _ := l.get(late)
	if begin != 3*knownTimes+1 || b.time != begin-1 || a.time >= b.time || a.sequence != 1 || b.sequence != 2 {
		t.Errorf("at time %d: got %+v and %+v", begin, a, b)
	}
}
