package resolve

import (
	"cmp"
	"slices"

	"penstock/ctrl/compile"
	"penstock/dataplane/resolve"
)

// ownVIF is a VIF of this box.
type ownVIF struct {
	row      compile.FabricRow
	answered int64 // when an older HERE was answered last
	// elsewhere is a newer claim that was heard: this box is silent about the VIF. Zero = none.
	elsewhere compile.FabricRow
	confirmed uint32 // the pull that has brought elsewhere last: its begin; 0 = none
}

// refresh brings own in line with the VIFs of this box. What is new, has other addresses or is at another place is
// claimed anew, and announced; what has gone is said to be not here.
func (s *Service) refresh() {
	was := s.own
	s.own = map[compile.FabricKey]*ownVIF{}
	s.order = s.order[:0]
	s.byAddress = map[target][]compile.FabricKey{}
	for _, r := range s.cfg.Table.OwnVIFs() {
		o := s.put(was[r.FabricKey], r)
		delete(was, r.FabricKey)
		s.own[r.FabricKey] = o
		s.index(&o.row)
		s.order = append(s.order, r.FabricKey)
	}
	for key, o := range was {
		s.leave(key, o)
	}
}

// renew does what refresh does for one VIF.
func (s *Service) renew(key compile.FabricKey) {
	r, ok := s.cfg.Table.OwnVIF(key)
	o := s.own[key]
	if o != nil {
		s.unindex(&o.row)
	}
	switch i, there := slices.BinarySearchFunc(s.order, key, compile.FabricKey.Compare); {
	case ok:
		o = s.put(o, r)
		s.own[key] = o
		s.index(&o.row)
		if !there {
			s.order = slices.Insert(s.order, i, key)
		}
	case o != nil:
		s.remove(key)
		s.leave(key, o)
	}
}

// remove forgets a VIF of this box, and says nothing of it.
func (s *Service) remove(key compile.FabricKey) {
	if o := s.own[key]; o != nil {
		s.unindex(&o.row)
		delete(s.own, key)
	}
	if i, there := slices.BinarySearchFunc(s.order, key, compile.FabricKey.Compare); there {
		s.order = slices.Delete(s.order, i, i+1)
	}
}

// put brings a VIF of this box in line with its row; o is what was known of it, or nil.
func (s *Service) put(o *ownVIF, r compile.FabricRow) *ownVIF {
	known := r.Sequence // of its claim, if it was heard, or of the row that it has taken the place of
	r.At = s.self.At
	if o == nil {
		o = &ownVIF{}
	}
	if !s.self.At.Known() {
		r.At, r.Sequence = o.row.At, o.row.Sequence // nothing is said: the claim stays as it was
		o.row = r
		return o
	}
	text := claimText(&r)
	if o.row.Sequence != 0 && claimText(&o.row) == text {
		return o
	}
	if r.Static {
		last := s.claims[r.FabricKey]
		r.Sequence = last.Sequence
		if last.Text != text || known >= last.Sequence {
			r.Sequence = max(uint64(s.cfg.Now()), last.Sequence+1, known+1, o.row.Sequence+1, o.elsewhere.Sequence+1)
			s.claims[r.FabricKey] = claim{r.Sequence, text}
			s.changed = true
		}
	} else {
		r.Sequence = max(known, o.row.Sequence+1)
	}
	o.elsewhere, o.confirmed = compile.FabricRow{}, 0
	s.clearVIF(r.FabricKey)
	o.row = r
	s.queue = append(s.queue, r.FabricKey)
	return o
}

func (s *Service) index(r *compile.FabricRow) {
	for _, a := range r.Addresses {
		t := target{compile.FabricKey{Tenant: r.Tenant, Segment: r.Segment}, a}
		s.byAddress[t] = append(s.byAddress[t], r.FabricKey)
	}
}

func (s *Service) unindex(r *compile.FabricRow) {
	for _, a := range r.Addresses {
		t := target{compile.FabricKey{Tenant: r.Tenant, Segment: r.Segment}, a}
		left := slices.DeleteFunc(s.byAddress[t], func(k compile.FabricKey) bool { return k == r.FabricKey })
		if len(left) == 0 {
			delete(s.byAddress, t)
		} else {
			s.byAddress[t] = left
		}
	}
}

// The HEREs a second of this box, and those heard above which they become fewer.
const (
	hereMost  = 5000
	hereLeast = 50
	hereFlood = 100_000
)

// pace halves the rate of HEREs while so many are heard in a second, and doubles it again afterwards.
func (s *Service) pace(heard int) {
	if heard > hereFlood {
		s.hereRate.rate = max(hereLeast, s.hereRate.rate/2)
	} else {
		s.hereRate.rate = min(hereMost, s.hereRate.rate*2)
	}
}

// claim claims a VIF anew that another box has claimed, and no longer does.
func (s *Service) claim(o *ownVIF, now uint64) {
	key := o.row.FabricKey
	o.row.Sequence = max(now, o.row.Sequence+1, o.elsewhere.Sequence+1)
	o.elsewhere, o.confirmed = compile.FabricRow{}, 0
	if o.row.Static {
		s.claims[key] = claim{o.row.Sequence, claimText(&o.row)}
		s.changed = true
	}
	s.clearVIF(key)
	s.queue = append(s.queue, key)
}

// Again claims a VIF of this box anew, which was pushed again, if another box has claimed it.
func (s *Service) Again(key compile.FabricKey) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if o := s.own[key]; o != nil && o.elsewhere.Sequence != 0 && !s.holds(key) && s.self.At.Known() {
		now := s.cfg.Now()
		s.moved(key, now)
		s.claim(o, uint64(now))
	}
}

// reclaim claims the VIFs of this box which were said to be at the place of a pull, and are not in it.
func (s *Service) reclaim(p *pull, now int64) {
	for _, key := range s.order {
		if o := s.own[key]; o.elsewhere.Sequence != 0 && o.elsewhere.At == p.at && o.confirmed != p.begin &&
			s.self.At.Known() {
			s.claim(o, uint64(now))
		}
	}
}

// leave says that a VIF has gone. One that is elsewhere has moved: its new owner has said where it is.
func (s *Service) leave(key compile.FabricKey, o *ownVIF) {
	if _, ok := s.claims[key]; ok {
		delete(s.claims, key)
		s.changed = true
	}
	s.clearVIF(key)
	if o.elsewhere.Sequence != 0 {
		s.cfg.Table.LearnRows([]compile.FabricRow{o.elsewhere})
		return
	}
	if s.speaks() && o.row.Sequence != 0 {
		s.gone = append(s.gone, s.new(resolve.OpNotHere, key, o.row.Sequence))
	}
}

// announce broadcasts what is queued, as fast as is allowed.
func (s *Service) announce(now int64) {
	if !s.speaks() {
		return
	}
	if now-s.heardAt >= second {
		s.pace(s.heard)
		s.heard, s.heardAt = 0, now
	}
	for len(s.gone) > 0 && s.hereRate.take(1, now) {
		n := min(len(s.gone), 20)
		if !s.broadcast(s.gone[:n]) {
			return
		}
		s.gone = s.gone[n:]
	}
	for len(s.queue) > 0 && s.announceSome(now) {
	}
}

// announceSome broadcasts one message of what is queued. It returns false when no more can be sent now: what the port
// did not take stays queued.
func (s *Service) announceSome(now int64) bool {
	var list []body
	used, enough := 0, false
	for ; used < len(s.queue); used++ {
		o := s.own[s.queue[used]]
		if o == nil || o.elsewhere.Sequence != 0 || o.row.Sequence == 0 || s.holds(s.queue[used]) {
			continue
		}
		more := s.heres(list, &o.row)
		if len(list) > 0 && size(more) > maxPayload {
			break
		}
		if enough = !s.hereRate.take(1, now); enough {
			break
		}
		list = more
	}
	if len(list) > 0 && !s.broadcast(list) {
		return false
	}
	s.queue = s.queue[used:]
	return !enough
}

// after returns the index in order of the first key behind one.
func (s *Service) after(key compile.FabricKey) int {
	i, found := slices.BinarySearchFunc(s.order, key, func(a, b compile.FabricKey) int { return a.Compare(b) })
	if found {
		i++
	}
	return i
}

// digest is what this box owns.
func (s *Service) digest() (d compile.Digest) {
	for _, key := range s.order {
		if o := s.own[key]; o.row.Sequence != 0 && o.elsewhere.Sequence == 0 {
			d.Add(&o.row)
		}
	}
	return d
}

// newer reports whether a claim of the VIF is newer than another one: of equal ones that at the larger place.
func newer(a, b *compile.FabricRow) bool {
	return cmp.Or(cmp.Compare(a.Sequence, b.Sequence), a.At.Compare(b.At)) > 0
}
