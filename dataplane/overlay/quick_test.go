package overlay

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"testing"

	"penstock/dataplane/fib"
	"penstock/dataplane/frame"
	"penstock/dataplane/parse"
	"penstock/dataplane/stage"
	"penstock/dataplane/stats"
	"penstock/dataplane/table"
	"penstock/dataplane/wire/checksum"
)

const (
	quickVM     = 0x02000000000a
	quickPeer   = 0x02000000000b
	quickRouter = 0x0200000000fe
	quickSwitch = 0x0200000000aa
	quickBox    = 0x020000000f01
	quickUDP    = 7472 // port of form "udp"
)

// quickWorld is a box with an access port (untagged: strict VIF; VLAN 5: VIF held to its MAC; VLAN 6: open) and a
// fabric port at 10.2.0.0/16, and one of form "udp".
func quickWorld(t testing.TB) *fib.Snapshot {
	t.Helper()
	bindings, err := table.NewBindings(table.Config{Capacity: 16})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = bindings.Close() })
	tagged := new([4096]uint32)
	for i := range tagged {
		tagged[i] = fib.None
	}
	tagged[5], tagged[6] = 1, 2
	return &fib.Snapshot{
		Ports: []fib.Port{
			{Role: fib.RoleAccess, Up: true, MTU: 1500, Untagged: 0, Tagged: tagged},
			{Role: fib.RoleAccess, Up: true, MTU: 1500, Untagged: 2, Tagged: tagged, CompleteChecksums: true},
			{Role: fib.RoleFabric, Up: true, MTU: 1600, Fabric: fib.Fabric{
				SwitchMAC: quickSwitch, OwnMAC: quickBox, Prefix: 10<<24 | 2<<16, HostMask: 0xffff, Number: 2,
			}},
			{Role: fib.RoleFabric, Up: true, MTU: 1600, Fabric: fib.Fabric{
				SwitchMAC: quickSwitch, OwnMAC: quickBox, Prefix: 10<<24 | 2<<16, HostMask: 0xffff, Number: 2,
				BoxIP: 10<<24 | 2<<16 | 1, Form: fib.FormUDP, UDP: quickUDP,
			}},
		},
		Attachments: []fib.Attachment{{Seg: 0}, {Seg: 1, VID: 5}, {Seg: 1, VID: 6, Open: true}},
		VIFs: []fib.VIF{
			{MAC: quickVM, Attach: 0, IP4: []uint32{0x0a000001, 0x0a000002}},
			{MAC: quickVM, Attach: 1, Seg: 1, Policy: fib.PolicyMAC, Agent: &fib.Agent{ // a real server
				VIPs4: []fib.SegmentVIP4{{IP: 0x0a000002, VIP: 0}},
				Rules: []fib.ReplyRule{
					{Proto: protoTCP, Last: 0xffff, To: 7, Service: fib.None, Server: fib.None},
					{Proto: protoUDP, Last: 0xffff, To: 7, Service: fib.None, Server: fib.None},
				}}},
		},
		VIFByMAC:    table.NewStatic([]uint64{fib.VIFKey(0, quickVM), fib.VIFKey(1, quickVM)}, []uint32{0, 1}),
		Segments:    []fib.Segment{{Tenant: 100, ID: 7, Router: 0}, {Tenant: 100, ID: 8, Router: fib.None}},
		SegmentByID: table.NewStatic([]uint64{fib.SegmentKey(100, 7), fib.SegmentKey(100, 8)}, []uint32{0, 1}),
		Tenants:     table.NewStatic([]uint64{100}, []uint32{0}),
		Routers:     []fib.Router{{Tenant: 100, MAC: quickRouter}},
		Bindings:    bindings,
		ControlVID:  4000,
		VIPs:        []fib.VIP{{Ref: 1 << fib.RefBits, IP4: 0x0a000002}},
	}
}

// quickState returns the state of worker 0 of the given number of workers.
func quickState(workers uint32) *State {
	env := &stage.Env{Ports: stats.NewPorts(6), VIFs: stats.NewBlock(4 * stats.RxTxLen),
		Paths: stats.NewBlock(stats.TrafficLen)}
	env.Spread.Workers = workers
	return NewState(env)
}

// outcome is everything that a stage can change for a frame.
type outcome struct {
	p       frame.Packet
	todo    uint32
	lookups []table.Lookup
	mem     []byte
	vifs    [16]uint64
}

// String lists the fields of the outcome, each on its line.
func (o *outcome) String() string {
	return fmt.Sprintf("packet %+v\n\tstages %#x, lookups %v\n\tVIF counters %v\n\toctets %x",
		o.p, o.todo, o.lookups, o.vifs, o.mem[frame.Headroom-8:])
}

func (o *outcome) equal(q *outcome) bool {
	return o.p == q.p && o.todo == q.todo && slices.Equal(o.lookups, q.lookups) && o.vifs == q.vifs &&
		bytes.Equal(o.mem, q.mem)
}

// through runs the stage of a port over the frames, in batches of one packet. The stage keeps its caches from frame to
// frame. If forget is set, the caches are emptied before each frame, so that the quick pass processes no frame.
func through(frames [][]byte, port uint16, s *fib.Snapshot, workers uint32, forget bool) (out []outcome) {
	st := quickState(workers)
	for _, f := range frames {
		mem := make([]byte, frame.Headroom+len(f)+64)
		copy(mem[frame.Headroom:], f)
		b := &frame.Batch{N: 1}
		b.Pkt[0] = frame.Packet{
			Off: frame.Headroom, Len: uint16(len(f)), Port: port,
			Out: 9, L3: 9, L4: 9, EtherType: 9, Flags: 0xffff, VID: 9, PCP: 7, Proto: 9, TOS: 9, Next: frame.NextPunt,
			Drop: 9, Kind: 9, Hash: 9, Seg: 9, VIF: 9, Attach: 9, Loc: 9, DstMAC: 9, SrcMAC: 9,
		}
		if forget {
			st.syncCaches(nil)
		}
		o := outcome{mem: mem}
		st.Mem, st.Snap, st.Port = mem, s, port
		if s.Ports[port].Role == fib.RoleFabric {
			o.todo = st.Fabric(b)
		} else {
			o.todo = st.Access(b)
		}
		o.p = b.Pkt[0]
		if o.p.Next == frame.NextHandoff { // the other worker gets the location of the frame, and parses it again
			o.p = frame.Packet{Off: o.p.Off, Len: o.p.Len, Port: o.p.Port, Out: o.p.Out, Next: o.p.Next}
		}
		o.lookups = append(o.lookups, st.lookups[:st.pending]...)
		st.Count()
		st.VIFs.Publish()
		for i := range o.vifs {
			o.vifs[i] = st.VIFs.Load(i)
		}
		out = append(out, o)
	}
	return out
}

// agree compares the quick pass with parser and stage, frame by frame, and returns the outcomes.
func agree(t *testing.T, frames [][]byte, port uint16, s *fib.Snapshot, workers uint32) []outcome {
	t.Helper()
	quick, long := through(frames, port, s, workers, false), through(frames, port, s, workers, true)
	for i := range quick {
		if got, want := &quick[i], &long[i]; !got.equal(want) {
			t.Fatalf("port %d, frame %d %x: the quick pass gives\n%v\nwant what parser and stage give:\n%v",
				port, i, frames[i], got, want)
		}
	}
	return quick
}

// ip4 returns an Ethernet frame with an IPv4 packet of this payload. vlan ≥ 0 adds a tag.
func ip4(dst, src uint64, vlan int, srcIP, dstIP uint32, proto byte, payload []byte) []byte {
	f := make([]byte, 12, 100)
	binary.BigEndian.PutUint64(f[0:], dst<<16|src>>32)
	binary.BigEndian.PutUint32(f[8:], uint32(src))
	if vlan >= 0 {
		f = binary.BigEndian.AppendUint32(f, 0x81000000|uint32(vlan))
	}
	ip := make([]byte, 20)
	ip[0], ip[1], ip[8], ip[9] = 0x45, 46<<2, 64, proto
	binary.BigEndian.PutUint16(ip[2:], uint16(20+len(payload)))
	binary.BigEndian.PutUint32(ip[12:], srcIP)
	binary.BigEndian.PutUint32(ip[16:], dstIP)
	binary.BigEndian.PutUint16(ip[10:], checksum.Checksum(ip, 0))
	return append(append(binary.BigEndian.AppendUint16(f, 0x0800), ip...), payload...)
}

func udpPayload() []byte {
	b := make([]byte, 40)
	copy(b, []byte{0x04, 0x00, 0x12, 0xb5, 0, 40})
	return b
}

func dhcpAnswer() []byte {
	b := udpPayload()
	copy(b, []byte{0, 67, 0, 68})
	return b
}

// ip6 returns an Ethernet frame with an IPv6 packet whose next header is next.
func ip6(dst, src uint64, next byte) []byte {
	f := ip4(dst, src, -1, 0, 0, 17, nil)[:14]
	f[12], f[13] = 0x86, 0xdd
	f = append(f, 0x60, 0, 0, 0, 0, 16, next, 255)
	f = append(f, 0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1)
	f = append(f, 0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1)
	return append(f, 134, 0, 0, 0, 64, 0, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0)
}

func tcpPayload() []byte {
	b := make([]byte, 40)
	copy(b, []byte{0x04, 0x00, 0x00, 0x50})
	b[12] = 6 << 4
	return b
}

// encapsulatedBy returns a frame that another box sends through the switch.
func encapsulatedBy(src, dst uint32, inner []byte) []byte {
	return ip4(quickBox, quickSwitch, -1, src, dst, protoEthernet, inner)
}

func edited(f []byte, at int, v byte) []byte {
	f = bytes.Clone(f)
	f[at] = v
	return f
}

// accessFrames returns frames that quickAccess processes, after the first frame of a station, and frames that differ
// from these in one field.
func accessFrames() [][]byte {
	good := ip4(quickPeer, quickVM, -1, 0x0a000001, 0x0a000009, 17, udpPayload())
	tagged := ip4(quickPeer, quickVM, 0xa005, 0x0a000001, 0x0a000009, 17, udpPayload())
	open := ip4(quickPeer, 0x0200000000cc, 6, 0x0a0000ff, 0x0a000009, 6, tcpPayload())
	l := [][]byte{good, good, tagged, tagged, open, open, good,
		ip4(quickPeer, quickVM, -1, 0x0a000001, 0x0a000009, 6, tcpPayload()),
		ip4(quickPeer, quickVM, 0, 0x0a000001, 0x0a000009, 6, tcpPayload()), // priority tag
		ip4(quickPeer, quickVM, 0, 0x0a000001, 0x0a000009, 6, tcpPayload()), good,
		ip4(quickPeer, quickVM, -1, 0x0a000002, 0x0a000009, 17, udpPayload()), good, // the other address
		ip4(quickPeer, quickVM, -1, 0x0a000003, 0x0a000009, 17, udpPayload()), good, // a foreign address
		ip4(quickPeer, quickVM, -1, 0, 0xffffffff, 17, append([]byte{0, 68, 0, 67, 0, 40}, make([]byte, 34)...)),
		ip4(quickPeer, quickVM, -1, 0, 0x0a000009, 17, udpPayload()), // from 0.0.0.0, and not DHCP
		ip4(quickRouter, quickVM, -1, 0x0a000001, 0x0b000009, 17, udpPayload()),
		ip4(quickRouter, quickVM, 5, 0x0a000001, 0x0b000009, 17, udpPayload()),
		ip4(0xffffffffffff, quickVM, -1, 0x0a000001, 0xffffffff, 17, udpPayload()),
		ip4(0x0180c200000e, quickVM, -1, 0x0a000001, 0x0a000009, 17, udpPayload()),
		ip4(0, quickVM, 5, 0x0a000001, 0x0a000009, 17, udpPayload()),
		ip4(quickPeer, quickVM, 6, 0x0a000001, 0x0a000009, 17, udpPayload()),
		ip4(quickPeer, quickVM, 7, 0x0a000001, 0x0a000009, 17, udpPayload()),
		ip4(quickPeer, 0x0200000000dd, -1, 0x0a000001, 0x0a000009, 17, udpPayload()),
		ip4(quickPeer, quickVM, -1, 0x0a000001, 0x0a000009, 1, udpPayload()),
		ip4(quickPeer, quickVM, -1, 0x0a000001, 0x0a000009, 17, udpPayload()[:7]),
		append(bytes.Clone(good), make([]byte, 30)...), // padded
		ip4(quickPeer, quickVM, -1, 0x0a000001, 0x0a000009, 17, dhcpAnswer()), good,
		ip4(quickPeer, quickVM, 5, 0x0a000001, 0x0a000009, 17, dhcpAnswer()), tagged,
		ip4(quickPeer, quickVM, -1, 0x0a000001, 0x0a000009, 17, edited(dhcpAnswer(), 0, 4)), good, // from port 1091
		ip4(quickPeer, 0x0200000000cc, 6, 0x0a0000ff, 0x0a000009, 17, dhcpAnswer()), open, // no check on this VLAN
	}
	// The VIF of VLAN 5 is a real server: what it sends from the VIP, 10.0.0.2, never goes the quick way.
	own := ip4(quickPeer, quickVM, 5, 0x0a000001, 0x0a000009, 6, tcpPayload())
	reply := ip4(quickPeer, quickVM, 5, 0x0a000002, 0x0a000009, 6, tcpPayload())
	l = append(l, reply, reply, own, own, reply, own,
		ip4(quickPeer, quickVM, 5, 0x0a000003, 0x0a000009, 6, tcpPayload()), own, reply, // any other address
		ip4(quickPeer, quickVM, 5, 0x0a000002, 0x0a000009, 17, udpPayload()), own,
		ip4(quickPeer, quickVM, 5, 0x0a000002, 0x0a000009, 17, dhcpAnswer()), reply,
		ip4(quickPeer, fib.Mark|7, 6, 0x0a000001, 0x0a000009, 6, tcpPayload()),
		ip4(quickPeer, fib.Mark|7, -1, 0x0a000001, 0x0a000009, 6, tcpPayload()))
	for at := range 46 {
		l = append(l, own, edited(reply, at, reply[at]+1), edited(own, at, own[at]+1))
	}
	for at := range 40 {
		l = append(l, good, edited(good, at, good[at]+1), tagged, edited(tagged, at, tagged[at]^0x10))
	}
	for n := range good {
		l = append(l, good[:n])
	}
	return append(l, good, tagged, open)
}

func fabricFrames() [][]byte {
	inner := ip4(quickVM, quickPeer, -1, 0x0a000009, 0x0a000001, 17, udpPayload())
	good := encapsulatedBy(0x0a050007, 0x0a020064, inner)
	l := [][]byte{good, good,
		encapsulatedBy(0x0a050008, 0x0a020064, inner), encapsulatedBy(0x0a050008, 0x0a020064, inner), good,
		encapsulatedBy(0x0a060007, 0x0a020064, inner), // another box
		encapsulatedBy(0x0a050009, 0x0a020064, inner), // no such segment
		encapsulatedBy(0x0a050007, 0x0a020065, inner), encapsulatedBy(0x0b050007, 0x0a020064, inner),
		encapsulatedBy(0x0a050007, 0x0a020064, ip4(0xffffffffffff, quickPeer, -1, 1, 2, 17, udpPayload())),
		encapsulatedBy(0x0a050007, 0x0a020064, ip4(quickVM, 0x010000000000, -1, 1, 2, 17, udpPayload())),
		encapsulatedBy(0x0a050007, 0x0a020064, ip4(quickVM, 0, -1, 1, 2, 17, udpPayload())),
		encapsulatedBy(0x0a050007, 0x0a020064, ip4(quickVM, quickPeer, 5, 1, 2, 17, udpPayload())),
		encapsulatedBy(0x0a050007, 0x0a020064, edited(inner, 12, 0x86)),
		encapsulatedBy(0x0a050007, 0x0a020064, edited(inner, 13, 0x06)),
		encapsulatedBy(0x0a050007, 0x0a020064, inner[:14]), encapsulatedBy(0x0a050007, 0x0a020064, inner[:13]),
		append(bytes.Clone(good), make([]byte, 30)...),
	}
	for next := range 256 {
		l = append(l, good, encapsulatedBy(0x0a050007, 0x0a020064, ip6(quickVM, quickPeer, byte(next))))
	}
	six := ip6(quickVM, quickPeer, 17)
	for n := 14; n < 24; n++ {
		l = append(l, good, encapsulatedBy(0x0a050007, 0x0a020064, six[:n]))
	}
	for in := range byte(4) {
		for out := range byte(4) {
			l = append(l, good, withECN(encapsulatedBy(0x0a050007, 0x0a020064, withECN(inner, in)), out),
				withECN(encapsulatedBy(0x0a050007, 0x0a020064, withECN(ip6(quickVM, quickPeer, 17), in)), out))
		}
	}
	linkLocal := append([]byte{0x01, 0x80, 0xc2, 0, 0}, inner[5:]...)
	l = append(l, encapsulatedBy(0x0a000007, 0x0a020064, inner), encapsulatedBy(0x0a000007, 0x0a020064, inner),
		encapsulatedBy(0x0a050007, 0x0a020064, edited(edited(inner, 12, 0), 13, 40)),
		encapsulatedBy(0x0a050007, 0x0a020064, linkLocal))
	for at := range 48 {
		l = append(l, good, edited(good, at, good[at]+1))
	}
	for n := range good {
		l = append(l, good[:n])
	}
	return append(l, good)
}

// inUDP returns encapsulated frames in form "udp", and frames that differ in one field of the UDP header.
func inUDP(frames [][]byte) [][]byte {
	l := behindUDP(frames, quickUDP, nil)
	good := l[0]
	box := ip4(quickBox, quickSwitch, -1, 0x0a050001, 0x0a020001, 17, good[34:])
	return append(l, frames[0], good, box, good)
}

// behindUDP returns encapsulated frames with a UDP header to port, and more, between the outer IPv4 header and the
// frame, and frames that differ in one field there, or in the length of UDP.
func behindUDP(frames [][]byte, port uint16, more []byte) (l [][]byte) {
	n := uint16(8 + len(more))
	wrap := func(f []byte, size int) []byte {
		if len(f) < 34 {
			return f
		}
		g := binary.BigEndian.AppendUint32(bytes.Clone(f[:34]), 49152<<16|uint32(port))
		g = binary.BigEndian.AppendUint32(g, uint32(size)<<16)
		g = append(append(g, more...), f[34:]...)
		total := binary.BigEndian.Uint16(g[16:]) + n
		sum := checksum.Update16(binary.BigEndian.Uint16(g[24:]), total-n, total)
		if g[23] == protoEthernet {
			sum = checksum.Update16(sum, uint16(g[22])<<8|protoEthernet, uint16(g[22])<<8|17)
			g[23] = 17
		}
		binary.BigEndian.PutUint16(g[16:], total)
		binary.BigEndian.PutUint16(g[24:], sum)
		return g
	}
	for _, f := range frames {
		size := 0
		if len(f) >= 18 {
			size = int(binary.BigEndian.Uint16(f[16:])) - 20 + int(n)
		}
		l = append(l, wrap(f, size))
	}
	good := l[0]
	for at := 34; at < 34+int(n); at++ {
		for _, v := range []byte{0, 1, good[at] - 1, good[at] + 1, 0xff} {
			l = append(l, good, edited(good, at, v))
		}
	}
	for size := range len(frames[0]) + int(n) {
		l = append(l, good, wrap(frames[0], size))
	}
	return l
}

// TestQuick: the quick passes process the frames that they are made for, and give the same outcomes as parser and
// stage.
func TestQuick(t *testing.T) {
	s := quickWorld(t)
	for _, workers := range []uint32{0, 3} {
		for port, frames := range [][][]byte{accessFrames(), accessFrames(), fabricFrames(), inUDP(fabricFrames())} {
			t.Run(fmt.Sprintf("port %d, %d workers", port, workers), func(t *testing.T) {
				agree(t, frames, uint16(port), s, workers)
			})
		}
	}
	st := quickState(0)
	for port, frames := range [][][]byte{accessFrames(), nil, fabricFrames(), inUDP(fabricFrames())} {
		if frames == nil {
			continue
		}
		for i, want := range []bool{false, true} {
			mem := append(make([]byte, frame.Headroom), frames[i]...)
			p := frame.Packet{Off: frame.Headroom, Len: uint16(len(frames[i])), Port: uint16(port)}
			b := &frame.Batch{N: 1, Pkt: [frame.BatchSize]frame.Packet{p}}
			var next int
			if st.syncCaches(s); port == 0 {
				next, _ = quickAccess(mem, b, 0, &s.Ports[port], s, st)
			} else if port == 3 {
				next, _ = quickFabricUDP(mem, b, 0, &s.Ports[port].Fabric, s, st)
			} else {
				next, _ = quickFabric(mem, b, 0, &s.Ports[port].Fabric, s, st)
			}
			if got := next == 1; got != want || !got && b.Pkt[0] != p {
				t.Errorf("port %d, frame %d: processed by the quick pass %v, want %v", port, i, got, want)
				t.Errorf("the packet was %+v, is %+v; want it unchanged unless processed", p, b.Pkt[0])
			}
			through1(frames[i], uint16(port), s, st)
		}
	}
	if parse.Access(nil, &frame.Packet{}) {
		t.Error("parse.Access accepts a frame of 0 octets, want it dropped")
	}
}

// TestQuickOtherPort: a cache entry of one port does not apply to frames of another port.
func TestQuickOtherPort(t *testing.T) {
	s, st := quickWorld(t), quickState(0)
	f := accessFrames()[0]
	for i, want := range []uint32{0, 2, 0, 0, 2, 2} {
		mem := append(make([]byte, frame.Headroom), f...)
		b := &frame.Batch{N: 1}
		port := uint16(want / 2)
		b.Pkt[0] = frame.Packet{Off: frame.Headroom, Len: uint16(len(f)), Port: port}
		st.Mem, st.Snap, st.Port = mem, s, port
		if st.Access(b); b.Pkt[0].Attach != want {
			t.Errorf("frame %d, port %d: attachment %d, want %d", i, port, b.Pkt[0].Attach, want)
		}
	}
}

// through1 runs the stage of a port over one frame.
func through1(f []byte, port uint16, s *fib.Snapshot, st *State) {
	mem := append(make([]byte, frame.Headroom), f...)
	b := &frame.Batch{N: 1}
	b.Pkt[0] = frame.Packet{Off: frame.Headroom, Len: uint16(len(f)), Port: port}
	st.Mem, st.Snap, st.Port = mem, s, port
	if s.Ports[port].Role == fib.RoleFabric {
		st.Fabric(b)
		return
	}
	st.Access(b)
}

func FuzzQuick(f *testing.F) {
	s := withVTEPs(quickWorld(f))
	for _, frame := range inVXLAN(fabricFrames())[:300] {
		f.Add(uint8(quickVX), false, frame)
	}
	udp := inUDP(fabricFrames())
	for port, l := range [][][]byte{accessFrames()[:30], nil, fabricFrames()[:300], udp[:40], udp[len(udp)-200:]} {
		for _, frame := range l {
			f.Add(uint8(min(port, 3)), false, frame)
		}
	}
	reply := ip4(quickPeer, quickVM, 5, 0x0a000002, 0x0a000009, 6, tcpPayload())
	f.Add(uint8(0), false, reply)
	f.Add(uint8(1), true, reply)
	access := append(accessFrames()[:7:7], reply)
	vxlan := inVXLAN(fabricFrames())[:5]
	first := [][][]byte{access, access, fabricFrames()[:5], udp[:5], vxlan, vxlan}
	f.Fuzz(func(t *testing.T, port uint8, spread bool, data []byte) {
		if len(data) > 1600 {
			return
		}
		workers := uint32(0)
		if spread {
			workers = 3
		}
		port %= 6
		agree(t, append(first[port][:len(first[port]):len(first[port])], data, data), uint16(port), s, workers)
	})
}
