package resolve

import (
	"net/netip"

	"penstock/ctrl/alarm"
	"penstock/ctrl/compile"
	"penstock/ctrl/model"
	"penstock/dataplane/resolve"
)

// Stations that are heard behind attachments are VIFs of this box that are not configured: they are announced and
// asked for like the others. One that was not heard for ageAfter is none any more; it is looked for every ageEvery. The
// packet path tells of a station that sends every 15 s.
const (
	ageAfter = 300 * second
	ageEvery = 5 * second
)

func (s *Service) collectStation(e *resolve.Event) {
	x := compile.Heard{FabricKey: compile.FabricKey{Tenant: e.Tenant, Segment: e.Segment, MAC: model.MAC(e.MAC)},
		Port: e.Port, VID: e.VID}
	switch e.Kind {
	case resolve.LearnIP4:
		x.Address = netip.AddrFrom4([4]byte(e.IP[:4]))
	case resolve.LearnIP6:
		x.Address = netip.AddrFrom16(e.IP)
	}
	x.Held = s.holds(x.FabricKey) || x.Address.IsValid() && s.holdsTarget(addressTarget(&x))
	s.stations = append(s.stations, x)
}

func addressTarget(x *compile.Heard) target {
	return target{key: compile.FabricKey{Tenant: x.Tenant, Segment: x.Segment}, ip: x.Address}
}

// learnStations takes the stations that were collected.
func (s *Service) learnStations(now int64) {
	if len(s.stations) == 0 {
		return
	}
	verdicts, changed := s.cfg.Table.LearnVIFs(s.stations, now)
	for i, v := range verdicts {
		x := &s.stations[i]
		s.counters.Stations[v]++
		switch v {
		case compile.HeardMoved:
			s.moved(x.FabricKey, now)
		case compile.HeardAddress:
			s.movedTarget(addressTarget(x), now)
		case compile.HeardMany:
			s.raise(fault{alarm.LearningFull, "attachment " + s.cfg.Table.AttachmentName(x.Port, x.VID)}, now, "")
		case compile.HeardSame:
			// It sends here, so it is here: it is claimed again, if another box has claimed it.
			if o := s.own[x.FabricKey]; o != nil && o.elsewhere.Sequence != 0 && !x.Held && s.self.At.Known() {
				s.moved(x.FabricKey, now)
				s.claim(o, uint64(now))
			}
		}
	}
	s.renewAll(changed)
}

func (s *Service) renewAll(changed []compile.FabricKey) {
	for _, key := range changed {
		s.renew(key)
		if o := s.own[key]; o != nil {
			s.found(&o.row)
		}
	}
}

// age forgets the stations that are silent, and says that they are not here.
func (s *Service) age(now int64) {
	if now-s.aged < ageEvery {
		return
	}
	s.aged = now
	s.renewAll(s.cfg.Table.AgeVIFs(now - ageAfter))
}
