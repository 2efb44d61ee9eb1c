package main

import (
	"fmt"
	"time"

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

func showNeighbors(q *query, t *sheet) error {
	list, err := neighbors(q)
	if err != nil {
		return err
	}
	t.head("PORT", "PLACE", "ORIGIN", "CHASSIS", "PORT ID", "DESCRIPTION", "SYSTEM", "HEARD", "WHAT IS WRONG")
	for _, p := range list {
		place := ""
		if p.SwitchMAC != 0 {
			place = fmt.Sprintf("%s/%d", p.SwitchMAC, p.SwitchPort)
		}
		if len(p.Neighbors) == 0 {
			t.row(p.Port, place, p.Origin, "", "", "", "", "", p.Reason)
		}
		for _, n := range p.Neighbors {
			wrong := n.Reason
			if p.Origin == "configured" || p.SwitchMAC == 0 && p.Origin == "" && p.Reason == "" {
				wrong = "" // nobody asks the neighbour for a place
			}
			t.row(p.Port, place, p.Origin, n.ChassisID, n.PortID, n.PortDescription, n.SystemName,
				fmt.Sprintf("%d s ago", int(time.Since(n.Heard).Seconds())), wrong)
		}
	}
	return nil
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
		t.row(b.Place, b.MAC.String(), b.State, fmt.Sprintf("%d s ago", int(time.Since(b.Heard).Seconds())), b.Bindings,
			b.Known)
	}
	return nil
}
