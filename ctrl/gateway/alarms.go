package gateway

import (
	"fmt"
	"strings"
	"time"

	"penstock/ctrl/alarm"
	"penstock/dataplane/gateway"
)

// groupKinds are the kinds of alarms that are raised here.
var groupKinds = []alarm.Kind{alarm.GatewayDown, alarm.GatewayStandbyDown, alarm.GatewayAllDown, alarm.GatewayFlapping,
	alarm.GatewayMAC, alarm.GatewayConflict, alarm.GatewayShared}

func groupObject(g *Group) string { return "gateway_group " + g.Name }

func memberObject(g *Group, member string) string { return "gateway " + g.Name + "/" + member }

// exists reports whether the group or member of an alarm still exists.
func (s *Service) exists(object string) bool {
	for i := range s.groups {
		g := &s.groups[i]
		if object == groupObject(g) {
			return true
		}
		for j := range g.Members {
			if object == memberObject(g, g.Members[j].Name) {
				return true
			}
		}
	}
	return false
}

// raise raises an alarm when the fault begins or its cause changes, not at every update. An outdated text is replaced.
func (s *Service) raise(k *record, kind alarm.Kind, object, cause, text string) {
	key := string(kind) + " " + object
	// it may have been cleared with its object, or refused
	if k.raised[key] == cause && s.cfg.Alarms.IsActive(kind, object) {
		s.cfg.Alarms.Update(kind, object, text)
		return
	}
	k.raised[key] = cause
	s.cfg.Alarms.Raise(alarm.Report{Kind: kind, Object: object, Text: text})
}

func (s *Service) clear(k *record, kind alarm.Kind, object string) {
	delete(k.raised, string(kind)+" "+object)
	s.cfg.Alarms.Clear(kind, object)
}

// groupAlarms raises and clears the alarms of a group by its states.
func (s *Service) groupAlarms(g *Group, k *record) {
	active := g.name(g.Live.Active.Load())
	waiting := false // a member is in the state init
	healthy := false // the active member is healthy; the member saved before a restart is in the state init
	var faults []string
	for i := range g.Members {
		m := &g.Members[i]
		state := gateway.State(m.Live.State.Load())
		waiting = waiting || state == gateway.Init
		healthy = healthy || m.Name == active && (state == gateway.Up || state == gateway.Suspect)
		if state == gateway.Down || state == gateway.Disabled {
			faults = append(faults, m.Name+": "+cause(m, state))
		}
		s.memberAlarms(g, k, m, state, active)
	}
	switch {
	case healthy:
		s.clear(k, alarm.GatewayAllDown, groupObject(g))
	case active == "" && !waiting:
		s.raise(k, alarm.GatewayAllDown, groupObject(g), "all", fmt.Sprintf(
			"No gateway of group %s is healthy (%s). What tenants send to the outside is dropped. Check them and "+
				"their lines; the first that answers is used at once.", g.Name, strings.Join(faults, "; ")))
	}
}

func (s *Service) memberAlarms(g *Group, k *record, m *Member, state gateway.State, active string) {
	object := memberObject(g, m.Name)
	if state != gateway.Down {
		if state != gateway.Init { // after a restart no alarm is cleared before the state is known
			s.clear(k, alarm.GatewayDown, object)
			s.clear(k, alarm.GatewayStandbyDown, object)
			s.clear(k, alarm.GatewayFlapping, object)
		}
		return
	}
	why := cause(m, state)
	who := fmt.Sprintf("Gateway %s of group %s (%s on port %s)", m.Name, g.Name, m.IP, m.Port)
	if k.failed[m.Name] || s.cfg.Alarms.IsActive(alarm.GatewayDown, object) {
		now := "No other member is healthy"
		if active != "" {
			now = active + " carries its traffic now"
		}
		s.raise(k, alarm.GatewayDown, object, why, fmt.Sprintf("%s failed: %s. %s. %s", who, why, now, remedy(m)))
		s.clear(k, alarm.GatewayStandbyDown, object)
	} else {
		s.raise(k, alarm.GatewayStandbyDown, object, why,
			fmt.Sprintf("%s, not in use, failed: %s. There is one gateway less to switch to. %s", who, why, remedy(m)))
	}
	if held, fails := m.Live.Held.Load(), m.Live.Fails.Load(); held > s.cfg.Engine.Clock() {
		if k.held[m.Name] != held { // the time of day is computed once: a second computation would differ
			k.held[m.Name] = held
			k.until[m.Name] = s.wall(held).Round(time.Second).Format(time.RFC3339)
		}
		s.raise(k, alarm.GatewayFlapping, object, fmt.Sprint("held ", held),
			fmt.Sprintf("%s comes and goes: it had failed %d times by then, and is held down until %s "+
				"although it may answer. "+
				"Check it, its line, and the switches in between.",
				who, fails, k.until[m.Name]))
	}
}

// cause returns the cause of a member's state for texts.
func cause(m *Member, state gateway.State) string {
	if state == gateway.Disabled {
		return "disabled by an operator"
	}
	switch why := gateway.Why(m.Live.Why.Load()); why {
	case gateway.WhyCarrier:
		return "port " + m.Port + " is down"
	case gateway.WhyTransmit:
		return "the kernel refuses to send on port " + m.Port
	case gateway.WhyLink:
		return "port " + m.Port + " is back, the gateway has yet to prove itself"
	case gateway.WhyHold:
		return "it answers, but failed too often lately"
	default:
		return "it does not answer"
	}
}

// remedy returns what to check or replace.
func remedy(m *Member) string {
	switch gateway.Why(m.Live.Why.Load()) {
	case gateway.WhyCarrier, gateway.WhyLink:
		return fmt.Sprintf("Check the cable and transceiver of port %s and the device at its other end.", m.Port)
	case gateway.WhyTransmit:
		return fmt.Sprintf("Check the network card of port %s and its driver (dmesg).", m.Port)
	}
	return fmt.Sprintf(
		"Check whether it runs, the line to it, and that it answers ARP from %s; "+
			"replace it if it is dead.", m.Address.Addr())
}

// macAlarm raises the alarms about a gateway's MAC. They are manual: their end cannot be observed.
func (s *Service) macAlarm(g *Group, e *Event, kind gateway.Kind) {
	object := memberObject(g, e.Member)
	switch kind {
	case gateway.MACChanged:
		s.cfg.Alarms.Raise(alarm.Report{Kind: alarm.GatewayMAC, Object: object, Text: fmt.Sprintf(
			"Gateway %s of group %s answered with the MAC %s and no longer with %s, so %[3]s was taken as its next "+
				"hop. If it was not replaced, find out who answers for it. "+
				"Acknowledge to clear.", e.Member, g.Name, e.MAC, e.OldMAC)})
	case gateway.MACConflict:
		s.cfg.Alarms.Raise(alarm.Report{Kind: alarm.GatewayConflict, Object: object, Text: fmt.Sprintf(
			"Two stations answered for gateway %s of group %s: %s, which was in use and stayed so, and %s, which "+
				"was not taken. Find the second: an address given twice, or an attack. "+
				"Acknowledge to clear.", e.Member, g.Name, e.OldMAC, e.MAC)})
	case gateway.MACShared:
		s.cfg.Alarms.Raise(alarm.Report{Kind: alarm.GatewayShared, Object: object, Text: fmt.Sprintf(
			"Gateways %s and %s of group %s answered with one MAC, %s: they are one device, and to switch between "+
				"them helps nobody. Correct their addresses. Acknowledge to clear.", e.Member, e.Other, g.Name, e.MAC)})
	}
}
