package paths

import (
	"fmt"

	"penstock/ctrl/alarm"
	"penstock/ctrl/model"
	"penstock/dataplane/pathprobe"
)

func object(mac uint64) string { return "switch " + model.MAC(mac).String() }

// switchSilent raises the alarm about a switch behind which nothing answers any more: the box there, or all paths.
func (s *Service) switchSilent(e *pathprobe.Event) {
	if e.Both {
		s.silent[e.Switch] = true
		return // judge raises it
	}
	s.cfg.Alarms.Raise(alarm.Report{Kind: alarm.SwitchSilent, Object: object(e.Switch), Text: fmt.Sprintf(
		"Nothing answers behind edge switch %s: the only box that the paths to it are probed with, at port %d, is "+
			"silent on all of them. No path is taken out, since the box may be dead. Check the box, the switch and "+
			"its trunks.", model.MAC(e.Switch), e.Number)})
}

// judge raises and clears the alarms about switches all of whose paths are down.
func (s *Service) judge() {
	type count struct{ up, down int }
	by := map[uint64]count{}
	for _, p := range s.infos {
		c := by[uint64(p.Switch)]
		switch {
		case !p.PortUp:
		case p.Probe.Down.Load():
			c.down++
		default:
			c.up++
		}
		by[uint64(p.Switch)] = c
	}
	for mac := range s.allDown {
		if c := by[mac]; !s.silent[mac] && (c.down == 0 || c.up > 0) {
			delete(s.allDown, mac)
			s.cfg.Alarms.Clear(alarm.PathsAllDown, object(mac))
		}
	}
	for mac, c := range by {
		if s.allDown[mac] || !s.silent[mac] && (c.down == 0 || c.up > 0) {
			continue
		}
		s.allDown[mac] = true
		s.cfg.Alarms.Raise(alarm.Report{Kind: alarm.PathsAllDown, Object: object(mac), Text: fmt.Sprintf(
			"No path to edge switch %s answers (there are %d). All of them are used. Check the switch, its trunks and "+
				"the VLANs of the paths; penstock show paths %[1]s has their history.", model.MAC(mac),
			c.up+c.down)})
	}
}

func (s *Service) overload(e *pathprobe.Event) {
	if e.Kind == pathprobe.OverloadEnd {
		s.cfg.Alarms.Clear(alarm.ProbeOverload, "probes")
		return
	}
	s.cfg.Alarms.Raise(alarm.Report{Kind: alarm.ProbeOverload, Object: "probes", Text: fmt.Sprintf(
		"The paths in use would need %d probes a second, more than 20,000: their interval is longer than "+
			"probe.interval, and a dead path is found later. Set a longer probe.interval, or use fewer paths.",
		e.Rate)})
}
