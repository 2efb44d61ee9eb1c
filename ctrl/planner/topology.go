// Package planner computes the VLANs of a fabric and its path table from the fabric's topology, offline (SPAIN:
// Mudigonda et al., NSDI 2010). It is pure.
//
//	topology.go   what is given, and what is wrong with it
//	graph.go      shortest and link-disjoint paths
//	trees.go      one method: shortest-path trees from the least used roots
//	pack.go       the other one, and what trees leave over: paths packed into trees
//	plan.go       the better of the two; tables and report
//	svg.go        the picture
//
// Each VLAN is a tree that spans the fabric. Each pair of edge switches gets a shortest path, and as many different
// paths as link-disjoint ones are found one after the other within the shortest and a slack, up to a number.
package planner

import (
	"fmt"
	"strings"
	"unicode"

	"penstock/ctrl/model"
)

// The limits of a topology.
const (
	MaxSwitches = 1000
	MaxLinks    = 20_000
)

// Switch is a switch. One with a MAC is an edge switch: boxes hang from it.
type Switch struct {
	Name string
	MAC  model.MAC
}

// Link is a cable between two switches, by their names.
type Link struct {
	A, B string
	Cost int // ≥ 1; 0 = 1
}

// Topology is a fabric.
type Topology struct {
	Switches []Switch
	Links    []Link
}

// Fault is something wrong with a topology. Where is "switch[3].name", "link[7].a" or "".
type Fault struct{ Where, Text string }

// Check returns everything that is wrong with the topology.
func (t *Topology) Check() (faults []Fault) {
	fail := func(where, format string, args ...any) {
		faults = append(faults, Fault{where, fmt.Sprintf(format, args...)})
	}
	if n := len(t.Switches); n > MaxSwitches {
		fail("", "%d switches, want at most %d", n, MaxSwitches)
	}
	if n := len(t.Links); n > MaxLinks {
		fail("", "%d links, want at most %d", n, MaxLinks)
	}
	names, macs, edges := map[string]int{}, map[model.MAC]int{}, 0
	for i, s := range t.Switches {
		switch first, double := names[s.Name]; {
		case s.Name == "":
			fail(fmt.Sprintf("switch[%d].name", i), "the switch has no name")
		case strings.ContainsFunc(s.Name, func(r rune) bool { return !unicode.IsPrint(r) }):
			fail(fmt.Sprintf("switch[%d].name", i), "%q has characters that cannot be printed", s.Name)
		case double:
			fail(fmt.Sprintf("switch[%d].name", i), "%q is the name of switch %d already", s.Name, first)
		default:
			names[s.Name] = i
		}
		if s.MAC == 0 {
			continue
		}
		edges++
		if first, double := macs[s.MAC]; double {
			fail(fmt.Sprintf("switch[%d].mac", i), "%s is the MAC of switch %q already", s.MAC, t.Switches[first].Name)
		} else {
			macs[s.MAC] = i
		}
	}
	if edges < 2 {
		fail("", "%d switches have a mac, want at least two edge switches", edges)
	}
	for i, l := range t.Links {
		for _, end := range []struct{ key, name string }{{"a", l.A}, {"b", l.B}} {
			if _, ok := names[end.name]; !ok {
				fail(fmt.Sprintf("link[%d].%s", i, end.key), "there is no switch %q", end.name)
			}
		}
		if l.A == l.B {
			fail(fmt.Sprintf("link[%d]", i), "the link leads from %q to itself", l.A)
		}
		if l.Cost < 0 {
			fail(fmt.Sprintf("link[%d].cost", i), "found %d, want 1 or more", l.Cost)
		}
	}
	return append(faults, t.apart()...)
}

// apart finds components without a way between them.
func (t *Topology) apart() (faults []Fault) {
	g := t.graph()
	component := make([]int, len(t.Switches))
	var lists [][]string
	names := map[string]bool{}
	for i, s := range t.Switches {
		nameless := s.Name == "" || names[s.Name] // a fault of its own
		if names[s.Name] = true; component[i] != 0 || nameless {
			continue
		}
		lists = append(lists, nil)
		n := len(lists)
		for todo := []int{i}; len(todo) > 0; {
			v := todo[len(todo)-1]
			if todo = todo[:len(todo)-1]; component[v] != 0 {
				continue
			}
			component[v] = n
			lists[n-1] = append(lists[n-1], t.Switches[v].Name)
			for _, e := range g.out[v] {
				todo = append(todo, e.to)
			}
		}
	}
	if len(lists) <= 1 {
		return nil
	}
	var parts []string
	for _, l := range lists {
		const most = 5
		text := strings.Join(l[:min(most, len(l))], ", ")
		if n := len(l) - most; n > 0 {
			text += fmt.Sprintf(" and %d more", n)
		}
		parts = append(parts, text)
	}
	return []Fault{{"", fmt.Sprintf("no way leads between these %d groups of switches: %s", len(lists),
		strings.Join(parts, " | "))}}
}
