package integration

import (
	"encoding/binary"
	"fmt"
	"testing"
	"time"

	"penstock/ctrl/model"
	"penstock/integration/endpoint"
)

// TestFormUDP runs two boxes and two edge switches with encapsulation in UDP: mixed frames arrive once and unchanged
// both ways, and the flows of one pair of boxes and one segment have many source ports.
func TestFormUDP(t *testing.T) {
	o := rawPair()
	o.Encap = "udp"
	f := startFabric(t, o)
	for i, way := range [][2]string{{"red-vm1", "red-vm2"}, {"red-vm2", "red-vm1"}} {
		frames, err := endpoint.Mix(endpoint.MixOptions{Seed: uint64(40 + i), From: f.host(way[0]),
			To: f.host(way[1])}, 2000)
		must(t, err)
		sendMix(t, f.raw(t, way[0]), f.raw(t, way[1]), frames)
	}
	for _, box := range []string{"box1", "box2"} {
		if d := f.drops(box); d["fabric_form"]+d["fabric_udp"]+d["fabric_udp_checksum"]+d["fabric_protocol"] != 0 {
			t.Errorf("%s dropped %v, want no encapsulated frame dropped", box, d)
		}
	}
}

// TestFormUDPOuter compares the outer header that a box writes with PROTOCOL.md#in-udp.
func TestFormUDPOuter(t *testing.T) {
	o := oneBox()
	o.Encap = "udp"
	f := startFabric(t, o)
	edge, raw := f.edge(t, "box1"), f.raw(t, "red-raw1")
	from, to := f.host("red-raw1"), f.host("red-vm2")
	ports := map[uint16]bool{}
	const flows = 100
	for i := range uint16(flows) {
		frame := bytesOf(endpoint.UDP4(from, to, 0, 10000+i, 53, []byte("which port")))
		must(t, raw.Send(frame))
		var got *endpoint.Outer
		_, err := edge.Find(2*time.Second, func(b []byte) bool {
			o, err := endpoint.DecodeOuter(b)
			if err == nil && o.Proto == 17 && binary.BigEndian.Uint16(o.Inner[2:]) == 7472 {
				got = o
			}
			return got != nil
		})
		must(t, err)
		udp := got.Inner[:8]
		ports[binary.BigEndian.Uint16(udp)] = true
		if d := endpoint.Diff(frame, got.Inner[8:]); d != "" {
			t.Errorf("inner frame: %s", d)
		}
		n := int(binary.BigEndian.Uint16(udp[4:]))
		if n != len(got.Inner) || udp[6] != 0 || udp[7] != 0 || udp[0] < 0xc0 {
			t.Errorf("UDP header % x, want a source port from 49152 on, the length %d and no checksum", udp,
				len(got.Inner))
		}
		want := endpoint.Outer{DstMAC: f.Node("swb").MAC, SrcMAC: f.Node("swa").MAC, Tagged: true, VID: got.VID,
			ID: got.VID, Flags: 0x4000, TTL: 64, Proto: 17, Src: endpoint.Special(model.Scheme16, 1, 7),
			Dst: endpoint.Special(model.Scheme16, 2, 100), Inner: got.Inner}
		if g, w := fmt.Sprintf("%+v", *got), fmt.Sprintf("%+v", want); g != w {
			t.Errorf("\nhave %s\nwant %s", g, w)
		}
	}
	if len(ports) < flows*9/10 {
		t.Errorf("%d source ports of %d flows, want nearly as many", len(ports), flows)
	}
}
