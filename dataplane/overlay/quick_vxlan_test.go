package overlay

import (
	"encoding/binary"
	"testing"

	"penstock/dataplane/fib"
	"penstock/dataplane/frame"
	"penstock/dataplane/table"
)

// The ports of a quickWorld with VXLAN, the VTEP that sends the frames of fabricFrames there, and its VNI.
const (
	quickVX  = 4
	quickVX6 = 5
	quickVNI = 0x123456
)

// withVTEPs adds ports with VXLAN over IPv4 and IPv6 to a quickWorld.
func withVTEPs(s *fib.Snapshot) *fib.Snapshot {
	s.Ports = append(s.Ports[:quickVX:quickVX],
		fib.Port{Role: fib.RoleFabric, Up: true, MTU: 1600, Fabric: fib.Fabric{OwnMAC: quickBox, BoxIP: 0x0a020064,
			Form: fib.FormVXLAN}},
		fib.Port{Role: fib.RoleFabric, Up: true, MTU: 1600, Fabric: fib.Fabric{OwnMAC: quickBox,
			Own6: [2]uint64{0xff02 << 48, 1}, Form: fib.FormVXLAN6}})
	s.Segments[0].VNI, s.Segments[1].VNI = quickVNI, quickVNI+1
	s.Switches = []fib.Switch{{}, {MAC: 1 << 63, VTEP: &fib.VTEP{Learn: 1}}}
	s.VXLAN = fib.VXLAN{Segments: table.NewStatic([]uint64{quickVNI, quickVNI + 1}, []uint32{0, 1}),
		VTEPs4: table.NewStatic([]uint64{0x0a050007}, []uint32{1}),
		VTEPs6: []fib.VTEP6{{Address: [2]uint64{0xfe80 << 48, 1}, Switch: 1}}}
	return s
}

// inVXLAN returns encapsulated frames in VXLAN, and frames that differ in one field of the headers behind IP.
func inVXLAN(frames [][]byte) [][]byte {
	l := behindUDP(frames, vxlanPort, binary.BigEndian.AppendUint64(nil, vxlanFlags|quickVNI<<8))
	good := l[0]
	other := edited(good, 48, good[48]+1) // of the other segment
	return append(l, frames[0], good, other, other, good, edited(edited(good, 6, 0x02), 11, 0x77), good)
}

// TestQuickVXLAN: the quick pass of VXLAN processes the frames that it is made for, and gives the same outcomes as
// parser and stage.
func TestQuickVXLAN(t *testing.T) {
	s := withVTEPs(quickWorld(t))
	frames := inVXLAN(fabricFrames())
	for _, workers := range []uint32{0, 3} {
		agree(t, frames, quickVX, s, workers)
		agree(t, frames, quickVX6, s, workers)
	}
	st := quickState(0)
	for i, want := range []bool{false, true} {
		mem := append(make([]byte, frame.Headroom), frames[i]...)
		p := frame.Packet{Off: frame.Headroom, Len: uint16(len(frames[i])), Port: quickVX}
		b := &frame.Batch{N: 1, Pkt: [frame.BatchSize]frame.Packet{p}}
		st.syncCaches(s)
		next, _ := quickVXLAN(mem, b, 0, &s.Ports[quickVX].Fabric, s, st)
		if got := next == 1; got != want || !got && b.Pkt[0] != p {
			t.Errorf("frame %d: processed by the quick pass %v, want %v; the packet was %+v, is %+v", i, got, want, p,
				b.Pkt[0])
		}
		through1(frames[i], quickVX, s, st)
	}
}
