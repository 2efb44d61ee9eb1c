package balance

import (
	"penstock/dataplane/drop"
	"penstock/dataplane/fib"
	"penstock/dataplane/frame"
	"penstock/dataplane/icmp"
	"penstock/dataplane/stats"
	"penstock/dataplane/wire"
)

// refuse answers p, for which there is no server, as hosts do without a listener: with a TCP reset or ICMP "port
// unreachable". It drops p for reason why if the service is to be silent, and for reasons that no answer fits. It
// answers "time exceeded" if the TTL runs out. All answers come from the virtual address.
func (st *State) refuse(mem []byte, p *frame.Packet, s *fib.Snapshot, w *work, why drop.Reason) {
	e := icmp.PortUnreachable
	switch why {
	case drop.TTLExceeded:
		e = icmp.TimeExceeded
	case drop.NoServer:
		st.Services.Add(int(w.service)*stats.ServiceLen+stats.ServiceNoServer, 1)
		if !s.Services[w.service].Reject {
			p.DropFor(why)
			return
		}
	case drop.NoService:
	default:
		p.DropFor(why)
		return
	}
	v := &s.VIPs[w.vip]
	to, mac, ok := origin(mem, p, s, v)
	if !ok || w.kind != whole {
		p.DropFor(why)
		return
	}
	if e == icmp.PortUnreachable && p.Proto == wire.ProtoTCP {
		if reason := icmp.Reset(mem, p, s, st.Now, mac); reason != drop.None {
			if reason == drop.ICMPSuppressed {
				reason = why
			}
			p.DropFor(reason)
			return
		}
		st.Counters.Resets++
	} else {
		if reason := icmp.Answer(mem, p, s, st.Now, e, 0, v.IP4, v.IP6, mac); reason != drop.None {
			p.DropFor(reason)
			return
		}
		if e == icmp.TimeExceeded {
			st.Counters.TimeExceeded++
		} else {
			st.Counters.Unreachable++
		}
	}
	back(p, s, to)
}

// echo answers p if it is an echo request, and reports whether it did, or has dropped p for lack of a way back.
func (st *State) echo(mem []byte, p *frame.Packet, s *fib.Snapshot, w *work) bool {
	v := &s.VIPs[w.vip]
	to, mac, ok := origin(mem, p, s, v)
	if !ok || !icmp.Echo(mem, p, mac) {
		return false
	}
	st.Counters.EchoReplies++
	back(p, s, to)
	return true
}

// origin finds the way back to the client that sent p to v, and the source MAC of an answer: the virtual address's own
// in its segment, elsewhere the router's. It sets the source MAC of p to that of the next hop.
func origin(mem []byte, p *frame.Packet, s *fib.Snapshot, v *fib.VIP) (to icmp.Return, mac uint64, ok bool) {
	to.Seg, to.Loc = v.Seg, fib.None
	switch {
	case p.Has(frame.FlagFromUplink):
		g := s.Segments[v.Seg].Gateway
		if r := routerOf(s, v.Seg); g == 0 && r != nil {
			g = r.Gateway
		}
		to.Loc, ok = fib.GroupLoc(g), g != 0
	case uint(p.Attach) < uint(len(s.Attachments)):
		to.Seg, ok = s.Attachments[p.Attach].Seg, true
	case p.Has(frame.FlagFromFabric):
		if to, ok = icmp.ReturnTo(mem, p, s); ok && to.MAC != 0 {
			p.SrcMAC = to.MAC
		}
		ok = ok && to.Loc&(fib.LocLocal|fib.LocVIP) != fib.LocLocal|fib.LocVIP
	}
	mac = v.MAC
	if to.Seg != v.Seg {
		if r := routerOf(s, to.Seg); r != nil {
			mac = r.MAC
		}
	}
	return to, mac, ok
}

// back sends the answer that p has become to where origin says.
func back(p *frame.Packet, s *fib.Snapshot, to icmp.Return) {
	p.Flags &^= frame.FlagFromFabric
	switch {
	case to.Loc == fib.None: // to the attachment
		p.Next = frame.NextDeliver
	case to.Loc&fib.LocLocal == 0:
		p.Seg, p.Loc, p.Next = to.Seg, to.Loc, frame.NextEncap
	case to.Loc&fib.LocGateway != 0:
		p.Seg, p.Loc, p.Next = to.Seg, to.Loc, frame.NextUplink
	default:
		vif := to.Loc &^ fib.LocLocal
		if uint(vif) >= uint(len(s.VIFs)) {
			p.DropFor(drop.Unresolved)
			return
		}
		p.Seg, p.Loc, p.Attach, p.Next = to.Seg, to.Loc, s.VIFs[vif].Attach, frame.NextDeliver
	}
}
