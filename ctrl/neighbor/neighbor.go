// Package neighbor is the slow path of the box as edge switch: it finds out the MAC of the box behind each downlink,
// which the switch needs as next hop of the downlink's fixed route (PROTOCOL.md#edge-switch).
//
// The switch has no IP address, so its questions are ARP probes (sender address 0.0.0.0, RFC 5227, 2.1.1), from its
// own MAC. A box answers to that MAC alone.
//
//	unresolved   broadcast every 200 ms, after five without an answer less and less often, down to one a second
//	resolved     unicast every 10 s; without an answer repeated every second, and after the third unresolved
//	link down    unresolved at once, silent
//
// An answer counts only while a question is open, on the downlink that was asked, from the address that was asked
// for, and for a resolved neighbor from the MAC it is known by: everything else is ignored and counted. So a box that
// is replaced without loss of carrier is found after the old one has missed its three answers.
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
	FirstInterval   = 200 * time.Millisecond // between the first FirstRequests broadcasts
	MaxInterval     = time.Second            // between broadcasts after that, by doubling; and between repeated unicasts
	RefreshInterval = 10 * time.Second       // from an answer to the next unicast
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

// Status is what is known of a neighbor.
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
	wake    chan struct{} // something for Run to do

	mu        sync.Mutex
	switchMAC model.MAC
	neighbors []*neighbor // by number
	changes   []change    // not yet told, in order
	counters  Counters
}

type neighbor struct {
	Status
	open  bool      // a question is out, or several
	sent  bool      // the last of them did leave
	asked int       // broadcasts since it became unresolved
	next  time.Time // when to ask again
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

// Set says which downlinks there are, and the switch's own MAC. What is known of a downlink that stays as it is, is
// kept; under another switch MAC everything is asked anew.
func (n *Resolver) Set(switchMAC model.MAC, downlinks []Downlink) error {
	if switchMAC == 0 || switchMAC.IsGroup() {
		return fmt.Errorf("%s cannot be an edge switch's MAC: want a unicast address", switchMAC)
	}
	for i, d := range downlinks {
		if !d.Box.Is4() {
			return fmt.Errorf("downlink %d: box address %s is not IPv4", d.Number, d.Box)
		}
		if slices.ContainsFunc(downlinks[:i], func(o Downlink) bool { return o.Number == d.Number || o.Port == d.Port }) {
			return fmt.Errorf("downlink %d: number or port is given twice", d.Number)
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

// Link says that the port with the given index has gained or lost carrier.
func (n *Resolver) Link(port int, up bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if b := n.byPort(port); b != nil {
		n.setUp(b, up, time.Now())
		n.poke()
	}
}

// Status returns what is known of every downlink's neighbor, in the order of their numbers.
func (n *Resolver) Status() []Status {
	n.mu.Lock()
	defer n.mu.Unlock()
	list := make([]Status, len(n.neighbors))
	for i, b := range n.neighbors {
		list[i] = b.Status
	}
	return list
}

// Run asks, and tells of changes, until ctx is done. There must be one Run at a time.
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
		n.tell()
		if !next.IsZero() {
			timer.Reset(time.Until(next))
		}
	}
}

// turn asks whoever is to be asked now and returns when to come again; zero if nobody is to be asked.
func (n *Resolver) turn(now time.Time) (next time.Time) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, b := range n.neighbors {
		if !b.Up {
			continue
		}
		if !b.next.After(now) {
			n.ask(b, now)
		}
		if next.IsZero() || b.next.Before(next) {
			next = b.next
		}
	}
	return next
}

// ask sends the next question to b, whose time has come.
func (n *Resolver) ask(b *neighbor, now time.Time) {
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
		b.asked++
	}
	b.next = now.Add(interval(b.asked))
}

// interval returns the time from the given number of broadcasts to the next.
func interval(asked int) time.Duration {
	doublings := min(max(asked-FirstRequests, 0), 8)
	return min(FirstInterval<<doublings, MaxInterval)
}

func (n *Resolver) send(b *neighbor, dst model.MAC) bool {
	if !n.wire.Inject(b.Port, probe(n.switchMAC, dst, b.Box)) {
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

// learn notes a new MAC of b, or 0, which begins the questions anew.
func (n *Resolver) learn(b *neighbor, mac model.MAC, now time.Time) {
	b.open, b.sent, b.asked, b.Misses = false, false, 0, 0
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

// tell calls back for the changes that have piled up.
func (n *Resolver) tell() {
	n.mu.Lock()
	list := n.changes
	n.changes = nil
	n.mu.Unlock()
	for _, c := range list {
		n.changed(c.number, c.mac)
	}
}
