// Package place finds out where the box's fabric ports are plugged in, by LLDP (PROTOCOL.md#lldp), and says by LLDP
// what the box is.
//
//	machine.go   what is heard on one port, and the place that follows; pure
//	service.go   all ports: frames in, links, timers; who is told
//	send.go      frames out
//	stored.go    the places of the last run
package place

import (
	"fmt"
	"slices"
	"time"

	"penstock/ctrl/compile"
	"penstock/ctrl/model"
	"penstock/ctrl/neighbor/lldp"
)

const (
	maxNeighbors = 8
	// silence is how long a port with carrier waits for a first frame: every switch has sent one by then.
	silence = 35 * time.Second
)

// neighbor is a device that is heard on a port.
type neighbor struct {
	lldp.Advert
	first, heard time.Time
	at           compile.Place // as its texts say; a half may be unknown
	why          string        // why not
}

func (n *neighbor) expires() time.Time { return n.heard.Add(time.Duration(n.TTL) * time.Second) }

// machine is a port. One of an edge switch has neighbours and no place.
type machine struct {
	fabric bool
	static compile.Place // the configured halves

	up    bool
	since time.Time // of up
	list  []neighbor
	more  uint64 // adverts of neighbours beyond maxNeighbors, since the link came up

	frames  Frames
	refused time.Time // when the last frame was refused
	fault   lldp.Fault

	at          compile.Place // the place in use
	provisional bool          // it is from before the start, or before the link was lost
	placed      time.Time     // since when the box is there
	fresh       bool          // the next place counts from its first advert
	candidate   compile.Place // a new place that was advertised once

	// Faults, for alarms; "" = none.
	noPlace, mismatch string
	lost              bool
}

// fixed reports whether the configuration has the whole place.
func (m *machine) fixed() bool { return m.static.Switch != 0 && m.static.Port != 0 }

// fill puts the configured halves into a place.
func (m *machine) fill(at compile.Place) compile.Place {
	if m.static.Switch != 0 {
		at.Switch = m.static.Switch
	}
	if m.static.Port != 0 {
		at.Port = m.static.Port
	}
	return at
}

// begin sets the configured halves, and the place of the last run, which may be none.
func (m *machine) begin(static, stored compile.Place, now time.Time) {
	m.fabric, m.static, m.fresh = true, static, true
	if m.at = m.fill(stored); !m.at.Known() {
		m.at = compile.Place{}
		return
	}
	m.placed, m.provisional = now, !m.fixed()
}

// configure sets other configured halves. What is known stays until an advert says otherwise.
func (m *machine) configure(static compile.Place, now time.Time) {
	if static == m.static {
		return
	}
	m.static, m.mismatch, m.candidate = static, "", compile.Place{}
	at := m.at
	if len(m.list) == 1 {
		at = m.list[0].at
	}
	if at = m.fill(at); at.Known() && at != m.at {
		m.take(at, now)
	}
	if m.fixed() {
		m.provisional, m.noPlace = false, ""
	}
}

func (m *machine) take(at compile.Place, now time.Time) {
	m.at, m.placed, m.provisional, m.fresh, m.candidate = at, now, false, false, compile.Place{}
}

// link notes the port's carrier.
func (m *machine) link(up bool, now time.Time) {
	if up == m.up {
		return
	}
	m.up, m.since = up, now
	m.list, m.more, m.lost, m.fresh, m.mismatch, m.noPlace = nil, 0, false, true, "", ""
	m.candidate = compile.Place{}
	m.provisional = m.at.Known() && !m.fixed()
}

// hear notes an advert. It reports whether the neighbour is new.
func (m *machine) hear(a *lldp.Advert, r *lldp.Rules, now time.Time) (isNew bool) {
	// A device that names its port otherwise than before is the same one: the switch had not read its configuration.
	i := slices.IndexFunc(m.list, func(n neighbor) bool { return n.Chassis == a.Chassis })
	if a.TTL == 0 {
		if i >= 0 {
			m.forget(i)
		}
		return false
	}
	if i < 0 {
		if len(m.list) == maxNeighbors {
			m.more++
			m.frames.Crowded++
			return false
		}
		m.list = append(m.list, neighbor{first: now})
		i, isNew = len(m.list)-1, true
	}
	n := &m.list[i]
	n.Advert, n.heard = *a, now
	n.at.Switch, n.at.Port, n.why = r.Place(a)
	m.lost = false
	switch {
	case !m.fabric:
	case len(m.list) == 1:
		m.judge(n, now)
	default:
		m.candidate = compile.Place{} // two at once: the place stays
	}
	return isNew
}

// judge compares what the only neighbour says with the place in use.
func (m *machine) judge(n *neighbor, now time.Time) {
	m.mismatch = ""
	if m.static.Switch != 0 && n.at.Switch != 0 && n.at.Switch != m.static.Switch {
		m.mismatch = fmt.Sprintf("switch_mac is %s, LLDP says %s (chassis ID %q)", m.static.Switch, n.at.Switch,
			n.ChassisText())
	}
	if m.static.Port != 0 && n.at.Port != 0 && n.at.Port != m.static.Port {
		if m.mismatch != "" {
			m.mismatch += "; "
		}
		m.mismatch += fmt.Sprintf("switch_port is %d, LLDP says %d (port ID %q)", m.static.Port, n.at.Port,
			n.PortText())
	}
	if m.fixed() {
		return
	}
	at := m.fill(n.at)
	if !at.Known() {
		m.noPlace, m.candidate = n.why, compile.Place{}
		return
	}
	m.noPlace = ""
	switch {
	case at == m.at:
		m.provisional, m.fresh, m.candidate = false, false, compile.Place{}
	case m.fresh, !m.at.Known(), at == m.candidate:
		m.take(at, now)
	default:
		m.candidate = at
	}
}

// forget removes a neighbour that has left or is silent. The place stays while there is carrier: daemons restart.
func (m *machine) forget(i int) {
	m.list = slices.Delete(m.list, i, i+1)
	m.lost = len(m.list) == 0
	m.mismatch = ""
}

// expire forgets who has been silent for too long.
func (m *machine) expire(now time.Time) {
	for i := len(m.list) - 1; i >= 0; i-- {
		if !now.Before(m.list[i].expires()) {
			m.forget(i)
		}
	}
	if m.waits() && m.noPlace == "" && now.Sub(m.since) >= silence {
		m.noPlace = fmt.Sprintf("no LLDP frame has come for %s", silence)
		if m.refused.After(m.since) {
			m.noPlace = fmt.Sprintf("no valid LLDP frame has come for %s; the last one was refused: %s", silence,
				m.fault.Error())
		}
	}
}

// refuse counts a malformed frame. It reports whether it is the first with this fault.
func (m *machine) refuse(f lldp.Fault, now time.Time) bool {
	m.frames.Refused[f]++
	m.refused, m.fault = now, f
	return m.frames.Refused[f] == 1
}

// waits reports whether the port has carrier and neither a place nor a neighbour that could say one.
func (m *machine) waits() bool {
	return m.fabric && m.up && len(m.list) == 0 && !m.fixed() && (!m.at.Known() || m.provisional)
}

// next is when expire has something to do; zero = never.
func (m *machine) next() (at time.Time) {
	earlier := func(t time.Time) {
		if at.IsZero() || t.Before(at) {
			at = t
		}
	}
	for i := range m.list {
		earlier(m.list[i].expires())
	}
	if m.waits() && m.noPlace == "" {
		earlier(m.since.Add(silence))
	}
	return at
}

// ambiguous names the neighbours if there are several.
func (m *machine) ambiguous() string {
	if len(m.list) < 2 {
		return ""
	}
	text := ""
	for i := range m.list {
		if i > 0 {
			text += ", "
		}
		text += fmt.Sprintf("%q port %q", m.list[i].ChassisText(), m.list[i].PortText())
	}
	return text
}

// origin says where the place comes from.
func (m *machine) origin() string {
	switch {
	case !m.at.Known():
		return ""
	case m.fixed():
		return OriginConfigured
	case m.provisional:
		return OriginStored
	}
	return OriginLLDP
}

// The origins of a place.
const (
	OriginConfigured = "configured"
	OriginLLDP       = "lldp"
	OriginStored     = "stored" // of the last run, or from before the link was lost: not confirmed yet
)

// State is a port, for people.
type State struct {
	Port      string
	At        compile.Place // zero = not known
	Origin    string
	Since     time.Time // that the box is there
	NoPlace   string    // why not
	Neighbors []Neighbor
	More      uint64 // adverts of neighbours that are not in the list
	Frames    Frames
}

// Frames counts the LLDP frames of a port since the start.
type Frames struct {
	Received uint64 // refused ones too
	Refused  [lldp.Faults]uint64
	Crowded  uint64 // received, of neighbours that are not in the list
	Sent     uint64
	Unsent   uint64 // no room, or the port is down
}

// Neighbor is a device that is heard on a port.
type Neighbor struct {
	lldp.Advert
	Switch       model.MAC // of the place that it says, 0 = not known
	Number       uint8     // likewise
	Why          string    // why not
	First, Heard time.Time
}

func (m *machine) neighbors() []Neighbor {
	list := make([]Neighbor, len(m.list))
	for i, n := range m.list {
		list[i] = Neighbor{n.Advert, n.at.Switch, n.at.Port, n.why, n.first, n.heard}
	}
	return list
}
