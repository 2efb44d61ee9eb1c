package edge

import (
	"encoding/binary"
	"net"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"penstock/dataplane/fib"
	"penstock/dataplane/frame"
	"penstock/dataplane/parse"
	"penstock/dataplane/stage"
	"penstock/dataplane/stats"
	"penstock/dataplane/wire"
)

// The switch of the tests: three downlinks (the third box not resolved) and three trunks.
const (
	portDown1 = iota // number 1
	portDown2        // number 2
	portDown3        // number 3, not resolved
	portTrunkA
	portTrunkB
	portTrunkC
	portAccess // not the edge switch's
	portCount
)

const (
	ownMAC    = 0x02aa00000001
	remoteMAC = 0x02bb00000001 // another edge switch
	otherMAC  = 0x02cc00000001
	box1MAC   = 0x020000000101
	box2MAC   = 0x020000000102

	vidAB      = 10 // trunks A and B
	vidABC     = 20 // trunks A, B and C
	vidC       = 30 // trunk C alone
	vidControl = 99 // all trunks and downlinks
	vidNowhere = 40
)

// newSnapshot builds the test switch under the 10.p.t scheme.
func newSnapshot() *fib.Snapshot {
	s := &fib.Snapshot{Ports: make([]fib.Port, portCount)}
	e := &s.Edge
	e.MAC, e.HostBits, e.Net, e.ControlVID = ownMAC, 16, 10<<24, vidControl
	e.ByPort = make([]fib.EdgePort, portCount)
	e.VLANs = new([4096][]uint16)
	for i := range s.Ports {
		s.Ports[i] = fib.Port{Role: fib.RoleTrunk, Up: true, MTU: 1600, MAC: 0x020000001000 + uint64(i)}
	}
	s.Ports[portAccess].Role = fib.RoleAccess
	for i, mac := range []uint64{box1MAC, box2MAC, 0} {
		s.Ports[i].Role = fib.RoleDownlink
		e.ByPort[i].Number = uint8(i + 1)
		e.Downlinks[i+1] = fib.EdgeDownlink{Valid: true, Port: uint16(i), BoxMAC: mac}
		e.VLANs[vidControl] = append(e.VLANs[vidControl], uint16(i))
	}
	for port, vids := range map[uint16][]uint16{
		portTrunkA: {vidAB, vidABC, vidControl},
		portTrunkB: {vidAB, vidABC, vidControl},
		portTrunkC: {vidABC, vidC, vidControl},
	} {
		allow := new([64]uint64)
		for _, v := range vids {
			allow[v/64] |= 1 << (v % 64)
		}
		e.ByPort[port].Allow = allow
	}
	for _, port := range []uint16{portTrunkA, portTrunkB, portTrunkC} {
		for _, v := range []uint16{vidAB, vidABC, vidC, vidControl} {
			if allowed(e.ByPort[port].Allow, v) {
				e.VLANs[v] = append(e.VLANs[v], port)
			}
		}
	}
	return s
}

func hw(m uint64) net.HardwareAddr {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], m)
	return b[2:]
}

// build serializes the layers as gopacket does.
func build(t testing.TB, ls ...gopacket.SerializableLayer) []byte {
	t.Helper()
	buf := gopacket.NewSerializeBuffer()
	err := gopacket.SerializeLayers(buf, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, ls...)
	if err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// tagged returns a frame with an Ethernet header, a tag and the layers in rest. A negative vid means no tag.
func tagged(
	t testing.TB, dst, src uint64, vid int, typ layers.EthernetType, rest ...gopacket.SerializableLayer,
) []byte {
	t.Helper()
	eth := &layers.Ethernet{DstMAC: hw(dst), SrcMAC: hw(src), EthernetType: typ}
	ls := []gopacket.SerializableLayer{eth}
	if vid >= 0 {
		eth.EthernetType = layers.EthernetTypeDot1Q
		ls = append(ls, &layers.Dot1Q{VLANIdentifier: uint16(vid), Priority: 5, Type: typ})
	}
	return build(t, append(ls, rest...)...)
}

// overlayPacket returns an encapsulated frame as a box sends it, with size octets instead of an inner frame.
func overlayPacket(t testing.TB, dst, src uint64, vid int, ip string, ttl uint8, size int) []byte {
	return tagged(t, dst, src, vid, layers.EthernetTypeIPv4, &layers.IPv4{
		Version: 4, TTL: ttl, Id: uint16(max(vid, 0)), Flags: layers.IPv4DontFragment, Protocol: 143,
		SrcIP: net.IPv4(10, 1, 0, 7), DstIP: net.ParseIP(ip),
	}, gopacket.Payload(make([]byte, size)))
}

func arpPacket(t testing.TB, dst, src uint64, vid int, op uint16) []byte {
	return tagged(t, dst, src, vid, layers.EthernetTypeARP, &layers.ARP{
		AddrType: layers.LinkTypeEthernet, Protocol: layers.EthernetTypeIPv4, HwAddressSize: 6, ProtAddressSize: 4,
		Operation: op, SourceHwAddress: hw(src), SourceProtAddress: []byte{10, 1, 0, 1},
		DstHwAddress: hw(ownMAC), DstProtAddress: []byte{0, 0, 0, 0},
	})
}

func payload(t testing.TB, dst, src uint64, vid int, typ layers.EthernetType) []byte {
	return tagged(t, dst, src, vid, typ, gopacket.Payload(make([]byte, 46)))
}

// headerSum returns the one's complement sum of an IPv4 header, 0xffff if its checksum is right.
func headerSum(h []byte) uint16 {
	var sum uint32
	for i := 0; i+1 < len(h); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(h[i:]))
	}
	for sum>>16 != 0 {
		sum = sum&0xffff + sum>>16
	}
	return uint16(sum)
}

const (
	frameSize = 2048
	macHeader = wire.EthernetLen
	tagSize   = wire.VLANTagLen
)

// bench is a switch with memory for one batch.
type bench struct {
	*State
	s      *fib.Snapshot
	b      frame.Batch
	copies []frame.Packet // made by the last run; Seg is the index of the original
}

// copyFrames is the number of free frames that a bench has for copies.
const copyFrames = 1024

func newBench() *bench {
	s := newSnapshot()
	const frames = frame.BatchSize + copyFrames
	pool, err := frame.NewPool(frames, frameSize, 1)
	if err != nil {
		panic(err)
	}
	env := &stage.Env{
		Mem: make([]byte, frameSize*frames), Snap: s, Pool: pool, Cache: pool.NewCache(),
		Ports: stats.NewPorts(portCount + 1),
	}
	n := &bench{State: &State{Env: env, FDB: NewFDB(1024)}, s: s}
	for _, a := range n.take(frames) {
		if a >= frame.BatchSize*frameSize {
			env.Cache.Put(a)
		}
	}
	n.copies = make([]frame.Packet, 0, copyFrames)
	env.Emit = func(uint32) {
		n.copies = append(n.copies, env.Copies.Pkt[:env.Copies.N]...)
		env.Copies.N = 0
	}
	return n
}

// renew forgets all frames, tables and addresses. It keeps the memory: 2 MiB for each input would slow a fuzzer down.
func (n *bench) renew() {
	n.forget()
	n.b.N = 0
	n.s = newSnapshot()
	n.Snap, n.FDB = n.s, NewFDB(1024)
}

// take takes up to k free frames.
func (n *bench) take(k int) (addrs []uint32) {
	for range k {
		if a, ok := n.Cache.Get(); ok {
			addrs = append(addrs, a)
		}
	}
	return addrs
}

// forget frees the copies of the last run.
func (n *bench) forget() {
	for i := range n.copies {
		n.Free(n.copies[i].Off)
	}
	n.copies = n.copies[:0]
}

// add puts a frame received on port into the batch.
func (n *bench) add(port uint16, b []byte) {
	i := n.b.N
	p := &n.b.Pkt[i]
	*p = frame.Packet{Off: uint32(i*frameSize + frame.Headroom), Len: uint16(len(b)), Port: port}
	copy(p.Bytes(n.Mem), b)
	n.b.N++
	parse.Edge(n.Mem, p)
	p.Seg = uint32(i)
}

// run forwards the batch and empties it; the packets stay readable until the next add.
func (n *bench) run() []frame.Packet {
	n.forget()
	n.forward(&n.b)
	n.Emit(0)
	pkts := n.b.Pkt[:n.b.N]
	n.b.N = 0
	return pkts
}

// one forwards a single frame.
func (n *bench) one(port uint16, b []byte) frame.Packet {
	n.add(port, b)
	return n.run()[0]
}

// outs lists the ports that the last frame is sent out of.
func (n *bench) outs(p frame.Packet) []uint16 {
	if p.Next != frame.NextTx {
		return nil
	}
	o := []uint16{p.Out}
	for _, c := range n.copies {
		o = append(o, c.Out)
	}
	return o
}
