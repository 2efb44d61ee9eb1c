// Package station is the director as a station of its tenants' segments: a TCP/IP stack in the process, with an address
// of its own in each segment, whose packets enter and leave the packet path as frames. Health checks use it.
//
// Tenants overlap: two stations may have one address, and their flows one 5-tuple. Each station is an interface of the
// stack, every flow is bound to it, and every frame names its segment. The kernel's stack and its tables are not
// touched.
//
// A flow goes to one real server (Path), whatever the service's scheduler would choose: what leaves the stack for the
// virtual address is rewritten as the director rewrites a client's packet. What comes back is addressed to the station
// as any server's reply is to its client.
//
//	station.go  stations, their frames in
//	link.go     their frames out
//	flow.go     local ports, and the path of each
//	dial.go     connections
//	udp.go      UDP sockets
//	rewrite.go  what the director does to a packet
//	ping.go     echo, ARP and neighbour discovery, without the stack
package station

import (
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"

	"penstock/dataplane/wire"
)

// Segment names a segment by the IDs of tenant and segment.
type Segment struct{ Tenant, ID uint32 }

// Config is what the stations need of the packet path.
type Config struct {
	// Inject sends a frame as a station of a segment (dataplane.Engine.InjectInner). False: there is no room.
	Inject func(tenant, segment uint32, frame []byte) bool
	// Send sends a frame out of a port (dataplane.Engine.Inject), to servers that are no VIFs.
	Send func(port int, frame []byte) bool
}

// Key identifies a station.
type Key struct {
	Segment Segment
	Address netip.Addr
}

// Stack has all stations of a box. It is safe for concurrent use.
type Stack struct {
	cfg  Config
	lost atomic.Uint64

	mu       sync.RWMutex
	stations map[Key]*Station
	shards   []*shard
	nic      tcpip.NICID // the last one used
}

// shard is a stack with some of the stations: a stack searches its routes one by one for every connection.
type shard struct {
	*stack.Stack
	stations int
}

// perShard is the most stations of a shard. With 1,000 a connection takes 63 µs of CPU, with 64 some 30.
const perShard = 64

// Station is the director in one segment, with one address.
type Station struct {
	Key
	MAC   uint64
	stack *Stack
	shard *shard
	nic   tcpip.NICID
	link  *link

	flows   flows
	waiters waiters
}

// New returns a stack without stations.
func New(cfg Config) *Stack { return &Stack{cfg: cfg, stations: map[Key]*Station{}} }

// room returns a shard with room for a station.
func (s *Stack) room() *shard {
	for _, sh := range s.shards {
		if sh.stations < perShard {
			return sh
		}
	}
	sh := &shard{Stack: stack.New(stack.Options{
		NetworkProtocols: []stack.NetworkProtocolFactory{
			ipv4.NewProtocolWithOptions(ipv4.Options{}),
			// Addresses are configured: nothing is solicited, joined or tested.
			ipv6.NewProtocolWithOptions(ipv6.Options{}),
		},
		TransportProtocols: []stack.TransportProtocolFactory{tcp.NewProtocol, udp.NewProtocol},
	})}
	s.shards = append(s.shards, sh)
	return sh
}

// Close ends all flows and stations.
func (s *Stack) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for k, st := range s.stations {
		s.remove(k, st)
	}
	for _, sh := range s.shards {
		sh.Destroy()
	}
	s.shards = nil
}

// Lost returns how many frames the packet path had no room for.
func (s *Stack) Lost() uint64 { return s.lost.Load() }

// Len returns the number of stations.
func (s *Stack) Len() int {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return len(s.stations)
}

// Station returns the station k with the given MAC, and makes it if need be. A station that has another MAC gets the
// new one.
func (s *Stack) Station(k Key, mac uint64) (*Station, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if st := s.stations[k]; st != nil && st.MAC == mac {
		return st, nil
	} else if st != nil {
		s.remove(k, st)
	}
	if !k.Address.IsValid() || k.Address.Is4In6() || k.Address.Zone() != "" {
		return nil, fmt.Errorf("station %v: not an address", k.Address)
	}
	s.nic++
	sh := s.room()
	st := &Station{Key: k, MAC: mac, stack: s, shard: sh, nic: s.nic}
	st.link = &link{station: st}
	if err := sh.CreateNICWithOptions(st.nic, st.link, stack.NICOptions{}); err != nil {
		return nil, fmt.Errorf("station %v: %s", k.Address, err)
	}
	a := tcpip.AddrFromSlice(k.Address.AsSlice())
	if err := sh.AddProtocolAddress(st.nic, tcpip.ProtocolAddress{Protocol: protocol(k.Address),
		AddressWithPrefix: tcpip.AddressWithPrefix{Address: a, PrefixLen: a.BitLen()}}, stack.AddressProperties{},
	); err != nil {
		sh.RemoveNIC(st.nic)
		return nil, fmt.Errorf("station %v: %s", k.Address, err)
	}
	net := header.IPv4EmptySubnet
	if k.Address.Is6() {
		net = header.IPv6EmptySubnet
	}
	sh.AddRoute(tcpip.Route{Destination: net, NIC: st.nic})
	sh.stations++
	s.stations[k] = st
	return st, nil
}

// Remove ends the station k, if there is one, and its flows.
func (s *Stack) Remove(k Key) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if st := s.stations[k]; st != nil {
		s.remove(k, st)
	}
}

func (s *Stack) remove(k Key, st *Station) {
	delete(s.stations, k)
	st.shard.RemoveRoutes(func(r tcpip.Route) bool { return r.NIC == st.nic })
	st.shard.RemoveNIC(st.nic)
	st.shard.stations--
}

func protocol(a netip.Addr) tcpip.NetworkProtocolNumber {
	if a.Is4() {
		return ipv4.ProtocolNumber
	}
	return ipv6.ProtocolNumber
}

// Input takes a frame, without FCS, to a station of a segment. Frames to other addresses are ignored. The frame is
// copied.
func (s *Stack) Input(seg Segment, frame []byte) {
	if len(frame) < wire.EthernetLen {
		return
	}
	e := wire.Ethernet(frame)
	data := frame[wire.EthernetLen:]
	k := Key{Segment: seg}
	var net tcpip.NetworkProtocolNumber
	switch e.Type() {
	case wire.EtherTypeIPv4:
		if len(data) < wire.IPv4Len {
			return
		}
		net = ipv4.ProtocolNumber
		k.Address = netip.AddrFrom4([4]byte(data[16:20]))
	case wire.EtherTypeIPv6:
		if len(data) < wire.IPv6Len {
			return
		}
		net = ipv6.ProtocolNumber
		k.Address = netip.AddrFrom16([16]byte(data[24:40]))
	case wire.EtherTypeARP:
		if len(data) < wire.ARPLen {
			return
		}
		k.Address = netip.AddrFrom4([4]byte(data[24:28]))
	default:
		return
	}
	s.mu.RLock()
	st := s.stations[k]
	s.mu.RUnlock()
	if st == nil || st.answered(e.Type(), e.Src(), data) || net == 0 {
		return
	}
	p := stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: buffer.MakeWithData(append([]byte(nil), data...))})
	st.link.deliver(net, p)
	p.DecRef()
}
