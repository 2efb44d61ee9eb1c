package compile

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	"penstock/ctrl/model"
	"penstock/dataplane/fib"
	"penstock/dataplane/table"
)

// Who owns an address
//
// A row of a segment (a MAC) is claimed by a gateway group that is a station there, by a virtual address, by a VIF of
// this box, by a pushed binding, by one that another box has told (learn.go), and by a station that was heard behind an
// attachment of this box (heard.go): the first of them in this order has it (decide), but of the last two the one with
// the larger sequence, unless the VIF is configured at its owner. An address is claimed by every
// row that names it, at the rank of the row's owner; of two pushed bindings the younger one has it, by the revision
// that changed it last, and of two of one revision the one with the larger MAC. Rank, age and MAC are the same after a
// restart, so the owner is, too.
//
// The owner is in the table. The others are here, while there is a dispute: when the owner goes, the next in order
// takes the address over in the same change. An address that one row claims costs nothing.

// rank orders claims: the largest wins.
type rank uint8

// The ranks.
const (
	rankLearned rank = iota // learned from what a station sends, here or by another box; the largest sequence first
	rankFabric              // a VIF that is configured on another box; the largest sequence first
	rankPushed              // a pushed binding
	rankVIF                 // a VIF of this box
	rankVirtual             // a virtual address, wherever it is served
	rankGroup               // a gateway group of this box
)

// rankOf returns the rank of the owner of a row of the table. Addresses of the row that were heard have rankLearned.
func (d *dispute) rankOf(k rowKey, loc fib.Loc) rank {
	told, fixed := d.told(k)
	switch {
	case d.virtual(k):
		return rankVirtual
	case loc&fib.LocLocal == 0 && told && fixed:
		return rankFabric
	case loc&fib.LocLocal == 0 && told:
		return rankLearned
	case loc&fib.LocLocal == 0:
		return rankPushed
	case loc&fib.LocGateway != 0:
		return rankGroup
	}
	return rankVIF
}

// addrKey is an address of a segment; an IPv4 address stands in lo.
type addrKey struct {
	seg    uint32
	v6     bool
	hi, lo uint64
}

// addr returns the address for people.
func (a addrKey) addr() netip.Addr {
	var b [16]byte
	for i := range 8 {
		b[i], b[8+i] = byte(a.hi>>(56-8*i)), byte(a.lo>>(56-8*i))
	}
	if a.v6 {
		return netip.AddrFrom16(b)
	}
	return netip.AddrFrom4([4]byte(b[12:]))
}

// addrKeys appends the addresses of a row.
func addrKeys(to []addrKey, seg uint32, ip4 []uint32, ip6 [][2]uint64) []addrKey {
	for _, ip := range ip4 {
		to = append(to, addrKey{seg: seg, lo: uint64(ip)})
	}
	for _, ip := range ip6 {
		to = append(to, addrKey{seg: seg, v6: true, hi: ip[0], lo: ip[1]})
	}
	return to
}

// splitKeys returns addresses by family.
func splitKeys(list []addrKey) (ip4 []uint32, ip6 [][2]uint64) {
	for _, a := range list {
		if a.v6 {
			ip6 = append(ip6, [2]uint64{a.hi, a.lo})
		} else {
			ip4 = append(ip4, uint32(a.lo))
		}
	}
	return ip4, ip6
}

// claim is a row that claims an address, by its MAC in the segment of the address.
type claim struct {
	mac  uint64
	rank rank
}

// ageFunc returns the ages of pushed rows: the revisions that changed them last.
type ageFunc func([]rowKey) ([]uint64, error)

// dispute is a change of claims under way: rows that change are added, settle decides, and what is to be written to the
// table is in upserts.
type dispute struct {
	t         *table.Bindings
	contested edit[addrKey, []claim]  // by address: who claims it, in order, the owner first; two at least
	lost      edit[rowKey, []addrKey] // by row of the table: what it claims and another one owns
	ages      ageFunc
	virtual   func(rowKey) bool // the row is that of a virtual address
	was       func(rowKey) bool // and was so before
	// told says whether the row is one that another box has told, and whether it is configured there.
	told     func(rowKey) (told, fixed bool)
	heard    func(rowKey, addrKey) bool // the address was heard from the row's station, behind an attachment
	sequence func(rowKey) uint64

	rows    map[rowKey]*claimant
	order   []*claimant
	upserts []table.Binding
}

// claimant is a row that changes.
type claimant struct {
	key    rowKey
	loc    fib.Loc
	rank   rank
	live   bool // it is in the table afterwards
	fresh  bool // a binding that this change pushes: younger than all others
	before []addrKey
	after  []addrKey
}

func newDispute(c *Compiler, ages ageFunc) dispute {
	return dispute{t: c.cfg.Bindings, contested: edit[addrKey, []claim]{base: c.contested}, lost: edit[rowKey,
		[]addrKey]{base: c.lost}, ages: ages, virtual: c.isVirtual, was: c.isVirtual, told: c.toldRow,
		heard: c.heardAddress, sequence: c.sequenceOf}
}

func (d *dispute) commit() {
	d.contested.commit()
	d.lost.commit()
}

// claimsOf returns the location of a row of the table, and all that it claims.
func (d *dispute) claimsOf(k rowKey) (loc fib.Loc, list []addrKey) {
	b, ok := d.t.Get(k.seg, k.mac)
	if !ok {
		return 0, nil
	}
	lost, _ := d.lost.get(k)
	return b.Loc, append(addrKeys(nil, k.seg, b.IP4, b.IP6), lost...)
}

// put adds a row that is to be in the table afterwards. It must not have been added before.
func (d *dispute) put(b *table.Binding, fresh bool) {
	k := rowKey{b.Seg, b.MAC}
	loc, before := d.claimsOf(k)
	after := addrKeys(nil, b.Seg, b.IP4, b.IP6)
	if loc == b.Loc && !fresh && sameKeys(before, after) && d.virtual(k) == d.was(k) {
		return
	}
	d.add(&claimant{key: k, loc: b.Loc, rank: d.rankOf(k, b.Loc), live: true, fresh: fresh, before: before,
		after: after})
}

// remove adds a row that is not in the table afterwards.
func (d *dispute) remove(k rowKey) {
	_, before := d.claimsOf(k)
	d.add(&claimant{key: k, before: before})
}

func (d *dispute) add(x *claimant) {
	if d.rows == nil {
		d.rows = map[rowKey]*claimant{}
	}
	d.rows[x.key] = x
	d.order = append(d.order, x)
}

func sameKeys(a, b []addrKey) bool {
	return len(a) == len(b) && !slices.ContainsFunc(a, func(k addrKey) bool { return !slices.Contains(b, k) })
}

// settle decides whose the addresses of the added rows are. Rows that come into an address are upserted in front of
// those that were added: an address changes hands without being nobody's.
func (d *dispute) settle() error {
	claimants := map[addrKey][]*claimant{}
	var affected []addrKey
	for _, x := range d.order {
		for _, a := range x.before {
			if _, seen := claimants[a]; !seen {
				claimants[a] = nil
				affected = append(affected, a)
			}
		}
		for _, a := range x.after {
			if _, seen := claimants[a]; !seen {
				affected = append(affected, a)
			}
			claimants[a] = append(claimants[a], x)
		}
	}
	gains := map[rowKey][]addrKey{}
	var gainers []rowKey
	for _, a := range affected {
		old, disputed := d.contested.get(a)
		if !disputed {
			old = d.owner(a)
		}
		next, err := d.rankAll(a, old, claimants[a])
		if err != nil {
			return err
		}
		d.note(a, old, next, disputed)
		if len(next) == 0 || len(old) > 0 && old[0].mac == next[0].mac {
			continue
		}
		if k := (rowKey{a.seg, next[0].mac}); d.rows[k] == nil {
			if gains[k] == nil {
				gainers = append(gainers, k)
			}
			gains[k] = append(gains[k], a)
		}
	}
	for _, k := range gainers {
		b, _ := d.t.Get(k.seg, k.mac)
		d.write(k, b.Loc, append(addrKeys(nil, k.seg, b.IP4, b.IP6), gains[k]...))
	}
	for _, x := range d.order {
		if x.live {
			d.write(x.key, x.loc, x.after)
		}
	}
	return nil
}

// write upserts a row with those of its addresses that it owns.
func (d *dispute) write(k rowKey, loc fib.Loc, list []addrKey) {
	if lost, ok := d.lost.get(k); ok {
		list = slices.DeleteFunc(slices.Clone(list), func(a addrKey) bool { return slices.Contains(lost, a) })
	}
	b := table.Binding{Seg: k.seg, MAC: k.mac, Loc: loc}
	b.IP4, b.IP6 = splitKeys(list)
	d.upserts = append(d.upserts, b)
}

// owner returns the claim of the row that has an address in the table.
func (d *dispute) owner(a addrKey) []claim {
	mac, loc, ok := uint64(0), fib.Loc(0), false
	if a.v6 {
		mac, loc, ok = d.t.FindIP6(a.seg, a.hi, a.lo)
	} else {
		mac, loc, ok = d.t.FindIP4(a.seg, uint32(a.lo))
	}
	if !ok {
		return nil
	}
	k := rowKey{a.seg, mac}
	return []claim{{mac, d.rankFor(k, a, d.rankOf(k, loc))}}
}

// rankFor is the rank at which a row claims an address; of is that of the row.
func (d *dispute) rankFor(k rowKey, a addrKey, of rank) rank {
	if of == rankVIF && d.heard(k, a) {
		return rankLearned
	}
	return of
}

// entry is a claim while it is sorted.
type entry struct {
	claim
	fresh bool
	age   uint64
}

// rankAll returns the claims to an address in order: of the old ones those whose row does not change, and the new ones.
func (d *dispute) rankAll(a addrKey, old []claim, changed []*claimant) ([]claim, error) {
	var list []entry
	for _, c := range old {
		if d.rows[rowKey{a.seg, c.mac}] == nil {
			list = append(list, entry{claim: c})
		}
	}
	elderly, placed := 0, true // pushed rows whose age counts; whether they stand in order
	for i := range list {
		if list[i].rank == rankPushed {
			elderly++
		}
	}
	for _, x := range changed {
		list = append(list, entry{claim: claim{x.key.mac, d.rankFor(x.key, a, x.rank)}, fresh: x.fresh})
		if x.rank == rankPushed && !x.fresh {
			elderly++
			placed = false
		}
	}
	if elderly > 1 && !placed {
		if err := d.fillAges(a.seg, list); err != nil {
			return nil, err
		}
		placed = false
	}
	for i := range list {
		if list[i].rank <= rankFabric {
			list[i].age = d.sequence(rowKey{a.seg, list[i].mac})
		}
	}
	return sortClaims(list, placed || elderly < 2), nil
}

// fillAges asks for the ages of pushed rows.
func (d *dispute) fillAges(seg uint32, list []entry) error {
	var keys []rowKey
	for i := range list {
		keys = append(keys, rowKey{seg, list[i].mac})
	}
	ages, err := d.ages(keys)
	if err != nil {
		return fmt.Errorf("ages of bindings that claim one address: %w", err)
	}
	for i := range list {
		list[i].age = ages[i]
	}
	return nil
}

// sortClaims sorts by rank, age and MAC. With placed the ages are not known, and old rows stay in their order.
func sortClaims(list []entry, placed bool) []claim {
	slices.SortStableFunc(list, func(x, y entry) int {
		switch {
		case x.rank != y.rank:
			return cmp.Compare(y.rank, x.rank)
		case x.rank <= rankFabric:
			return cmp.Or(cmp.Compare(y.age, x.age), cmp.Compare(y.mac, x.mac))
		case x.rank != rankPushed:
			return cmp.Compare(y.mac, x.mac)
		case x.fresh != y.fresh && x.fresh:
			return -1
		case x.fresh != y.fresh:
			return 1
		case x.fresh:
			return cmp.Compare(y.mac, x.mac)
		case placed:
			return 0
		}
		return cmp.Or(cmp.Compare(y.age, x.age), cmp.Compare(y.mac, x.mac))
	})
	var out []claim
	for i := range list {
		out = append(out, list[i].claim)
	}
	return out
}

// note keeps who claims an address, and which rows have lost it.
func (d *dispute) note(a addrKey, old, next []claim, disputed bool) {
	switch {
	case len(next) > 1:
		d.contested.set(a, next)
	case disputed:
		d.contested.remove(a)
	}
	for i := 1; i < len(old); i++ {
		if k := (rowKey{a.seg, old[i].mac}); !loses(next, old[i].mac) {
			lost, _ := d.lost.get(k)
			d.setLost(k, slices.DeleteFunc(slices.Clone(lost), func(x addrKey) bool { return x == a }))
		}
	}
	for i := 1; i < len(next); i++ {
		if k := (rowKey{a.seg, next[i].mac}); !loses(old, next[i].mac) {
			lost, _ := d.lost.get(k)
			d.setLost(k, append(slices.Clone(lost), a))
		}
	}
}

func loses(list []claim, mac uint64) bool {
	return slices.IndexFunc(list, func(c claim) bool { return c.mac == mac }) > 0
}

func (d *dispute) setLost(k rowKey, list []addrKey) {
	if len(list) == 0 {
		d.lost.remove(k)
	} else {
		d.lost.set(k, list)
	}
}

// lostReason names the addresses of a row that another row owns, "" if the row owns all.
func (c *Compiler) lostReason(k rowKey) string {
	s := ""
	for _, a := range c.lost[k] {
		if s != "" {
			s += "; "
		}
		owner := c.contested[a][0]
		s += a.addr().String() + " belongs to " + [...]string{
			rankLearned: "the station that was heard with it last, ",
			rankFabric:  "the binding that another box has told last, ",
			rankPushed:  "the binding pushed last, ", rankVIF: "the VIF of this box with ",
			rankVirtual: "the virtual address with ", rankGroup: "the gateway group with "}[owner.rank] +
			"MAC " + model.MAC(owner.mac).String()
	}
	return s
}
