package main

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"penstock/ctrl/model"
	"penstock/ctrl/printable"
	"penstock/ctrl/status"
)

func jsonNeighbors(q *query) (any, error) {
	l, err := neighbors(q)
	return status.Items[status.Place]{Items: l}, err
}

// neighbors returns the ports that speak LLDP, or the one that is asked for.
func neighbors(q *query) (list []status.Place, err error) {
	var l status.Items[status.Place]
	if err := q.c.Get(q, "/v1/neighbors", &l); err != nil {
		return nil, err
	}
	return pick(q, "port with LLDP", l.Items, func(p *status.Place) string { return p.Port })
}

// maxOutside is the number of characters that a table shows of a text from outside; all of it is below the name, and in
// JSON. A line that is filled up to the terminal's width could imitate a row.
const maxOutside = 24

func showNeighbors(q *query, t *sheet) error {
	list, err := neighbors(q)
	if err != nil {
		return err
	}
	if q.arg != "" {
		showNeighbor(&list[0], t)
		return nil
	}
	t.head("PORT", "PLACE", "ORIGIN", "HEARD", "SYSTEM", "PORT ID", "WHAT IS WRONG")
	var notes []string
	for _, p := range list {
		if p.More > 0 {
			notes = append(notes, fmt.Sprintf("%s: %s of further neighbours came; a port lists 8", p.Port,
				count(p.More, "LLDP frame")))
		}
		if n := sum(p.Frames.Refused); n > 0 {
			notes = append(notes, fmt.Sprintf("%s: %s refused as malformed; penstock show neighbors %s has why",
				p.Port, count(n, "LLDP frame"), p.Port))
		}
		if len(p.Neighbors) == 0 {
			t.row(p.Port, placeText(p.SwitchMAC, p.SwitchPort), p.Origin, "", "", "", p.Reason)
		}
		for _, n := range p.Neighbors {
			t.row(p.Port, placeText(p.SwitchMAC, p.SwitchPort), p.Origin, secondsAgo(n.Heard),
				printable.Short(cmp.Or(n.SystemName, n.ChassisID), maxOutside), printable.Short(n.PortID, maxOutside),
				wrong(&p, &n))
		}
	}
	t.note = strings.Join(notes, "\n")
	return nil
}

func sum(counts map[string]uint64) (n uint64) {
	for _, c := range counts {
		n += c
	}
	return n
}

// wrong says why a neighbour gives no place, where one is wanted.
func wrong(p *status.Place, n *status.Neighbor) string {
	if p.Origin == "configured" || p.SwitchMAC == 0 && p.Origin == "" && p.Reason == "" {
		return ""
	}
	return n.Reason
}

func secondsAgo(at time.Time) string { return fmt.Sprintf("%d s ago", int(time.Since(at).Seconds())) }

func placeText(mac model.MAC, port uint8) string {
	switch {
	case mac == 0 && port == 0:
		return ""
	case mac == 0:
		return fmt.Sprintf("?/%d", port)
	case port == 0:
		return mac.String() + "/?"
	}
	return fmt.Sprintf("%s/%d", mac, port)
}

// showNeighbor prints all that is known of one port and its neighbours, texts in full.
func showNeighbor(p *status.Place, t *sheet) {
	t.row("port", p.Port)
	t.row("place", placeText(p.SwitchMAC, p.SwitchPort))
	t.row("origin", p.Origin)
	t.row("since", clock(p.Since))
	t.row("what is wrong", p.Reason)
	for i, n := range p.Neighbors {
		t.row(fmt.Sprintf("neighbour %d", i+1), cmp.Or(n.SystemName, n.ChassisID))
		t.row("  chassis ID", fmt.Sprintf("%s (subtype %d)", n.ChassisID, n.ChassisSubtype))
		t.row("  port ID", fmt.Sprintf("%s (subtype %d)", n.PortID, n.PortSubtype))
		t.row("  port description", n.PortDescription)
		t.row("  system description", n.SystemDescription)
		t.row("  management address", n.Management)
		if n.VLAN != 0 {
			t.row("  VLAN of the frame", n.VLAN)
		}
		t.row("  heard", fmt.Sprintf("%s, first %s, for %d s", secondsAgo(n.Heard), clock(&n.First), n.TTL))
		t.row("  says the place", placeText(n.SwitchMAC, n.SwitchPort))
		t.row("  what is wrong", wrong(p, &n))
	}
	if p.More > 0 {
		t.row("further neighbours", count(p.More, "frame"))
	}
	f := &p.Frames
	t.row("frames received", f.Received)
	for _, r := range byCount(f.Refused) {
		t.row("  refused: "+r, f.Refused[r])
	}
	t.row("frames sent", f.Sent)
	t.row("  not sent", f.Unsent)
}

func boxes(q *query) (list []status.FabricBox, err error) {
	var l status.Items[status.FabricBox]
	if err := q.c.Get(q, "/v1/boxes", &l); err != nil {
		return nil, err
	}
	return pick(q, "box at the place", l.Items, func(b *status.FabricBox) string { return b.Place })
}

func jsonBoxes(q *query) (any, error) {
	l, err := boxes(q)
	return status.Items[status.FabricBox]{Items: l}, err
}

func showBoxes(q *query, t *sheet) error {
	list, err := boxes(q)
	if err != nil {
		return err
	}
	t.head("PLACE", "MAC", "STATE", "HEARD", "BINDINGS", "KNOWN HERE")
	for _, b := range list {
		t.row(b.Place, b.MAC.String(), b.State, secondsAgo(b.Heard), b.Bindings, b.Known)
	}
	return nil
}
