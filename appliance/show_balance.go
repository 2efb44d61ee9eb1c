package main

import (
	"cmp"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"penstock/ctrl/api"
	"penstock/ctrl/model"
	"penstock/ctrl/status"
)

// keyed reads counters by the objects' keys.
func keyed[T any](items []T, key func(*T) string) map[string]*T {
	m := make(map[string]*T, len(items))
	for i := range items {
		m[key(&items[i])] = &items[i]
	}
	return m
}

func serviceKey(s *status.Service) string { return s.Key }
func serverKey(s *status.Server) string   { return s.Key }

// of returns the counters of a key, zero if there are none: the object is not live.
func of[T any](m map[string]*T, key string) *T {
	if v := m[key]; v != nil {
		return v
	}
	return new(T)
}

func showServices(q *query, t *sheet) error {
	before, l, per, err := twice(q, stats[status.Items[status.Service]](q, "services"))
	if err != nil {
		return err
	}
	now, then := keyed(l.Items, serviceKey), keyed(before.Items, serviceKey)
	if per == nil {
		t.head("SERVICE", "PROTOCOL", "VIP", "PORT", "SCHEDULER", "SERVERS", "USABLE", "FLOWS", "CONNECTIONS",
			"IN PACKETS", "OUT PACKETS", "NO SERVER", "STATE")
	} else {
		t.head("SERVICE", "FLOWS", "CONNECTION/S", "IN PACKET/S", "IN MBIT/S", "OUT PACKET/S", "OUT MBIT/S", "GUARD/S",
			"STATE")
	}
	return each(q, model.KindService, func(o object) {
		key := o.key(model.KindService)
		s, b := of(now, key), of(then, key)
		state := o.state()
		if s.Panic {
			state = "panic"
		}
		if per != nil {
			t.row(key, s.Flows, per(s.Connections, b.Connections), per(s.InPackets, b.InPackets),
				8e-6*per(s.InBytes, b.InBytes), per(s.OutPackets, b.OutPackets), 8e-6*per(s.OutBytes, b.OutBytes),
				per(s.Guard, b.Guard), state)
			return
		}
		port := o.text("port")
		if end := o.text("port_end"); end != "" {
			port += "-" + end
		}
		t.row(key, cmp.Or(o.text("protocol"), "tcp"), o.text("vip"), port, cmp.Or(o.text("scheduler"), "maglev"),
			s.Servers, s.Usable, s.Flows, s.Connections, s.InPackets, s.OutPackets, s.NoServer, state)
	})
}

func showServers(q *query, t *sheet) error {
	before, l, per, err := twice(q, stats[status.Items[status.Server]](q, "servers"))
	if err != nil {
		return err
	}
	now, then := keyed(l.Items, serverKey), keyed(before.Items, serverKey)
	if per == nil {
		t.head("SERVER", "AT", "PORT", "WEIGHT", "STATE", "FLOWS", "CONNECTIONS", "IN PACKETS", "OUT PACKETS", "MOVED",
			"LAST ERROR")
	} else {
		t.head("SERVER", "STATE", "FLOWS", "CONNECTION/S", "IN PACKET/S", "IN MBIT/S", "OUT PACKET/S", "OUT MBIT/S")
	}
	return each(q, model.KindServer, func(o object) {
		key := o.key(model.KindServer)
		s, b := of(now, key), of(then, key)
		if per != nil {
			t.row(key, o.state(), s.Flows, per(s.Connections, b.Connections), per(s.InPackets, b.InPackets),
				8e-6*per(s.InBytes, b.InBytes), per(s.OutPackets, b.OutPackets), 8e-6*per(s.OutBytes, b.OutBytes))
			return
		}
		at := o.text("address")
		if at == "" {
			at = "VIF " + o.text("vif")
		}
		failed := s.LastError
		if failed != "" && s.LastCheck != nil {
			failed += ", " + ago(s.LastCheck) + " ago"
		}
		t.row(key, at, cmp.Or(o.text("port"), "the service's"), cmp.Or(o.text("weight"), "1"), o.state(), s.Flows,
			s.Connections, s.InPackets, s.OutPackets, s.Moved, failed)
	})
}

// flowFilter selects the flows to show.
type flowFilter struct {
	server, client, state string
	limit                 int
}

func (f *flowFilter) register(c *cobra.Command, q *query) {
	q.flows = f
	c.Flags().StringVar(&f.server, "server", "", "only of this server, TENANT/SERVICE/NAME")
	c.Flags().StringVar(&f.client, "client", "", "only of this client: an address or a prefix")
	c.Flags().StringVar(&f.state, "state", "", "only in this state: "+strings.Join(api.FlowStates, ", "))
	c.Flags().IntVar(&f.limit, "limit", 1000, "flows at most, 0 = all")
	complete(c, "state", api.FlowStates...)
}

// eachFlow calls fn for the flows that q selects, page by page; more says that there are others beyond the limit.
func eachFlow(q *query, fn func(*status.Flow)) (more bool, err error) {
	f := q.flows
	if f.limit < 0 {
		return false, usage("--limit %d: want a number from 0", f.limit)
	}
	const page = 10_000
	v := url.Values{}
	for name, value := range map[string]string{
		"service": q.arg, "server": f.server, "client": f.client, "state": f.state,
	} {
		if value != "" {
			v.Set(name, value)
		}
	}
	for n := 0; ; {
		v.Set("limit", strconv.Itoa(page))
		if f.limit > 0 {
			v.Set("limit", strconv.Itoa(min(page, f.limit-n)))
		}
		var p status.FlowPage
		if err := q.c.Get(q, "/v1/flows?"+v.Encode(), &p); err != nil {
			return false, err
		}
		for i := range p.Items {
			fn(&p.Items[i])
		}
		if n += len(p.Items); p.Next == "" || f.limit > 0 && n >= f.limit {
			return p.Next != "", nil
		}
		v.Set("after", p.Next)
	}
}

func showFlows(q *query, t *sheet) error {
	t.head("PROTOCOL", "CLIENT", "SERVICE", "PORT", "SERVER", "STATE", "IDLE", "OFF TABLE", "WORKER")
	more, err := eachFlow(q, func(f *status.Flow) {
		client := f.Client
		if strings.Contains(client, ":") {
			client = "[" + client + "]"
		}
		off := ""
		if f.OffTable {
			off = "yes"
		}
		t.row(f.Protocol, fmt.Sprintf("%s:%d", client, f.ClientPort), cmp.Or(f.Service, "removed"), f.Port,
			cmp.Or(f.Server[strings.LastIndexByte(f.Server, '/')+1:], "removed"), f.State,
			(time.Duration(f.Idle) * time.Millisecond).Round(100*time.Millisecond).String(), off, f.Worker)
	})
	if more {
		t.note = fmt.Sprintf("there are more than %d: see --limit", q.flows.limit)
	}
	return err
}

func jsonFlows(q *query) (any, error) {
	l := status.Items[status.Flow]{Items: []status.Flow{}}
	_, err := eachFlow(q, func(f *status.Flow) { l.Items = append(l.Items, *f) })
	return l, err
}

// showFlowTables adds what the workers' flow tables hold to the summary of a box; nothing of one that directs no VIP.
func showFlowTables(tables []status.FlowTable, t *sheet) {
	if len(tables) == 0 {
		return
	}
	var limit, bytes int
	var all uint64
	flows := map[string]uint64{}
	for i := range tables {
		limit, bytes = limit+tables[i].Limit, bytes+tables[i].Bytes
		for state, n := range tables[i].Flows {
			flows[state] += n
			all += n
		}
	}
	t.row("flows", fmt.Sprintf("%d of %d, %.1f MB", all, limit, float64(bytes)/1e6))
	for _, state := range api.FlowStates {
		if flows[state] > 0 {
			t.row("  "+state, flows[state])
		}
	}
}
