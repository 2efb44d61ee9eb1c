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

func flapFault(k compile.FabricKey) fault {
	return fault{alarm.VIFFlapping, fmt.Sprintf("vif %d/%d %s", k.Tenant, k.Segment, k.MAC)}
}

// moved notes that a VIF has moved.
func (s *Service) moved(key compile.FabricKey, now int64) {
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
	s.raise(flapFault(key), now, fmt.Sprintf("VIF %s of tenant ID %d, segment ID %d has moved %d times within %s. Its "+
		"binding is held as it is for %s. Look for two stations with this MAC, then clear the binding.", key.MAC,
		key.Tenant, key.Segment, len(f.moves), time.Duration(flapTime), time.Duration(holdTime)))
}

// holds reports whether what is claimed of a VIF is ignored.
func (s *Service) holds(key compile.FabricKey) bool {
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
	for key := range s.flaps {
		if r, ok := s.cfg.Table.Learned(key); ok && r.At == p.at && s.holds(key) {
			var d compile.Digest
			d.Add(&r)
			p.missing -= d.Sum
			s.cfg.Table.LearnRows([]compile.FabricRow{r})
		}
	}
}

// Release ends the hold of a VIF; false if there is none.
func (s *Service) Release(key compile.FabricKey) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.holds(key) {
		return false
	}
	s.release(key)
	return true
}

// release ends the hold of a VIF: this box says again what it has of it, and hears what others have.
func (s *Service) release(key compile.FabricKey) {
	delete(s.flaps, key)
	s.clear(flapFault(key))
	if s.own[key] != nil {
		s.queue = append(s.queue, key)
	}
	s.compareAll()
}

// Held returns the VIFs that are held, in order, and until when.
func (s *Service) Held() (list []Hold) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, f := range s.flaps {
		if f.until != 0 {
			list = append(list, Hold{key, time.Unix(0, f.until)})
		}
	}
	slices.SortFunc(list, func(a, b Hold) int { return a.FabricKey.Compare(b.FabricKey) })
	return list
}

// Hold is a VIF that is held.
type Hold struct {
	compile.FabricKey
	Until time.Time
}

func (s *Service) expireFlaps(now int64) {
	for key, f := range s.flaps {
		switch {
		case f.until != 0 && now >= f.until:
			s.release(key)
		case f.until == 0 && now-f.moves[len(f.moves)-1] >= flapTime:
			delete(s.flaps, key)
		}
	}
}
