package flow

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"

	"penstock/dataplane/fib"
	"penstock/dataplane/memory"
	"penstock/dataplane/stats"
)

// The limits of Config.Flows.
const (
	MinFlows = 16
	MaxFlows = 1 << 27
)

// load is the part of the slots in percent that a full table uses: 44 octets for each flow.
const load = 73

// Config says how large a table is.
type Config struct {
	Flows   int // flows at most, MinFlows to MaxFlows
	Servers int // servers whose flows are counted: indices below this; see Table.Servers
	V6      bool
	Rate    uint32 // insertions per second, 0 = no limit
}

// Table is a worker's table of flows. Only one goroutine may use it at a time, but for Stats and Servers, whose values
// anybody may load.
//
// A key has two buckets of two entries, a cache line each. When both are full, entries move to their other bucket to
// make room. So a lookup reads at most two lines, which Touch loads for a whole batch beforehand. The addresses of IPv6
// clients lie in a memory of their own, which only a table with V6 has.
//
// The half-open entries are in a list in the order of their last packets, so that the oldest is evicted and expires
// first, exactly. Among the other states the table evicts the oldest of the next sampleBuckets buckets that a hand
// passes: entries lie at random places, so that it is one of the oldest of the table, not the oldest.
type Table struct {
	buckets []bucket
	addrs   []address // by slot; nil without IPv6
	keys    [5]uint64
	now     uint32 // milliseconds
	nanos   int64
	limit   uint32 // entries at most
	quarter uint32 // half-open entries at most
	total   uint32
	count   [8]uint32 // entries by state

	oldest, newest uint32 // half-open entries, slot + 1
	ahead          uint32 // the half-open entry that was loaded last for its eviction, slot + 1
	lead           uint32 // how many entries it is behind the oldest
	hand           uint32 // next bucket to look at for an eviction
	scan           uint32 // next bucket to look at for expired entries
	scanned        int64  // nanosecond of the last scan
	rate           guard
	path           [maxPath]step
	news           *News
	quiet          bool // what happens is no news
	touched        uint64

	// Stats has the counters of the table, see Stat…; the owner of the table publishes it.
	Stats *stats.Block
	// Servers has the number of live flows of each server.
	Servers *Counts

	region, region6 memory.Region
}

// New makes a table and populates its memory. The packet path does not call it.
func New(c Config) (*Table, error) {
	if c.Flows < MinFlows || c.Flows > MaxFlows {
		return nil, fmt.Errorf("flow table: %d flows: it must be %d to %d", c.Flows, MinFlows, MaxFlows)
	}
	n := c.Flows*100/(2*load) + 8
	r, err := memory.Map(n * bucketSize)
	if err != nil {
		return nil, fmt.Errorf("flow table of %d flows: %w", c.Flows, err)
	}
	t := &Table{
		buckets: bucketsIn(r.Bytes(), n), limit: uint32(c.Flows), quarter: uint32(c.Flows / 4), region: r,
		Stats: stats.NewBlock(StatLen), Servers: NewCounts(c.Servers),
	}
	t.rate.set(c.Rate)
	var b [8 * len(t.keys)]byte
	_, _ = rand.Read(b[:]) // never fails: crypto/rand ends the program first
	for i := range t.keys {
		t.keys[i] = binary.LittleEndian.Uint64(b[8*i:]) | 1<<63 | 1 // no product by zero
	}
	if !c.V6 {
		return t, nil
	}
	r6, err := MapV6(c.Flows)
	if err != nil {
		return nil, errors.Join(err, t.Close())
	}
	t.AttachV6(r6)
	return t, nil
}

// MapV6 makes the memory that a table of so many flows needs for the addresses of IPv6 clients.
func MapV6(flows int) (memory.Region, error) {
	r, err := memory.Map(2 * (flows*100/(2*load) + 8) * addressSize)
	if err != nil {
		return r, fmt.Errorf("IPv6 addresses of %d flows: %w", flows, err)
	}
	return r, nil
}

// AttachV6 gives the table the memory that MapV6 has made for a table of its size. A table that has it already must not
// get it again.
func (t *Table) AttachV6(r memory.Region) {
	t.region6, t.addrs = r, addressesIn(r.Bytes(), 2*len(t.buckets))
}

// V6 reports whether the table takes IPv6 flows.
func (t *Table) V6() bool { return t.addrs != nil }

// Limit returns the number of flows at most.
func (t *Table) Limit() int { return int(t.limit) }

// Len returns the number of entries, including those that have expired since the background scan saw them.
func (t *Table) Len() int { return int(t.total) }

// Octets returns the memory that the table has mapped.
func (t *Table) Octets() int { return len(t.region.Bytes()) + len(t.region6.Bytes()) }

// SetRate limits the insertions per second from now on; 0 = no limit.
func (t *Table) SetRate(perSecond uint32) { t.rate.set(perSecond) }

// Close gives the memory back. Nothing may use the table afterwards.
func (t *Table) Close() error {
	t.buckets, t.addrs = nil, nil
	return errors.Join(t.region.Unmap(), t.region6.Unmap())
}

// Probe is a key that is ready for the table: Prepare fills it once, Touch and Find use it.
type Probe struct {
	word0, word1  uint64
	addr          address
	first, second uint32 // buckets
}

// Prepare makes p the probe of a flow.
func (t *Table) Prepare(p *Probe, k *Key) {
	client, family := k.Client[1]&lowHalf, uint64(entryUsed)
	if k.V6 {
		p.addr = k.Client
		client, family = mum(k.Client[0]^t.keys[3], k.Client[1]^t.keys[4])&lowHalf, entryUsed|entryV6
	}
	p.word0 = client<<32 | uint64(k.ClientPort)<<16 | uint64(k.Port)
	p.word1 = uint64(k.VIP)<<32 | uint64(k.Proto)<<24 | family
	p.first, p.second = t.pair(p.word0, p.word1)
}

// pair returns the two buckets of a key.
func (t *Table) pair(word0, word1 uint64) (first, second uint32) {
	h := mum(mum(word0^t.keys[0], word1^t.keys[1]), t.keys[2])
	n := uint64(len(t.buckets))
	return uint32((h >> 32) * n >> 32), uint32((h & lowHalf) * n >> 32)
}

// mum multiplies to 128 bits and folds the halves.
func mum(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a, b)
	return hi ^ lo
}

// Touch loads the lines of all probes, so that their cache misses overlap.
func (t *Table) Touch(list []Probe) {
	var sum uint64
	if len(t.buckets) == 0 {
		return
	}
	for i := range list {
		p := &list[i]
		sum += t.buckets[p.first][0][0] + t.buckets[p.second][0][0]
		if p.word1&entryV6 != 0 && t.addrs != nil {
			sum += t.addrs[2*p.first][0] + t.addrs[2*p.second][0]
		}
	}
	t.touched += sum // so that the compiler keeps the loads
}

// Find returns the entry of a flow. An entry whose time is up is removed and not found. Find does not refresh.
func (t *Table) Find(p *Probe) (Slot, bool) {
	s, ok := t.match(p)
	if ok && t.expired(&t.buckets[s>>1][s&1]) {
		t.expire(uint32(s))
		return 0, false
	}
	return s, ok
}

func (t *Table) match(p *Probe) (Slot, bool) {
	for _, at := range [2]uint32{p.first, p.second} {
		b := &t.buckets[at]
		for i := range b {
			if b[i][0] == p.word0 && b[i][1]&entryKey == p.word1 {
				s := 2*at + uint32(i)
				if p.word1&entryV6 == 0 || t.addrs[s] == p.addr {
					return Slot(s), true
				}
			}
		}
	}
	return 0, false
}

// Entry returns the entry at a slot.
func (t *Table) Entry(s Slot) *Entry { return t.entry(uint32(s)) }

func (t *Table) entry(s uint32) *Entry { return &t.buckets[s>>1][s&1] }

// expired reports whether a used entry's time is up. An entry from the future is new: restored entries are.
func (t *Table) expired(e *Entry) bool { return int32(t.now-e.last()) >= idle[e[1]&7] }

// Live returns the number of live flows of a server, for the scheduler lc.
func (t *Table) Live(server fib.Ref) uint32 { return t.Servers.Load(server) }
