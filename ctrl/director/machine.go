package director

import "net/netip"

// Times of the protocol, in nanoseconds.
const (
	helloEvery = 100_000_000    // between two hellos to a director
	silence    = 300_000_000    // after which a director is dead
	grace      = 400_000_000    // after the start, in which a director hears of claims before it makes one
	linger     = 300_000_000    // for which a director still serves what comes to it after another one took over
	leaving    = 3_000_000_000  // for which a box that left the list serves on if nobody takes over
	claimEvery = 1_000_000_000  // between two claims to the other directors
	tellEvery  = 10_000_000_000 // between two claims to all boxes
	allEvery   = 60_000_000_000 // between two announcements to the stations of the segment
)

// vip is what a box knows of who directs a virtual address.
type vip struct {
	key             string
	tenant, segment uint32
	mac             uint64
	address         netip.Addr
	directors       []string // names of boxes, in order
	own             int      // place of this box in the list, -1 = none
	anycast         bool
	since           int64 // when this box became a director of it

	claim    uint64 // sequence of the newest claim, 0 = none is known
	at       Place  // of who made it
	mine     bool   // this box made it
	lingers  int64  // until when this box serves after another one's claim
	left     int64  // since when this box is no director any more
	heard    int64  // when the claim was heard last
	answered int64  // when this box answered an older claim

	told, toldDirectors, announced int64 // when the claim was told to boxes, to directors, to stations
	burst                          int   // announcements left of those at once
}

// world is what the machine needs to know of other boxes.
type world interface {
	// alive reports whether a director has been heard lately.
	alive(box string) bool
	// placeOf returns the place of a director by the binding of its own MAC.
	placeOf(v *vip, box string) (Place, bool)
}

// decide makes a claim if it is this box's turn, and reports whether it did. started is when the box began to listen.
func (v *vip) decide(now, started int64, self Place, w world) (claimed bool) {
	if v.own < 0 {
		if v.mine && v.left == 0 {
			v.left = now
		}
		if v.mine && (len(v.directors) == 0 || now-v.left >= leaving) {
			v.mine, v.claim = false, 0
		}
		return false
	}
	v.left = 0
	if v.mine {
		v.at = self // the place may have changed
		return false
	}
	if v.listens(now, started) || self == (Place{}) {
		return false
	}
	if v.claim != 0 && now-v.heard < v.patience(w) {
		return false
	}
	for i, box := range v.directors {
		if i == v.own || !w.alive(box) {
			continue
		}
		at, ok := w.placeOf(v, box)
		if i < v.own || ok && v.claim != 0 && at == v.at {
			return false // it is its turn, or it directs
		}
	}
	v.claim, v.at, v.mine = max(uint64(now), v.claim+1), self, true
	v.told, v.toldDirectors, v.announced, v.burst = 0, 0, 0, 3
	return true
}

// listens reports whether this box waits for claims of others, before it makes one.
func (v *vip) listens(now, started int64) bool {
	return v.own >= 0 && len(v.directors) > 1 && (now-started < grace || v.claim == 0 && now-v.since < grace)
}

// patience returns for how long a claim that was heard is a sign of life. So two directors that hear each other's
// claims and not their hellos do not take the VIP from each other all the time. A claim of a box that has left the list
// is none.
func (v *vip) patience(w world) int64 {
	lost := false // the place of a director is not known, which may be the one that claims
	for i, box := range v.directors {
		if i == v.own {
			continue
		}
		at, ok := w.placeOf(v, box)
		if ok && at == v.at {
			return silence
		}
		lost = lost || !ok
	}
	if lost {
		return 3 * tellEvery / 2
	}
	return 0
}

// hear takes over a claim if it is newer than the known one. answer reports that this box should tell its own.
func (v *vip) hear(h *here, now int64, self Place) (changed, answer bool) {
	switch {
	case h.at == self: // what this box said itself
		return false, false
	case h.sequence == v.claim && h.at == v.at: // again
		v.heard = now
		return false, false
	case h.sequence < v.claim || h.sequence == v.claim && !larger(h.at, v.at):
		if v.mine && h.sequence != v.claim && now-v.answered >= claimEvery {
			v.answered = now
			return false, true
		}
		return false, false
	}
	if v.mine {
		v.mine, v.lingers = false, now+linger
	}
	changed = v.at != h.at || v.claim == 0 || v.lingers > now
	v.claim, v.at, v.heard = h.sequence, h.at, now
	return changed, false
}

// larger orders places, for claims with the same sequence.
func larger(a, b Place) bool {
	return a.Switch > b.Switch || a.Switch == b.Switch && a.Port > b.Port
}

// serves reports whether this box directs packets to the VIP now.
func (v *vip) serves(now int64) bool {
	return v.mine || now < v.lingers || v.own >= 0 && v.anycast
}

func (v *vip) here() here {
	return here{sequence: v.claim, tenant: v.tenant, segment: v.segment, mac: v.mac, address: v.address, at: v.at}
}
