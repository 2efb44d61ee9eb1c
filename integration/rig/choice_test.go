package rig

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"
	"math/rand/v2"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"penstock/ctrl/model"
	"penstock/integration/endpoint"
)

// The choice of paths as PROTOCOL.md#path-choice has it, written from that text and not from the dataplane: what
// another implementation would do.

const (
	docA = 0xa0761d6478bd642f
	docB = 0xe7037ed1a0b428db
	docC = 0x8ebc6af09c88c6e3
)

func docMix(a, b uint64) uint32 {
	hi, lo := bits.Mul64(a^docA, b^docB)
	return uint32(((hi ^ lo) * docC) >> 32)
}

func docMix3(a, b, c uint64) uint32 {
	hi, lo := bits.Mul64(a^docA, b^docB)
	return docMix(hi^lo, c)
}

func docFlow4(src, dst uint32, proto uint8, ports uint32, whole bool) uint32 {
	b := uint64(proto)
	if whole && (proto == 6 || proto == 17) {
		b |= uint64(ports) << 8
	}
	return docMix(uint64(src)<<32|uint64(dst), b)
}

func docFlow6(src, dst []byte, proto uint8, ports uint32, whole bool) uint32 {
	half := func(a []byte) uint64 { return binary.BigEndian.Uint64(a)*docC ^ binary.BigEndian.Uint64(a[8:]) }
	b := uint64(proto)
	if whole && (proto == 6 || proto == 17) {
		b |= uint64(ports) << 8
	}
	return docMix3(half(src), half(dst), b)
}

func docFlowLink(dst, src model.MAC, etherType uint16) uint32 {
	return docMix(uint64(dst), uint64(src)<<16|uint64(etherType))
}

func docSeed(egress model.MAC, vid uint16, ingress model.MAC, port uint8) uint32 {
	fnv := uint64(0xcbf29ce484222325)
	for _, v := range []uint64{uint64(egress), uint64(vid), uint64(ingress), uint64(port)} {
		for _, octet := range binary.LittleEndian.AppendUint64(nil, v) {
			fnv = (fnv ^ uint64(octet)) * 0x100000001b3
		}
	}
	return uint32(fnv ^ fnv>>32)
}

func docScore(flow, seed uint32) uint64 {
	z := uint64(seed)*0x9e3779b97f4a7c15 + 0x632be59bd9b4e019
	z = (z ^ z>>32) * 0xd6e8feb86659fd93
	z = (z ^ z>>29) * 0xff51afd7ed558ccd
	z ^= z >> 32
	x := uint64(flow) * docA
	return ((x ^ x>>32) ^ z) * docB
}

func docLog(x uint64) uint64 {
	table := func(i uint64) uint64 { return uint64(math.Round(math.Log2(1+float64(i)/256) * (1 << 32))) }
	k := bits.Len64(x) - 1
	below := (x - 1<<k) << (63 - k) // behind the leading one, in 63 bits
	i, f := below>>55, below>>23&0xffffffff
	return uint64(k)<<32 + table(i) + (table(i+1)-table(i))*f>>32
}

// docChoice returns the index of the chosen candidate.
func docChoice(flow uint32, seeds []uint32, weights []uint16) (best int) {
	equal := true
	for _, w := range weights {
		equal = equal && w == weights[0]
	}
	var most uint64
	for i, seed := range seeds {
		s := docScore(flow, seed)
		if equal {
			if s>>16 >= most {
				best, most = i, s>>16
			}
			continue
		}
		h := s >> 32
		if v := uint64(weights[i]) << 48 / (33<<32 - docLog(2*h+1)); i == 0 || v > most {
			best, most = i, v
		}
	}
	return best
}

// TestPathChoice sends frames of all kinds through a box, and compares the VLANs with PROTOCOL.md#path-choice.
func TestPathChoice(t *testing.T) {
	for _, weights := range [][]uint16{{1, 1, 1, 1, 1}, {7, 7, 7}, {1, 2, 3, 50}, {100, 1, 1}} {
		t.Run(fmt.Sprint(weights), func(t *testing.T) { pathChoice(t, weights) })
	}
}

func pathChoice(t *testing.T, weights []uint16) {
	o := world(1)
	path := model.Path{A: ourSwitch, B: otherSwitch}
	var seeds []uint32
	for i, w := range weights {
		vid := uint16(101 + 7*i)
		path.VLANs = append(path.VLANs, model.PathVLAN{VID: vid, Weight: w})
		seeds = append(seeds, docSeed(otherSwitch, vid, ourSwitch, 3))
	}
	o.State.Paths["p"] = path
	r := start(t, o)
	rng := rand.New(rand.NewPCG(1, uint64(len(weights))))
	used := map[uint16]int{}
	for n := range 600 {
		name, frame, flow := anyFrame(t, rng, n)
		receive(t, r, acc0, frame)
		out := r.Sent(fab0)
		if len(out) != 1 {
			t.Fatalf("%s: %d frames by the fabric, want 1; dropped: %v", name, len(out), dropped(r, acc0))
		}
		got, err := endpoint.DecodeOuter(out[0])
		if err != nil {
			t.Fatalf("%s: got %v, want an encapsulated frame", name, err)
		}
		if want := path.VLANs[docChoice(flow, seeds, weights)].VID; got.VID != want {
			t.Errorf("%s, flow hash %08x: VLAN %d, want %d", name, flow, got.VID, want)
		}
		used[got.VID]++
	}
	if len(used) < 2 {
		t.Errorf("all frames by VLAN %v, want several VLANs", used)
	}
}

// anyFrame returns frame n of vm1 to the remote VIF, of one of several kinds in turn, and the flow hash of
// PROTOCOL.md#path-choice.
func anyFrame(t *testing.T, rng *rand.Rand, n int) (name string, frame []byte, flow uint32) {
	t.Helper()
	p1, p2 := uint16(1024+rng.IntN(60000)), uint16(2000+rng.IntN(60000))
	ports := uint32(p1)<<16 | uint32(p2)
	eth := layers.Ethernet{DstMAC: hw(remoteMAC(0)), SrcMAC: hw(localMAC), EthernetType: layers.EthernetTypeIPv4}
	src4, dst4 := host4(localIP), host4(remoteIP(0))
	ip4 := layers.IPv4{Version: 4, TTL: 64, SrcIP: src4[:], DstIP: dst4[:]}
	src6, dst6 := host6(localIP6), host6("fd00:1::100")
	ip6 := layers.IPv6{Version: 6, HopLimit: 64, SrcIP: src6[:], DstIP: dst6[:]}
	s4, d4 := binary.BigEndian.Uint32(src4[:]), binary.BigEndian.Uint32(dst4[:])
	body := gopacket.Payload(make([]byte, 40))
	udp := &layers.UDP{SrcPort: layers.UDPPort(p1), DstPort: layers.UDPPort(p2)}
	tcp := &layers.TCP{SrcPort: layers.TCPPort(p1), DstPort: layers.TCPPort(p2), ACK: true}
	switch n % 8 {
	case 0:
		ip4.Protocol = layers.IPProtocolUDP
		return "UDP", build(t, &eth, &ip4, udp, body), docFlow4(s4, d4, 17, ports, true)
	case 1:
		ip4.Protocol = layers.IPProtocolTCP
		return "TCP", build(t, &eth, &ip4, tcp, body), docFlow4(s4, d4, 6, ports, true)
	case 2:
		ip4.Protocol, ip4.Flags = layers.IPProtocolUDP, layers.IPv4MoreFragments
		return "first fragment", build(t, &eth, &ip4, udp, body), docFlow4(s4, d4, 17, ports, false)
	case 3:
		proto := uint8(200 + rng.IntN(50))
		ip4.Protocol = layers.IPProtocol(proto)
		return fmt.Sprintf("IPv4 protocol %d", proto), build(t, &eth, &ip4, body), docFlow4(s4, d4, proto, 0, true)
	case 4:
		eth.EthernetType, ip6.NextHeader = layers.EthernetTypeIPv6, layers.IPProtocolUDP
		return "UDP in IPv6", build(t, &eth, &ip6, udp, body), docFlow6(src6[:], dst6[:], 17, ports, true)
	case 5:
		eth.EthernetType, ip6.NextHeader = layers.EthernetTypeIPv6, layers.IPProtocolTCP
		return "TCP in IPv6", build(t, &eth, &ip6, tcp, body), docFlow6(src6[:], dst6[:], 6, ports, true)
	case 6:
		proto := uint8(200 + rng.IntN(50))
		eth.EthernetType, ip6.NextHeader = layers.EthernetTypeIPv6, layers.IPProtocol(proto)
		return fmt.Sprintf("IPv6 protocol %d", proto), build(t, &eth, &ip6, body),
			docFlow6(src6[:], dst6[:], proto, 0, true)
	default:
		etherType := uint16(0xa000 + rng.IntN(4096))
		eth.EthernetType = layers.EthernetType(etherType)
		return fmt.Sprintf("EtherType %04x", etherType), build(t, &eth, body),
			docFlowLink(remoteMAC(0), localMAC, etherType)
	}
}
