// Package neighbor is the slow path of the box as edge switch: it resolves the MAC of the box behind each downlink,
// which the switch needs as next hop of the downlink's fixed route (PROTOCOL.md#edge-switch).
//
// The switch has no IP address, so it sends ARP probes (sender address 0.0.0.0, RFC 5227, 2.1.1), from its own MAC. A
// box answers to that MAC alone.
//
//	unresolved   broadcast every 200 ms, after five without an answer at growing intervals up to one second
//	resolved     unicast every 10 s; without an answer repeated every second; unresolved after the third miss
//	link down    unresolved at once, no probes
//
// An answer is accepted only while a probe is open, on the downlink of the probe, from the probed address, and for a
// resolved neighbor from its resolved MAC. All other frames are ignored and counted. So a box that is replaced without
// loss of carrier is resolved after three unanswered probes to the old one.
package neighbor

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"penstock/ctrl/model"
)

// The intervals.
const (
	FirstInterval = 200 * time.Millisecond // between the first FirstRequests broadcasts
	// between broadcasts after that, by doubling; and between repeated unicasts
	MaxInterval     = time.Second
	RefreshInterval = 10 * time.Second // from an answer to the next unicast
	FirstRequests   = 5
	MaxMisses       = 3 // unicasts without an answer until the neighbor is unresolved
)

// Wire sends frames by the engine.
type Wire interface {
	// Inject sends a frame, without FCS, out of the port with the given index; false if there is no room or the port
	// cannot send. The frame is the callee's. It must neither block nor call the Resolver.
	Inject(port int, frame []byte) bool
}

// Downlink is one neighbor to be resolved.
type Downlink struct {
	Number uint8      // port number p of the fabric's addressing
	Port   int        // port index
	Box    netip.Addr // the box address, IPv4
	Up     bool       // the port has carrier
}

// Status is the state of a neighbor.
type Status struct {
	Downlink
	MAC    model.MAC // 0 = unresolved
	Since  time.Time // of MAC, or of being unresolved
	Misses int       // unicasts in a row without an answer
}

// Resolver resolves the neighbors of all downlinks. Its methods may be called from any goroutine.
type Resolver struct {
	wire    Wire
	changed func(number uint8, mac model.MAC)
	wake    chan struct{} // wakes Run

	mu        sync.Mutex
	switchMAC model.MAC
	neighbors []*neighbor // by number
	changes   []change    // not reported yet, in order
	counters  Counters
}

type neighbor struct {
	Status
	open       bool      // at least one probe waits for its answer
	sent       bool      // the last probe was sent
	broadcasts int       // broadcasts since it became unresolved
	next       time.Time // when the next probe is due
}

type change struct {
	number uint8
	mac    model.MAC
}

// New returns a Resolver without downlinks. changed is called by Run, one call at a time, when the neighbor of a
// downlink is resolved, or, with MAC 0, lost; it may call the Resolver's methods.
func New(w Wire, changed func(number uint8, mac model.MAC)) *Resolver {
	return &Resolver{wire: w, changed: changed, wake: make(chan struct{}, 1)}
}

// Set sets the downlinks and the switch's own MAC. The state of an unchanged downlink is kept; a change of the switch
// MAC resolves all neighbors again.
func (n *Resolver) Set(switchMAC model.MAC, downlinks []Downlink) error {
	if switchMAC == 0 || switchMAC.IsGroup() {
		return fmt.Errorf("%s cannot be an edge switch's MAC: want a unicast address", switchMAC)
	}
	for i, d := range downlinks {
		if !d.Box.Is4() {
			return fmt.Errorf("downlink %d: box address %s is not IPv4", d.Number, d.Box)
		}
		if slices.ContainsFunc(downlinks[:i],
			func(o Downlink) bool { return o.Number == d.Number || o.Port == d.Port }) {
			return fmt.Errorf("downlink %d: its number or port is used twice", d.Number)
		}
	}
	now := time.Now()
	n.mu.Lock()
	defer n.mu.Unlock()
	old := n.neighbors
	n.neighbors = make([]*neighbor, 0, len(downlinks))
	kept := map[*neighbor]bool{}
	for _, d := range downlinks {
		var b *neighbor
		if i := slices.IndexFunc(old, func(b *neighbor) bool {
			return b.Number == d.Number && b.Port == d.Port && b.Box == d.Box
		}); i >= 0 && switchMAC == n.switchMAC {
			b = old[i]
			kept[b] = true
			n.setUp(b, d.Up, now)
		} else {
			b = &neighbor{Status: Status{Downlink: d, Since: now}, next: now}
		}
		n.neighbors = append(n.neighbors, b)
	}
	for _, b := range old {
		if !kept[b] {
			n.learn(b, 0, now)
		}
	}
	n.switchMAC = switchMAC
	slices.SortFunc(n.neighbors, func(a, b *neighbor) int { return int(a.Number) - int(b.Number) })
	n.poke()
	return nil
}

// Link sets the carrier of the port with the given index.
func (n *Resolver) Link(port int, up bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if b := n.byPort(port); b != nil {
		n.setUp(b, up, time.Now())
		n.poke()
	}
}

// Status returns the state of every downlink's neighbor, in the order of the downlinks' numbers.
func (n *Resolver) Status() []Status {
	n.mu.Lock()
	defer n.mu.Unlock()
	list := make([]Status, len(n.neighbors))
	for i, b := range n.neighbors {
		list[i] = b.Status
	}
	return list
}

// Run sends probes and reports changes until ctx is done. There must be one Run at a time.
func (n *Resolver) Run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-n.wake:
		case <-timer.C:
		}
		next := n.turn(time.Now())
		n.report()
		if !next.IsZero() {
			timer.Reset(time.Until(next))
		}
	}
}

// turn sends the probes that are due and returns when the next one is; zero if none is.
func (n *Resolver) turn(now time.Time) (next time.Time) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, b := range n.neighbors {
		if !b.Up {
			continue
		}
		if !b.next.After(now) {
			n.probe(b, now)
		}
		if next.IsZero() || b.next.Before(next) {
			next = b.next
		}
	}
	return next
}

// probe sends the due probe to b.
func (n *Resolver) probe(b *neighbor, now time.Time) {
	if b.MAC != 0 && b.sent {
		if b.Misses++; b.Misses >= MaxMisses {
			n.learn(b, 0, now)
		}
	}
	if b.MAC != 0 {
		b.next = now.Add(MaxInterval)
		b.sent = n.send(b, b.MAC)
		b.open = b.open || b.sent
		return
	}
	if b.sent = n.send(b, broadcastMAC); b.sent {
		b.open = true
		b.broadcasts++
	}
	b.next = now.Add(interval(b.broadcasts))
}

// interval returns the time from the given number of broadcasts to the next.
func interval(broadcasts int) time.Duration {
	doublings := min(max(broadcasts-FirstRequests, 0), 8)
	return min(FirstInterval<<doublings, MaxInterval)
}

func (n *Resolver) send(b *neighbor, dst model.MAC) bool {
	if !n.wire.Inject(b.Port, probeFrame(n.switchMAC, dst, b.Box)) {
		n.counters.NotSent++
		return false
	}
	n.counters.Requests++
	return true
}

func (n *Resolver) setUp(b *neighbor, up bool, now time.Time) {
	if b.Up == up {
		return
	}
	b.Up = up
	n.learn(b, 0, now)
}

// learn sets a new MAC of b, or 0, which starts the resolution again.
func (n *Resolver) learn(b *neighbor, mac model.MAC, now time.Time) {
	b.open, b.sent, b.broadcasts, b.Misses = false, false, 0, 0
	b.next = now
	if mac != 0 {
		b.next = now.Add(RefreshInterval)
	}
	if b.MAC != mac {
		b.MAC, b.Since = mac, now
		n.changes = append(n.changes, change{b.Number, mac})
		n.poke()
	}
}

func (n *Resolver) byPort(port int) *neighbor {
	for _, b := range n.neighbors {
		if b.Port == port {
			return b
		}
	}
	return nil
}

// poke lets Run take a turn.
func (n *Resolver) poke() {
	select {
	case n.wake <- struct{}{}:
	default:
	}
}

// report calls changed for the pending changes.
func (n *Resolver) report() {
	n.mu.Lock()
	list := n.changes
	n.changes = nil
	n.mu.Unlock()
	for _, c := range list {
		n.changed(c.number, c.mac)
	}
}
