package station

import (
	"context"
	"encoding/binary"
	"net/netip"
	"sync"

	"penstock/dataplane/wire"
	"penstock/dataplane/wire/checksum"
)

// sign is what a waiter waits for: an echo reply with an identifier, or the answer of an address to ARP or neighbour
// discovery, from a MAC; 0 = any.
type sign struct {
	echo    uint16
	address netip.Addr
	mac     uint64
}

// waiters wait for answers that the stack does not take.
type waiters struct {
	mu   sync.Mutex
	list map[sign]map[chan uint64]bool
}

func (w *waiters) add(s sign) chan uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.list == nil {
		w.list = map[sign]map[chan uint64]bool{}
	}
	if w.list[s] == nil {
		w.list[s] = map[chan uint64]bool{}
	}
	c := make(chan uint64, 1)
	w.list[s][c] = true
	return c
}

func (w *waiters) remove(s sign, c chan uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if delete(w.list[s], c); len(w.list[s]) == 0 {
		delete(w.list, s)
	}
}

// wake wakes those who wait for s and reports whether there were any.
func (w *waiters) wake(s sign) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if any := w.list[sign{address: s.address}]; s.address.IsValid() {
		for c := range any {
			select {
			case c <- s.mac:
			default:
			}
		}
		if len(any) > 0 {
			return true
		}
	}
	for c := range w.list[s] {
		select {
		case c <- s.mac:
		default:
		}
	}
	return len(w.list[s]) > 0
}

// echoData is how many octets an echo request carries.
const echoData = 32

// Ping sends an echo request to the virtual address through the server that path leads to, and waits for the reply.
// The error is that of ctx, or ErrNoPort.
func (st *Station) Ping(ctx context.Context, to netip.Addr, path *Path) error {
	id, err := st.flows.take(path)
	if err != nil {
		return err
	}
	defer st.flows.end(id)
	s := sign{echo: id}
	c := st.waiters.add(s)
	defer st.waiters.remove(s, c)
	st.send(st.echo(to, id), kindOf(to), path)
	_, err = wait(ctx, c)
	return err
}

// Discover asks all behind a port, untagged, for the MAC of an address.
func (st *Station) Discover(ctx context.Context, address netip.Addr, port int) (mac uint64, err error) {
	s := sign{address: address}
	c := st.waiters.add(s)
	defer st.waiters.remove(s, c)
	path := Path{MAC: wire.Broadcast, Direct: true, Out: port}
	if address.Is6() {
		group := wire.SolicitedNode(halves(address))
		path.MAC = wire.MulticastMAC(group)
		b := make([]byte, 16)
		wire.PutAddr6(b, group)
		st.sendAs(st.solicit(address, netip.AddrFrom16([16]byte(b))), wire.EtherTypeIPv6, &path)
	} else {
		st.sendAs(st.request(address), wire.EtherTypeARP, &path)
	}
	return wait(ctx, c)
}

// Resolve asks the server that path leads to for the MAC of an address of its own, by ARP or neighbour discovery, and
// waits for its answer from the path's MAC. The error is that of ctx.
func (st *Station) Resolve(ctx context.Context, address netip.Addr, path *Path) error {
	s := sign{address: address, mac: path.MAC}
	c := st.waiters.add(s)
	defer st.waiters.remove(s, c)
	if address.Is4() {
		st.sendAs(st.request(address), wire.EtherTypeARP, path)
	} else {
		st.sendAs(st.solicit(address, address), wire.EtherTypeIPv6, path)
	}
	_, err := wait(ctx, c)
	return err
}

// sendAs sends a frame from the station's own MAC: an answer goes to where a question came from.
func (st *Station) sendAs(f []byte, kind uint16, path *Path) {
	own := *path
	own.Source = st.MAC
	st.send(f, kind, &own)
}

func wait(ctx context.Context, c chan uint64) (mac uint64, err error) {
	select {
	case mac = <-c:
		return mac, nil
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

func kindOf(a netip.Addr) uint16 {
	if a.Is4() {
		return wire.EtherTypeIPv4
	}
	return wire.EtherTypeIPv6
}

func word(a netip.Addr) uint32 { return binary.BigEndian.Uint32(a.AsSlice()) }

func halves(a netip.Addr) [2]uint64 { return wire.Addr6(a.AsSlice()) }

// TTL of an echo request: as a client's packet has it that the director has passed on.
const ttl = 63

// echo returns the frame of an echo request, its Ethernet header empty.
func (st *Station) echo(to netip.Addr, id uint16) []byte {
	const n = wire.ICMPLen + echoData
	rest := uint32(id)<<16 | 1
	if to.Is4() {
		f := make([]byte, wire.EthernetLen+wire.IPv4Len+n)
		h := wire.IPv4(f[wire.EthernetLen:])
		h.SetVersionIHL(wire.IPv4Len)
		h.SetTotalLen(wire.IPv4Len + n)
		h.SetTTL(ttl)
		h.SetProto(wire.ProtoICMP)
		h.SetSrc(word(st.Address))
		h.SetDst(word(to))
		h.SetChecksum(checksum.Checksum(h[:wire.IPv4Len], 0))
		m := wire.ICMPv4(h.Payload())
		m.Set(wire.ICMPv4Echo, 0, rest)
		m.SetChecksum(checksum.Checksum(m, 0))
		return f
	}
	f := st.packet6(to, n, ttl)
	m := wire.ICMPv6(f[wire.EthernetLen+wire.IPv6Len:])
	m.Set(wire.ICMPv6Echo, 0, rest)
	seal6(f)
	return f
}

// request returns the frame of an ARP request, its Ethernet header empty.
func (st *Station) request(address netip.Addr) []byte {
	f := make([]byte, wire.EthernetLen+wire.ARPLen)
	wire.ARP(f[wire.EthernetLen:]).Set(wire.ARPRequest, st.MAC, word(st.Address), 0, word(address))
	return f
}

// solicit returns the frame of a neighbour solicitation of the address, its Ethernet header empty.
func (st *Station) solicit(address, to netip.Addr) []byte {
	f := st.packet6(to, wire.NeighborLen+wire.NDLinkAddrLen, 255) // RFC 4861, 7.1.1
	m := f[wire.EthernetLen+wire.IPv6Len:]
	wire.NeighborSolicit(m).Set(halves(address), st.MAC)
	seal6(f)
	return f
}

func (st *Station) packet6(to netip.Addr, n int, hops uint8) []byte {
	f := make([]byte, wire.EthernetLen+wire.IPv6Len+n)
	h := wire.IPv6(f[wire.EthernetLen:])
	h.SetFlow(0, 0)
	h.SetPayloadLen(uint16(n))
	h.SetNextHeader(wire.ProtoICMPv6)
	h.SetHopLimit(hops)
	h.SetSrc(halves(st.Address))
	h.SetDst(halves(to))
	return f
}

func seal6(f []byte) {
	h := wire.IPv6(f[wire.EthernetLen:])
	m := h.Payload()
	sum := checksum.Sum(h.Addrs(), wire.ProtoICMPv6+uint32(len(m)))
	wire.ICMPv6(m).SetChecksum(checksum.Checksum(m, sum))
}

// answered gives a packet to those who wait for it and reports whether there were any.
func (st *Station) answered(kind uint16, from uint64, data []byte) bool {
	switch kind {
	case wire.EtherTypeARP:
		a := wire.ARP(data)
		b := binary.BigEndian.AppendUint32(nil, a.SenderIP())
		s := sign{address: netip.AddrFrom4([4]byte(b)), mac: a.SenderMAC()}
		return a.Op() == wire.ARPReply && st.waiters.wake(s)
	case wire.EtherTypeIPv4:
		h := wire.IPv4(data)
		if n := h.HeaderLen(); h.Proto() == wire.ProtoICMP && n >= wire.IPv4Len && len(data) >= n+wire.ICMPLen {
			m := wire.ICMPv4(data[n:])
			return m.Type() == wire.ICMPv4EchoReply && st.waiters.wake(sign{echo: uint16(m.Rest() >> 16)})
		}
	case wire.EtherTypeIPv6:
		h := wire.IPv6(data)
		if h.NextHeader() != wire.ProtoICMPv6 || len(data) < wire.IPv6Len+wire.ICMPLen {
			return false
		}
		switch m := wire.ICMPv6(h.Payload()); {
		case m.Type() == wire.ICMPv6EchoReply:
			return st.waiters.wake(sign{echo: uint16(m.Rest() >> 16)})
		case m.Type() == wire.ICMPv6NeighborAdvert && len(m) >= wire.NeighborLen:
			return st.waiters.wake(sign{address: netip.AddrFrom16([16]byte(m[8:24])), mac: from})
		}
	}
	return false
}
