package box

import (
	"maps"
	"slices"

	"penstock/ctrl/compile"
	"penstock/ctrl/model"
	"penstock/ctrl/status"
	"penstock/dataplane/fib"
	"penstock/dataplane/flow"
)

// byRef lists what has a reference, in the order of the keys.
func byRef(names map[fib.Ref]string) (keys []string, refs map[string]fib.Ref) {
	refs = make(map[string]fib.Ref, len(names))
	for ref, key := range names {
		refs[key] = ref
	}
	return slices.Sorted(maps.Keys(refs)), refs
}

// serviceStats has the counters of the virtual services that are live on this box.
func (b *Box) serviceStats() []status.Service {
	names := b.compiler.Balanced()
	flows := map[string]uint64{}
	for ref, key := range names.Servers {
		n, _ := b.engine.ServerFlows(ref)
		flows[serviceOf(key)] += uint64(n)
	}
	keys, refs := byRef(names.Services)
	out := make([]status.Service, 0, len(keys))
	for _, key := range keys {
		n := b.engine.Service(refs[key] & fib.RefMask)
		s := status.Service{
			Key: key, Flows: flows[key], Connections: n.Connections, Moved: n.Moved, Guard: n.Guard,
			NoServer: n.NoServer, InPackets: n.In.Packets, InBytes: n.In.Bytes, OutPackets: n.Out.Packets,
			OutBytes: n.Out.Bytes,
		}
		if st, ok := b.compiler.Status(model.KindService, key).(*compile.Status); ok {
			s.Servers, s.Usable, s.Panic = value(st.Servers), value(st.Usable), value(st.Panic)
			s.Directing = names.Directing[key]
		}
		out = append(out, s)
	}
	if now := b.compiler.Balanced(); now != names { // an index that has changed hands is another service's
		out = slices.DeleteFunc(out, func(s status.Service) bool { return now.Services[refs[s.Key]] != s.Key })
	}
	return out
}

// serverStats has the counters of the real servers that are live on this box.
func (b *Box) serverStats() []status.Server {
	names := b.compiler.Balanced()
	state, health := b.core.State(), b.health.Status()
	keys, refs := byRef(names.Servers)
	out := make([]status.Server, 0, len(keys))
	for _, key := range keys {
		ref := refs[key]
		n := b.engine.Server(ref & fib.RefMask)
		flows, _ := b.engine.ServerFlows(ref)
		s := status.Server{
			Key: key, Flows: uint64(flows), Connections: n.Connections, Moved: n.Moved,
			InPackets: n.In.Packets, InBytes: n.In.Bytes, OutPackets: n.Out.Packets, OutBytes: n.Out.Bytes,
		}
		if o, ok := state.Servers[key]; ok {
			s.Weight = o.EffectiveWeight()
		}
		if st, ok := b.compiler.Status(model.KindServer, key).(*compile.Status); ok {
			s.State, s.Reason = st.State, st.Reason
		}
		if h, ok := health[key]; ok {
			s.Since, s.LastCheck, s.LastTook, s.LastError = &h.Since, h.LastCheck, h.Duration, h.LastError
			s.Failures = h.Failures
		}
		out = append(out, s)
	}
	if now := b.compiler.Balanced(); now != names {
		out = slices.DeleteFunc(out, func(s status.Server) bool { return now.Servers[refs[s.Key]] != s.Key })
	}
	return out
}

func value[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}

// serviceOf returns the key of the service in the key of a server.
func serviceOf(server string) string {
	for i := len(server) - 1; i >= 0; i-- {
		if server[i] == '/' {
			return server[:i]
		}
	}
	return ""
}

// flowTables has the state of each worker's flow table; none of a box that directs nothing.
func (b *Box) flowTables() []status.FlowTable {
	out := []status.FlowTable{}
	for i, r := range b.engine.FlowTables() {
		if r.Limit == 0 {
			continue
		}
		t := status.FlowTable{Worker: i, Limit: r.Limit, Bytes: r.Octets, OffTable: r.OffTable, Inserted: r.Inserted,
			Guard: r.Guard, NoRoom: r.NoRoom, Moved: r.Moved, Flows: map[string]uint64{}, Evicted: map[string]uint64{},
			Expired: map[string]uint64{}}
		for state := flow.HalfOpen; state < flow.States; state++ {
			name := state.String()
			t.Flows[name], t.Evicted[name], t.Expired[name] = r.Flows[state], r.Evicted[state], r.Expired[state]
		}
		out = append(out, t)
	}
	return out
}
