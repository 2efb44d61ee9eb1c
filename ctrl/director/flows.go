package director

import (
	"encoding/binary"
	"net/netip"

	"penstock/dataplane/fib"
	"penstock/dataplane/flow"
	"penstock/dataplane/maglev"
	"penstock/dataplane/wire"
)

const (
	// scanFlows is the number of flows that a worker is asked for at once.
	scanFlows = 256
	// scanSteps is how many times a tick does that while all off-table flows are sent.
	scanSteps = 16
)

// flowScan goes through the workers' flow tables once a minute.
type flowScan struct {
	news    []*flow.News
	begun   int64 // when the last scan began
	running bool
	again   bool // the tables have changed: flows may have become off-table
	worker  int
	from    uint32
	buf     []flow.Flow
}

// sendFlows tells the other directors of flows that they cannot know: news at once, and all every minute.
func (s *Service) sendFlows(now int64) {
	if len(s.view.order) == 0 || !s.selfOK {
		return
	}
	f := &s.flows
	if f.buf == nil {
		f.buf = make([]flow.Flow, scanFlows)
	}
	if len(f.news) == 0 || f.news[0] == nil {
		f.news = s.cfg.Engine.FlowNews()
	}
	for _, n := range f.news {
		for i := 0; n != nil && i < scanSteps; i++ {
			count, lost := n.Take(f.buf)
			f.again = f.again || lost
			s.tell(f.buf[:count], now)
			if count < len(f.buf) {
				break
			}
		}
	}
	if !f.running && (now-f.begun >= allEvery || f.again && now-f.begun >= claimEvery) {
		f.again = false
		f.running, f.begun, f.worker, f.from = true, now, 0, 0
	}
	for i := 0; f.running && i < scanSteps; i++ {
		next, n := s.cfg.Engine.ReadFlows(f.worker, f.from, f.buf)
		off := f.buf[:0]
		s.cfg.Read(func(snap *fib.Snapshot) {
			for _, x := range f.buf[:n] {
				if !x.Told && offTable(snap, &x) {
					off = append(off, x)
				}
			}
		})
		s.tell(off, now)
		if f.from = next; next == 0 {
			f.worker++
			f.running = f.worker < len(f.news)
		}
	}
}

// offTable reports whether a flow has another server than the table gives it now. A flow may have become so without a
// packet, as when its server began to drain.
func offTable(snap *fib.Snapshot, f *flow.Flow) bool {
	if f.OffTable {
		return true
	}
	i, vip := f.Server&fib.RefMask, f.VIP&fib.RefMask
	if uint(i) >= uint(len(snap.Servers)) || uint(snap.Servers[i].Service) >= uint(len(snap.Services)) ||
		uint(vip) >= uint(len(snap.VIPs)) {
		return false
	}
	svc, v := &snap.Services[snap.Servers[i].Service], &snap.VIPs[vip]
	if len(svc.Table) == 0 || svc.Scheduler != fib.SchedMaglev {
		return true
	}
	clientPort, port, h := f.ClientPort, f.Port, uint64(0)
	if svc.Hash == fib.HashClient {
		clientPort, port = 0, 0
	}
	if f.V6 {
		h = maglev.Hash6(&snap.BalanceKey, f.Client, clientPort, v.IP6, port, f.Proto)
	} else {
		h = maglev.Hash4(&snap.BalanceKey, uint32(f.Client[1]), clientPort, v.IP4, port, f.Proto)
	}
	at := maglev.Pick(svc.Table, h)
	return int(at) >= len(svc.Members) || svc.Members[at] != i
}

// tell sends flows to the other directors of their VIPs, if this box serves these: what others have told it is no news.
func (s *Service) tell(list []flow.Flow, now int64) {
	if len(list) == 0 {
		return
	}
	to := map[*peer][]flowNews{}
	s.cfg.Read(func(snap *fib.Snapshot) {
		for i := range list {
			n, svc, ok := newsOf(snap, &list[i])
			x := s.view.services[serviceKey(n.tenant, n.service)]
			if !ok || x == nil || svc.OnePacket {
				continue
			}
			v := s.vips[x.vip]
			if !v.serves(now) {
				continue
			}
			for i, box := range v.directors {
				if p := s.peers[box]; i != v.own && p != nil && p.placed {
					to[p] = append(to[p], n)
				}
			}
		}
		for p, flows := range to {
			for len(flows) > 0 {
				m := message{opcode: opFlows, sequence: s.next()}
				size := headerLen + tagLen
				for len(flows) > 0 && size+flows[0].size() <= maxPayload {
					size += flows[0].size()
					m.flows, flows = append(m.flows, flows[0]), flows[1:]
				}
				s.post(snap, p.at, PortFlows, m.append(nil, s.cfg.Keys()))
			}
		}
	})
}

// newsOf returns a flow as directors tell it, and its service.
func newsOf(snap *fib.Snapshot, f *flow.Flow) (n flowNews, svc *fib.Service, ok bool) {
	i := f.Server & fib.RefMask
	if uint(i) >= uint(len(snap.Servers)) || snap.Servers[i].Ref != f.Server ||
		uint(snap.Servers[i].Service) >= uint(len(snap.Services)) {
		return n, nil, false
	}
	sv := &snap.Servers[i]
	svc = &snap.Services[sv.Service]
	n = flowNews{
		tenant: svc.Tenant, service: svc.ID, state: uint8(f.State), clientPort: f.ClientPort,
		serverPort: serverPort(svc, sv, f.Port), mac: sv.MAC,
	}
	var a [16]byte
	binary.BigEndian.PutUint64(a[:], f.Client[0])
	binary.BigEndian.PutUint64(a[8:], f.Client[1])
	if n.client = netip.AddrFrom16(a); !f.V6 {
		n.client = netip.AddrFrom4([4]byte(a[12:]))
	}
	return n, svc, true
}

// serverPort returns the port of the server for a port of the service.
func serverPort(svc *fib.Service, sv *fib.Server, port uint16) uint16 {
	if sv.Port == 0 {
		return port
	}
	return sv.Port + port - svc.Port
}

// takeFlows adds the flows of a message.
func (s *Service) takeFlows(m *message) {
	list := make([]flow.Flow, 0, len(m.flows))
	s.cfg.Read(func(snap *fib.Snapshot) {
		for i := range m.flows {
			n := &m.flows[i]
			at, ok := s.view.indices[serviceKey(n.tenant, n.service)]
			if x := s.view.services[serviceKey(n.tenant, n.service)]; !ok || x == nil {
				continue
			}
			if f, ok := flowOf(snap, at, s.view.members[at], n); ok {
				list = append(list, f)
			}
		}
	})
	s.follow.add(list)
}

// flowOf finds the server of a flow among the members of its service. ok is false without one.
func flowOf(snap *fib.Snapshot, service uint32, members []uint32, n *flowNews) (f flow.Flow, ok bool) {
	if uint(service) >= uint(len(snap.Services)) || flow.State(n.state) == flow.None || n.state >= uint8(flow.States) {
		return f, false
	}
	svc := &snap.Services[service]
	if uint(svc.VIP) >= uint(len(snap.VIPs)) || snap.VIPs[svc.VIP].V6 != n.client.Is6() {
		return f, false
	}
	for _, i := range members {
		if uint(i) >= uint(len(snap.Servers)) {
			continue
		}
		sv := &snap.Servers[i]
		if sv.Ref == 0 || sv.Service != service || sv.MAC != n.mac {
			continue
		}
		port := n.serverPort
		if sv.Port != 0 {
			port = n.serverPort - sv.Port + svc.Port
		}
		if port < svc.Port || port > svc.PortEnd {
			continue
		}
		a := n.client.As16()
		f = flow.Flow{Key: flow.Key{VIP: snap.VIPs[svc.VIP].Ref, ClientPort: n.clientPort, Port: port, Proto: svc.Proto,
			V6: n.client.Is6()}, Server: sv.Ref, State: flow.State(n.state), OffTable: true}
		f.Client = wire.Addr6(a[:])
		if !f.V6 {
			f.Client = [2]uint64{0, f.Client[1] & 0xffffffff}
		}
		return f, true
	}
	return f, false
}
