package neighbor

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"penstock/ctrl/model"
)

const (
	switchMAC model.MAC = 0x02aa00000001
	boxMAC    model.MAC = 0x020000000101
	otherMAC  model.MAC = 0x020000000202
)

var box1, box2 = netip.MustParseAddr("10.1.0.1"), netip.MustParseAddr("10.2.0.1")

// site is a switch whose downlinks end in boxes that answer or not. It runs in a synctest bubble: the clock is virtual.
type site struct {
	t     *testing.T
	r     *Resolver
	start time.Time

	mu      sync.Mutex
	boxes   map[int]model.MAC // MAC that answers, by port
	full    bool              // Inject refuses
	probes  []string          // "time port destination"
	changes []string          // "time number MAC"
}

func newSite(t *testing.T) *site {
	s := &site{t: t, start: time.Now(), boxes: map[int]model.MAC{}}
	s.r = New(s, func(number uint8, mac model.MAC) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.changes = append(s.changes, fmt.Sprintf("%v %d %s", time.Since(s.start), number, mac))
	})
	go s.r.Run(t.Context())
	return s
}

// Inject implements Wire.
func (s *site) Inject(port int, frame []byte) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.full {
		return false
	}
	dst := model.MAC(binary.BigEndian.Uint64(frame) >> 16)
	to := dst.String()
	if dst == broadcastMAC {
		to = "all"
	}
	s.probes = append(s.probes, fmt.Sprintf("%v %d %s", time.Since(s.start), port, to))
	mac := s.boxes[port]
	if mac == 0 || dst != broadcastMAC && dst != mac {
		return true
	}
	target := netip.AddrFrom4([4]byte(frame[14+24:]))
	go s.r.Punt(port, reply{src: mac, ip: target}.frame())
	return true
}

// answer sets the MAC that answers behind a port; 0 = none.
func (s *site) answer(port int, mac model.MAC) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.boxes[port] = mac
}

// block makes Inject refuse every frame, or none.
func (s *site) block(full bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.full = full
}

// pass advances the clock and runs everything that is due.
func (s *site) pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// want compares the probes and the reported changes since the last call.
func (s *site) want(probes, changes []string) {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if !slices.Equal(s.probes, probes) {
		s.t.Errorf("probes %q\n want %q", s.probes, probes)
	}
	if !slices.Equal(s.changes, changes) {
		s.t.Errorf("changes %q\nwant %q", s.changes, changes)
	}
	s.probes, s.changes = nil, nil
}

func (s *site) set(downlinks ...Downlink) {
	s.t.Helper()
	if err := s.r.Set(switchMAC, downlinks); err != nil {
		s.t.Fatal(err)
	}
}

var (
	down1 = Downlink{Number: 1, Port: 7, Box: box1, Up: true}
	down2 = Downlink{Number: 2, Port: 8, Box: box2, Up: true}
)

// reply is an ARP reply as a box sends it; a zero field stands for the right value of down1.
type reply struct {
	dst, src, sender, target model.MAC
	ip, targetIP             netip.Addr
	op                       uint16
}

func (r reply) frame() []byte {
	or := func(m, other model.MAC) model.MAC {
		if m == 0 {
			return other
		}
		return m
	}
	mac := func(m model.MAC) []byte {
		var b [8]byte
		binary.BigEndian.PutUint64(b[:], uint64(m))
		return b[2:]
	}
	ip := func(a, other netip.Addr) []byte {
		if !a.IsValid() {
			a = other
		}
		return a.AsSlice()
	}
	src := or(r.src, boxMAC)
	if r.op == 0 {
		r.op = layers.ARPReply
	}
	buf := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(buf, gopacket.SerializeOptions{},
		&layers.Ethernet{DstMAC: mac(or(r.dst, switchMAC)), SrcMAC: mac(src), EthernetType: layers.EthernetTypeARP},
		&layers.ARP{AddrType: layers.LinkTypeEthernet, Protocol: layers.EthernetTypeIPv4, HwAddressSize: 6,
			ProtAddressSize: 4, Operation: r.op,
			SourceHwAddress: mac(or(r.sender, src)), SourceProtAddress: ip(r.ip, box1),
			DstHwAddress: mac(or(r.target, switchMAC)), DstProtAddress: ip(r.targetIP, netip.IPv4Unspecified())},
	); err != nil {
		panic(err)
	}
	return buf.Bytes()
}

func TestQuestion(t *testing.T) {
	for _, dst := range []model.MAC{broadcastMAC, boxMAC} {
		b := probeFrame(switchMAC, dst, box1)
		if len(b) != 60 {
			t.Errorf("%d octets, want 60", len(b))
		}
		p := gopacket.NewPacket(b, layers.LayerTypeEthernet, gopacket.Default)
		eth := p.Layer(layers.LayerTypeEthernet).(*layers.Ethernet)
		a, ok := p.Layer(layers.LayerTypeARP).(*layers.ARP)
		if !ok || eth.DstMAC.String() != dst.String() || eth.SrcMAC.String() != switchMAC.String() {
			t.Fatalf("frame %v, want Ethernet and ARP", p)
		}
		if a.Operation != layers.ARPRequest || !bytes.Equal(a.SourceHwAddress, eth.SrcMAC) ||
			!bytes.Equal(a.SourceProtAddress, make([]byte, 4)) ||
			!bytes.Equal(a.DstHwAddress, make([]byte, 6)) || !bytes.Equal(a.DstProtAddress, box1.AsSlice()) {
			t.Errorf("ARP %+v, want a probe from the switch's MAC", a)
		}
	}
}

func TestSilentBox(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		s.set(down1)
		s.pass(4500 * time.Millisecond)
		s.want([]string{"0s 7 all", "200ms 7 all", "400ms 7 all", "600ms 7 all", "800ms 7 all", "1s 7 all",
			"1.4s 7 all", "2.2s 7 all", "3.2s 7 all", "4.2s 7 all"}, nil)
		// The box comes up.
		s.answer(7, boxMAC)
		s.pass(time.Second)
		s.want([]string{"5.2s 7 all"}, []string{"5.2s 1 " + boxMAC.String()})
	})
}

func TestRefreshAndLoss(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		s.answer(7, boxMAC)
		s.set(down1)
		s.pass(25 * time.Second)
		uni := " 7 " + boxMAC.String()
		s.want([]string{"0s 7 all", "10s" + uni, "20s" + uni}, []string{"0s 1 " + boxMAC.String()})

		// One miss has no effect.
		s.answer(7, 0)
		s.pass(5500 * time.Millisecond)
		if st := s.r.Status()[0]; st.Misses != 0 || st.MAC != boxMAC {
			t.Errorf("status %+v, want MAC, misses and time as probed", st)
		}
		s.pass(time.Second)
		if st := s.r.Status()[0]; st.Misses != 1 {
			t.Errorf("status %+v, want MAC, misses and time as probed", st)
		}
		s.answer(7, boxMAC)
		s.pass(time.Second)
		if st := s.r.Status()[0]; st.Misses != 0 {
			t.Errorf("status %+v, want MAC, misses and time as probed", st)
		}
		s.want([]string{"30s" + uni, "31s" + uni, "32s" + uni}, nil)

		// Three misses make it unresolved; the broadcasts that follow find a new box.
		s.answer(7, otherMAC)
		s.pass(14 * time.Second)
		s.want([]string{"42s" + uni, "43s" + uni, "44s" + uni, "45s 7 all"},
			[]string{"45s 1 00:00:00:00:00:00", "45s 1 " + otherMAC.String()})
	})
}

func TestLink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		s.answer(7, boxMAC)
		s.answer(8, otherMAC)
		d := down2
		d.Up = false
		s.set(d, down1)
		s.pass(3 * time.Second)
		s.want([]string{"0s 7 all"}, []string{"0s 1 " + boxMAC.String()})
		s.r.Link(7, true) // as it was
		s.r.Link(8, true)
		s.r.Link(99, true)
		s.pass(0)
		s.want([]string{"3s 8 all"}, []string{"3s 2 " + otherMAC.String()})
		s.r.Link(7, false)
		s.pass(0)
		s.want(nil, []string{"3s 1 00:00:00:00:00:00"})
		s.pass(5 * time.Second)
		s.want(nil, nil) // no probes without carrier
		s.r.Link(7, true)
		s.pass(0)
		s.want([]string{"8s 7 all"}, []string{"8s 1 " + boxMAC.String()})
		// Down and up again between two turns: still reported.
		s.r.Link(7, false)
		s.r.Link(7, true)
		s.pass(0)
		s.want([]string{"8s 7 all"}, []string{"8s 1 00:00:00:00:00:00", "8s 1 " + boxMAC.String()})
	})
}

func TestSet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		s.answer(7, boxMAC)
		s.answer(8, otherMAC)
		s.set(down1)
		s.pass(0)
		s.set(down1, down2)
		s.pass(time.Second)
		s.want([]string{"0s 7 all", "0s 8 all"}, []string{"0s 1 " + boxMAC.String(), "0s 2 " + otherMAC.String()})
		s.set(down2, down1)
		s.pass(time.Second)
		s.want(nil, nil) // kept
		s.set(down1)
		s.pass(time.Second)
		s.want(nil, []string{"2s 2 00:00:00:00:00:00"})
		moved := down1
		moved.Port = 8
		s.set(moved)
		s.pass(time.Second)
		s.want([]string{"3s 8 all"}, []string{"3s 1 00:00:00:00:00:00", "3s 1 " + otherMAC.String()})
		if err := s.r.Set(switchMAC+1, []Downlink{moved}); err != nil {
			t.Fatal(err)
		}
		s.pass(time.Second)
		// The box answers to the old MAC: its replies do not count.
		s.want([]string{"4s 8 all", "4.2s 8 all", "4.4s 8 all", "4.6s 8 all", "4.8s 8 all", "5s 8 all"},
			[]string{"4s 1 00:00:00:00:00:00"})
		if st := s.r.Status(); len(st) != 1 || st[0].MAC != 0 || st[0].Number != 1 ||
			!st[0].Since.Equal(s.start.Add(4*time.Second)) {
			t.Errorf("status %+v, want MAC, misses and time as probed", st)
		}
	})
}

func TestSetRefuses(t *testing.T) {
	r := New(nil, nil)
	v6 := down1
	v6.Box = netip.MustParseAddr("fe80::1")
	samePort := down2
	samePort.Port = down1.Port
	for name, err := range map[string]error{
		"no switch MAC":    r.Set(0, nil),
		"group switch MAC": r.Set(broadcastMAC, nil),
		"IPv6 box":         r.Set(switchMAC, []Downlink{v6}),
		"no box":           r.Set(switchMAC, []Downlink{{Number: 1}}),
		"number twice":     r.Set(switchMAC, []Downlink{down1, {Number: 1, Port: 9, Box: box2}}),
		"port twice":       r.Set(switchMAC, []Downlink{down1, samePort}),
	} {
		if err == nil {
			t.Errorf("%s: accepted, want an error", name)
		}
	}
}

// TestPortTakesNothing: a probe that could not be sent is no miss, and is repeated at the first interval.
func TestPortTakesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		s.block(true)
		s.set(down1)
		s.pass(2100 * time.Millisecond)
		if c := s.r.Counters(); c.NotSent != 11 || c.Requests != 0 {
			t.Errorf("counters %+v", c)
		}
		s.block(false)
		s.answer(7, boxMAC)
		s.pass(time.Second)
		s.want([]string{"2.2s 7 all"}, []string{"2.2s 1 " + boxMAC.String()})
		s.block(true)
		s.pass(30 * time.Second)
		if st := s.r.Status()[0]; st.MAC != boxMAC || st.Misses != 0 {
			t.Errorf("status %+v, want MAC, misses and time as probed", st)
		}
		s.block(false)
		s.pass(time.Second)
		if st := s.r.Status()[0]; st.MAC != boxMAC {
			t.Errorf("status %+v, want MAC, misses and time as probed", st)
		}
		s.want([]string{"33.2s 7 " + boxMAC.String()}, nil)
		// A late answer to the last probe that was sent is still accepted.
		s.answer(7, 0)
		s.pass(10 * time.Second)
		s.want([]string{"43.2s 7 " + boxMAC.String()}, nil)
		s.block(true)
		s.pass(2 * time.Second)
		s.r.Punt(7, reply{}.frame())
		if c, st := s.r.Counters(), s.r.Status()[0]; c.Unsolicited != 0 || c.Replies != 3 || st.Misses != 0 {
			t.Errorf("counters %+v, status %+v", c, st)
		}
	})
}
