package edge

import (
	"testing"

	"github.com/google/gopacket/layers"

	"penstock/dataplane/frame"
)

// mixed fills a batch with all kinds of frames, floods and drops included.
func (n *bench) mixed(t testing.TB) {
	frames := []struct {
		port uint16
		b    []byte
	}{
		{portTrunkA, overlayPacket(t, ownMAC, remoteMAC, vidABC, "10.1.0.2", 64, 60)},
		{portTrunkB, overlayPacket(t, remoteMAC, otherMAC, vidABC, "10.1.0.2", 64, 60)},
		{portDown1, overlayPacket(t, ownMAC, box1MAC, vidAB, "10.2.0.2", 64, 60)},
		{portDown2, overlayPacket(t, remoteMAC, ownMAC, vidABC, "10.2.0.2", 64, 60)},
		{portDown1, payload(t, bcast, ownMAC, vidControl, 0x88b5)},
		{portDown1, arpPacket(t, ownMAC, box1MAC, -1, 2)},
		{portTrunkC, payload(t, 0x0180c200000e, otherMAC, -1, layers.EthernetTypeLinkLayerDiscovery)},
		{portTrunkC, payload(t, bcast, otherMAC, vidAB, 0x88b5)},
	}
	for i := range frame.BatchSize {
		f := frames[i%len(frames)]
		n.add(f.port, f.b)
	}
}

// again restores the batch to what it was before run.
func (n *bench) again(saved *frame.Batch) {
	n.b = *saved
	n.forget()
}

func TestNoAllocation(t *testing.T) {
	n := newBench()
	n.mixed(t)
	saved := n.b
	var sink int
	if a := testing.AllocsPerRun(100, func() {
		n.again(&saved)
		n.Now += 1e8
		n.forward(&n.b)
		n.Emit(0)
		sink += len(n.copies)
	}); a != 0 || sink == 0 {
		t.Errorf("%v allocations a batch, %d copies; want no allocations, and some copies", a, sink)
	}
}

// BenchmarkForward gives the time per packet, with 64 sources and destinations but for "route_one_source". It includes
// what case "restore" takes to put the batch back.
func BenchmarkForward(b *testing.B) {
	cases := []struct {
		name string
		port uint16
		make func(i uint64) []byte
	}{
		{"restore", portTrunkA, nil},
		{"route", portTrunkA, func(i uint64) []byte {
			return overlayPacket(b, ownMAC, remoteMAC+i, vidABC, "10.1.0.2", 64, 60)
		}},
		{"route_one_source", portTrunkA, func(uint64) []byte {
			return overlayPacket(b, ownMAC, remoteMAC, vidABC, "10.1.0.2", 64, 60)
		}},
		{"transit", portTrunkA, func(i uint64) []byte {
			return overlayPacket(b, otherMAC+i, remoteMAC+i, vidABC, "10.1.0.2", 64, 60)
		}},
		{"box", portDown1, func(i uint64) []byte {
			return overlayPacket(b, otherMAC+i, ownMAC, vidABC, "10.1.0.2", 64, 60)
		}},
	}
	for _, c := range cases {
		b.Run(c.name, func(b *testing.B) {
			n := newBench()
			n.FDB = NewFDB(65536)
			for i := range uint64(frame.BatchSize) {
				n.FDB.learn(vidABC, otherMAC+i, portTrunkB, 0)
			}
			if c.make != nil {
				for i := range uint64(frame.BatchSize) {
					n.add(c.port, c.make(i))
				}
			} else {
				n.b.N = frame.BatchSize
			}
			// Put back what Forward changes: the frames' TTL and the few fields that the next round reads.
			saved := n.b
			for b.Loop() {
				for i := range n.b.Pkt {
					p, was := &n.b.Pkt[i], &saved.Pkt[i]
					p.Off, p.Len, p.L3, p.VID = was.Off, was.Len, was.L3, was.VID
					p.Flags, p.Next = was.Flags, frame.NextParsed
					p.DstMAC, p.SrcMAC = was.DstMAC, was.SrcMAC
					n.Mem[was.Off+macHeader+tagSize+8] = 64
				}
				if c.make != nil {
					n.forget()
					n.forward(&n.b)
					n.Emit(0)
				}
			}
			if c.make != nil && n.b.Pkt[0].Next != frame.NextTx {
				b.Fatalf("drop %q", n.b.Pkt[0].Drop)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/frame.BatchSize, "ns/packet")
		})
	}
}
