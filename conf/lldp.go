package conf

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"penstock/ctrl/model"
)

// LLDP is how the places of fabric ports follow from what edge switches say of themselves.
type LLDP struct {
	SwitchMACs SwitchMACs  `toml:"switch_macs"`
	Ports      PortNumbers `toml:"ports"`
	Rules      LLDPRules   `toml:"rules"`
}

// SwitchMACs are the MACs of edge switches by chassis ID.
type SwitchMACs struct{ ByChassis map[string]model.MAC }

// PortNumbers are the numbers of switch ports by the text that the switch sends.
type PortNumbers struct{ ByText map[string]int }

// LLDPRules are rules in the order in which they are tried.
type LLDPRules struct{ List []LLDPRule }

// LLDPRule takes the number of a port from a text.
type LLDPRule struct {
	Field string // "port_id" or "port_description"
	Match *regexp.Regexp
}

var lldpFields = []string{"port_id", "port_description"}

func (m SwitchMACs) text() string {
	return tableText(m.ByChassis, func(v model.MAC) string { return strconv.Quote(v.String()) })
}

func (m PortNumbers) text() string { return tableText(m.ByText, strconv.Itoa) }

func tableText[V any](m map[string]V, value func(V) string) string {
	var list []string
	for _, k := range slices.Sorted(maps.Keys(m)) {
		list = append(list, strconv.Quote(k)+" = "+value(m[k]))
	}
	return "{" + strings.Join(list, ", ") + "}"
}

func (r LLDPRules) text() string {
	var list []string
	for _, x := range r.List {
		list = append(list, fmt.Sprintf("{field = %q, match = %q}", x.Field, x.Match))
	}
	return "[" + strings.Join(list, ", ") + "]"
}

func (r *reader) lldp(s *section) (l LLDP) {
	if k, m, use := s.inline("switch_macs"); use {
		l.SwitchMACs.ByChassis = map[string]model.MAC{}
		for _, chassis := range slices.Sorted(maps.Keys(m)) {
			text, _ := m[chassis].(string)
			mac, err := model.ParseMAC(text)
			if err != nil || mac == 0 || mac.IsGroup() {
				s.failf(join(s.at("switch_macs"), chassis), "found %s, want the MAC of an edge switch: %s",
					describe(m[chassis]), k.want())
				continue
			}
			l.SwitchMACs.ByChassis[chassis] = mac
		}
	}
	if k, m, use := s.inline("ports"); use {
		l.Ports.ByText = map[string]int{}
		for _, text := range slices.Sorted(maps.Keys(m)) {
			n, ok := m[text].(int64)
			if !ok || n < int64(k.Min) || n > int64(k.Max) {
				s.failf(join(s.at("ports"), text), "found %s, want an integer from %d to %d", describe(m[text]), k.Min,
					k.Max)
				continue
			}
			l.Ports.ByText[text] = int(n)
		}
	}
	l.Rules.List = s.rules("rules")
	return l
}

// inline returns a key's value that is a table.
func (s *section) inline(name string) (k *Key, m map[string]any, use bool) {
	k, v, use := s.lookup(name)
	if !use {
		return k, nil, false
	}
	if m, use = v.(map[string]any); !use {
		s.wrong(name, k, v)
	}
	return k, m, use
}

// rules reads an array of tables, inline or not.
func (s *section) rules(name string) (list []LLDPRule) {
	elements := s.list(name)
	if most := s.keys[s.table+"."+name].Max; len(elements) > most {
		s.failf(s.at(name), "found %d rules, want at most %d", len(elements), most)
		return nil
	}
	for i, e := range elements {
		at := fmt.Sprintf("%s[%d]", s.at(name), i)
		m, ok := e.(map[string]any)
		if !ok {
			s.failf(at, "found %s, want a table with field and match", describe(e))
			continue
		}
		if rule, fault := lldpRule(m); fault != "" {
			s.failf(at, "%s", fault)
		} else {
			list = append(list, rule)
		}
	}
	return list
}

func lldpRule(m map[string]any) (rule LLDPRule, fault string) {
	for _, name := range slices.Sorted(maps.Keys(m)) {
		if name != "field" && name != "match" {
			return rule, fmt.Sprintf("unknown key %s%s", name,
				suggest(name, []string{"field", "match"}, "the keys are "))
		}
	}
	rule.Field, _ = m["field"].(string)
	if !slices.Contains(lldpFields, rule.Field) {
		return rule, fmt.Sprintf("field: found %s, want %s", describe(m["field"]), oneOf(lldpFields, `"`))
	}
	text, _ := m["match"].(string)
	re, err := regexp.Compile(text)
	switch {
	case text == "" || err != nil:
		return rule, fmt.Sprintf("match: found %s, want a regular expression: %v", describe(m["match"]), err)
	case re.NumSubexp() != 1:
		return rule, fmt.Sprintf("match: %q has %d groups, want one, around the number", text, re.NumSubexp())
	}
	rule.Match = re
	return rule, ""
}
