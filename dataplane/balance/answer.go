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
	to, mac, ok := icmp.Origin(mem, p, s, v)
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
	icmp.Back(p, s, to)
}

// echo answers p if it is an echo request, and reports whether it did, or has dropped p for lack of a way back.
func (st *State) echo(mem []byte, p *frame.Packet, s *fib.Snapshot, w *work) bool {
	v := &s.VIPs[w.vip]
	to, mac, ok := icmp.Origin(mem, p, s, v)
	if !ok || !icmp.Echo(mem, p, mac) {
		return false
	}
	st.Counters.EchoReplies++
	icmp.Back(p, s, to)
	return true
}

// echoFragment answers p, a fragment of an echo request, and reports whether it did. Each fragment is turned around by
// itself, so an echo request of any size takes no memory, and is never answered by more than was sent: the client puts
// the reply together, and finds out whether it is whole.
func (st *State) echoFragment(mem []byte, p *frame.Packet, s *fib.Snapshot, w *work) bool {
	to, mac, ok := icmp.Origin(mem, p, s, &s.VIPs[w.vip])
	if !ok || !icmp.EchoFragment(mem, p, mac) {
		return false
	}
	icmp.Back(p, s, to)
	return true
}
