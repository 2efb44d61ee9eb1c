package compile

// candidate is a server of a service as far as the choice of members goes.
type candidate struct {
	enabled bool   // enabled and of positive weight; else draining or disabled
	backup  bool   // used only when too few others are healthy
	found   bool   // its VIF or station is known
	up      bool   // the last verdict of its health check
	weight  uint16 // not 0 if enabled
	share   uint16 // of its weight, in thousandths: less than 1000 in a slow start
}

// chosen is a server that new flows may use, by its position in the list of candidates.
type chosen struct {
	at     int
	weight uint16
}

// membersOf chooses the servers that new flows may use, with their effective weights.
//
// Usable are the enabled servers that are found and up. Backups join the others when the usable weight of the others is
// less than percent of their enabled weight (panic), and when none of the others is usable. If there is no usable
// backup in panic, all enabled servers that are found are used, up or not. A percentage of 0 never leads to panic.
func membersOf(list []candidate, percent uint8) (members []chosen, panics bool) {
	var enabled, usable uint64 // weights of those that are no backups
	backups, anybody := false, false
	for i := range list {
		c := &list[i]
		switch ok := c.found && c.up; {
		case !c.enabled:
		case c.backup:
			backups = backups || ok
		default:
			enabled += uint64(c.weight)
			if ok {
				usable += uint64(c.weight)
			}
		}
		anybody = anybody || c.enabled && c.found
	}
	panics = anybody && percent > 0 && usable*100 < enabled*uint64(percent)
	var weights []uint64
	for i := range list {
		c := &list[i]
		ok := c.enabled && c.found
		switch {
		case panics && !backups: // all of them
		case c.backup:
			ok = ok && c.up && (panics || usable == 0)
		default:
			ok = ok && c.up
		}
		if !ok {
			continue
		}
		w := uint64(c.weight) * 1000
		if c.up && c.share > 0 && c.share < 1000 {
			w = uint64(c.weight) * uint64(c.share)
		}
		members, weights = append(members, chosen{at: i}), append(weights, w)
	}
	scale(members, weights)
	return members, panics
}

// scale writes weights as the smallest numbers of the same ratio, if these have 16 bits; otherwise the largest becomes
// 65,535 and none 0.
func scale(members []chosen, weights []uint64) {
	var most, divisor uint64
	for _, w := range weights {
		most = max(most, w)
		a, b := divisor, w
		for b != 0 {
			a, b = b, a%b
		}
		divisor = a
	}
	for i, w := range weights {
		if most/divisor <= 65_535 {
			members[i].weight = uint16(w / divisor)
			continue
		}
		members[i].weight = uint16(max(1, (w*65_535+most/2)/most))
	}
}
