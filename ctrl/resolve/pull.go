package resolve

import (
	"penstock/ctrl/compile"
	"penstock/dataplane/resolve"
)

const (
	maxPulls   = 8 // owners at once
	maxServed  = 8 // pullers at once
	pullFrames = 32
	pullTries  = 5
	pullWait   = 200 * millisecond
)

// pull is the transfer of all bindings of a box.
type pull struct {
	at      compile.Place
	id      uint64            // sequence of the last PULL
	begin   uint32            // see Table.SweepBegin
	cursor  compile.FabricKey // the last key that has come
	left    int               // frames that were asked for and have not come
	due     int64             // when to ask again
	tries   int
	late    bool   // to ask when sync_rate allows it
	last    bool   // of the page that is read: it is the last one
	missing uint64 // sum of the bindings that the table did not take
}

// lacks notes a binding that the table did not take.
func (p *pull) lacks(r *compile.FabricRow) {
	var d compile.Digest
	d.Add(r)
	p.missing += d.Sum
}

// begin begins to pull from a box.
func (s *Service) begin(b *box, now int64) {
	p := &pull{at: b.at, begin: s.cfg.Table.SweepBegin()}
	s.pulls[b.at] = p
	s.request(p, now)
}

// request asks for the next frames, with a sequence of their own: those of earlier questions count no more.
func (s *Service) request(p *pull, now int64) {
	if p.late = !s.syncRate.take(0, now); p.late {
		p.due = now + tick
		return
	}
	s.pullID = max(s.pullID+1, uint64(now))
	p.id, p.left, p.due = s.pullID, pullFrames, now+pullWait
	m := s.new(resolve.OpPull, p.cursor, p.id)
	m.IP4 = pullFrames
	s.unicast(p.at, []body{m})
}

// pullOn asks again where nothing has come.
func (s *Service) pullOn(now int64) {
	for _, p := range s.pulls {
		if now < p.due {
			continue
		}
		if p.late {
			s.request(p, now)
			continue
		}
		s.again(p, now)
	}
}

// again asks again for what has not come, five times.
func (s *Service) again(p *pull, now int64) {
	if p.tries++; p.tries <= pullTries {
		s.request(p, now)
		return
	}
	delete(s.pulls, p.at)
	s.counters.PullsFailed++
	if b := s.boxes[p.at]; b != nil {
		b.pulled = now
		b.failures++
	}
}

// page takes the head of a page. It returns the pull that the page carries on, nil if there is none.
func (s *Service) page(m *body, now int64) *pull {
	p := s.pulls[placeOf(m)]
	if p == nil || m.Sequence != p.id || p.late {
		return nil
	}
	if keyOf(m) != p.cursor { // one before it was lost
		s.again(p, now)
		return nil
	}
	p.last, p.tries, p.due = m.Flags&resolve.FlagLast != 0, 0, now+pullWait
	return p
}

// paged ends a page whose rows were taken.
func (s *Service) paged(p *pull, list []body, now int64) {
	rows := int64(0)
	for i := range list {
		if list[i].Op == resolve.OpHere {
			p.cursor = keyOf(&list[i])
			rows++
		}
	}
	s.syncRate.spend(rows, now)
	if !p.last {
		if p.left--; p.left <= 0 {
			s.request(p, now)
		}
		return
	}
	delete(s.pulls, p.at)
	s.counters.PullsDone++
	s.keepHeld(p)
	s.counters.Swept += uint64(s.cfg.Table.SweepEnd(p.at, p.begin))
	s.reclaim(p, now)
	if b := s.boxes[p.at]; b != nil {
		b.pulled, b.offset, b.wrong = now, p.missing, 0 // its next HELLO tells
		b.failures++                                    // until the sums are equal
	}
}

// serve answers a PULL.
func (s *Service) serve(m *body, now int64) {
	to := placeOf(m)
	if !s.speaks() {
		return
	}
	if _, known := s.serving[to]; !known && len(s.serving) >= maxServed {
		return // it asks again
	}
	s.serving[to] = now + second
	cursor := keyOf(m)
	at := s.after(cursor)
	for range min(max(m.IP4, 1), pullFrames) {
		list := []body{s.new(resolve.OpPage, cursor, m.Sequence)}
		for at < len(s.order) {
			o := s.own[s.order[at]]
			if o.row.Sequence == 0 || o.elsewhere.Sequence != 0 {
				at++
				continue
			}
			n := len(list)
			if list = s.heres(list, &o.row); size(list) > maxPayload {
				list = list[:n]
				break
			}
			cursor = o.row.FabricKey
			at++
		}
		if at == len(s.order) {
			list[0].Flags |= resolve.FlagLast
		}
		if !s.unicast(to, list) || at == len(s.order) {
			return
		}
	}
}
