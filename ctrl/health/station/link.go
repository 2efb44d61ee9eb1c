package station

import (
	"sync"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"

	"penstock/dataplane/wire"
)

// mtu is the MTU of stations, in octets: what every path of IPv6 carries (RFC 8200, 5). Checks send little.
const mtu = 1280

// link is the stack's interface of a station: it has no addresses to resolve, since a flow's path has the MACs.
type link struct {
	station *Station

	mu         sync.RWMutex
	dispatcher stack.NetworkDispatcher
}

func (l *link) deliver(net tcpip.NetworkProtocolNumber, p *stack.PacketBuffer) {
	l.mu.RLock()
	d := l.dispatcher
	l.mu.RUnlock()
	if d != nil {
		d.DeliverNetworkPacket(net, p)
	}
}

// WritePackets sends packets of the stack along the paths of their flows. Others, of protocols that the stack speaks
// by itself, go nowhere. A packet for which the packet path has no room is lost, as on any link.
func (l *link) WritePackets(list stack.PacketBufferList) (int, tcpip.Error) {
	var room [wire.EthernetLen + mtu]byte
	for _, p := range list.AsSlice() {
		n := wire.EthernetLen
		fits := true
		for _, s := range p.AsSlices() {
			fits = fits && len(s) <= len(room)-n
			n += copy(room[n:], s)
		}
		if fits {
			l.station.output(room[:n])
		}
	}
	return list.Len(), nil
}

// output sends the frame of a TCP or UDP packet, its Ethernet header still empty, along the path of its source port.
func (st *Station) output(f []byte) {
	ip := f[wire.EthernetLen:]
	if len(ip) < wire.IPv4Len {
		return
	}
	kind, proto, l4 := uint16(wire.EtherTypeIPv4), ip[9], ip
	switch ip[0] >> 4 {
	case 4:
		n := wire.IPv4(ip).HeaderLen()
		if n < wire.IPv4Len || len(ip) < n+8 {
			return
		}
		l4 = ip[n:]
	case 6:
		if len(ip) < wire.IPv6Len+8 {
			return
		}
		kind, proto, l4 = wire.EtherTypeIPv6, ip[6], ip[wire.IPv6Len:]
	default:
		return
	}
	if proto != wire.ProtoTCP && proto != wire.ProtoUDP || proto == wire.ProtoTCP && len(l4) < wire.TCPLen {
		return
	}
	path := st.flows.of(wire.UDP(l4).SrcPort())
	if path == nil {
		return
	}
	rewrite(ip, l4, proto, path.Port)
	st.send(f, kind, path)
}

// send writes the Ethernet header and sends the frame.
func (st *Station) send(f []byte, kind uint16, path *Path) {
	e := wire.Ethernet(f)
	e.SetDst(path.MAC)
	e.SetSrc(path.Source)
	e.SetType(kind)
	sent := false
	if path.Direct {
		sent = st.stack.cfg.Send(path.Out, f)
	} else {
		sent = st.stack.cfg.Inject(path.Segment.Tenant, path.Segment.ID, f)
	}
	if !sent {
		st.stack.lost.Add(1)
	}
}

// MTU implements stack.LinkEndpoint.
func (l *link) MTU() uint32 { return mtu }

// SetMTU implements stack.LinkEndpoint: the MTU never changes.
func (l *link) SetMTU(uint32) {}

// MaxHeaderLength implements stack.LinkEndpoint.
func (l *link) MaxHeaderLength() uint16 { return 0 }

// LinkAddress implements stack.LinkEndpoint.
func (l *link) LinkAddress() tcpip.LinkAddress { return "" }

// SetLinkAddress implements stack.LinkEndpoint: a station keeps its MAC.
func (l *link) SetLinkAddress(tcpip.LinkAddress) {}

// Capabilities implements stack.LinkEndpoint: none, checksums are the stack's.
func (l *link) Capabilities() stack.LinkEndpointCapabilities { return stack.CapabilityNone }

// Attach implements stack.LinkEndpoint.
func (l *link) Attach(d stack.NetworkDispatcher) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.dispatcher = d
}

// IsAttached implements stack.LinkEndpoint.
func (l *link) IsAttached() bool {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.dispatcher != nil
}

// Wait implements stack.LinkEndpoint: there is no goroutine.
func (l *link) Wait() {}

// ARPHardwareType implements stack.LinkEndpoint.
func (l *link) ARPHardwareType() header.ARPHardwareType { return header.ARPHardwareNone }

// AddHeader implements stack.LinkEndpoint.
func (l *link) AddHeader(*stack.PacketBuffer) {}

// ParseHeader implements stack.LinkEndpoint.
func (l *link) ParseHeader(*stack.PacketBuffer) bool { return true }

// Close implements stack.LinkEndpoint.
func (l *link) Close() {}

// SetOnCloseAction implements stack.LinkEndpoint.
func (l *link) SetOnCloseAction(func()) {}
