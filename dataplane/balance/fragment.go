package balance

import (
	"math"

	"penstock/dataplane/drop"
	"penstock/dataplane/fib"
	"penstock/dataplane/flow"
	"penstock/dataplane/frame"
	"penstock/dataplane/parse"
	"penstock/dataplane/wire"
)

// Only the first fragment of a datagram has the ports. The worker of the addresses notes which worker has the flow, and
// that worker notes the server; both may be the same. A fragment that comes before the first one of its datagram waits.

// Waiting is the memory for the fragments of a worker.
type Waiting struct {
	flow.Fragments
	firsts [frame.BatchSize]flow.FragmentKey // datagrams whose first fragment has come while others waited
	n      int
	taken  [flow.MaxHeld]frame.Packet
}

// fragmentKey returns the datagram that the fragment p belongs to, and whether p is the first fragment. The protocol is
// no part of an IPv6 datagram's identity: only the first fragment tells it (RFC 8200, 4.5).
func fragmentKey(mem []byte, p *frame.Packet, s *fib.Snapshot, w *work) (k flow.FragmentKey, first bool) {
	id, first := parse.FragmentID(mem[p.Off+uint32(p.L3):p.Off+uint32(p.Len)], w.v6)
	k = flow.FragmentKey{Source: w.client, VIP: s.VIPs[w.vip].Ref, ID: id}
	if !w.v6 {
		k.Proto = p.Proto
	}
	return k, first
}

// mayFollow reports whether the fragment p may be of a TCP or UDP datagram, or of an ICMP message. Behind the fragment
// header of IPv6 there may be other extension headers, whose type the later fragments have, too.
func mayFollow(p *frame.Packet) bool {
	switch p.Proto {
	case wire.ProtoTCP, wire.ProtoUDP:
		return true
	case wire.ProtoICMP:
		return p.Has(frame.FlagIPv4)
	case wire.ProtoICMPv6:
		return p.Has(frame.FlagIPv6)
	case wire.ProtoHopByHop, wire.ProtoRouting, wire.ProtoDestOptions, wire.ProtoAH:
		return p.Has(frame.FlagIPv6) && !p.Has(frame.FlagL4)
	}
	return false
}

// fragmentHash is the hash that gives the worker which knows the datagrams of the client: it is equal for all fragments
// of one.
func (w *work) fragmentHash(p *frame.Packet, v *fib.VIP) uint32 {
	if w.v6 {
		return parse.FlowHash6(w.client, v.IP6, 0, 0)
	}
	return p.Hash
}

// fragment finds the flow of a fragment. It returns false if the fragment goes to another worker, waits for the first
// one of its datagram, is answered, or is dropped.
func (st *State) fragment(mem []byte, p *frame.Packet, s *fib.Snapshot, w *work) bool {
	switch {
	case !mayFollow(p):
		p.DropFor(drop.VIPProtocol)
		return false
	case st.Fragments == nil:
		p.DropFor(drop.FragOrphan)
		return false
	case st.elsewhere(mem, p, s, w, w.fragmentHash(p, &s.VIPs[w.vip]), fragmentHop):
		return false
	}
	k, first := fragmentKey(mem, p, s, w)
	if !first {
		return st.follow(mem, p, s, w, &k)
	}
	if !p.Has(frame.FlagL4) {
		p.DropFor(drop.VIPProtocol)
		return false
	}
	if icmpProto(p) {
		v := &s.VIPs[w.vip]
		echo := (v.Own || v.Pings()) && st.echoFragment(mem, p, s, w)
		st.note(&k, flow.Noted{Echo: echo})
		if !echo {
			p.DropFor(drop.VIPProtocol)
		} else {
			st.Counters.EchoReplies++
		}
		return false
	}
	w.kind = whole
	w.ports(mem, p)
	if st.elsewhere(mem, p, s, w, w.flowHash(&s.VIPs[w.vip]), flowHop) {
		if to, _ := p.Worker(); p.Next == frame.NextHandoff {
			st.note(&k, flow.Noted{Worker: to, Elsewhere: true})
		}
		return false
	}
	if st.service(mem, p, s, w) {
		return true
	}
	st.note(&k, flow.Noted{}) // the datagram is discarded
	return false
}

// icmpProto reports whether p is an ICMP message of its family. Others with these numbers do not come here.
func icmpProto(p *frame.Packet) bool { return p.Proto == wire.ProtoICMP || p.Proto == wire.ProtoICMPv6 }

// follow sends a fragment after the first one of its datagram, or lets it wait.
func (st *State) follow(mem []byte, p *frame.Packet, s *fib.Snapshot, w *work, k *flow.FragmentKey) bool {
	to, ok := st.Fragments.Find(k, st.Now)
	switch {
	case ok && to.Elsewhere && p.Kind < flowHop && st.handTo(mem, p, s, w.vip, uint32(to.Worker), flowHop):
	case !ok || to.Elsewhere:
		if !st.Fragments.Hold(k, p, st.Now) {
			p.DropFor(drop.FragOrphan)
			break
		}
		st.Move(p.Off, frame.OwnerBatch, frame.OwnerHeld)
		st.Counters.Held++
		p.Next = frame.NextHeld
	case to.Echo:
		if !st.echoFragment(mem, p, s, w) {
			p.DropFor(drop.VIPProtocol)
		}
	case icmpProto(p):
		p.DropFor(drop.VIPProtocol)
	case to.Server == 0 || uint(to.Server&fib.RefMask) >= uint(len(s.Servers)):
		p.DropFor(drop.NoServer)
	default:
		w.kind, w.server, w.service = later, to.Server, s.Servers[to.Server&fib.RefMask].Service
		if uint(w.service) < uint(len(s.Services)) {
			return true
		}
		p.DropFor(drop.NoServer)
	}
	return false
}

// noteServer notes what was decided on the first fragment of a datagram.
func (st *State) noteServer(mem []byte, p *frame.Packet, s *fib.Snapshot, w *work, server uint32, why drop.Reason) {
	k, _ := fragmentKey(mem, p, s, w)
	to := flow.Noted{}
	if why == drop.None {
		to.Server = s.Servers[server].Ref
	}
	st.note(&k, to)
}

func (st *State) note(k *flow.FragmentKey, to flow.Noted) {
	f := st.Fragments
	f.Note(k, to, st.Now)
	if f.Held() > 0 && f.n < len(f.firsts) {
		f.firsts[f.n] = *k
		f.n++
	}
}

// Awaited reports whether fragments wait whose first one has come: Release lets them go on.
func (st *State) Awaited() bool { return st.Fragments != nil && st.Fragments.n > 0 }

// Release takes the fragments that wait no longer, and calls run with batches of them, each received by one port, at
// NextBalance. b is free before and after.
func (st *State) Release(b *frame.Batch, run func(port uint16, b *frame.Batch)) {
	f := st.Fragments
	for f.n > 0 {
		f.n--
		k := f.firsts[f.n]
		list := f.taken[:f.Take(&k, &f.taken)]
		for len(list) > 0 {
			port := list[0].Port
			b.N = 0
			for b.N < len(list) && list[b.N].Port == port {
				p := &b.Pkt[b.N]
				*p = list[b.N]
				st.Move(p.Off, frame.OwnerHeld, frame.OwnerBatch)
				revive(p, st.Snap, k.VIP)
				b.N++
			}
			list = list[b.N:]
			run(port, b)
		}
	}
}

// expire drops the fragments that have waited in vain until now.
func (st *State) expire(now int64) {
	if f := st.Fragments; f != nil && f.Held() > 0 {
		for _, p := range f.taken[:f.Late(&f.taken, now)] {
			st.Move(p.Off, frame.OwnerHeld, frame.OwnerBatch)
			st.Discard(p.Port, drop.FragOrphan, p.Off, p.Len)
		}
	}
}

// Drain drops all fragments that wait, when the worker stops.
func (st *State) Drain() { st.expire(math.MaxInt64) }
