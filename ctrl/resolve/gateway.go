package resolve

import (
	"fmt"

	"penstock/ctrl/alarm"
	"penstock/ctrl/compile"
)

// A box with a port to boxes and one to VTEPs stands between them: it owns the stations behind VTEPs towards the other
// boxes. Two such boxes in a segment would carry each flood twice, so the one at the larger place gives way: it carries
// nothing between the two kinds of ports, and says nothing of stations behind VTEPs.

// gateway is another box that stands between boxes and VTEPs in a segment where this box does, too.
type gateway struct {
	at    compile.Place
	heard int64
}

func gatewayFault(segment compile.FabricKey) fault {
	return fault{alarm.VXLANTwoGateways, fmt.Sprintf("segment %d/%d", segment.Tenant, segment.Segment)}
}

// behindVTEP notes that another box says that a station is behind a VTEP of it.
func (s *Service) behindVTEP(r *compile.FabricRow, now int64) {
	segment := compile.FabricKey{Tenant: r.Tenant, Segment: r.Segment}
	if r.At == s.self.At || !s.self.At.Known() || !s.cfg.Table.Between(segment) {
		return
	}
	who := "The other one is to give way, whose place is larger."
	if s.self.At.Compare(r.At) > 0 {
		who = "This box gives way, whose place is larger."
	}
	s.raise(gatewayFault(segment), now, fmt.Sprintf("The box at %s/%d connects segment ID %d of tenant ID %d with "+
		"VTEPs, and so does this box at %s/%d. %s Let only one of them have both kinds of ports.", r.At.Switch,
		r.At.Port,
		r.Segment, r.Tenant, s.self.At.Switch, s.self.At.Port, who))
	old, there := s.rivals[segment]
	if there && old.at != r.At && old.at.Compare(r.At) < 0 {
		return // what counts is the smallest place
	}
	s.rivals[segment] = gateway{r.At, now}
	if !there || old.at != r.At {
		s.yield()
	}
}

// yield tells the tables in which segments this box gives way.
func (s *Service) yield() {
	var list []compile.FabricKey
	for segment, g := range s.rivals {
		if s.self.At.Compare(g.at) > 0 {
			list = append(list, segment)
		}
	}
	if len(list) > 0 || s.yields > 0 {
		s.yields = len(list)
		s.cfg.Table.Yield(list)
	}
}

// expireGateways forgets those that are silent, or have told nothing more of stations behind VTEPs, for a minute.
func (s *Service) expireGateways(now int64) {
	changed := false
	for segment, g := range s.rivals {
		if now-g.heard <= quiet {
			continue
		}
		if b := s.boxes[g.at]; b != nil && now-b.heard <= silentLate && s.cfg.Table.TellsVTEP(segment, g.at) {
			g.heard = now
			s.rivals[segment] = g
			continue
		}
		delete(s.rivals, segment)
		s.clear(gatewayFault(segment))
		changed = true
	}
	if changed {
		s.yield()
	}
}

// answerOlder answers a claim that is older than that of a station behind a VTEP, once a second.
func (s *Service) answerOlder(r *compile.FabricRow, now int64) {
	if o := s.own[r.FabricKey]; o != nil && o.row.VTEP && s.speaks() && now-o.answered >= second {
		o.answered = now
		s.queue = append(s.queue, r.FabricKey)
	}
}
