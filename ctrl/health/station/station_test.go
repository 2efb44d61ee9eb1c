package station

import (
	"context"
	"encoding/binary"
	"errors"
	"net/netip"
	"sync"
	"testing"
	"time"

	"penstock/dataplane/wire"
	"penstock/dataplane/wire/checksum"
)

const (
	mark   = 0x024d4b000007
	server = 0x020000000114
	ownMAC = 0x02560a0a0165
)

var (
	own4 = netip.MustParseAddr("10.10.1.101")
	own6 = netip.MustParseAddr("fd00:10::101")
	vip4 = netip.MustParseAddrPort("10.10.1.100:80")
	vip6 = netip.MustParseAddrPort("[fd00:10::100]:80")
)

// sent is a frame that a stack has sent.
type sent struct {
	seg   Segment
	port  int // −1 = to the segment
	frame []byte
}

// fabric is what is behind the stations: answer is asked for each frame, on a goroutine of its own.
type fabric struct {
	*Stack
	t      *testing.T
	mu     sync.Mutex
	frames []sent
	queue  chan sent
}

func newFabric(t *testing.T, answer func(n *fabric, s sent)) *fabric {
	n := &fabric{t: t, queue: make(chan sent, 4096)}
	take := func(s sent) bool {
		s.frame = append([]byte(nil), s.frame...)
		n.mu.Lock()
		n.frames = append(n.frames, s)
		n.mu.Unlock()
		n.queue <- s
		return true
	}
	n.Stack = New(Config{
		Inject: func(tenant, id uint32, f []byte) bool { return take(sent{Segment{tenant, id}, -1, f}) },
		Send:   func(port int, f []byte) bool { return take(sent{port: port, frame: f}) },
	})
	done := make(chan struct{})
	go func() {
		defer close(done)
		for s := range n.queue {
			answer(n, s)
		}
	}()
	t.Cleanup(func() { n.Close(); close(n.queue); <-done })
	return n
}

func (n *fabric) station(tenant uint32, a netip.Addr) *Station {
	n.t.Helper()
	st, err := n.Station(Key{Segment{tenant, 1}, a}, ownMAC)
	if err != nil {
		n.t.Fatal(err)
	}
	return st
}

func (n *fabric) all() []sent {
	n.mu.Lock()
	defer n.mu.Unlock()
	return append([]sent(nil), n.frames...)
}

func path(tenant uint32) *Path {
	return &Path{Segment: Segment{tenant, 1}, MAC: server, Source: mark, Port: 8080}
}

// reply turns a TCP frame into one that comes back from the service's port.
func reply(f []byte, flags uint8) []byte {
	f = append([]byte(nil), f...)
	ip := f[wire.EthernetLen:]
	var t wire.TCP
	var sum uint32
	if ip[0]>>4 == 4 {
		h := wire.IPv4(ip)
		src, dst := h.Src(), h.Dst()
		h.SetSrc(dst)
		h.SetDst(src)
		t = wire.TCP(h.Payload())
		sum = checksum.PseudoIPv4(dst, src, wire.ProtoTCP, uint16(len(t)))
	} else {
		h := wire.IPv6(ip)
		src, dst := h.Src(), h.Dst()
		h.SetSrc(dst)
		h.SetDst(src)
		t = wire.TCP(h.Payload())
		sum = checksum.PseudoIPv6(dst, src, wire.ProtoTCP, uint32(len(t)))
	}
	t.SetDstPort(t.SrcPort())
	t.SetSrcPort(80)
	binary.BigEndian.PutUint32(t[8:], t.Seq()+1)
	t[13] = flags
	t.SetChecksum(0)
	t.SetChecksum(checksum.Checksum(t, sum))
	return f
}

// checkFrame checks what the director's rewriting has made of a packet.
func checkFrame(t *testing.T, f []byte, port uint16) {
	t.Helper()
	e := wire.Ethernet(f)
	if e.Dst() != server || e.Src() != mark {
		t.Errorf("the frame goes from %012x to %012x, want from %012x to %012x", e.Src(), e.Dst(), uint64(mark),
			uint64(server))
	}
	ip := f[wire.EthernetLen:]
	ttl, sum := ip[8], uint32(0)
	var l4 []byte
	if ip[0]>>4 == 4 {
		h := wire.IPv4(ip)
		if got := checksum.Fold(checksum.Sum(ip[:h.HeaderLen()], 0)); got != 0xffff {
			t.Errorf("the header's sum is %04x, want ffff", got)
		}
		l4 = h.Payload()
		sum = checksum.PseudoIPv4(h.Src(), h.Dst(), h.Proto(), uint16(len(l4)))
	} else {
		h := wire.IPv6(ip)
		ttl, l4 = h.HopLimit(), h.Payload()
		sum = checksum.PseudoIPv6(h.Src(), h.Dst(), h.NextHeader(), uint32(len(l4)))
	}
	if got := checksum.Fold(checksum.Sum(l4, sum)); got != 0xffff {
		t.Errorf("the segment's sum is %04x, want ffff", got)
	}
	if ttl != 63 {
		t.Errorf("TTL %d, want 63", ttl)
	}
	if got := wire.UDP(l4).DstPort(); got != port {
		t.Errorf("it goes to port %d, want %d", got, port)
	}
}

func tcpOf(f []byte) wire.TCP {
	ip := f[wire.EthernetLen:]
	if ip[0]>>4 == 4 {
		return wire.TCP(wire.IPv4(ip).Payload())
	}
	return wire.TCP(wire.IPv6(ip).Payload())
}

// TestTenantsDoNotMeet: two tenants have the same addresses, one's server accepts and the other's refuses. Every frame
// is in its own segment, and every answer reaches its own station.
func TestTenantsDoNotMeet(t *testing.T) {
	n := newFabric(t, func(n *fabric, s sent) {
		if tcpOf(s.frame).Flags() != wire.TCPSyn {
			return
		}
		flags := uint8(wire.TCPSyn | wire.TCPAck)
		if s.seg.Tenant == 200 {
			flags = wire.TCPRst | wire.TCPAck
		}
		n.Input(s.seg, reply(s.frame, flags))
	})
	for _, a := range []struct {
		own netip.Addr
		to  netip.AddrPort
	}{{own4, vip4}, {own6, vip6}} {
		red, blue := n.station(100, a.own), n.station(200, a.own)
		for range 50 {
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			c, err := red.DialTCP(ctx, a.to, path(100))
			if err != nil {
				t.Fatalf("tenant 100: %v, want a connection", err)
			}
			_ = c.Close()
			if c, err := blue.DialTCP(ctx, a.to, path(200)); !errors.Is(err, ErrRefused) {
				t.Fatalf("tenant 200: %v, %v, want it refused", c, err)
			}
			cancel()
		}
	}
	resets := 0
	for _, s := range n.all() {
		checkFrame(t, s.frame, 8080)
		if tcpOf(s.frame).Flags()&wire.TCPRst != 0 {
			resets++
		}
	}
	if resets != 100 {
		t.Errorf("%d resets were sent, want one for each of 100 connections", resets)
	}
}

// TestSilence: an attempt that nobody answers ends with its context, and its late answer is refused at the same server.
func TestSilence(t *testing.T) {
	n := newFabric(t, func(*fabric, sent) {})
	st := n.station(100, own4)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	if _, err := st.DialTCP(ctx, vip4, path(100)); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("%v, want the end of its time", err)
	}
	syn := n.all()[0]
	n.Input(syn.seg, reply(syn.frame, wire.TCPSyn|wire.TCPAck))
	var last sent
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if all := n.all(); len(all) > 1 {
			last = all[len(all)-1]
			break
		}
	}
	if last.frame == nil || tcpOf(last.frame).Flags()&wire.TCPRst == 0 {
		t.Fatalf("the late answer is answered with % x, want a reset", last.frame)
	}
	checkFrame(t, last.frame, 8080)
}

// TestUDPRefused: an ICMP error from the server ends a UDP flow as refused, a datagram arrives.
func TestUDPRefused(t *testing.T) {
	refuse := true
	n := newFabric(t, func(n *fabric, s sent) {
		ip := wire.IPv4(s.frame[wire.EthernetLen:])
		src, dst := ip.Src(), ip.Dst()
		if !refuse {
			f := append([]byte(nil), s.frame...)
			h := wire.IPv4(f[wire.EthernetLen:])
			h.SetSrc(dst)
			h.SetDst(src)
			u := wire.UDP(h.Payload())
			u.SetDstPort(u.SrcPort())
			u.SetSrcPort(80)
			u.SetChecksum(0)
			n.Input(s.seg, f)
			return
		}
		f := make([]byte, wire.EthernetLen+wire.IPv4Len+wire.ICMPLen+28)
		wire.Ethernet(f).SetType(wire.EtherTypeIPv4)
		h := wire.IPv4(f[wire.EthernetLen:])
		h.SetVersionIHL(20)
		h.SetTotalLen(uint16(len(h)))
		h.SetTTL(64)
		h.SetProto(wire.ProtoICMP)
		h.SetSrc(dst)
		h.SetDst(src)
		h.SetChecksum(checksum.Checksum(h[:20], 0))
		m := wire.ICMPv4(h.Payload())
		m.Set(wire.ICMPv4Unreachable, wire.ICMPv4Port, 0)
		copy(m[8:], ip[:28])
		wire.UDP(m[28:]).SetDstPort(80) // as the agent puts it back
		m.SetChecksum(checksum.Checksum(m, 0))
		n.Input(s.seg, f)
	})
	st := n.station(100, own4)
	for _, refuse = range []bool{true, false} {
		c, err := st.DialUDP(vip4, path(100))
		if err != nil {
			t.Fatal(err)
		}
		_ = c.SetDeadline(time.Now().Add(5 * time.Second))
		if _, err := c.Write([]byte("question")); err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 100)
		k, err := c.Read(b)
		if refuse && (err == nil || !contains(err.Error(), "refused")) || !refuse && string(b[:k]) != "question" {
			t.Errorf("refused %v: %q, %v", refuse, b[:k], err)
		}
		_ = c.Close()
	}
	for _, s := range n.all() {
		checkFrame(t, s.frame, 8080)
	}
}

func contains(s, part string) bool {
	for i := range len(s) - len(part) + 1 {
		if s[i:i+len(part)] == part {
			return true
		}
	}
	return false
}

// TestPingAndResolve: echo goes by the mark to the VIP, ARP and neighbour solicitations ask from the station's own
// MAC; answers of others do not count.
func TestPingAndResolve(t *testing.T) {
	mine := netip.MustParseAddr("10.10.1.20")
	mine6 := netip.MustParseAddr("fd00:10::20")
	from := uint64(server)
	n := newFabric(t, func(n *fabric, s sent) {
		f := append([]byte(nil), s.frame...)
		e := wire.Ethernet(f)
		e.SetDst(e.Src())
		e.SetSrc(from)
		switch ip := f[wire.EthernetLen:]; {
		case e.Type() == wire.EtherTypeARP:
			a := wire.ARP(ip)
			a.Set(wire.ARPReply, from, a.TargetIP(), a.SenderMAC(), a.SenderIP())
		case e.Type() == wire.EtherTypeIPv4:
			h := wire.IPv4(ip)
			src := h.Src()
			h.SetSrc(h.Dst())
			h.SetDst(src)
			wire.ICMPv4(h.Payload()).SetType(wire.ICMPv4EchoReply)
		default:
			h := wire.IPv6(ip)
			src := h.Src()
			h.SetSrc(h.Dst())
			h.SetDst(src)
			if h.Payload()[0] == wire.ICMPv6Echo {
				h.Payload()[0] = wire.ICMPv6EchoReply
			} else {
				h.Payload()[0] = wire.ICMPv6NeighborAdvert
			}
		}
		if s.port >= 0 {
			s.seg = Segment{100, 1}
		}
		n.Input(s.seg, f)
	})
	st, st6 := n.station(100, own4), n.station(100, own6)
	short := func() context.Context {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		t.Cleanup(cancel)
		return ctx
	}
	for _, tc := range []struct {
		name string
		fn   func(ctx context.Context) error
	}{
		{"echo", func(ctx context.Context) error { return st.Ping(ctx, vip4.Addr(), path(100)) }},
		{"echo IPv6", func(ctx context.Context) error { return st6.Ping(ctx, vip6.Addr(), path(100)) }},
		{"ARP", func(ctx context.Context) error { return st.Resolve(ctx, mine, path(100)) }},
		{"ND", func(ctx context.Context) error { return st6.Resolve(ctx, mine6, path(100)) }},
	} {
		from = server
		if err := tc.fn(short()); err != nil {
			t.Errorf("%s: %v, want an answer", tc.name, err)
		}
		from = 0x02000000dead
		if err := tc.fn(short()); (err != nil) != (tc.name == "ARP" || tc.name == "ND") {
			t.Errorf("%s from another MAC: %v; it counts for echo alone", tc.name, err)
		}
	}
	from = 0x02000000dead
	for _, a := range []netip.Addr{mine, mine6} {
		own := st
		if a.Is6() {
			own = st6
		}
		if mac, err := own.Discover(short(), a, 3); err != nil || mac != from {
			t.Errorf("%s has MAC %012x, %v; want %012x", a, mac, err, from)
		}
	}
	for _, s := range n.all() {
		e := wire.Ethernet(s.frame)
		if s.port == 3 { // Discover
			if e.Src() != ownMAC || !wire.GroupMAC(e.Dst()) {
				t.Errorf("a question to all goes from %012x to %012x", e.Src(), e.Dst())
			}
			continue
		}
		asks := e.Type() == wire.EtherTypeARP ||
			s.frame[20] == wire.ProtoICMPv6 && s.frame[54] == wire.ICMPv6NeighborSolicit
		want := uint64(mark)
		if asks {
			want = ownMAC
		}
		if e.Dst() != server || e.Src() != want {
			t.Errorf("a frame goes from %012x to %012x, want from %012x to the server", e.Src(), e.Dst(), want)
		}
	}
	if len(st.waiters.list) != 0 || len(st6.waiters.list) != 0 {
		t.Errorf("%d waiters are left, want none", len(st.waiters.list))
	}
}

// TestBadFrames: frames cut anywhere, and random ones, harm nothing.
func TestBadFrames(t *testing.T) {
	n := newFabric(t, func(*fabric, sent) {})
	st, st6 := n.station(100, own4), n.station(100, own6)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, _ = st.DialTCP(ctx, vip4, path(100))
	_, _ = st6.DialTCP(ctx, vip6, path(100))
	_ = st.Ping(ctx, vip4.Addr(), path(100))
	_ = st.Resolve(ctx, vip4.Addr(), path(100))
	for _, s := range n.all() {
		f := s.frame
		switch wire.Ethernet(f).Type() {
		case wire.EtherTypeARP:
		case wire.EtherTypeIPv4, wire.EtherTypeIPv6:
			f = reply(append(f, make([]byte, 20)...), wire.TCPSyn|wire.TCPAck)
		}
		for k := range f {
			n.Input(Segment{100, 1}, f[:k])
			g := append([]byte(nil), f...)
			g[k] ^= 0xff
			n.Input(Segment{100, 1}, g)
		}
	}
}

// TestStations: a station has one address, one MAC and no other than its own; it goes without a trace.
func TestStations(t *testing.T) {
	n := newFabric(t, func(*fabric, sent) {})
	for tenant := range uint32(200) {
		n.station(tenant+1, own4)
	}
	if n.Len() != 200 || len(n.shards) != 4 {
		t.Errorf("%d stations in %d stacks, want 200 in 4", n.Len(), len(n.shards))
	}
	a := n.station(7, own4)
	b, err := n.Station(a.Key, 0x02560a0a9999)
	if err != nil || a == b || b.MAC != 0x02560a0a9999 || n.Len() != 200 {
		t.Errorf("%+v, %v, %d stations: want another one in its place", b, err, n.Len())
	}
	for tenant := range uint32(200) {
		n.Remove(Key{Segment{tenant + 1, 1}, own4})
		n.Remove(Key{Segment{tenant + 1, 1}, own6})
	}
	if n.Len() != 0 || n.shards[0].stations != 0 {
		t.Errorf("%d stations are left, want none", n.Len())
	}
	for _, bad := range []netip.Addr{{}, netip.MustParseAddr("::ffff:10.0.0.1"), netip.MustParseAddr("fe80::1%eth0")} {
		if _, err := n.Station(Key{Segment{1, 1}, bad}, ownMAC); err == nil {
			t.Errorf("%v became a station", bad)
		}
	}
}

// TestPorts: local ports are not used twice at once, and come back.
func TestPorts(t *testing.T) {
	var f flows
	p := path(100)
	used := map[uint16]bool{}
	for range ports {
		port, err := f.take(p)
		if err != nil || used[port] || f.of(port) != p {
			t.Fatalf("port %d, %v; want one that is free", port, err)
		}
		used[port] = true
	}
	if _, err := f.take(p); !errors.Is(err, ErrNoPort) {
		t.Errorf("%v when all are in use, want %v", err, ErrNoPort)
	}
	for port := range used {
		f.end(port)
	}
	if len(f.path) != late {
		t.Errorf("%d paths are kept of ended flows, want %d", len(f.path), late)
	}
	if _, err := f.take(p); err != nil {
		t.Errorf("%v when all are free again", err)
	}
}
