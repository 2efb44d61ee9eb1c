package compile

import (
	"cmp"
	"encoding/binary"
	"net/netip"
	"slices"

	"github.com/cespare/xxhash/v2"

	"penstock/ctrl/model"
	"penstock/dataplane/fib"
)

// Digest is the number of the bindings at a place, and the sum of their hashes.
type Digest struct {
	Count int
	Sum   uint64
}

// Add adds a binding.
func (d *Digest) Add(r *FabricRow) {
	d.Count++
	d.Sum += r.hash()
}

// hash is the sum, modulo 2⁶⁴, of XXH64 over octets 8–31 of each HERE of the row, and its IPv6 address
// (PROTOCOL.md#binding-messages).
func (r *FabricRow) hash() (sum uint64) {
	r.Heres(func(v4 netip.Addr, v6 netip.Addr, _ bool) {
		var ip4 [4]byte
		var ip6 []byte
		if v4.IsValid() {
			ip4 = v4.As4()
		}
		if v6.IsValid() {
			a := v6.As16()
			ip6 = a[:]
		}
		sum += r.hashHere(r.Sequence, ip4, ip6)
	})
	return sum
}

// hashHere is the hash of one HERE.
func (k *FabricKey) hashHere(sequence uint64, ip4 [4]byte, ip6 []byte) uint64 {
	var b [40]byte
	binary.BigEndian.PutUint64(b[0:], sequence)
	binary.BigEndian.PutUint64(b[8:], uint64(k.Tenant)<<40|uint64(k.Segment)<<16|uint64(k.MAC)>>32)
	binary.BigEndian.PutUint32(b[16:], uint32(k.MAC))
	copy(b[20:], ip4[:])
	return xxhash.Sum64(b[:24+copy(b[24:], ip6)])
}

// Heres calls f for each HERE that tells the row: with an address of each family at most, in the order of the
// addresses. more is true for all but the first.
func (r *FabricRow) Heres(f func(v4, v6 netip.Addr, more bool)) {
	slices.SortFunc(r.Addresses, netip.Addr.Compare) // IPv4 comes first
	n4 := slices.IndexFunc(r.Addresses, netip.Addr.Is6)
	if n4 < 0 {
		n4 = len(r.Addresses)
	}
	v4, v6 := r.Addresses[:n4], r.Addresses[n4:]
	for i := range max(1, len(v4), len(v6)) {
		var a, b netip.Addr
		if i < len(v4) {
			a = v4[i]
		}
		if i < len(v6) {
			b = v6[i]
		}
		f(a, b, i > 0)
	}
}

// digest adds n rows with a sum to those at a location.
func (l *learned) digest(loc fib.Loc, n int, sum uint64) {
	l.news++
	d := l.places[loc]
	d.Count += n
	d.Sum += sum
	switch {
	case d.Count == 0:
		delete(l.places, loc)
		return
	case l.places == nil:
		l.places = map[fib.Loc]Digest{}
	}
	l.places[loc] = d
}

// sum is the hash of a learned row; see FabricRow.hash. It sorts the addresses.
func (c *Compiler) sum(k rowKey, sequence uint64, v4 []uint32, v6 [][2]uint64) (sum uint64) {
	g := &c.snap.Load().Segments[k.seg]
	key := FabricKey{g.Tenant, g.ID, model.MAC(k.mac)}
	slices.Sort(v4)
	slices.SortFunc(v6, func(a, b [2]uint64) int { return cmp.Or(cmp.Compare(a[0], b[0]), cmp.Compare(a[1], b[1])) })
	for i := range max(1, len(v4), len(v6)) {
		var ip4 [4]byte
		var ip6 [16]byte
		n := 0
		if i < len(v4) {
			binary.BigEndian.PutUint32(ip4[:], v4[i])
		}
		if i < len(v6) {
			binary.BigEndian.PutUint64(ip6[:], v6[i][0])
			binary.BigEndian.PutUint64(ip6[8:], v6[i][1])
			n = 16
		}
		sum += key.hashHere(sequence, ip4, ip6[:n])
	}
	return sum
}

// sumOf is the hash of a learned row of the table.
func (c *Compiler) sumOf(k rowKey, sequence uint64) uint64 {
	b := &c.bulk.old
	if !c.cfg.Bindings.GetInto(k.seg, k.mac, b) {
		b.IP4, b.IP6 = b.IP4[:0], b.IP6[:0]
	}
	v4, v6 := splitKeys(c.lost[k])
	b.IP4, b.IP6 = append(b.IP4, v4...), append(b.IP6, v6...)
	return c.sum(k, sequence, b.IP4, b.IP6)
}

// Digests returns the digests of the learned rows by place. version changes with any row.
func (c *Compiler) Digests() (digests map[Place]Digest, version uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	digests = make(map[Place]Digest, len(c.learned.places))
	for loc, d := range c.learned.places {
		digests[c.placeOf(loc)] = d
	}
	return digests, c.learned.news
}
