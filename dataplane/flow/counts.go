package flow

import (
	"sync/atomic"

	"penstock/dataplane/fib"
)

// The counters of a Table, by offset into Table.Stats.
const (
	StatFlows    = 0                             // entries now, by State
	StatInserted = StatFlows + int(States)       // flows that were inserted
	StatGuard    = StatInserted + 1              // flows that were not, since there were too many in a second
	StatEvicted  = StatGuard + 1                 // evicted for others, by State
	StatExpired  = StatEvicted + int(States)     // forgotten after their idle time, by State
	StatMoved    = StatExpired + int(States)     // flows that were given another server
	StatNoRoom   = StatMoved + 1                 // of the evicted: not since the table was full, but their buckets
	StatOffTable = StatNoRoom + 1                // entries now that are off-table
	StatLen      = (StatOffTable + 1 + 63) &^ 63 // of a Table's Stats
)

// Counts has the number of live flows of each server. One goroutine writes, anybody may load.
type Counts struct {
	n []atomic.Uint64 // by index: Ref ≪ 32 | flows
}

// NewCounts makes counts for servers with indices below n.
func NewCounts(n int) *Counts { return &Counts{n: make([]atomic.Uint64, max(n, 0))} }

// Len returns the number of servers.
func (c *Counts) Len() int { return len(c.n) }

// Load returns the number of live flows of a server; 0 for a former owner of the index.
func (c *Counts) Load(server fib.Ref) uint32 {
	if i := server & fib.RefMask; int(i) < len(c.n) {
		if v := c.n[i].Load(); fib.Ref(v>>32) == server {
			return uint32(v)
		}
	}
	return 0
}

// add counts d more flows. The first flow of a new owner of the index ends the old owner's count: entries of a former
// owner are not counted.
func (c *Counts) add(server fib.Ref, d int32) {
	i := server & fib.RefMask
	if int(i) >= len(c.n) {
		return
	}
	v := c.n[i].Load()
	if fib.Ref(v>>32) != server {
		if d < 0 {
			return
		}
		v = uint64(server) << 32
	}
	c.n[i].Store(v&^lowHalf | uint64(uint32(v)+uint32(d)))
}

// GrowServers gives the table counts for more servers, which NewCounts has made. The counts so far are kept.
func (t *Table) GrowServers(to *Counts) {
	if to.Len() <= t.Servers.Len() {
		return
	}
	for i := range t.Servers.n {
		to.n[i].Store(t.Servers.n[i].Load())
	}
	t.Servers = to
}

// counted changes the numbers of entries in a state.
func (t *Table) counted(s State, d int32) {
	t.count[s&7] += uint32(d)
	t.Stats.Add(StatFlows+int(s), uint64(int64(d)))
}
