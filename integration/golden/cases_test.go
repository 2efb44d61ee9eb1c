package golden

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"penstock/ctrl/model"
	"penstock/integration/endpoint"
)

// goldenCase is a configuration and the frames that come in.
type goldenCase struct {
	name, config string
	in           []input
}

// input is a frame that arrives on a port.
type input struct {
	port, note string
	make       func() ([]byte, error)
}

func host(mac model.MAC, ip4, ip6 string) endpoint.Host {
	h := endpoint.Host{MAC: mac}
	if ip4 != "" {
		h.IPv4 = netip.MustParseAddr(ip4)
	}
	if ip6 != "" {
		h.IPv6 = netip.MustParseAddr(ip6)
	}
	return h
}

var (
	vm1     = host(0x020000000001, "10.0.0.1", "fd00::1") // red/web and, with the IPv4 address, blue/web
	vm2     = host(0x020000000002, "10.0.0.2", "fd00::2") // remote, in both tenants
	vm3     = host(0x020000000003, "10.0.0.3", "fd00::3")
	vm4     = host(0x020000000004, "10.0.0.4", "") // remote, on the same switch
	vm9     = host(0x020000000009, "10.0.0.9", "") // remote, without path
	db1     = host(0x020000000011, "10.0.1.1", "")
	db2     = host(0x020000000012, "10.0.1.2", "fd00:0:0:1::2")
	lab1    = host(0x020000000021, "10.9.0.1", "")
	router  = host(model.DefaultRouterMAC, "10.0.0.254", "fd00::fe")
	switchA = model.MAC(0x02000000fa0a)
	switchB = model.MAC(0x02000000fa0b)
	boxMAC  = model.MAC(0x02000000fb01)
)

// via is h as seen through the virtual router.
func via(h endpoint.Host) endpoint.Host {
	h.MAC = model.DefaultRouterMAC
	return h
}

func on(port, note string, make func() ([]byte, error)) input { return input{port, note, make} }

func udp4(from, to endpoint.Host, vlan, sport uint16, n int) func() ([]byte, error) {
	return func() ([]byte, error) { return endpoint.UDP4(from, to, vlan, sport, 9, payload(n)) }
}

func udp6(from, to endpoint.Host, sport uint16, n int) func() ([]byte, error) {
	return func() ([]byte, error) { return endpoint.UDP6(from, to, 0, sport, 9, payload(n)) }
}

func echo(from, to endpoint.Host, ttl uint8, n int) func() ([]byte, error) {
	return func() ([]byte, error) { return endpoint.Echo4(from, to, 0, ttl, 1, 2, payload(n)) }
}

func payload(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i)
	}
	return b
}

// changed is a frame after edit.
func changed(f func() ([]byte, error), edit func(b []byte) []byte) func() ([]byte, error) {
	return func() ([]byte, error) {
		b, err := f()
		if err != nil {
			return nil, err
		}
		return edit(append([]byte(nil), b...)), nil
	}
}

func raw(b []byte) func() ([]byte, error) { return func() ([]byte, error) { return b, nil } }

// outer is what the edge switch delivers to the box for an inner frame; edit changes it before it is encoded.
func outer(scheme model.Scheme, inner func() ([]byte, error), edit func(*endpoint.Outer)) func() ([]byte, error) {
	return func() ([]byte, error) {
		in, err := inner()
		if err != nil {
			return nil, err
		}
		tenant := uint32(100)
		if scheme == model.Scheme24 {
			tenant = 100_000
		}
		o := &endpoint.Outer{DstMAC: boxMAC, SrcMAC: switchA, ID: 101, Flags: 0x4000, TTL: 63, Proto: endpoint.Proto143,
			Src: endpoint.Special(scheme, 5, 7), Dst: endpoint.Special(scheme, 3, tenant), Inner: in}
		if edit != nil {
			edit(o)
		}
		return o.Encode(), nil
	}
}

func tcpSYN(from, to endpoint.Host, mss uint16) func() ([]byte, error) {
	return func() ([]byte, error) {
		ip := &layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolTCP, SrcIP: from.IPv4.AsSlice(),
			DstIP: to.IPv4.AsSlice()}
		tcp := &layers.TCP{SrcPort: 40000, DstPort: 80, SYN: true, Window: 65535, Options: []layers.TCPOption{
			{OptionType: layers.TCPOptionKindNop},
			{OptionType: layers.TCPOptionKindMSS, OptionLength: 4, OptionData: binary.BigEndian.AppendUint16(nil, mss)},
			{OptionType: layers.TCPOptionKindSACKPermitted, OptionLength: 2}, {OptionType: layers.TCPOptionKindNop},
		}}
		if err := tcp.SetNetworkLayerForChecksum(ip); err != nil {
			return nil, err
		}
		return endpoint.Serialize(append(endpoint.Ethernet(from.MAC, to.MAC, 0, layers.EthernetTypeIPv4), ip, tcp)...)
	}
}

// unfinished replaces the UDP or TCP checksum of an IPv4 frame without options by the pseudo-header's sum, as a stack
// does that leaves the rest to hardware.
func unfinished(b []byte) []byte {
	ip := b[14:]
	at := 20 + 6
	if ip[9] == 6 {
		at = 20 + 16
	}
	n := binary.BigEndian.Uint16(ip[2:]) - 20
	sum := uint32(ip[9]) + uint32(n)
	for i := 12; i < 20; i += 2 {
		sum += uint32(binary.BigEndian.Uint16(ip[i:]))
	}
	sum = sum>>16 + sum&0xffff
	binary.BigEndian.PutUint16(ip[at:], uint16(sum>>16+sum))
	return b
}

func withDF(b []byte) []byte {
	b[14+6] |= 0x40
	sum := binary.BigEndian.Uint16(b[14+10:])
	s := uint32(^sum) + 0x4000
	binary.BigEndian.PutUint16(b[14+10:], ^uint16(s>>16+s))
	return b
}

func cases() []goldenCase {
	hosts := func(name, config string, scheme model.Scheme) []goldenCase {
		return []goldenCase{
			{name: name + "-encapsulate", config: config, in: []input{
				on("acc0", "UDP to another switch", udp4(vm1, vm2, 0, 1000, 18)),
				on("acc0", "another flow", udp4(vm1, vm2, 0, 1001, 18)),
				on("acc0", "a third flow", udp4(vm1, vm2, 0, 1003, 18)),
				on("acc0", "IPv6", udp6(vm1, vm2, 1000, 18)),
				on("acc0", "same switch: the box's own MAC as outer source", udp4(vm1, vm4, 0, 1000, 18)),
				on("acc1", "tagged attachment of the other tenant", udp4(vm1, vm2, 30, 1000, 18)),
				on("acc1", "PCP and DSCP are copied", changed(udp4(vm1, vm2, 30, 1000, 18), func(b []byte) []byte {
					b[14] |= 5 << 5
					return dscp(b, 18, 46)
				})),
				on("acc0", "a protocol that is not IP", raw(ethernet(vm2.MAC, vm1.MAC, 0x88b7, 60))),
				on("acc0", "a switch without path", udp4(vm1, vm9, 0, 1000, 18)),
				on("acc0", "a VIF that is not bound", udp4(vm1, host(0x0200000000ee, "10.0.0.77", ""), 0, 1000, 18)),
			}},
			{name: name + "-decapsulate", config: config, in: []input{
				on("fab0", "to vm1", outer(scheme, udp4(vm2, vm1, 0, 1053, 18), nil)),
				on("fab0", "padding behind the outer packet",
					changed(outer(scheme, raw(ethernet(vm1.MAC, vm2.MAC, 0x88b7, 14)), nil), func(b []byte) []byte {
						return append(b, make([]byte, 12)...)
					})),
				on("fab0", "IPv6", outer(scheme, udp6(vm2, vm1, 1053, 18), nil)),
				on("fab0", "broadcast to both local VIFs",
					outer(scheme, raw(ethernet(endpoint.Broadcast, vm2.MAC, 0x88b7, 60)), nil)),
			}},
		}
	}
	all := append(hosts("ip16", "host", model.Scheme16), hosts("ip24", "host24", model.Scheme24)...)
	all = slices.Concat(all, congestion(), inUDP(), inVXLAN())
	return append(append(append(all, forged()...), gatewayCases()...), balanceCases()...)
}

// udpPort is that of encapsulated frames in UDP.
const udpPort = 7472

// inUDP has frames of a fabric port of form "udp".
func inUDP() []goldenCase {
	// wrapped puts a UDP header from this port between the outer IPv4 header and the inner frame.
	wrapped := func(inner func() ([]byte, error), from uint16) func() ([]byte, error) {
		return func() ([]byte, error) {
			in, err := inner()
			if err != nil {
				return nil, err
			}
			udp := binary.BigEndian.AppendUint16(nil, from)
			udp = binary.BigEndian.AppendUint16(udp, udpPort)
			udp = binary.BigEndian.AppendUint32(udp, uint32(8+len(in))<<16)
			o := endpoint.Outer{DstMAC: boxMAC, SrcMAC: switchA, ID: 101, Flags: 0x4000, TTL: 63, Proto: 17,
				Src: endpoint.Special(model.Scheme16, 5, 7), Dst: endpoint.Special(model.Scheme16, 3, 100),
				Inner: append(udp, in...)}
			return o.Encode(), nil
		}
	}
	broken := func(b []byte) []byte { b[41] = 1; return b }
	return []goldenCase{
		{name: "udp-encapsulate", config: "host-udp", in: []input{
			on("acc0", "UDP to another switch", udp4(vm1, vm2, 0, 1000, 18)),
			on("acc0", "another flow", udp4(vm1, vm2, 0, 1001, 18)),
			on("acc0", "IPv6", udp6(vm1, vm2, 1000, 18)),
			on("acc0", "same switch: the box's own MAC as outer source", udp4(vm1, vm4, 0, 1000, 18)),
			on("acc0", "a protocol that is not IP", raw(ethernet(vm2.MAC, vm1.MAC, 0x88b7, 60))),
			on("acc0", "largest packet", udp4(vm1, vm2, 0, 1000, 1472)),
			on("acc1", "broadcast", raw(ethernet(endpoint.Broadcast, vm3.MAC, 0x88b7, 60))),
		}},
		{name: "udp-decapsulate", config: "host-udp", in: []input{
			on("fab0", "to vm1", wrapped(udp4(vm2, vm1, 0, 1053, 18), 49152)),
			on("fab0", "from any source port", wrapped(udp6(vm2, vm1, 1053, 18), 1)),
			on("fab0", "a form that is not the port's", outer(model.Scheme16, udp4(vm2, vm1, 0, 1053, 18), nil)),
			on("fab0", "a wrong checksum", changed(wrapped(udp4(vm2, vm1, 0, 1053, 18), 49152), broken)),
			on("fab0", "broadcast to both local VIFs",
				wrapped(raw(ethernet(endpoint.Broadcast, vm2.MAC, 0x88b7, 60)), 65535)),
		}},
	}
}

// congestion has every value of the ECN field on the way out, and every pair of values on the way in.
func congestion() []goldenCase {
	tos := func(frame func() ([]byte, error), v uint8) func() ([]byte, error) {
		return changed(frame, func(b []byte) []byte {
			if b[12] == 0x86 {
				b[14], b[15] = b[14]|v>>4, b[15]|v<<4
				return b
			}
			return octet(b, 14, v)
		})
	}
	var out, in []input
	for v := range uint8(4) {
		out = append(out, on("acc0", fmt.Sprintf("IPv4, ECN %d", v), tos(udp4(vm1, vm2, 0, 1000, 18), 46<<2|v)),
			on("acc0", fmt.Sprintf("IPv6, ECN %d", v), tos(udp6(vm1, vm2, 1000, 18), 46<<2|v)))
		for mark := range uint8(4) {
			through := func(frame func() ([]byte, error)) func() ([]byte, error) {
				return tos(outer(model.Scheme16, tos(frame, v), nil), mark)
			}
			in = append(in,
				on("fab0", fmt.Sprintf("IPv4, inner %d, outer %d", v, mark), through(udp4(vm2, vm1, 0, 1053, 18))),
				on("fab0", fmt.Sprintf("IPv6, inner %d, outer %d", v, mark), through(udp6(vm2, vm1, 1053, 18))))
		}
	}
	return []goldenCase{{name: "ecn-encapsulate", config: "host", in: out},
		{name: "ecn-decapsulate", config: "host", in: in}}
}

func forged() []goldenCase {
	inner := udp4(vm2, vm1, 0, 1053, 18)
	fabric := func(note string, edit func(*endpoint.Outer)) input {
		return on("fab0", note, outer(model.Scheme16, inner, edit))
	}
	cut := []input{}
	for n := range 34 + 14 + 20 + 8 {
		cut = append(cut, on("fab0", fmt.Sprintf("cut off at %d", n),
			changed(outer(model.Scheme16, inner, nil), func(b []byte) []byte {
				return b[:n]
			})))
	}
	return []goldenCase{
		{name: "forged-fabric", config: "host", in: []input{
			fabric("from a station that is not the switch", func(o *endpoint.Outer) { o.SrcMAC = 0x0200000000ee }),
			fabric("to another box's MAC", func(o *endpoint.Outer) { o.DstMAC = 0x02000000fb02 }),
			fabric("to another box's address",
				func(o *endpoint.Outer) { o.Dst = endpoint.Special(model.Scheme16, 4, 100) }),
			fabric("from outside the scheme", func(o *endpoint.Outer) { o.Src = netip.MustParseAddr("11.5.0.7") }),
			fabric("unknown tenant", func(o *endpoint.Outer) { o.Dst = endpoint.Special(model.Scheme16, 3, 101) }),
			fabric("reserved tenant", func(o *endpoint.Outer) { o.Dst = endpoint.Special(model.Scheme16, 3, 1) }),
			fabric("unknown segment", func(o *endpoint.Outer) { o.Src = endpoint.Special(model.Scheme16, 5, 77) }),
			fabric("other protocol", func(o *endpoint.Outer) { o.Proto = 17 }),
			fabric("fragment", func(o *endpoint.Outer) { o.Flags = 0x2000 }),
			fabric("tagged", func(o *endpoint.Outer) { o.Tagged, o.VID = true, 101 }),
			fabric("inner frame too short", func(o *endpoint.Outer) { o.Inner = o.Inner[:13] }),
			on("fab0", "inner source is a group",
				outer(model.Scheme16, raw(ethernet(vm1.MAC, 0x010000000001, 0x88b7, 60)), nil)),
			on("fab0", "VIF that is not here",
				outer(model.Scheme16, udp4(vm2, host(0x0200000000ee, "10.0.0.77", ""), 0, 53, 18), nil)),
			on("fab0", "VIF on another box", outer(model.Scheme16, udp4(vm2, vm4, 0, 53, 18), nil)),
			on("fab0", "ARP never crosses",
				outer(model.Scheme16, func() ([]byte, error) { return endpoint.ARPRequest(vm2, 0, vm1.IPv4) }, nil)),
			on("fab0", "broken header checksum", changed(outer(model.Scheme16, inner, nil), func(b []byte) []byte {
				b[24] ^= 1
				return b
			})),
			on("fab0", "header options", changed(outer(model.Scheme16, inner, nil), options)),
			on("fab0", "IPv6", raw(ethernet(boxMAC, switchA, 0x86dd, 60))),
		}},
		{name: "guests", config: "host", in: []input{
			on("acc0", "announcement by ARP reply", gratuitous(vm1, 2)),
			on("acc0", "unsolicited advertisement", advert(vm1.MAC, allNodes, "fd00::1", "ff02::1", "fd00::1",
				vm1.MAC)),
			on("acc0", "question for a link-local address that follows from a MAC", solicit(vm1.MAC, vm1LL, vm2LL)),
			on("acc0", "question for a link-local address that nobody knows", solicit(vm1.MAC, vm1LL, anyLL)),
			on("acc0", "answer to one elsewhere", advert(vm1.MAC, vm2.MAC, vm1LL, vm2LL, vm1LL, vm1.MAC)),
			on("acc0", "router solicitation", routerSolicit(vm1.MAC, vm1LL, vm1.MAC)),
			on("acc0", "router advertisement", routerAdvert(vm1.MAC, allNodes, vm1LL, "ff02::1", vm1.MAC)),
			on("acc0", "IPv4 in SNAP", snap(udp4(vm1, vm3, 0, 9, 40), 0)),
			on("acc0", "PPPoE", typed(udp4(vm1, vm3, 0, 9, 40), 0x8864)),
			on("acc0", "UDP from ::", udp6(host(vm1.MAC, "", "::"), vm3, 9, 40)),
			on("acc0", "who listens to which group, from ::", mld("::", 143)),
			on("fab0", "announcement by ARP request", outer(model.Scheme16, gratuitous(vm2, 1), nil)),
			on("fab0", "announcement of the router's address",
				outer(model.Scheme16, gratuitous(host(vm2.MAC, "10.0.0.254", ""), 1), nil)),
			on("fab0", "unsolicited advertisement",
				outer(model.Scheme16, advert(vm2.MAC, allNodes, "fd00::2", "ff02::1", "fd00::2", vm2.MAC), nil)),
			on("fab0", "router advertisement",
				outer(model.Scheme16, routerAdvert(vm2.MAC, allNodes, vm2LL, "ff02::1", vm2.MAC), nil)),
			on("fab0", "bridge protocol", outer(model.Scheme16, raw(ethernet(0x0180c2000000, vm2.MAC, 38, 60)), nil)),
			fabric("from a port that no switch has",
				func(o *endpoint.Outer) { o.Src = netip.MustParseAddr("10.0.0.7") }),
		}},
		{name: "forged-fabric-cut", config: "host", in: cut},
		{name: "forged-access", config: "host", in: []input{
			on("acc0", "foreign MAC", udp4(vm3, vm2, 0, 1, 18)),
			on("acc0", "foreign IPv4", udp4(host(vm1.MAC, "10.0.0.3", ""), vm2, 0, 1, 18)),
			on("acc0", "foreign IPv6", udp6(host(vm1.MAC, "", "fd00::3"), vm2, 1, 18)),
			on("acc0", "foreign VLAN", udp4(vm1, vm2, 30, 1, 18)),
			on("acc1", "other tenant's VIF on the wrong VLAN", udp4(vm1, vm2, 20, 1, 18)),
			on("acc0", "foreign ARP sender", func() ([]byte, error) {
				return endpoint.ARPRequest(host(vm1.MAC, "10.0.0.3", ""), 0, vm2.IPv4)
			}),
			on("acc0", "foreign ND sender", func() ([]byte, error) {
				return endpoint.NeighborSolicitation(host(vm1.MAC, "", "fd00::3"), 0, vm2.IPv6)
			}),
			on("acc0", "ready-made encapsulation with a path's tag", func() ([]byte, error) {
				b, err := inner()
				o := endpoint.Outer{DstMAC: switchB, SrcMAC: switchA, Tagged: true, VID: 101, Flags: 0x4000, TTL: 64,
					Proto: endpoint.Proto143, Src: endpoint.Special(model.Scheme16, 3, 7),
					Dst: endpoint.Special(model.Scheme16, 5, 200), Inner: b}
				return o.Encode(), err
			}),
			on("acc0", "ready-made encapsulation, untagged, own source MAC", func() ([]byte, error) {
				b, err := inner()
				o := endpoint.Outer{DstMAC: switchB, SrcMAC: vm1.MAC, Flags: 0x4000, TTL: 64, Proto: endpoint.Proto143,
					Src: vm1.IPv4, Dst: endpoint.Special(model.Scheme16, 5, 200), Inner: b}
				return o.Encode(), err
			}),
			on("acc0", "link-local group", raw(ethernet(0x0180c200000e, vm1.MAC, 0x88cc, 60))),
			on("acc0", "source is a group", raw(ethernet(vm2.MAC, 0x010000000001, 0x88b7, 60))),
			on("acc0", "too short", raw(make([]byte, 13))),
		}},
		{name: "local", config: "host", in: []input{
			on("acc0", "VIF on another port", udp4(vm1, vm3, 0, 1000, 18)),
			on("acc0", "checksum left to hardware", changed(udp4(vm1, vm3, 0, 1000, 18), unfinished)),
			on("acc0", "broadcast: to vm3, vm2's box, vm4's box",
				raw(ethernet(endpoint.Broadcast, vm1.MAC, 0x88b7, 60))),
			on("acc1", "unknown unicast where it is flooded",
				raw(tagged(40, ethernet(0x0200000000ee, lab1.MAC, 0x88b7, 60)))),
			on("acc1", "any source where anti-spoofing is off",
				raw(tagged(40, ethernet(0x020000000022, 0x0200000000dd, 0x88b7, 60)))),
		}},
		{name: "resolve", config: "host", in: []input{
			on("acc0", "ARP for a remote VIF", func() ([]byte, error) { return endpoint.ARPRequest(vm1, 0, vm2.IPv4) }),
			on("acc0", "ARP for a VIF on another port",
				func() ([]byte, error) { return endpoint.ARPRequest(vm1, 0, vm3.IPv4) }),
			on("acc0", "ARP for the router",
				func() ([]byte, error) { return endpoint.ARPRequest(vm1, 0, router.IPv4) }),
			on("acc0", "ARP for nobody", func() ([]byte, error) {
				return endpoint.ARPRequest(vm1, 0, netip.MustParseAddr("10.0.0.77"))
			}),
			on("acc0", "gratuitous ARP", func() ([]byte, error) { return endpoint.ARPRequest(vm1, 0, vm1.IPv4) }),
			on("acc0", "ARP for an address of another tenant's subnet only",
				func() ([]byte, error) { return endpoint.ARPRequest(vm1, 0, db1.IPv4) }),
			on("acc1", "tagged ARP is answered tagged",
				func() ([]byte, error) { return endpoint.ARPRequest(vm1, 30, vm2.IPv4) }),
			on("acc0", "ND for a remote VIF",
				func() ([]byte, error) { return endpoint.NeighborSolicitation(vm1, 0, vm2.IPv6) }),
			on("acc0", "ND for the router",
				func() ([]byte, error) { return endpoint.NeighborSolicitation(vm1, 0, router.IPv6) }),
			on("acc0", "ND for nobody", func() ([]byte, error) {
				return endpoint.NeighborSolicitation(vm1, 0, netip.MustParseAddr("fd00::77"))
			}),
			on("fab0", "the switch asks for the box address", func() ([]byte, error) {
				return endpoint.ARPRequest(host(switchA, "0.0.0.0", ""), 0, netip.MustParseAddr("10.3.0.1"))
			}),
			on("fab0", "somebody else asks for the box address", func() ([]byte, error) {
				return endpoint.ARPRequest(host(0x0200000000ee, "0.0.0.0", ""), 0, netip.MustParseAddr("10.3.0.1"))
			}),
		}},
		{name: "route", config: "host", in: []input{
			on("acc0", "to a local VIF of another subnet", udp4(vm1, via(db1), 0, 1000, 18)),
			on("acc0", "to a remote VIF of another subnet", udp4(vm1, via(db2), 0, 1000, 18)),
			on("acc0", "IPv6 to a remote VIF of another subnet", udp6(vm1, via(db2), 1000, 18)),
			on("acc0", "ping the router", echo(vm1, router, 64, 32)),
			on("acc0", "ping the router's other address", echo(vm1, host(router.MAC, "10.0.1.254", ""), 64, 32)),
			on("acc0", "TTL 1", udp4ttl(vm1, via(db1), 1)),
			on("acc0", "no subnet", udp4(vm1, host(router.MAC, "192.0.2.1", ""), 0, 1000, 18)),
			on("acc0", "no binding in the subnet", udp4(vm1, host(router.MAC, "10.0.1.77", ""), 0, 1000, 18)),
			on("acc0", "UDP to the router itself", udp4(vm1, router, 0, 1000, 18)),
		}},
		{name: "mtu", config: "host", in: []input{
			on("acc0", "as large as fits", changed(udp4(vm1, vm2, 0, 1000, 1500-28), withDF)),
			on("acc0", "to a local VIF", changed(udp4(vm1, vm3, 0, 1000, 1500-28), withDF)),
			on("acc0", "MSS too large", tcpSYN(vm1, vm2, 8960)),
			on("acc0", "MSS that fits", tcpSYN(vm1, vm2, 1400)),
			on("acc0", "MSS towards a local VIF is left alone", tcpSYN(vm1, vm3, 8960)),
		}},
		{name: "mtu-small-fabric", config: "host-mtu", in: []input{
			on("acc0", "DF: answered", changed(udp4(vm1, vm2, 0, 1000, 1500-28), withDF)),
			on("acc0", "DF through the router: answered", changed(udp4(vm1, via(db2), 0, 1000, 1500-28), withDF)),
			on("acc0", "no DF: dropped", udp4(vm1, vm2, 0, 1000, 1500-28)),
			on("acc0", "IPv6: answered", udp6(vm1, vm2, 1000, 1500-48)),
			on("acc0", "not IP: dropped", raw(ethernet(vm2.MAC, vm1.MAC, 0x88b7, 1514))),
			on("acc0", "MSS clamped to the small fabric", tcpSYN(vm1, vm2, 1460)),
		}},
		{name: "edge", config: "edge", in: edgeInputs()},
	}
}

func edgeInputs() []input {
	enc := func(port uint8, edit func(*endpoint.Outer)) func() ([]byte, error) {
		return outer(model.Scheme16, udp4(vm2, vm1, 0, 1053, 18), func(o *endpoint.Outer) {
			o.SrcMAC, o.DstMAC, o.Tagged, o.VID, o.TTL = switchB, switchA, true, 101, 64
			o.Dst = endpoint.Special(model.Scheme16, port, 100)
			if edit != nil {
				edit(o)
			}
		})
	}
	return []input{
		on("trunk1", "to the box behind downlink 3", enc(3, nil)),
		on("trunk1", "no such downlink", enc(8, nil)),
		on("trunk1", "downlink whose box has not answered ARP", enc(4, nil)),
		on("trunk1", "TTL 1", enc(3, func(o *endpoint.Outer) { o.TTL = 1 })),
		on("trunk1", "VLAN that the trunk does not carry", enc(3, func(o *endpoint.Outer) { o.VID = 102 })),
		on("trunk1", "untagged", enc(3, func(o *endpoint.Outer) { o.Tagged = false })),
		on("down3", "to a learned switch: trunk 1",
			enc(5, func(o *endpoint.Outer) { o.SrcMAC, o.DstMAC = switchA, switchB })),
		on("down3", "same switch: box 3 to box 9", enc(9, func(o *endpoint.Outer) { o.SrcMAC = boxMAC })),
		on("down3", "foreign source", enc(5, func(o *endpoint.Outer) { o.SrcMAC, o.DstMAC = 0x0200000000ee, switchB })),
		on("down3", "VLAN that no trunk carries",
			enc(5, func(o *endpoint.Outer) { o.SrcMAC, o.DstMAC, o.VID = switchA, switchB, 999 })),
		on("down3", "unknown destination: flooded in VLAN 103",
			enc(5, func(o *endpoint.Outer) { o.SrcMAC, o.DstMAC, o.VID = switchA, 0x02000000fa0c, 103 })),
		on("trunk2", "transit: VLAN 103 to trunk 3",
			enc(5, func(o *endpoint.Outer) { o.SrcMAC, o.DstMAC, o.VID = 0x02000000fa0d, 0x02000000fa0c, 103 })),
		on("trunk3", "transit back, learned",
			enc(5, func(o *endpoint.Outer) { o.SrcMAC, o.DstMAC, o.VID = 0x02000000fa0c, 0x02000000fa0d, 103 })),
		on("trunk1", "LLDP is for control", raw(ethernet(0x0180c200000e, switchB, 0x88cc, 60))),
	}
}

// ethernet returns a frame of n octets with a payload that counts up.
func ethernet(dst, src model.MAC, etherType uint16, n int) []byte {
	b := make([]byte, 0, n)
	b = append(b, endpoint.Hardware(dst)...)
	b = append(b, endpoint.Hardware(src)...)
	b = binary.BigEndian.AppendUint16(b, etherType)
	return append(b, payload(n-14)...)
}

// tagged puts an 802.1Q tag into a frame.
func tagged(vid uint16, b []byte) []byte {
	t := binary.BigEndian.AppendUint16(append([]byte(nil), b[:12]...), 0x8100)
	return append(binary.BigEndian.AppendUint16(t, vid), b[12:]...)
}

// dscp sets the DSCP of the IPv4 packet at an offset, with the header checksum.
func dscp(b []byte, at int, v uint8) []byte { return octet(b, at, v<<2) }

// octet sets the octet of DSCP and ECN of the IPv4 packet at an offset, where it was 0, with the header checksum.
func octet(b []byte, at int, v uint8) []byte {
	sum := uint32(^binary.BigEndian.Uint16(b[at+10:])) + uint32(v)
	b[at+1] = v
	binary.BigEndian.PutUint16(b[at+10:], ^uint16(sum>>16+sum))
	return b
}

// options makes the outer header one word longer.
func options(b []byte) []byte {
	o := append([]byte(nil), b[:34]...)
	o = append(append(o, 1, 1, 1, 1), b[34:]...)
	ip := o[14:]
	ip[0] = 0x46
	binary.BigEndian.PutUint16(ip[2:], binary.BigEndian.Uint16(ip[2:])+4)
	ip[10], ip[11] = 0, 0
	var sum uint32
	for i := 0; i < 24; i += 2 {
		sum += uint32(binary.BigEndian.Uint16(ip[i:]))
	}
	sum = sum>>16 + sum&0xffff
	binary.BigEndian.PutUint16(ip[10:], ^uint16(sum>>16+sum))
	return o
}

func udp4ttl(from, to endpoint.Host, ttl uint8) func() ([]byte, error) {
	return func() ([]byte, error) {
		ip := &layers.IPv4{Version: 4, TTL: ttl, Protocol: layers.IPProtocolUDP, SrcIP: from.IPv4.AsSlice(),
			DstIP: to.IPv4.AsSlice()}
		udp := &layers.UDP{SrcPort: 1000, DstPort: 33434}
		if err := udp.SetNetworkLayerForChecksum(ip); err != nil {
			return nil, err
		}
		return endpoint.Serialize(append(endpoint.Ethernet(from.MAC, to.MAC, 0, layers.EthernetTypeIPv4), ip, udp,
			gopacket.Payload(payload(32)))...)
	}
}
