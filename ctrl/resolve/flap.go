package resolve

import (
	"fmt"
	"slices"
	"time"

	"penstock/ctrl/alarm"
	"penstock/ctrl/compile"
)

// A VIF that moves five times within three minutes flaps (RFC 7432, 15.1): its row is held as it is for nine minutes,
// whatever is claimed meanwhile, and this box says nothing of it.
const (
	flapMoves = 5
	flapTime  = 180 * second
	holdTime  = 540 * second
	// maxFlaps is how many VIFs that move are followed.
	maxFlaps = 16_384
)

// flap is a VIF that moves.
type flap struct {
	moves []int64 // when, the oldest first
	until int64   // it is held, 0 = it is not
}

func flapFault(t target) fault {
	if t.ip.IsValid() {
		return fault{alarm.VIFFlapping, fmt.Sprintf("address %d/%d %s", t.key.Tenant, t.key.Segment, t.ip)}
	}
	return fault{alarm.VIFFlapping, fmt.Sprintf("vif %d/%d %s", t.key.Tenant, t.key.Segment, t.key.MAC)}
}

// moved notes that a VIF has moved.
func (s *Service) moved(key compile.FabricKey, now int64) { s.movedTarget(target{key: key}, now) }

// movedTarget notes that a VIF has moved, or an address from one station that was heard to another.
func (s *Service) movedTarget(key target, now int64) {
	f := s.flaps[key]
	if f == nil {
		if len(s.flaps) >= maxFlaps {
			return
		}
		f = &flap{}
		s.flaps[key] = f
	}
	f.moves = append(f.moves, now)
	f.moves = slices.DeleteFunc(f.moves, func(at int64) bool { return now-at >= flapTime })
	if len(f.moves) < flapMoves || f.until != 0 {
		return
	}
	f.until = now + holdTime
	what, same := "VIF "+key.key.MAC.String(), "MAC"
	if key.ip.IsValid() {
		what, same = "Address "+key.ip.String(), "address"
	}
	s.raise(flapFault(key), now, fmt.Sprintf("%s of tenant ID %d, segment ID %d has moved %d times within %s. Its "+
		"binding is held as it is for %s. Look for two stations with this %s, then clear the binding.", what,
		key.key.Tenant, key.key.Segment, len(f.moves), time.Duration(flapTime), time.Duration(holdTime), same))
}

// holds reports whether what is claimed of a VIF is ignored.
func (s *Service) holds(key compile.FabricKey) bool { return s.holdsTarget(target{key: key}) }

func (s *Service) holdsTarget(key target) bool {
	if len(s.flaps) == 0 {
		return false
	}
	f := s.flaps[key]
	return f != nil && f.until != 0
}

// withoutHeld removes the rows of VIFs that are held.
func (s *Service) withoutHeld(from *pull) {
	if len(s.flaps) == 0 {
		return
	}
	s.rows = slices.DeleteFunc(s.rows, func(r compile.FabricRow) bool {
		if !s.holds(r.FabricKey) {
			return false
		}
		s.counters.Held++
		if from != nil {
			from.lacks(&r)
		}
		return true
	})
}

// keepHeld keeps the rows that are held from being swept, though their owner no longer has them.
func (s *Service) keepHeld(p *pull) {
	for t := range s.flaps {
		key := t.key
		if r, ok := s.cfg.Table.Learned(key); ok && r.At == p.at && s.holds(key) {
			var d compile.Digest
			d.Add(&r)
			p.missing -= d.Sum
			s.cfg.Table.LearnRows([]compile.FabricRow{r})
		}
	}
}

// Release ends the hold of a VIF, and of its addresses; false if there is none.
func (s *Service) Release(key compile.FabricKey) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	found := false
	for t := range s.flaps {
		if s.holdsTarget(t) && s.holdOf(t, key) {
			s.releaseTarget(t)
			found = true
		}
	}
	return found
}

// holdOf reports whether what is held is a VIF, or an address of it.
func (s *Service) holdOf(t target, key compile.FabricKey) bool {
	return t.key == key || t.ip.IsValid() && slices.Contains(s.byAddress[t], key)
}

// release ends the hold of a VIF: this box says again what it has of it, and hears what others have.
func (s *Service) release(key compile.FabricKey) { s.releaseTarget(target{key: key}) }

func (s *Service) releaseTarget(t target) {
	delete(s.flaps, t)
	s.clear(flapFault(t))
	if t.ip.IsValid() {
		return
	}
	if s.own[t.key] != nil {
		s.queue = append(s.queue, t.key)
	}
	s.compareAll()
}

// Held returns until when a VIF, or an address of it, is held; false if none is.
func (s *Service) Held(key compile.FabricKey) (until time.Time, held bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for t, f := range s.flaps {
		if at := time.Unix(0, f.until); f.until != 0 && s.holdOf(t, key) && at.After(until) {
			until, held = at, true
		}
	}
	return until, held
}

func (s *Service) expireFlaps(now int64) {
	for key, f := range s.flaps {
		switch {
		case f.until != 0 && now >= f.until:
			s.releaseTarget(key)
		case f.until == 0 && now-f.moves[len(f.moves)-1] >= flapTime:
			delete(s.flaps, key)
		}
	}
}
