// Package announce announces to the VIFs of this box that an address of their segment has another MAC: by gratuitous
// ARP (RFC 5227, 2.3) and unsolicited neighbour advertisements (RFC 4861, 7.2.6). Without the announcement a guest
// sends to the former owner until its reachability detection fails.
//
// Every announcement is sent twice, a second apart, since no receiver confirms it. An announcement is sent only if the
// tables still hold the move at that moment: an address that has moved again, or was removed, is left out. Memory and
// rate are bounded: moves beyond Pending are forgotten, the oldest first; guests then resolve the address themselves.
package announce

import (
	"context"
	"net/netip"
	"sync"
	"time"

	"penstock/ctrl/model"
	"penstock/dataplane/fib"
	"penstock/dataplane/table"
)

// Pending is how many moves are remembered at most, of each of the two rounds.
const Pending = 4096

// Rate is how many frames are sent per second at most, and burst how many at once: the ring to the worker holds 256,
// and others use it too.
const (
	Rate  = 2000
	burst = 64
	step  = burst * time.Second / Rate
)

// again is the time between the two rounds.
const again = time.Second

// Move is an address whose MAC has changed.
type Move struct {
	Seg  uint32 // segment index
	Addr netip.Addr
	MAC  model.MAC // the new one
}

// Config is what an Announcer works with.
type Config struct {
	Read   func(fn func(s *fib.Snapshot))    // calls fn with the tables, which are valid until fn returns
	Inject func(port int, frame []byte) bool // sends a frame; false = no room now
	Now    func() time.Time                  // nil = time.Now
}

// Announcer announces moves. Its methods may be called from any goroutine.
type Announcer struct {
	cfg  Config
	wake chan struct{}

	mu        sync.Mutex
	rounds    [2]queue
	forgotten uint64
}

// New returns an announcer; Run makes it send.
func New(c Config) *Announcer {
	if c.Now == nil {
		c.Now = time.Now
	}
	return &Announcer{cfg: c, wake: make(chan struct{}, 1)}
}

// Moved queues moves for announcement. It does not block.
func (a *Announcer) Moved(moves []Move) {
	if len(moves) == 0 {
		return
	}
	now := a.cfg.Now()
	a.mu.Lock()
	for _, m := range moves {
		a.forgotten += a.rounds[0].put(entry{Move: m, due: now})
	}
	a.mu.Unlock()
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

// Forgotten returns how many moves were not announced because too many came at once.
func (a *Announcer) Forgotten() uint64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.forgotten
}

// Run sends announcements until ctx ends.
func (a *Announcer) Run(ctx context.Context) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		wait := a.Step()
		timer.Reset(wait)
		select {
		case <-ctx.Done():
			return
		case <-a.wake:
			select { // consecutive pushes do not raise the rate
			case <-ctx.Done():
				return
			case <-time.After(step):
			}
		case <-timer.C:
		}
	}
}

// Step sends what is due, at most a burst, and returns the time until the next step is due.
func (a *Announcer) Step() time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	now, room := a.cfg.Now(), burst
	for r := range a.rounds {
		q := &a.rounds[r]
		for q.n > 0 {
			e := q.first()
			if e.due.After(now) {
				break
			}
			done := false
			a.cfg.Read(func(s *fib.Snapshot) { done = a.send(s, e, r, &room) })
			if !done {
				return step
			}
			if r == 0 {
				e.due, e.at = now.Add(again), 0
				a.forgotten += a.rounds[1].put(*e)
			}
			q.drop()
		}
	}
	if a.rounds[1].n > 0 {
		return max(a.rounds[1].first().due.Sub(now), step)
	}
	return time.Hour
}

// send announces a move to all attachments of its segment but the owner's, from where it stopped last time. False: no
// room for all of them.
func (a *Announcer) send(s *fib.Snapshot, e *entry, round int, room *int) bool {
	if uint(e.Seg) >= uint(len(s.Segments)) {
		return true
	}
	home, router, ok := owner(s, e.Move)
	if !ok {
		return true
	}
	local := s.Segments[e.Seg].Local
	for ; e.at < len(local); e.at++ {
		at := local[e.at]
		if at == home || uint(at) >= uint(len(s.Attachments)) {
			continue
		}
		t := &s.Attachments[at]
		if uint(t.Port) >= uint(len(s.Ports)) || !s.Ports[t.Port].Up {
			continue
		}
		if *room == 0 {
			return false
		}
		if !a.cfg.Inject(int(t.Port), frameOf(e.Move, t.VID, round, router)) {
			return false
		}
		*room--
	}
	return true
}

// owner returns the attachment of the owner of a moved address (None = not on this box), and whether the owner is the
// virtual router; ok is false when the address no longer has the move's MAC.
func owner(s *fib.Snapshot, m Move) (home uint32, router, ok bool) {
	var mac uint64
	var loc fib.Loc
	if m.Addr.Is4() {
		ip := addr4(m.Addr)
		if mac, ok = s.Router4(m.Seg, ip); ok {
			return fib.None, true, mac == uint64(m.MAC)
		}
		mac, loc, ok = table.FindIP4(s.Bindings, s.Delta, m.Seg, ip)
	} else {
		ip := addr6(m.Addr)
		if mac, ok = s.Router6(m.Seg, ip); ok {
			return fib.None, true, mac == uint64(m.MAC)
		}
		mac, loc, ok = table.FindIP6(s.Bindings, s.Delta, m.Seg, ip[0], ip[1])
	}
	home = fib.None
	if v := loc &^ fib.LocLocal; loc&fib.LocLocal != 0 && !fib.LocBox(loc) && uint(v) < uint(len(s.VIFs)) {
		home = s.VIFs[v].Attach
	}
	return home, false, ok && mac == uint64(m.MAC)
}
