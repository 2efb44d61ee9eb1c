package golden

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	"github.com/google/gopacket/layers"

	"penstock/ctrl/model"
	"penstock/integration/endpoint"
	"penstock/integration/rig"
)

// A virtual service: client, director and server, each on a box of its own or together.

var (
	vipClient = host(0x02000000010a, "10.10.1.10", "fd00:10::10")
	vip4      = host(0x02560a0a0164, "10.10.1.100", "")
	vip6      = host(0x025600000100, "", "fd00:10::100")

	web1 = host(0x020000000114, "10.10.1.20", "fd00:10::20")
)

// The frames of PROTOCOL.md#balancer. Service 7 is HTTP, service 8 DNS.
const (
	requestSent = "02560a0a016402000000010a080045000028000140004006244e0a0a010a" +
		"0a0a01648ca0005011111111000000005002faf0ef5d0000"
	requestCarried = "02000000000b02000000000a81000065080045 00004a006540 00408f25570a0200010a030064"
	requestGot     = "020000000114024d4b000007080045000028000140003f06254e0a0a010a" +
		"0a0a01648ca01f9011111111000000005002faf0d01d0000"
	replySent = "02000000010a020000000114080045000028000240004006244d0a0a0164" +
		"0a0a010a1f908ca022222222111111125012faf08bc80000"
	replyGot = "02000000010a020000000114080045000028000240004006244d0a0a0164" +
		"0a0a010a00508ca022222222111111125012faf0ab080000"
	// UDP, once with a checksum that becomes zero and is sent as all ones, and once without a checksum.
	dnsSent  = "02560a0a016402000000010a08004500001e000300004011644b0a0a010a0a0a01648ca10035000a147f4803"
	dnsGot   = "020000000114024d4b00000808004500001e000300003f11654b0a0a010a0a0a01648ca114b4000affff4803"
	noneSent = "02560a0a016402000000010a08004500001e000300004011644b0a0a010a0a0a01648ca10035000a00000001"
	noneGot  = "020000000114024d4b00000808004500001e000300003f11654b0a0a010a0a0a01648ca114b4000a00000001"
)

func octets(s string) []byte {
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		panic(err) // a frame of this file
	}
	return b
}

func tcp6(from, to endpoint.Host, sport, dport layers.TCPPort, synAck bool) func() ([]byte, error) {
	return func() ([]byte, error) {
		ip := &layers.IPv6{Version: 6, HopLimit: 64, NextHeader: layers.IPProtocolTCP, SrcIP: from.IPv6.AsSlice(),
			DstIP: to.IPv6.AsSlice()}
		tcp := &layers.TCP{SrcPort: sport, DstPort: dport, SYN: true, ACK: synAck, Window: 64240, Seq: 0x11111111}
		if err := tcp.SetNetworkLayerForChecksum(ip); err != nil {
			return nil, err
		}
		return endpoint.Serialize(append(endpoint.Ethernet(from.MAC, to.MAC, 0, layers.EthernetTypeIPv6), ip, tcp)...)
	}
}

// dns6 is a datagram to port 53 whose checksum becomes zero with port 5300.
func dns6() ([]byte, error) {
	for n := range 1 << 16 {
		text := []byte{byte(n >> 8), byte(n)}
		f, err := endpoint.UDP6(vipClient, virtual6, 0, 36001, 5300, text)
		if err != nil {
			return nil, err
		}
		if sum := uint16(f[60])<<8 | uint16(f[61]); sum == 0 || sum == 0xffff {
			return endpoint.UDP6(vipClient, virtual6, 0, 36001, 53, text)
		}
	}
	return nil, fmt.Errorf("no payload gives a checksum of zero")
}

var (
	virtual6 = endpoint.Host{MAC: vip6.MAC, IPv6: vip6.IPv6}
	// server6 is the server as the sender of a reply.
	server6 = endpoint.Host{MAC: web1.MAC, IPv6: vip6.IPv6}
)

// carried is a frame between two boxes, as the receiver's edge switch hands it over.
func carried(from, to uint8, inner func() ([]byte, error)) func() ([]byte, error) {
	return outer(model.Scheme16, inner, func(o *endpoint.Outer) {
		o.DstMAC, o.SrcMAC = 0x02000000fb00|model.MAC(to), switchOf(to)
		o.Src, o.Dst = endpoint.Special(model.Scheme16, from, 1), endpoint.Special(model.Scheme16, to, 100)
	})
}

// switchOf is the edge switch that a box hangs from: the source of what it gets.
func switchOf(port uint8) model.MAC {
	if port == agentPort {
		return 0x02000000000b
	}
	return 0x02000000000a
}

// Switch ports of the boxes.
const (
	directorPort = 2
	agentPort    = 3
	clientPort   = 7
)

func balanceCases() []goldenCase {
	syn6, synAck6 := tcp6(vipClient, virtual6, 36000, 80, false), tcp6(server6, vipClient, 8080, 36000, true)
	asked := []input{
		on("acc0", "SYN to the virtual address", raw(octets(requestSent))),
		on("acc0", "UDP whose checksum becomes zero", raw(octets(dnsSent))),
		on("acc0", "UDP without a checksum", raw(octets(noneSent))),
		on("acc0", "IPv6: SYN", syn6),
		on("acc0", "IPv6: UDP whose checksum becomes zero", dns6),
		on("acc0", "ARP for the virtual address", func() ([]byte, error) {
			return endpoint.ARPRequest(vipClient, 0, vip4.IPv4)
		}),
		on("acc0", "neighbour solicitation for the virtual address", func() ([]byte, error) {
			return endpoint.NeighborSolicitation(vipClient, 0, vip6.IPv6)
		}),
		on("acc0", "a forged mark",
			raw(octets(strings.Replace(requestSent, "02000000010a0800", "024d4b0000070800", 1)))),
	}
	answered := []input{
		on("acc1", "SYN-ACK from the virtual address", raw(octets(replySent))),
		on("acc1", "IPv6: SYN-ACK", synAck6),
		on("acc1", "from a port that no service has",
			raw(octets(strings.Replace(replySent, "1f908ca0", "00168ca0", 1)))),
	}
	relayed := func() (list []input) {
		for _, in := range asked[:5] {
			list = append(list, on("fab0", in.note, carried(clientPort, directorPort, in.make)))
		}
		return list
	}
	return []goldenCase{
		{name: "balance-director", config: "balance-director", in: append(asked, relayed()...)},
		{name: "balance-one", config: "balance-one", in: append(asked[:len(asked):len(asked)], answered...)},
		{name: "balance-client", config: "balance-client", in: append(asked[:len(asked):len(asked)],
			on("fab0", "reply", carried(agentPort, clientPort, raw(octets(replyGot)))))},
		{name: "balance-agent", config: "balance-agent", in: append([]input{
			on("fab0", "a marked SYN", carried(directorPort, agentPort, raw(octets(requestGot)))),
			on("fab0", "a marked datagram", carried(directorPort, agentPort, raw(octets(dnsGot)))),
			on("fab0", "a marked datagram without a checksum", carried(directorPort, agentPort, raw(octets(noneGot)))),
		}, answered...)},
	}
}

// balancedBoxes are boxes by their number at the edge switches.
type balancedBoxes map[uint8]*rig.Rig

const (
	boxAcc0, boxAcc1, boxFabric = 0, 1, 2
)

// carry puts a frame into a port of a box, takes what leaves it from box to box, and returns what reaches access ports,
// and the frame that the director sent into the fabric, if there was one.
func (b balancedBoxes) carry(t *testing.T, at uint8, port int, frame []byte) (access [2][][]byte, directed []byte) {
	t.Helper()
	for hops := 0; frame != nil; hops++ {
		if hops == 4 {
			t.Fatal("the frame does not reach an access port")
		}
		r := b[at]
		if r == nil {
			t.Fatalf("a frame goes to port %d of the switches, where no box is: % x", at, frame)
		}
		if err := r.Receive(port, frame); err != nil {
			t.Fatal(err)
		}
		for p := range access {
			access[p] = append(access[p], r.Sent(p)...)
		}
		fabric := r.Sent(boxFabric)
		if frame = nil; len(fabric) == 0 {
			break
		}
		if len(fabric) > 1 {
			t.Fatalf("one frame came in, %d left for the fabric", len(fabric))
		}
		if at == directorPort {
			directed = fabric[0]
		}
		o, err := endpoint.DecodeOuter(fabric[0])
		if err != nil {
			t.Fatal(err)
		}
		to := o.Dst.As4()[1]
		o.Tagged, o.SrcMAC, o.DstMAC = false, switchOf(to), 0x02000000fb00|model.MAC(to)
		at, port, frame = to, boxFabric, o.Encode()
	}
	return access, directed
}

// TestBalanceFrames: what client and server receive is the same, octet for octet, wherever client, director and server
// are, and so is what the director sends into the fabric.
func TestBalanceFrames(t *testing.T) {
	make6 := func(f func() ([]byte, error)) []byte {
		b, err := f()
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	syn6 := make6(tcp6(vipClient, virtual6, 36000, 80, false))
	udp6 := make6(dns6)
	synAck6 := make6(tcp6(server6, vipClient, 8080, 36000, true))
	// What a server gets and what a client gets over IPv6, made whole: header, port and checksum.
	marked := func(service byte, f []byte) []byte {
		f = bytes.Clone(f)
		copy(f, endpoint.Hardware(web1.MAC))
		copy(f[6:], []byte{0x02, 0x4d, 0x4b, 0, 0, service})
		f[21]-- // hop limit
		return f
	}
	got6 := marked(9, make6(tcp6(vipClient, virtual6, 36000, 8080, false)))
	gotUDP6 := marked(10, make6(func() ([]byte, error) {
		return endpoint.UDP6(vipClient, virtual6, 0, 36001, 5300, udp6[62:])
	}))
	gotUDP6[60], gotUDP6[61] = 0xff, 0xff
	back6 := make6(tcp6(server6, vipClient, 80, 36000, true))
	for _, p := range []struct {
		name           string
		boxes          map[uint8]string
		client, server uint8
	}{
		{"one box", map[uint8]string{directorPort: "balance-one"}, directorPort, directorPort},
		{"two boxes, client at the director", map[uint8]string{directorPort: "balance-director",
			agentPort: "balance-agent-near"}, directorPort, agentPort},
		{"two boxes, server at the director", map[uint8]string{directorPort: "balance-with-server",
			clientPort: "balance-client"}, clientPort, directorPort},
		{"three boxes", map[uint8]string{directorPort: "balance-director-only", agentPort: "balance-agent",
			clientPort: "balance-client"}, clientPort, agentPort},
	} {
		t.Run(p.name, func(t *testing.T) {
			b := balancedBoxes{}
			for n, config := range p.boxes {
				b[n], _ = load(t, config)
			}
			for _, f := range []struct {
				note       string
				reply      bool
				sent, want []byte
			}{
				{"SYN", false, octets(requestSent), octets(requestGot)},
				{"SYN-ACK", true, octets(replySent), octets(replyGot)},
				{"UDP checksum that becomes zero", false, octets(dnsSent), octets(dnsGot)},
				{"UDP without a checksum", false, octets(noneSent), octets(noneGot)},
				{"IPv6 SYN", false, syn6, got6},
				{"IPv6 SYN-ACK", true, synAck6, back6},
				{"IPv6 UDP checksum that becomes zero", false, udp6, gotUDP6},
			} {
				from, port, to := p.client, boxAcc0, boxAcc1
				if f.reply {
					from, port, to = p.server, boxAcc1, boxAcc0
				}
				got, directed := b.carry(t, from, port, f.sent)
				if len(got[to]) != 1 || !bytes.Equal(got[to][0], f.want) || len(got[1-to]) != 0 {
					t.Errorf("%s: got % x, want % x alone", f.note, got, f.want)
				}
				if f.note == "SYN" && p.server == agentPort &&
					!bytes.Equal(directed, append(octets(requestCarried), f.want...)) {
					t.Errorf("the director sent % x, want % x%s", directed, octets(requestCarried), requestGot)
				}
				if f.reply && p.server != directorPort && p.client != directorPort && directed != nil {
					t.Errorf("a reply went through the director: % x", directed)
				}
			}
			for n, r := range b {
				if bad, first := r.Verify.Violations(); bad > 0 {
					t.Errorf("frame ownership in box %d: %d violations: %v", n, bad, first)
				}
				accounted(t, r, 3)
			}
		})
	}
}
