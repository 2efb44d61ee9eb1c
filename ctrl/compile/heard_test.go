package compile

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"penstock/ctrl/announce"
	"penstock/ctrl/core"
	"penstock/ctrl/model"
	"penstock/dataplane/fib"
)

// street is a box whose attachments acc0 and acc1/5 learn, both of one segment; acc1 is locked.
type street struct {
	*world
	now   int64
	moves int
}

const streetTime = 1_800_000_000_000_000_000

func newStreet(t testing.TB) *street {
	t.Helper()
	s := &street{world: newWorld(t, model.Scheme16, testPorts(), 10_000), now: streetTime}
	s.c.cfg.MessageVLAN = 4000
	s.c.cfg.Moved = func(m []announce.Move) { s.moves += len(m) }
	x := s.begin()
	x.tenant(model.Tenant{Name: "red", ID: 300})
	x.segment(model.Segment{Tenant: "red", Name: "web", ID: 7})
	x.vif(streetVIF("open0", 0xaa, "acc0", 0, "off"))
	x.vif(streetVIF("open1", 0xab, "acc1", 5, "off"))
	x.vif(streetVIF("locked", 0xac, "acc1", 0, "strict", "10.0.0.172"))
	s.apply(x)
	return s
}

// apply is commit without the comparison with a state that knows no stations.
func (s *street) apply(x *tx) {
	s.t.Helper()
	p, err := s.c.Plan(x.next, x.ch)
	if err == nil {
		err = s.c.Apply(p)
	}
	if err != nil {
		s.t.Fatal(err)
	}
	x.done()
}

func streetVIF(name string, mac model.MAC, port string, vlan uint16, policy string, addresses ...string) model.VIF {
	return model.VIF{Tenant: "red", Name: name, Segment: "web", MAC: 0x020000000000 + mac, Port: port, VLAN: vlan,
		AntiSpoof: policy, Addresses: addrs(addresses...)}
}

// heard is a station on acc0, or with port 1 on acc1/5.
func heard(mac model.MAC, port uint16, address string) Heard {
	h := Heard{FabricKey: streetKey(mac), Port: port, VID: port * 5}
	if address != "" {
		h.Address = netip.MustParseAddr(address)
	}
	return h
}

func streetKey(mac model.MAC) FabricKey { return FabricKey{300, 7, 0x020000000000 + mac} }

func (s *street) hear(list ...Heard) []HeardVerdict {
	s.now += 1_000_000
	v, _ := s.c.LearnVIFs(list, s.now)
	return v
}

func (s *street) hears(h Heard, want HeardVerdict) {
	s.t.Helper()
	if v := s.hear(h)[0]; v != want {
		s.t.Errorf("station %s port %d %s: got verdict %s, want %s", h.MAC, h.Port, h.Address, v, want)
	}
}

// where is the attachment at which the table has a VIF, or the place; and the VIF that has an address.
func (s *street) where(mac model.MAC) string {
	snap := s.c.Snapshot()
	seg, _ := s.c.segmentOf(&FabricKey{300, 7, 0})
	loc, ok := s.cfg.Bindings.FindMAC(seg, 0x020000000000+uint64(mac))
	switch {
	case !ok:
		return "-"
	case loc&fib.LocLocal == 0:
		at := s.c.placeOf(loc)
		return fmt.Sprintf("%s/%d", at.Switch, at.Port)
	}
	v := snap.VIFs[loc&^fib.LocLocal]
	a := snap.Attachments[v.Attach]
	return s.c.AttachmentName(a.Port, a.VID)
}

func (s *street) owner(address string) model.MAC {
	seg, _ := s.c.segmentOf(&FabricKey{300, 7, 0})
	a := netip.MustParseAddr(address)
	var mac uint64
	if a.Is4() {
		mac, _, _ = s.cfg.Bindings.FindIP4(seg, ip4(a))
	} else {
		w := ip6(a)
		mac, _, _ = s.cfg.Bindings.FindIP6(seg, w[0], w[1])
	}
	return model.MAC(mac & 0xffffff)
}

func (s *street) is(what string, mac model.MAC, where string, address string, owner model.MAC) {
	s.t.Helper()
	if got := s.where(mac); got != where {
		s.t.Errorf("%s: station %x is at %s, want %s", what, int(mac), got, where)
	}
	if address != "" && s.owner(address) != owner {
		s.t.Errorf("%s: %s is of %x, want %x", what, address, int(s.owner(address)), int(owner))
	}
	if err := s.c.Err(); err != nil {
		s.t.Errorf("%s: got the error %v, want none", what, err)
	}
}

// TestHeard: a station is a row at its attachment, moves, gives its address to another one, ages, and goes with its
// attachment.
func TestHeard(t *testing.T) {
	s := newStreet(t)
	published := s.published
	s.hears(heard(1, 0, ""), HeardNew)
	s.hears(heard(1, 0, "10.0.0.1"), HeardNew)
	s.hears(heard(1, 0, "fd00::1"), HeardNew)
	s.hears(heard(1, 0, "10.0.0.1"), HeardSame)
	s.is("new", 1, "acc0", "10.0.0.1", 1)
	s.is("new", 1, "acc0", "fd00::1", 1)
	if s.published != published {
		t.Errorf("stations have published %d snapshots, want none", s.published-published)
	}
	s.hears(heard(1, 1, ""), HeardMoved)
	s.is("moved", 1, "acc1/5", "10.0.0.1", 1)
	s.hears(heard(2, 0, "10.0.0.1"), HeardNew) // its MAC; the address is taken as well
	s.is("an address moves", 2, "acc0", "10.0.0.1", 2)
	s.is("an address moves", 1, "acc1/5", "fd00::1", 1)
	if s.moves == 0 {
		t.Error("no VIF is told that an address has another MAC")
	}
	own := s.c.OwnVIFs()
	if len(own) != 5 || own[0].Static || own[0].FabricKey != streetKey(1) || len(own[0].Addresses) != 1 ||
		own[0].Sequence <= streetTime || !own[2].Static {
		t.Errorf("own VIFs: got %v, want the stations and the VIFs", own)
	}
	f := core.BindingFilter{Origin: model.OriginLearned}
	if got := s.c.LearnedBindings(f, model.BindingKey{}, 9); len(got) != 2 ||
		got[0].SwitchMAC != switchS || got[1].MAC != 0x020000000002 {
		t.Errorf("listed: got %v, want the two stations, at this box", got)
	}
	f.Origin = model.OriginFabric
	if got := s.c.LearnedBindings(f, model.BindingKey{}, 9); len(got) != 0 {
		t.Errorf("of origin fabric: got %v, want none", got)
	}
	st := s.c.Status(model.KindBinding, "red/web/02:00:00:00:00:02").(*Status)
	if st.Origin != model.OriginLearned || st.Port != "acc0" || !*st.Local || st.TenantID != 300 {
		t.Errorf("status: got %+v, want origin learned at acc0", st)
	}
	since := s.now + 1
	s.hears(heard(2, 0, ""), HeardSame)
	if gone := s.c.AgeVIFs(since); !slices.Equal(gone, []FabricKey{streetKey(1), streetKey(2)}) {
		t.Errorf("aged: got %v, want the one station and the address of the other", gone)
	}
	s.is("aged", 1, "-", "fd00::1", 0)
	s.is("aged", 2, "acc0", "10.0.0.1", 0)
	x := s.begin()
	x.vif(streetVIF("open0", 0xaa, "acc0", 0, "strict"))
	s.apply(x)
	s.is("the attachment is locked", 2, "-", "", 0)
	s.hears(heard(2, 0, ""), HeardLate)
	x = s.begin()
	x.vif(streetVIF("open0", 0xaa, "acc0", 0, "off"))
	s.apply(x)
	s.hears(heard(2, 0, "10.0.0.2"), HeardNew)
	x = s.begin() // a VIF that keeps its attachment open is changed
	x.vif(streetVIF("open0", 0xad, "acc0", 0, "off"))
	s.apply(x)
	s.is("another VIF is changed", 2, "acc0", "10.0.0.2", 2)
	x = s.begin()
	x.dropTenant("red")
	s.apply(x)
	if len(s.c.OwnVIFs()) != 0 || s.cfg.Bindings.Len() != 0 {
		t.Errorf("without the tenant: %d rows, want none", s.cfg.Bindings.Len())
	}
}

// TestHeardRanks: what is pushed or configured, here or elsewhere, is never taken by a station; a learned one of
// another box is; and it yields to all of them when they come later.
func TestHeardRanks(t *testing.T) {
	bind := func(mac model.MAC, addresses ...string) model.Binding {
		return model.Binding{Tenant: "red", Segment: "web", MAC: 0x020000000000 + mac, Addresses: addrs(addresses...),
			SwitchMAC: switchX, SwitchPort: 9}
	}
	told := func(s *street, mac model.MAC, static bool, sequence uint64, addresses ...string) Verdict {
		return s.c.LearnRows([]FabricRow{{FabricKey: streetKey(mac), Addresses: addrs(addresses...),
			At: Place{switchX, 9}, Sequence: sequence, Static: static}})[0]
	}
	far := fmt.Sprintf("%s/9", switchX)
	s := newStreet(t)
	x := s.begin()
	x.bind(bind(1, "10.0.0.1"))
	s.apply(x)
	told(s, 2, true, 5, "10.0.0.2")
	told(s, 3, false, streetTime+5e15, "10.0.0.3")
	told(s, 6, false, 5, "10.0.0.6")
	for _, c := range []struct {
		h    Heard
		want HeardVerdict
	}{
		{heard(1, 0, ""), HeardTaken}, {heard(4, 0, "10.0.0.1"), HeardNew}, {heard(4, 0, "10.0.0.1"), HeardTaken},
		{heard(2, 0, ""), HeardFixed}, {heard(4, 0, "10.0.0.2"), HeardFixed},
		{heard(0xac, 0, ""), HeardTaken}, {heard(4, 0, "10.0.0.172"), HeardTaken}, {heard(0xaa, 1, ""), HeardTaken},
		{heard(0xaa, 0, ""), HeardSame}, {heard(0xaa, 0, "10.0.0.172"), HeardTaken},
		{heard(0xaa, 0, "10.0.0.170"), HeardNew}, {heard(0xaa, 0, "10.0.0.1"), HeardTaken},
		{heard(3, 0, ""), HeardMoved}, {heard(4, 0, "10.0.0.6"), HeardAddress},
		{Heard{FabricKey: FabricKey{300, 8, 1}}, HeardLate}, {heard(5, 1, "").at(1, 0), HeardLate},
		{heard(0x010000000000, 0, ""), HeardLate},
	} {
		s.hears(c.h, c.want)
	}
	s.is("pushed", 1, far, "10.0.0.1", 1)
	s.is("configured elsewhere", 2, far, "10.0.0.2", 2)
	s.is("learned elsewhere", 3, "acc0", "10.0.0.3", 0)
	s.is("a learned address", 6, far, "10.0.0.6", 4)
	s.is("configured here", 0xac, "acc1", "10.0.0.172", 0xac)
	s.is("an address more of a VIF", 0xaa, "acc0", "10.0.0.170", 0xaa)
	if r, _ := s.c.OwnVIF(streetKey(3)); r.Sequence != streetTime+5e15+1 {
		t.Errorf("sequence: got %d, want one more than that of the claim before", r.Sequence)
	}

	// They come later.
	s.hears(heard(7, 0, "10.0.0.7"), HeardNew)
	x = s.begin()
	x.bind(bind(7))
	x.bind(bind(8, "10.0.0.6"))
	s.apply(x)
	s.is("pushed later", 7, far, "10.0.0.7", 0)
	s.is("an address pushed later", 4, "acc0", "10.0.0.6", 8)
	s.hears(heard(9, 0, "10.0.0.9"), HeardNew)
	if err := s.c.BulkPut([]model.Binding{bind(9)}); err != nil {
		t.Fatal(err)
	}
	s.c.BulkEnd()
	s.bindings[model.BindingKey{Tenant: "red", Segment: "web", MAC: 0x020000000009}] = bind(9)
	s.is("pushed in bulk", 9, far, "10.0.0.9", 0)
	s.hears(heard(10, 0, "10.0.0.10"), HeardNew)
	if v := told(s, 10, false, 1<<62); v != Local {
		t.Errorf("another box claims a station: got verdict %s, want local", v)
	}
	s.is("a claim", 10, "acc0", "10.0.0.10", 10)
	if v := s.c.GiveWay(&FabricRow{FabricKey: streetKey(10), At: Place{switchX, 9}, Sequence: 1 << 62}); v != Taken {
		t.Errorf("a station gives way: got verdict %s, want taken", v)
	}
	s.is("given away", 10, far, "10.0.0.10", 0)
	s.hears(heard(11, 0, "10.0.0.11"), HeardNew)
	told(s, 12, true, 5, "10.0.0.11")
	s.is("configured elsewhere later", 12, far, "10.0.0.11", 12)
	x = s.begin()
	x.vif(streetVIF("new", 11, "acc1", 0, "strict", "10.0.0.11"))
	s.apply(x)
	s.is("configured here later", 11, "acc1", "10.0.0.11", 11)
	held := heard(13, 0, "")
	held.Held = true
	s.hears(held, HeardHeld)
	s.is("held", 13, "-", "", 0)
}

func (h Heard) at(port, vid uint16) Heard {
	h.Port, h.VID = port, vid
	return h
}

// TestHeardMany: an attachment has 1,024 stations at most, and 50 changes a second in the end; another one has its own.
func TestHeardMany(t *testing.T) {
	s := newStreet(t)
	count := func(port uint16, base, n int) (news int) {
		list := make([]Heard, n)
		for i := range list {
			list[i] = heard(model.MAC(base+i), port, "")
		}
		for _, v := range s.hear(list...) {
			if v == HeardNew {
				news++
			} else if v != HeardMany {
				t.Fatalf("got verdict %s, want new or many", v)
			}
		}
		return news
	}
	if n := count(0, 0x10000, 3000); n != maxHeardAt {
		t.Errorf("of 3,000 stations %d are learned, want %d", n, maxHeardAt)
	}
	if n := count(1, 0x20000, 100); n != 100 {
		t.Errorf("behind the other attachment: %d of 100 stations, want all", n)
	}
	s.c.AgeVIFs(s.now + 1)
	if n := count(0, 0x30000, 3000); n != heardSave-maxHeardAt {
		t.Errorf("after the first ones aged: %d are learned, want %d", n, heardSave-maxHeardAt)
	}
	s.c.AgeVIFs(s.now + 1)
	s.now += 2_000_000_000
	if n := count(0, 0x40000, 3000); n < 2*heardRate-1 || n > 2*heardRate+1 {
		t.Errorf("2 s later: %d changes, want %d", n, 2*heardRate)
	}
	// One station with many addresses keeps the last ones.
	for i := range 40 {
		s.hears(heard(1, 1, fmt.Sprintf("10.1.0.%d", i+1)), HeardNew)
	}
	if r, _ := s.c.OwnVIF(streetKey(1)); len(r.Addresses) != model.MaxAddresses || s.owner("10.1.0.40") != 1 ||
		s.owner("10.1.0.1") != 0 {
		t.Errorf("addresses of one station: got %v, want the last %d", r.Addresses, model.MaxAddresses)
	}
}

// TestHeardRandom: whatever is pushed, configured, told and heard in any order: an address is of a row whose rank none
// of the others that claim it exceeds, and a station has a row unless something else has it.
func TestHeardRandom(t *testing.T) {
	for seed := range uint64(8) {
		r := rand.New(rand.NewPCG(seed, 7))
		s := newStreet(t)
		addresses := func() (list []netip.Addr) {
			for i := range 5 {
				if r.IntN(3) == 0 {
					list = append(list, netip.AddrFrom4([4]byte{10, 0, 0, byte(1 + i)}))
				}
			}
			return list
		}
		told := map[FabricKey]FabricRow{}
		vifs := map[string]model.VIF{}
		for step := range 400 {
			mac := model.MAC(1 + r.IntN(6))
			key := model.BindingKey{Tenant: "red", Segment: "web", MAC: 0x020000000000 + mac}
			b := model.Binding{Tenant: "red", Segment: "web", MAC: key.MAC, Addresses: addresses(), SwitchMAC: switchX,
				SwitchPort: uint16(1 + r.IntN(3))}
			x := s.begin()
			switch r.IntN(12) {
			case 0:
				x.bind(b)
				s.apply(x)
			case 1:
				x.unbind(key)
				s.apply(x)
			case 2:
				if err := s.c.BulkPut([]model.Binding{b}); err != nil {
					t.Fatal(err)
				}
				s.c.BulkEnd()
				s.bindings[key] = b
			case 3:
				v := streetVIF(fmt.Sprint("v", mac), mac, "acc0", 0, []string{"strict", "off"}[r.IntN(2)])
				v.Addresses, vifs[v.Name] = b.Addresses, v
				x.vif(v)
				s.apply(x)
			case 4:
				name := fmt.Sprint("v", mac)
				delete(own(&x.next.VIFs), "red/"+name)
				delete(vifs, name)
				s.apply(x)
			case 5, 6:
				row := FabricRow{FabricKey: streetKey(mac), Addresses: b.Addresses, Static: r.IntN(2) == 0,
					At: Place{switchX, uint8(b.SwitchPort)}, Sequence: uint64(s.now) + uint64(r.IntN(3e6))}
				if v := s.c.LearnRows([]FabricRow{row})[0]; v == Local && r.IntN(2) == 0 {
					s.c.GiveWay(&row)
				}
				told[row.FabricKey] = row
			case 7:
				s.c.AgeVIFs(s.now - int64(r.IntN(20))*1e6)
			case 8:
				policy := []string{"strict", "off"}[r.IntN(2)]
				x.vif(streetVIF("open0", 0xaa, "acc0", 0, policy))
				s.apply(x)
			default:
				h := heard(mac, uint16(r.IntN(2)), "")
				if a := b.Addresses; len(a) > 0 {
					h.Address = a[0]
				}
				s.hear(h)
			}
			s.checkHeard(fmt.Sprint("seed ", seed, " step ", step))
			if t.Failed() {
				return
			}
		}
	}
}

// checkHeard compares the table with who claims what.
func (s *street) checkHeard(what string) {
	s.t.Helper()
	c := s.c
	seg, _ := c.segmentOf(&FabricKey{300, 7, 0})
	best := map[netip.Addr]rank{}
	claims := map[netip.Addr]map[model.MAC]rank{}
	note := func(mac model.MAC, a netip.Addr, r rank) {
		if claims[a] == nil {
			claims[a] = map[model.MAC]rank{}
		}
		claims[a][mac], best[a] = max(r, claims[a][mac]), max(r, best[a])
	}
	rows := 0
	c.cfg.Bindings.Each(func(g uint32, mac uint64, loc fib.Loc) {
		rows++
		k := rowKey{g, mac}
		b, _ := c.cfg.Bindings.Get(g, mac)
		_, isVIF := c.vifRows[k]
		fixed := false
		if x, ok := c.learned.get(k); ok {
			fixed = x.flags&knownFixed != 0
		}
		for _, a := range append(addrKeys(nil, g, b.IP4, b.IP6), c.lost[k]...) {
			r := rankPushed
			switch {
			case isVIF && !c.heardAddress(k, a), loc&fib.LocLocal != 0 && isVIF && !c.heardAddress(k, a):
				r = rankVIF
			case loc&fib.LocLocal != 0, c.isLearned(k) && !fixed:
				r = rankLearned
			case c.isLearned(k):
				r = rankFabric
			}
			note(model.MAC(mac), a.addr(), r)
		}
		if loc&fib.LocLocal != 0 && !isVIF && c.heard.rows[k] == nil {
			s.t.Errorf("%s: row %x is local, and neither a VIF nor heard", what, mac)
		}
	})
	for a, list := range claims {
		owner := s.owner(a.String()) | 0x020000000000
		if r, ok := list[owner]; !ok || r != best[a] {
			s.t.Errorf("%s: %s is of %s with rank %d, want rank %d: %v", what, a, owner, r, best[a], list)
		}
	}
	for k, h := range c.heard.rows {
		loc, ok := c.cfg.Bindings.FindMAC(seg, k.mac)
		ref := c.attach[h.at]
		if _, isVIF := c.vifRows[k]; !ok || loc&fib.LocLocal == 0 || !isVIF && loc != fib.LocLocal|(ref.strangers-1) {
			s.t.Errorf("%s: the station %x, heard at %v, is at %x (%t)", what, k.mac, h.at, loc, ok)
		}
		key := model.BindingKey{Tenant: "red", Segment: "web", MAC: model.MAC(k.mac)}
		if _, pushed := s.bindings[key]; pushed && c.stranger(k) != nil {
			s.t.Errorf("%s: the station %x is pushed, and heard", what, k.mac)
		}
		if !c.heard.at[h.at].keys[k] {
			s.t.Errorf("%s: the station %x is not counted at its attachment", what, k.mac)
		}
	}
	counted := 0
	for _, x := range c.heard.at {
		counted += len(x.keys)
	}
	if counted != len(c.heard.rows) {
		s.t.Errorf("%s: %d stations are counted, want %d", what, counted, len(c.heard.rows))
	}
	sum := 0
	for _, d := range c.learned.places {
		sum += d.Count
	}
	if sum != c.learned.count || c.Err() != nil {
		s.t.Errorf("%s: digests of %d rows, %d are learned; %v", what, sum, c.learned.count, c.Err())
	}
	if !slices.IsSortedFunc(c.OwnVIFs(), func(a, b FabricRow) int {
		return cmp.Or(cmp.Compare(a.Tenant, b.Tenant), a.FabricKey.Compare(b.FabricKey))
	}) {
		s.t.Errorf("%s: own VIFs are not in order", what)
	}
}

// TestLearnPause: a row is visible at once, and what it changes beside the table with the next publication.
func TestLearnPause(t *testing.T) {
	s := newStreet(t)
	s.c.cfg.LearnPause = time.Hour
	told := func(mac model.MAC, port uint8) {
		s.c.LearnRows([]FabricRow{{FabricKey: streetKey(mac), At: Place{switchX, port}, Sequence: 1}})
	}
	remote := func() int {
		seg, _ := s.c.segmentOf(&FabricKey{300, 7, 0})
		return len(s.c.Snapshot().Segments[seg].Remote)
	}
	told(1, 1)
	told(2, 2)
	told(3, 3)
	if s.where(3) == "-" || remote() != 1 {
		t.Errorf("within the pause: row at %s, %d boxes are flooded to; want the row and 1 box", s.where(3), remote())
	}
	s.c.SettleLearned()
	if remote() != 1 {
		t.Errorf("SettleLearned within the pause: %d boxes are flooded to, want 1", remote())
	}
	s.c.learned.nextSettled = time.Time{}
	s.c.SettleLearned()
	if remote() != 3 {
		t.Errorf("after the pause: %d boxes are flooded to, want 3", remote())
	}
	published := s.published
	s.c.learned.nextSettled = time.Time{}
	if s.c.SettleLearned(); s.published != published {
		t.Error("SettleLearned publishes though nothing has changed")
	}
}
