package rig

import (
	"fmt"
	"maps"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"penstock/ctrl/compile"
	"penstock/ctrl/model"
	"penstock/dataplane/drop"
	"penstock/dataplane/fib"
	"penstock/dataplane/punt"
)

// TestICMPLimitIsTheSendersOwn: whatever one tenant makes of ICMP errors, another gets his.
func TestICMPLimitIsTheSendersOwn(t *testing.T) {
	o := world(1)
	o.ICMPRate, o.MTU = 100, []uint16{fab0: 1500}
	r := start(t, o)
	red := udp(t, remoteMAC(0), localMAC, remoteIP(0), localIP, 1500)
	blue := udp(t, remoteMAC(0), localMAC, remoteIP(0), localIP, 1500)
	redGot, blueGot := 0, 0
	for range 50 { // two seconds
		for range 40 {
			receive(t, r, acc0, red, red, red, red) // 4,000 a second
		}
		receive(t, r, acc1, blue)
		redGot += len(r.Sent(acc0))
		blueGot += len(r.Sent(acc1))
	}
	if blueGot != 50 {
		t.Errorf("blue got %d errors for 50 packets that are too big, want one each; dropped: %v", blueGot,
			dropped(r, acc1))
	}
	if most := 1000 + 100*3; redGot > most || redGot < 1000 {
		t.Errorf("red got %d errors in two seconds, want its burst of 1000 and 100 a second", redGot)
	}
}

// TestFloodLimitCountsCopies: broadcasts in a segment of many boxes do not fill the ring that all tenants share.
func TestFloodLimitCountsCopies(t *testing.T) {
	const boxes, burst = 200, 1000
	o := world(boxes)
	o.FloodRate = burst // the rig's burst is the same
	o.Frames = 16384
	r := start(t, o)
	broadcast := udp(t, 0xffffffffffff, localMAC, "255.255.255.255", localIP, 100)
	for range 200 {
		receive(t, r, acc0, broadcast)
		r.now -= 999_000 // all within 0.2 ms
	}
	if n := len(r.Sent(fab0)); n != burst {
		t.Errorf("%d copies of 200 broadcasts to %d boxes, want no more than the burst of %d", n, boxes, burst)
	}
	if d := dropped(r, acc0); d["flood_limit"] != 200-burst/boxes {
		t.Errorf("dropped %v, want flood_limit %d", d, 200-burst/boxes)
	}
	receive(t, r, acc1, broadcast) // the other tenant has its own limit
	if n := len(r.Sent(fab0)); n != boxes {
		t.Errorf("%d copies of another VIF's broadcast, want %d", n, boxes)
	}
	r.now += 1e9
	for range 10 {
		receive(t, r, acc0, broadcast)
		r.now -= 1e6
	}
	if n := len(r.Sent(fab0)); n != burst {
		t.Errorf("%d copies a second later, want %d", n, burst)
	}
}

// TestOneErrorPerPacket: a packet that is flooded and too big for all receivers is answered once.
func TestOneErrorPerPacket(t *testing.T) {
	const boxes = 150
	o := world(boxes)
	o.MTU = []uint16{fab0: 1500}
	r := start(t, o)
	for name, f := range map[string][]byte{
		"unknown unicast": udp(t, 0x02000000dead, localMAC, "10.1.0.99", localIP, 1500),
		"IPv6 multicast":  udp(t, 0x333300000001, localMAC, "ff02::1:2", localIP6, 1500),
	} {
		receive(t, r, acc0, f, f)
		if n := len(r.Sent(acc0)); n != 2 {
			t.Errorf("%s: %d errors about 2 packets to %d receivers, want 2; dropped: %v", name, n, boxes,
				dropped(r, acc0))
		}
		if n := len(r.Sent(fab0)); n != 0 {
			t.Errorf("%s: %d frames that are too big were sent to the fabric", name, n)
		}
	}
}

// TestPuntLimitPerPort: the box behind one port, however much it sends, leaves the others theirs; no number of workers
// changes the limit.
func TestPuntLimitPerPort(t *testing.T) {
	const own, first = 0x02ee00000001, 0x020000000a00
	o := Options{EdgeMAC: own}
	for i := range 4 {
		o.Ports = append(o.Ports, compile.Port{Name: fmt.Sprintf("d%d", i), Role: fib.RoleDownlink,
			SwitchPort: uint8(i + 1)})
	}
	r := start(t, o)
	arp := func(port int) []byte {
		mac := hw(model.MAC(first + port))
		return build(t, &layers.Ethernet{DstMAC: hw(own), SrcMAC: mac, EthernetType: layers.EthernetTypeARP},
			&layers.ARP{AddrType: 1, Protocol: 0x0800, HwAddressSize: 6, ProtAddressSize: 4, Operation: 2,
				SourceHwAddress: mac, SourceProtAddress: []byte{10, byte(port + 1), 0, 1},
				DstHwAddress: hw(own), DstProtAddress: make([]byte, 4)})
	}
	var got [4]int
	for range 100 { // a second
		for range 10 {
			for range 64 {
				receive(t, r, 0, arp(0))
				r.now -= 1e6 - 15_625
			}
		}
		for port := 1; port < 4; port++ {
			receive(t, r, port, arp(port))
			r.now -= 1e6
		}
		for s := r.Punts.Peek(); s != nil; s = r.Punts.Peek() {
			got[s.Port]++
			r.Punts.Drop()
		}
	}
	if got[0] < 190 || got[0] > 230 {
		t.Errorf("%d of the flood of 64,000 went to control, want about 200", got[0])
	}
	for port, n := range got[1:] {
		if n != 100 {
			t.Errorf("%d of 100 of port %d went to control, want all; dropped %v", n, port+1, dropped(r, port+1))
		}
	}
	r.now += 1e9
	before := dropped(r, 0)
	lldp := build(t, &layers.Ethernet{DstMAC: hw(0x0180c200000e), SrcMAC: hw(first), EthernetType: 0x88cc},
		gopacket.Payload(make([]byte, 46)))
	for range 500 { // control reads nothing meanwhile
		receive(t, r, 0, arp(0))
	}
	receive(t, r, 0, lldp)
	receive(t, r, 1, arp(1))
	waiting := map[string]int{}
	for s := r.Punts.Peek(); s != nil; s = r.Punts.Peek() {
		waiting[fmt.Sprintf("%s of port %d", punt.Kind(s.Kind), s.Port)]++
		r.Punts.Drop()
	}
	slots := 2 * int(punt.ARP.Info().Burst)
	want := map[string]int{"arp of port 0": slots, "lldp of port 0": 1, "arp of port 1": 1}
	if !maps.Equal(waiting, want) {
		t.Errorf("while control read nothing it got %v, want %v", waiting, want)
	}
	full := drop.PuntFull.String()
	if n := dropped(r, 0)[full] - before[full]; n < 50 || n > 150 {
		t.Errorf("%d frames of the flood found no slot, want about 90: what the limit lets through", n)
	}
	if n := dropped(r, 1)[full]; n != 0 {
		t.Errorf("%d frames of the other port found no slot, want 0", n)
	}
	if d := before; d[drop.PuntLimit.String()] != uint64(64_000-got[0]) {
		t.Errorf("dropped %v, want punt_limit %d", d, 64_000-got[0])
	}
}
