package dataplane

import (
	"encoding/binary"
	"testing"

	"penstock/dataplane/fib"
	"penstock/dataplane/flow"
	"penstock/dataplane/frame"
	"penstock/dataplane/parse"
	"penstock/dataplane/wire/checksum"
)

// TestAddFlows: flows from elsewhere reach the worker that the flow's packets reach, and those of former owners of an
// index, or that are too old, reach none.
func TestAddFlows(t *testing.T) {
	const server, vip4, vip6 = fib.Ref(1<<fib.RefBits | 1), fib.Ref(1<<fib.RefBits | 1), fib.Ref(1<<fib.RefBits | 2)
	x := newBench(t, 1, Config{Workers: 2, Frames: 1024, RingSize: 128, Flows: Flows{Limit: 4096}})
	next := x.snap // a copy
	next.Generation = 2
	next.VIPs = []fib.VIP{
		{}, {Ref: vip4, Here: true, IP4: 0x0a0a0164},
		{Ref: vip6, Here: true, V6: true, IP6: [2]uint64{0xfd << 56, 0x100}},
	}
	next.Servers = []fib.Server{{}, {Ref: server}}
	x.Publish(&next)
	for _, running := range []bool{false, true} {
		if running {
			x.start()
		}
		var list []flow.Flow
		for i := range uint16(600) {
			k := flow.Key{Client: [2]uint64{0, 0x0a000001}, VIP: vip4, ClientPort: i, Port: 80, Proto: 6}
			if i%3 == 0 {
				k.VIP, k.V6, k.Client[0] = vip6, true, 0xfd<<56
			}
			if running {
				k.Port = 81
			}
			list = append(list, flow.Flow{Key: k, Server: server, State: flow.Established, Age: 1000})
		}
		bad := list[0]
		for i := range 4 {
			f := bad
			f.ClientPort = uint16(1000 + i)
			switch i {
			case 0:
				f.Server += 1 << fib.RefBits
			case 1:
				f.VIP += 1 << fib.RefBits
			case 2:
				f.Age = flow.Established.Idle()
			case 3:
				f.VIP = fib.RefMask
			}
			list = append(list, f)
		}
		if n := x.AddFlows(list); n != 600 {
			t.Errorf("running %v: %d flows added, want 600", running, n)
		}
		out := make([]flow.Flow, MaxReadFlows)
		total := 0
		for id := range 2 {
			for from := uint32(0); ; {
				next, n := x.ReadFlows(id, from, out)
				for _, f := range out[:n] {
					total++
					if got := packetWorker(t, x.Engine, &f); got != uint32(id) {
						t.Errorf("%+v is at worker %d, its packets go to %d", f, id, got)
					}
				}
				if from = next; next == 0 {
					break
				}
			}
		}
		if want := map[bool]int{false: 600, true: 1200}[running]; total != want {
			t.Errorf("running %v: read %d flows, want %d", running, total, want)
		}
	}
	x.end()
}

// packetWorker returns the worker of a packet of the flow, as the parser hashes it.
func packetWorker(t *testing.T, e *Engine, f *flow.Flow) uint32 {
	t.Helper()
	b := make([]byte, 12, 100)
	if f.V6 {
		b = append(b, 0x86, 0xdd, 0x60, 0, 0, 0, 0, 20, f.Proto, 64)
		b = binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(b, f.Client[0]), f.Client[1])
		b = binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(b, 0xfd<<56), 0x100)
	} else {
		b = append(b, 8, 0, 0x45, 0, 0, 40, 0, 0, 0, 0, 64, f.Proto, 0, 0)
		b = binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(b, uint32(f.Client[1])), 0x0a0a0164)
		binary.BigEndian.PutUint16(b[24:], checksum.Checksum(b[14:34], 0))
	}
	b = binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(b, f.ClientPort), f.Port)
	b = append(b, make([]byte, 16)...)
	b[len(b)-8] = 0x50
	b[5], b[11] = 1, 2
	p := frame.Packet{Len: uint16(len(b))}
	parse.Access(b, &p)
	if !p.Has(frame.FlagL4) {
		t.Fatalf("the parser takes the packet for %+v", p)
	}
	return e.workers[0].Balance.Affinity.Target(p.Hash)
}
