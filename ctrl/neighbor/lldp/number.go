package lldp

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"penstock/ctrl/model"
)

// Rules say how the texts of a neighbour give the place of a port.
type Rules struct {
	Switches map[string]model.MAC // chassis ID → MAC of the edge switch
	Ports    map[string]int       // port ID or description, perhaps behind "SYSNAME/" → number
	Rules    []Rule               // the first that fits; empty = the built-in ones
	Scheme   model.Scheme
}

// Rule takes the number from a text of the neighbour.
type Rule struct {
	Field string         // FieldPortID or FieldPortDescription
	Match *regexp.Regexp // with one group
}

// The values of Rule.Field.
const (
	FieldPortID          = "port_id"
	FieldPortDescription = "port_description"
)

// Place returns the place that the neighbour is: its MAC as edge switch, and the number of its port. A half that cannot
// be known is 0, and why says what was found and what is wrong with it.
func (r *Rules) Place(a *Advert) (sw model.MAC, number uint8, why string) {
	var faults []string
	chassis := a.ChassisText()
	if m, ok := r.Switches[chassis]; ok {
		sw = m
	} else if sw = a.ChassisMAC(); sw == 0 {
		faults = append(faults, fmt.Sprintf("chassis ID %q is no MAC, and not in lldp.switch_macs", chassis))
	}
	number, fault := r.number(a)
	if fault != "" {
		faults = append(faults, fault)
	}
	return sw, number, strings.Join(faults, "; ")
}

func (r *Rules) number(a *Advert) (number uint8, fault string) {
	id, description := a.PortText(), a.PortDescription
	for _, text := range []string{a.SystemName + "/" + id, id, a.SystemName + "/" + description, description} {
		if n, ok := r.Ports[text]; ok {
			return r.inRange(n, text)
		}
	}
	if len(r.Rules) > 0 {
		return r.byRules(id, description)
	}
	named := a.Port.Subtype == PortAlias || a.Port.Subtype == PortName || a.Port.Subtype == PortLocal
	digits := trailing(id)
	switch {
	case named && digits == id && id != "":
		if d := trailing(description); strings.Contains(description, "/") && d != "" && !sameNumber(d, digits) {
			return 0, fmt.Sprintf("port ID %q meets port description %q: the ID is the interface's index", id,
				description)
		}
		if breakout(description) {
			return 0, fmt.Sprintf("port description %q is one of several on one cable", description)
		}
		return r.parsed(digits, "port ID", id)
	case named && digits != "":
		if breakout(id) {
			return 0, fmt.Sprintf("port ID %q is one of several on one cable", id)
		}
		return r.parsed(digits, "port ID", id)
	}
	digits = trailing(description)
	switch {
	case description == "":
		return 0, fmt.Sprintf("port ID %q has no number, and there is no port description", id)
	case digits == "":
		return 0, fmt.Sprintf("neither port ID %q nor port description %q ends in a number", id, description)
	case breakout(description):
		return 0, fmt.Sprintf("port description %q is one of several on one cable", description)
	}
	return r.parsed(digits, "port description", description)
}

func (r *Rules) byRules(id, description string) (number uint8, fault string) {
	for _, rule := range r.Rules {
		text := id
		if rule.Field == FieldPortDescription {
			text = description
		}
		if m := rule.Match.FindStringSubmatch(text); len(m) == 2 && m[1] != "" && trailing(m[1]) == m[1] {
			return r.parsed(m[1], strings.ReplaceAll(rule.Field, "_", " "), text)
		}
	}
	return 0, fmt.Sprintf("no rule of lldp.rules fits port ID %q and port description %q", id, description)
}

func (r *Rules) parsed(digits, what, text string) (uint8, string) {
	n, err := strconv.Atoi(digits)
	if err != nil {
		n = 1 << 30 // more digits than a number has
	}
	return r.inRange(n, what+" "+strconv.Quote(text))
}

// inRange checks a number against the addressing scheme (PROTOCOL.md#addressing).
func (r *Rules) inRange(n int, what string) (uint8, string) {
	most := 255
	if r.Scheme == model.Scheme24 {
		most = 223
	}
	if n < 1 || n > most || r.Scheme == model.Scheme24 && n == 127 {
		return 0, fmt.Sprintf("%s: the number is not one from 1 to %d", what, most)
	}
	return uint8(n), ""
}

// trailing returns the digits at the end of a text.
func trailing(s string) string {
	i := len(s)
	for i > 0 && s[i-1] >= '0' && s[i-1] <= '9' {
		i--
	}
	return s[i:]
}

func sameNumber(a, b string) bool { return strings.TrimLeft(a, "0") == strings.TrimLeft(b, "0") }

var (
	// A colon, or an s between digits (swp17s2), stands before the lane of a cable that is split.
	lane = regexp.MustCompile(`[0-9](:|s)[0-9]+$`)
	// So does the last part of a name of three, where the first two are card and port. Others write unit, card and
	// port, with other names (ethernet1/1/17, Gi1/0/17, ge-0/0/17).
	lanes = regexp.MustCompile(`^(Ethernet|Eth|Et)[0-9]+/[0-9]+/[0-9]+$`)
)

func breakout(name string) bool { return lane.MatchString(name) || lanes.MatchString(name) }
