package balance

import (
	"penstock/dataplane/drop"
	"penstock/dataplane/fib"
	"penstock/dataplane/flow"
	"penstock/dataplane/frame"
	"penstock/dataplane/stats"
	"penstock/dataplane/wire"
)

// decide returns the server of the packet in w, or the reason why there is none. A flow that has a server keeps it as
// long as the server takes its packets.
func (st *State) decide(
	mem []byte, p *frame.Packet, s *fib.Snapshot, w *work, probe *flow.Probe,
) (server uint32, why drop.Reason) {
	svc := &s.Services[w.service]
	if w.kind == later {
		if sv := st.server(s, w.server, w.service); sv != nil && sv.Accept != fib.AcceptNone {
			return w.server & fib.RefMask, drop.None
		}
		return 0, drop.NoServer
	}
	if svc.Hash == fib.HashQUIC && w.kind == whole {
		server, ok := byConnectionID(mem, p, s, svc)
		if ok && w.host(&s.VIPs[w.vip]) && s.Servers[server].MAC != sender(mem, p, s) {
			return server, drop.None
		}
	}
	if svc.OnePacket && w.proto == wire.ProtoUDP && w.kind == whole {
		return st.each1(mem, p, s, w, svc)
	}
	if st.Flows == nil {
		server, _, why = st.choose(mem, p, s, w, svc, true)
		return server, why
	}
	flags := uint8(0)
	if w.proto == wire.ProtoTCP && w.kind == whole {
		flags = mem[p.Off+uint32(p.L4)+13]
	}
	slot, found := st.Flows.Find(probe)
	if !found {
		return st.newFlow(mem, p, s, w, svc, probe, flags)
	}
	e := st.Flows.Entry(slot)
	ref := e.Server()
	sv := st.server(s, ref, w.service)
	switch {
	case w.kind == about:
		if sv != nil && sv.Accept != fib.AcceptNone {
			return ref & fib.RefMask, drop.None
		}
		server, _, why = st.choose(mem, p, s, w, svc, true)
		return server, why
	case sv == nil || !keeps(sv, e.State(), w.proto, flags):
		return st.anew(mem, p, s, w, svc, slot, flags, sv == nil || sv.Accept != fib.AcceptAll)
	case w.proto == wire.ProtoTCP:
		st.Flows.TCP(slot, flags)
	default:
		st.Flows.Datagram(slot)
	}
	return ref & fib.RefMask, drop.None
}

// server returns the server that ref means, nil if the index has another owner by now, or the server belongs to another
// service.
func (st *State) server(s *fib.Snapshot, ref fib.Ref, service uint32) *fib.Server {
	i := ref & fib.RefMask
	if uint(i) >= uint(len(s.Servers)) {
		return nil
	}
	if sv := &s.Servers[i]; sv.Ref == ref && sv.Service == service {
		return sv
	}
	return nil
}

// keeps reports whether a flow stays with its server. A SYN begins a new connection if the entry's is over, or if the
// server gets no new ones.
func keeps(sv *fib.Server, state flow.State, proto, flags uint8) bool {
	if proto != wire.ProtoTCP {
		return sv.Accept >= fib.AcceptFlows
	}
	if flags&wire.TCPSyn != 0 {
		switch state {
		case flow.Closing, flow.Closed:
			return false
		case flow.Established:
			return sv.Accept == fib.AcceptAll
		}
	}
	return sv.Accept >= fib.AcceptTCP
}

// newFlow selects a server for a packet that belongs to no flow in the table, and adds the flow. The guard of the table
// may refuse to add it: then the hash alone decides, here and for all packets that follow. No RST begins a flow. The
// hash also decides, for any scheduler, on a segment of a connection that has begun before or elsewhere.
func (st *State) newFlow(
	mem []byte, p *frame.Packet, s *fib.Snapshot, w *work, svc *fib.Service, probe *flow.Probe, flags uint8,
) (server uint32, why drop.Reason) {
	alone := w.kind == about || flags&wire.TCPRst != 0
	hash := alone || w.proto == wire.ProtoTCP && flags&wire.TCPSyn == 0
	server, off, why := st.choose(mem, p, s, w, svc, hash)
	if why != drop.None || alone {
		return server, why
	}
	if _, ok := st.Flows.Insert(probe, s.Servers[server].Ref, flow.HalfOpen, off); !ok {
		st.Services.Add(int(w.service)*stats.ServiceLen+stats.ServiceGuard, 1)
		if svc.Scheduler != fib.SchedMaglev && !hash {
			if server, _, why = st.choose(mem, p, s, w, svc, true); why != drop.None {
				return 0, why
			}
		}
	}
	st.connected(w.service, server)
	return server, drop.None
}

// anew selects another server for a flow in the table, whose server does not take this packet (moved), or whose
// connection is over.
func (st *State) anew(
	mem []byte, p *frame.Packet, s *fib.Snapshot, w *work, svc *fib.Service, slot flow.Slot, flags uint8, moved bool,
) (server uint32, why drop.Reason) {
	old := st.Flows.Entry(slot).Server()
	server, off, why := st.choose(mem, p, s, w, svc, false)
	if why != drop.None {
		st.Flows.Remove(slot)
		return 0, why
	}
	if moved {
		st.Services.Add(int(w.service)*stats.ServiceLen+stats.ServiceMoved, 1)
		if st.server(s, old, w.service) != nil {
			st.Servers.Add(int(old&fib.RefMask)*stats.ServerLen+stats.ServerMoved, 1)
		}
	}
	st.Flows.Rebind(slot, s.Servers[server].Ref, flow.HalfOpen, off)
	st.connected(w.service, server)
	return server, drop.None
}

// connected counts a flow that was given to a server.
func (st *State) connected(service, server uint32) {
	st.Services.Add(int(service)*stats.ServiceLen+stats.ServiceConnections, 1)
	st.Env.Servers.Add(int(server)*stats.ServerLen+stats.ServerConnections, 1)
}
