package resolve

import (
	"slices"
	"time"

	"penstock/ctrl/compile"
	"penstock/ctrl/model"
	"penstock/dataplane/resolve"
)

// maxBoxes is how many boxes are followed. A box is pulled from, though its bindings change all the time, when its sum
// was wrong for the time restless.
const (
	maxBoxes = 4096
	restless = 5 * helloEvery / 2
)

// box is another box.
type box struct {
	at       compile.Place
	mac      model.MAC
	sequence uint64 // of its last HELLO
	first    int64
	heard    int64
	summary  resolve.Summary // what it owns
	known    bool            // it has said so
	silent   bool            // three HELLOs are missing, which was told

	// offset is the sum of those of its bindings that the last whole pull brought and this box does not hold: they are
	// pushed or here, or their tenant is not.
	offset   uint64
	fresh    bool   // its last HELLO was not compared yet
	sum      uint64 // of its bindings here, when its last HELLO was compared
	wrong    int64  // since when the sums differ, 0 = they did not when its last HELLO was compared
	pulled   int64  // when the last pull ended
	failures int    // pulls in a row that were for nothing
}

// hello broadcasts this box's HELLO when it is due. A box that has lost its place to another one says nothing: the
// others would have two boxes at one place.
func (s *Service) hello(now int64) {
	if !s.speaks() {
		return
	}
	due := now >= s.nextHello || s.answerAt != 0 && now >= s.answerAt
	if !due {
		return
	}
	m := s.helloBody(now)
	s.answerAt = 0
	s.nextHello = now + helloEvery*3/4 + s.randomness.Int64N(helloEvery/2)
	if s.solicits > 0 {
		s.solicits--
		m.Flags |= resolve.FlagSolicit
		s.nextHello = now + second
	}
	s.broadcast([]body{m})
}

// helloBody is what this box says of itself.
func (s *Service) helloBody(now int64) body {
	d := s.digest()
	m := s.new(resolve.OpHello, compile.FabricKey{MAC: s.self.MAC}, uint64(now))
	m.SetSummary(resolve.Summary{Count: uint32(d.Count), Digest: d.Sum,
		Held: uint32(max(0, time.Duration(now-s.self.Since.UnixNano())/time.Second))})
	return m
}

// chirpsATick bounds how many frames leave at once.
const chirpsATick = 16

// chirp broadcasts a HELLO in each path VLAN once a minute, so that the switches of the fabric do not forget behind
// which port the edge switch of this box is, and flood what is for it.
func (s *Service) chirp(now int64) {
	if !s.speaks() {
		return
	}
	if now >= s.nextChirp {
		s.nextChirp = now + chirpEvery*3/4 + s.randomness.Int64N(chirpEvery/2)
		s.chirps = s.cfg.Wire.Paths()
	}
	if len(s.chirps) == 0 {
		return
	}
	payload := s.message([]body{s.helloBody(now)})
	for range min(len(s.chirps), chirpsATick) {
		s.sent(s.cfg.Wire.Chirp(s.chirps[0], payload))
		s.chirps = s.chirps[1:]
	}
}

// heardHello notes what a box says of itself.
func (s *Service) heardHello(m *body, now int64) {
	at := placeOf(m)
	summary, whole := m.Summary()
	if !whole || m.MAC == 0 {
		s.counters.Malformed++
		return
	}
	if at == s.self.At {
		if model.MAC(m.MAC) != s.self.MAC {
			s.sharedPlace(m, &summary, now)
		}
		return
	}
	b := s.boxes[at]
	if b == nil {
		if len(s.boxes) >= maxBoxes && !s.forgetBox(now) {
			s.counters.Stranger++
			return
		}
		b = &box{at: at, first: now}
		s.boxes[at] = b
	}
	// A box that has begun, or was away, may have a clock that is behind the one that it had before.
	if b.mac == model.MAC(m.MAC) && m.Sequence <= b.sequence && m.Flags&resolve.FlagSolicit == 0 &&
		now-b.heard <= silentLate {
		s.counters.Replayed++
		return
	}
	if b.mac != model.MAC(m.MAC) {
		b.offset, b.failures = 0, 0
	}
	news := !b.known || b.silent
	b.mac, b.sequence, b.heard, b.summary, b.known = model.MAC(m.MAC), m.Sequence, now, summary, true
	if b.silent = false; news {
		s.cfg.Heard(Box{At: at, MAC: b.mac, State: "heard"})
	}
	b.fresh, s.nextLook = true, now
	if skew := int64(m.Sequence) - now; skew > 5*second || skew < -5*second {
		s.raise(skewFault(at), now, skewText(at, skew))
	}
	if m.Flags&resolve.FlagSolicit != 0 && s.answerAt == 0 {
		s.answerAt = now + s.randomness.Int64N(second)
	}
}

// silence tells of the boxes that have become silent.
func (s *Service) silence(now int64) {
	if now < s.nextSilent {
		return
	}
	s.nextSilent = now + second
	for _, b := range s.boxes {
		if !b.silent && now-b.heard > silentLate {
			b.silent = true
			s.cfg.Heard(Box{At: b.at, MAC: b.mac, Silent: true, State: "silent"})
		}
	}
}

// sharedPlace is the HELLO of another box that says to be at this box's place. Who took it later loses it.
func (s *Service) sharedPlace(m *body, theirs *resolve.Summary, now int64) {
	mine := (now - s.self.Since.UnixNano()) / second
	s.lost = mine < int64(theirs.Held) || mine == int64(theirs.Held) && s.self.MAC < model.MAC(m.MAC)
	s.raise(placeFault, now, placeText(s.self.At, model.MAC(m.MAC), s.lost))
}

// look compares what the boxes say that they own with what this box has of them, and pulls from those that differ.
func (s *Service) look(now int64) {
	if now < s.nextLook || !s.self.At.Known() {
		return
	}
	s.nextLook = now + compareEvery
	if s.raised(fullFault) {
		return
	}
	if version := s.cfg.Table.LearnedVersion(); s.digests == nil || version != s.digestOf {
		s.digests, s.digestOf = s.cfg.Table.Digests()
	}
	for _, at := range s.places() {
		b := s.boxes[at]
		if b.known && s.pulls[at] == nil && now-b.heard <= silentLate && s.differs(b, s.digests[at], now) &&
			len(s.pulls) < maxPulls {
			s.begin(b, now)
		}
	}
}

// differs reports whether it is time to pull from a box, since this box has other bindings of it than it says.
//
// What it says holds for the moment when it said so. If its bindings here have changed since, nothing follows before
// its next HELLO; but a box whose bindings change all the time is pulled from in the end, if they never were the same.
func (s *Service) differs(b *box, d compile.Digest, now int64) bool {
	if b.fresh {
		b.fresh, b.sum = false, d.Sum
		if d.Sum+b.offset != b.summary.Digest && b.wrong == 0 {
			b.wrong = now
		}
	}
	if d.Sum+b.offset == b.summary.Digest {
		b.wrong, b.failures = 0, 0
		return false
	}
	if b.wrong == 0 || d.Sum != b.sum && now-b.wrong < restless {
		return false
	}
	// What is announced just now is on its way: wait for it, but not where nothing is known yet.
	patience := compareEvery
	if d.Count == 0 {
		patience = 0
	}
	if b.failures > 0 {
		patience = min(second<<min(b.failures, 6), 60*second)
	}
	return now-max(b.wrong, b.pulled) >= patience
}

// forgetBox forgets the box that is silent for the longest time; false if none is.
func (s *Service) forgetBox(now int64) bool {
	var oldest *box
	for _, b := range s.boxes {
		if now-b.heard > silentLate && (oldest == nil || b.heard < oldest.heard) {
			oldest = b
		}
	}
	if oldest == nil {
		return false
	}
	delete(s.boxes, oldest.at)
	return true
}

// places returns the places of the boxes in order.
func (s *Service) places() []compile.Place {
	list := make([]compile.Place, 0, len(s.boxes))
	for at := range s.boxes {
		list = append(list, at)
	}
	slices.SortFunc(list, compile.Place.Compare)
	return list
}

// Resync forgets what this box could not take, and compares anew: when tenants and segments have come.
func (s *Service) Resync() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.compareAll()
}

func (s *Service) compareAll() {
	for _, b := range s.boxes {
		b.offset, b.failures = 0, 0
		b.fresh = b.known
	}
	s.nextLook = 0
}

// Sync pulls all bindings of the box at a place; false if there is none.
func (s *Service) Sync(at compile.Place) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.boxes[at]
	if b == nil {
		return false
	}
	b.offset, b.failures, b.pulled = 0, 0, 0
	if s.pulls[at] == nil {
		s.begin(b, s.cfg.Now())
	}
	return true
}

// Box is another box, for people.
type Box struct {
	At       compile.Place
	MAC      model.MAC
	First    time.Time
	Heard    time.Time
	Silent   bool
	Bindings int // that it owns, as it says
	Held     time.Duration
	Known    int    // of them this box holds so many
	State    string // equal, pulling, differs, silent
}

// Boxes returns the other boxes in the order of their places.
func (s *Service) Boxes() []Box {
	digests, _ := s.cfg.Table.Digests()
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.cfg.Now()
	var list []Box
	for _, at := range s.places() {
		b := s.boxes[at]
		x := Box{At: at, MAC: b.mac, First: time.Unix(0, b.first), Heard: time.Unix(0, b.heard),
			Silent: now-b.heard > silentLate, Bindings: int(b.summary.Count),
			Held: time.Duration(b.summary.Held) * time.Second, Known: digests[at].Count, State: "equal"}
		switch {
		case x.Silent:
			x.State = "silent"
		case s.pulls[at] != nil:
			x.State = "pulling"
		case digests[at].Sum+b.offset != b.summary.Digest:
			x.State = "differs"
		}
		list = append(list, x)
	}
	return list
}
