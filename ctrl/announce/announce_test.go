package announce

import (
	"context"
	"encoding/binary"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"penstock/ctrl/model"
	"penstock/dataplane/fib"
	"penstock/dataplane/table"
)

const (
	mac1, mac2, macRouter model.MAC = 0x020000000001, 0x020000000002, 0x0250530000ff
)

// world is a segment with three attachments (port 0, port 1 in VLAN 7, port 2 that is down) and an equal one of another
// tenant.
type world struct {
	a    *Announcer
	snap *fib.Snapshot
	now  time.Time
	full bool
	sent []string // port and description of the frame
}

func newWorld(t *testing.T) *world {
	t.Helper()
	tb, err := table.NewBindings(table.Config{Capacity: 64})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tb.Close() })
	subnets := []fib.Subnet4{{Start: 0x0a000000, End: 0x0a0000ff, RouterIP: 0x0a0000fe}}
	w := &world{now: time.Unix(1000, 0), snap: &fib.Snapshot{
		Ports:       []fib.Port{{Up: true}, {Up: true}, {}},
		Attachments: []fib.Attachment{{Port: 0}, {Port: 1, VID: 7}, {Port: 2}, {Port: 0, VID: 9, Seg: 1}},
		Segments: []fib.Segment{{Tenant: 100, Local: []uint32{0, 1, 2}, Router: 0, Subnets4: subnets},
			{Tenant: 200, Local: []uint32{3}, Router: fib.None}},
		Routers:  []fib.Router{{MAC: uint64(macRouter)}},
		VIFs:     []fib.VIF{{MAC: uint64(mac2), Attach: 1}},
		Bindings: tb,
	}}
	w.bind(t, 0, mac1, fib.RemoteLoc(1, 2), "10.0.0.1", "fd00::1")
	w.bind(t, 0, mac2, fib.LocLocal, "10.0.0.2")
	w.a = New(Config{Read: func(fn func(*fib.Snapshot)) { fn(w.snap) }, Inject: w.inject,
		Now: func() time.Time { return w.now }})
	return w
}

func (w *world) bind(t *testing.T, seg uint32, mac model.MAC, loc fib.Loc, ips ...string) {
	t.Helper()
	b := table.Binding{Seg: seg, MAC: uint64(mac), Loc: loc}
	for _, ip := range ips {
		if a := netip.MustParseAddr(ip); a.Is4() {
			b.IP4 = append(b.IP4, addr4(a))
		} else {
			b.IP6 = append(b.IP6, addr6(a))
		}
	}
	if err := w.snap.Bindings.Upsert(&b); err != nil {
		t.Fatal(err)
	}
}

func (w *world) inject(port int, f []byte) bool {
	if w.full {
		return false
	}
	w.sent = append(w.sent, fmt.Sprint(port, " ", describe(f)))
	return true
}

// describe returns the content of an announcement as gopacket decodes it.
func describe(f []byte) string {
	p := gopacket.NewPacket(f, layers.LayerTypeEthernet, gopacket.Default)
	if len(f) < 60 || p.ErrorLayer() != nil {
		return fmt.Sprintf("broken: % x", f)
	}
	s := p.LinkLayer().(*layers.Ethernet).SrcMAC.String()
	if v, ok := p.Layer(layers.LayerTypeDot1Q).(*layers.Dot1Q); ok {
		s += fmt.Sprint(" vlan ", v.VLANIdentifier)
	}
	if a, ok := p.Layer(layers.LayerTypeARP).(*layers.ARP); ok {
		src, dst := netip.AddrFrom4([4]byte(a.SourceProtAddress)), netip.AddrFrom4([4]byte(a.DstProtAddress))
		return s + fmt.Sprintf(" arp %d %s %s %s", a.Operation, src, dst,
			model.MAC(binary.BigEndian.Uint64(append([]byte{0, 0}, a.SourceHwAddress...))))
	}
	n, ok := p.Layer(layers.LayerTypeICMPv6NeighborAdvertisement).(*layers.ICMPv6NeighborAdvertisement)
	if !ok {
		return s + " neither"
	}
	return s + fmt.Sprintf(" na %x %s %s %x", n.Flags, p.NetworkLayer().(*layers.IPv6).DstIP, n.TargetAddress,
		n.Options[0].Data)
}

func (w *world) expect(t *testing.T, what string, want ...string) {
	t.Helper()
	if fmt.Sprint(w.sent) != fmt.Sprint(want) {
		t.Errorf("%s: sent\n%q, want\n%q", what, w.sent, want)
	}
	w.sent = nil
}

func move(ip string, mac model.MAC) Move { return Move{Addr: netip.MustParseAddr(ip), MAC: mac} }

// TestAnnounce: to all attachments of the segment but the owner's, by ports that are up, twice, and to no other tenant.
func TestAnnounce(t *testing.T) {
	w := newWorld(t)
	w.a.Moved([]Move{move("10.0.0.1", mac1), move("fd00::1", mac1), move("10.0.0.2", mac2),
		move("10.0.0.254", macRouter)})
	wait := w.a.Step()
	w.expect(t, "at once",
		"0 02:00:00:00:00:01 arp 1 10.0.0.1 10.0.0.1 02:00:00:00:00:01",
		"1 02:00:00:00:00:01 vlan 7 arp 1 10.0.0.1 10.0.0.1 02:00:00:00:00:01",
		"0 02:00:00:00:00:01 na 20 ff02::1 fd00::1 020000000001",
		"1 02:00:00:00:00:01 vlan 7 na 20 ff02::1 fd00::1 020000000001",
		"0 02:00:00:00:00:02 arp 1 10.0.0.2 10.0.0.2 02:00:00:00:00:02",
		"0 02:50:53:00:00:ff arp 1 10.0.0.254 10.0.0.254 02:50:53:00:00:ff",
		"1 02:50:53:00:00:ff vlan 7 arp 1 10.0.0.254 10.0.0.254 02:50:53:00:00:ff")
	if wait <= 0 || wait > again {
		t.Errorf("the second round is due in %v, want within %v", wait, again)
	}
	w.now = w.now.Add(again / 2)
	w.a.Step()
	w.expect(t, "between the rounds")
	w.bind(t, 0, mac1, fib.RemoteLoc(1, 2), "10.0.0.9") // 10.0.0.1 and fd00::1 are removed
	w.now = w.now.Add(again)
	w.a.Step()
	w.expect(t, "second round, of what still holds", "0 02:00:00:00:00:02 arp 2 10.0.0.2 10.0.0.2 02:00:00:00:00:02",
		"0 02:50:53:00:00:ff arp 2 10.0.0.254 10.0.0.254 02:50:53:00:00:ff",
		"1 02:50:53:00:00:ff vlan 7 arp 2 10.0.0.254 10.0.0.254 02:50:53:00:00:ff")
	w.now = w.now.Add(time.Hour)
	if wait := w.a.Step(); wait < time.Minute {
		t.Errorf("with an empty queue the next step is due in %v, want 0 (never)", wait)
	}
	w.expect(t, "afterwards")
}

// TestLatestCounts: of moves of one address that wait, the last is announced, and only it.
func TestLatestCounts(t *testing.T) {
	w := newWorld(t)
	w.a.Moved([]Move{move("10.0.0.1", mac2), move("10.0.0.1", mac1)})
	w.a.Moved([]Move{{Seg: 7, Addr: netip.MustParseAddr("10.0.0.1"), MAC: mac1},
		{Seg: 1, Addr: netip.MustParseAddr("10.0.0.1"), MAC: mac1}})
	w.a.Step()
	w.expect(t, "one address", "0 02:00:00:00:00:01 arp 1 10.0.0.1 10.0.0.1 02:00:00:00:00:01",
		"1 02:00:00:00:00:01 vlan 7 arp 1 10.0.0.1 10.0.0.1 02:00:00:00:00:01")
}

// TestBounds: memory, rate, and a ring that is full.
func TestBounds(t *testing.T) {
	w := newWorld(t)
	w.full = true
	w.a.Moved([]Move{move("10.0.0.1", mac1)})
	if wait := w.a.Step(); wait != step || len(w.sent) != 0 {
		t.Errorf("with a full ring: next step in %v, want %v", wait, step)
	}
	w.full = false
	w.a.Step()
	if len(w.sent) != 2 {
		t.Errorf("%d frames once there is room, want 2", len(w.sent))
	}

	// Every address is at mac1 in a segment of 100 attachments: more frames than a burst for each.
	w = newWorld(t)
	w.snap.Segments[0].Local = make([]uint32, 100)
	var all []Move
	for i := range Pending + 10 {
		all = append(all, Move{Seg: 0, Addr: netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), MAC: mac1})
	}
	all = append(all, move("10.0.0.1", mac1))
	w.a.Moved(all)
	if n := w.a.Forgotten(); n != 11 {
		t.Errorf("%d moves forgotten, want 11 of %d", n, len(all))
	}
	w.a.Step()
	if len(w.sent) != burst {
		t.Errorf("%d frames in one step, want %d", len(w.sent), burst)
	}
	w.a.Step()
	if len(w.sent) != 100 {
		t.Errorf("%d frames in two steps, want 100, one for each attachment", len(w.sent))
	}
}

// TestRun: Run announces a move by itself, and ends with its context.
func TestRun(t *testing.T) {
	w := newWorld(t)
	w.a.cfg.Now = time.Now
	sent := make(chan int, 1000)
	w.a.cfg.Inject = func(port int, _ []byte) bool { sent <- port; return true }
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { w.a.Run(ctx); close(done) }()
	w.a.Moved([]Move{move("10.0.0.1", mac1)})
	for i := range 4 { // two rounds to two attachments
		select {
		case <-sent:
		case <-time.After(20 * time.Second):
			t.Fatalf("%d frames sent, want 4", i)
		}
	}
	cancel()
	<-done
}
