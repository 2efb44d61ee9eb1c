package resolve

import (
	"fmt"

	"penstock/ctrl/alarm"
	"penstock/ctrl/compile"
	"penstock/ctrl/model"
)

// fault is an alarm's kind and object.
type fault struct {
	kind   alarm.Kind
	object string
}

// quiet is the time without news of a fault after which its alarm is cleared; maxFaults is how many there are at once.
const (
	quiet     = 60 * second
	repeat    = 10 * second
	maxFaults = 64
)

var (
	fullFault  = fault{alarm.TableFull, "bindings"}
	placeFault = fault{alarm.PlaceConflict, "place"}
)

func vifFault(k compile.FabricKey) fault {
	return fault{alarm.VIFConflict, fmt.Sprintf("vif %d/%d %s", k.Tenant, k.Segment, k.MAC)}
}

func vifText(r *compile.FabricRow) string {
	return fmt.Sprintf("The box at %s/%d claims VIF %s of tenant ID %d, segment ID %d, which is configured here, with "+
		"a newer claim. This box says nothing of it any more. Delete the VIF on one of the boxes.", r.At.Switch,
		r.At.Port, r.MAC, r.Tenant, r.Segment)
}

func conflictFault(r *compile.FabricRow) fault {
	return fault{alarm.BindingConflict, fmt.Sprintf("binding %d/%d %s at %s/%d", r.Tenant, r.Segment, r.MAC,
		r.At.Switch, r.At.Port)}
}

func skewFault(at compile.Place) fault {
	return fault{alarm.ClockSkew, fmt.Sprintf("box %s/%d", at.Switch, at.Port)}
}

func skewText(at compile.Place, skew int64) string {
	return fmt.Sprintf("The clock of the box at %s/%d is %+d s off this one's: set both by NTP. Claims stay in order "+
		"all the same.", at.Switch, at.Port, skew/second)
}

func placeText(at compile.Place, other model.MAC, lost bool) string {
	who := "The other one is to say nothing of its VIFs."
	if lost {
		who = "This box was there later, and says nothing of its VIFs."
	}
	return fmt.Sprintf("The box with MAC %s says to be at %s/%d, too, where this box is. %s Check switch_mac and "+
		"switch_port of both, or the cables.", other, at.Switch, at.Port, who)
}

var texts = map[alarm.Kind]string{
	alarm.TableFull: "The bindings table is full: each new binding of another box takes the place of one that was " +
		"heard long ago, and is asked for again when it is needed. Set a larger dataplane.bindings.",
	alarm.LearningFull: "More than 1,024 stations were heard behind the attachment, or 10,000 behind all, or they " +
		"change their MACs and addresses all the time. Those beyond that are not learned. Look for a station that " +
		"sends from many MACs, or set anti_spoof of its VIF.",
	alarm.BindingConflict: "Another box says that the VIF is there, and the pushed binding leads elsewhere. The " +
		"pushed one holds; delete it, or the VIF.",
}

// raise raises an alarm, or notes that its cause is there still.
func (s *Service) raise(f fault, now int64, text string) {
	last, there := s.faults[f]
	if !there && len(s.faults) >= maxFaults || there && now-last < repeat {
		return
	}
	s.faults[f] = now
	if text == "" {
		text = texts[f.kind]
	}
	s.cfg.Alarms.Raise(alarm.Report{Kind: f.kind, Object: f.object, Text: text})
}

func (s *Service) raised(f fault) bool {
	_, there := s.faults[f]
	return there
}

// clearFaults clears alarms whose cause was not seen for a while. A VIF that is elsewhere stays so.
func (s *Service) clearFaults(now int64) {
	for f, last := range s.faults {
		if f.kind != alarm.VIFConflict && f.kind != alarm.VXLANTwoGateways && now-last > quiet {
			delete(s.faults, f)
			s.cfg.Alarms.Clear(f.kind, f.object)
			if f == placeFault {
				s.lost = false
				s.nextHello = now
			}
		}
	}
}

func (s *Service) clearVIF(k compile.FabricKey) { s.clear(vifFault(k)) }

func (s *Service) clearPlace() { s.clear(placeFault) }

func (s *Service) clear(f fault) {
	if s.raised(f) {
		delete(s.faults, f)
		s.cfg.Alarms.Clear(f.kind, f.object)
	}
}
