// Package nexthop resolves the stations that fabric ports with VXLAN send to, VTEPs and gateways, by ARP and neighbour
// discovery (RFC 826, RFC 4861), and keeps them.
//
//	unresolved   asked by broadcast or multicast every 200 ms, after five without an answer at growing intervals, to
//	             5 s
//	resolved     asked by unicast every 10 s; without an answer every second, and unresolved after the third miss
//	link down    unresolved at once, not asked
//
// An answer is accepted only while a question is open, by the port of the question, from the address that was asked
// for. All other frames are ignored and counted. At most 200 questions a second leave the box.
package nexthop

import (
	"context"
	"net/netip"
	"slices"
	"sync"
	"time"

	"penstock/ctrl/model"
)

// The intervals.
const (
	firstInterval   = 200 * time.Millisecond
	mostInterval    = 5 * time.Second
	refreshInterval = 10 * time.Second
	repeatInterval  = time.Second
	firstRequests   = 5
	maxMisses       = 3

	burst = 20 // questions of one turn
	pause = 100 * time.Millisecond
)

// Key names a next hop.
type Key struct {
	Port int // dense index
	Addr netip.Addr
}

// Hop is a next hop to be resolved.
type Hop struct {
	Key
	Source netip.Addr // of the port, of the same family
	MAC    model.MAC  // of the port
	Up     bool       // the port has carrier
}

// Config of a Resolver. All fields are necessary.
type Config struct {
	// Inject sends a frame, without FCS, out of a port; false if there is no room. It must not block.
	Inject func(port int, frame []byte) bool
	// Changed is called when a next hop has a MAC, or, with 0, none. Run calls it, one call at a time.
	Changed func(key Key, mac model.MAC)
}

// Counters of a Resolver.
type Counters struct {
	Requests, NotSent   uint64
	Answers             uint64 // accepted
	Malformed, Unwanted uint64 // ignored
}

// Resolver resolves next hops. Its methods may be called from any goroutine.
type Resolver struct {
	cfg  Config
	wake chan struct{}

	mu       sync.Mutex
	hops     map[Key]*hop
	changes  []change
	counters Counters
}

type hop struct {
	Hop
	mac    model.MAC // 0 = unresolved
	open   bool      // a question waits for its answer
	asked  int       // questions since it became unresolved
	misses int
	next   time.Time
}

type change struct {
	key Key
	mac model.MAC
}

// New returns a Resolver without next hops.
func New(c Config) *Resolver {
	return &Resolver{cfg: c, wake: make(chan struct{}, 1), hops: map[Key]*hop{}}
}

// Set sets the next hops. What is known of those that stay the same stays.
func (r *Resolver) Set(hops []Hop) {
	now := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	old := r.hops
	r.hops = make(map[Key]*hop, len(hops))
	for _, x := range hops {
		h := old[x.Key]
		delete(old, x.Key)
		if h == nil || h.Hop != x {
			if h != nil {
				r.learn(h, 0, now)
			}
			h = &hop{Hop: x, next: now}
		}
		r.hops[x.Key] = h
	}
	for _, h := range old {
		r.learn(h, 0, now)
	}
	r.poke()
}

// Counters returns the counts.
func (r *Resolver) Counters() Counters {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.counters
}

// Run asks and reports changes until ctx is done. There must be one Run at a time.
func (r *Resolver) Run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.wake:
		case <-timer.C:
		}
		next, changes := r.turn(time.Now())
		for _, c := range changes {
			r.cfg.Changed(c.key, c.mac)
		}
		if !next.IsZero() {
			timer.Reset(time.Until(next))
		}
	}
}

// turn asks what is due, and returns when the next question is.
func (r *Resolver) turn(now time.Time) (next time.Time, changes []change) {
	r.mu.Lock()
	defer r.mu.Unlock()
	sent := 0
	keys := make([]Key, 0, len(r.hops))
	for k, h := range r.hops {
		if h.Up {
			keys = append(keys, k)
		}
	}
	slices.SortFunc(keys, func(a, b Key) int { return r.hops[a].next.Compare(r.hops[b].next) })
	for _, k := range keys {
		h := r.hops[k]
		if !h.next.After(now) && sent < burst {
			r.ask(h, now)
			sent++
		}
		at := h.next
		if !at.After(now) {
			at = now.Add(pause)
		}
		if next.IsZero() || at.Before(next) {
			next = at
		}
	}
	changes, r.changes = r.changes, nil
	return next, changes
}

// ask sends the question that is due.
func (r *Resolver) ask(h *hop, now time.Time) {
	if h.mac != 0 && h.open {
		if h.misses++; h.misses >= maxMisses {
			r.learn(h, 0, now)
		}
	}
	if r.cfg.Inject(h.Port, question(&h.Hop, h.mac)) {
		h.open = true
		r.counters.Requests++
	} else {
		r.counters.NotSent++
	}
	if h.mac != 0 {
		h.next = now.Add(repeatInterval)
		return
	}
	h.asked++
	h.next = now.Add(min(firstInterval<<min(max(h.asked-firstRequests, 0), 8), mostInterval))
}

// learn sets the MAC of h, or 0, which begins anew.
func (r *Resolver) learn(h *hop, mac model.MAC, now time.Time) {
	h.open, h.asked, h.misses, h.next = false, 0, 0, now
	if mac != 0 {
		h.next = now.Add(refreshInterval)
	}
	if h.mac != mac {
		h.mac = mac
		r.changes = append(r.changes, change{h.Key, mac})
		r.poke()
	}
}

// Punt takes an answer, without FCS, that a port has received. The frame is not kept.
func (r *Resolver) Punt(port int, frame []byte) {
	addr, mac, ok := answer(frame)
	r.mu.Lock()
	defer r.mu.Unlock()
	if !ok {
		r.counters.Malformed++
		return
	}
	h := r.hops[Key{port, addr}]
	if h == nil || !h.open || mac == h.MAC {
		r.counters.Unwanted++
		return
	}
	r.counters.Answers++
	r.learn(h, mac, time.Now())
}

// poke lets Run take a turn.
func (r *Resolver) poke() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}
