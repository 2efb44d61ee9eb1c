package perf

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"

	"penstock/ctrl/model"
	"penstock/dataplane/frame"
)

// reply is a datagram of the real server localServer, from the virtual address, to client n behind an edge switch.
func reply(n int, port uint16) []byte {
	f := udp(serverMAC+model.MAC(n), localServer, virtualIP, 0x0a010001+uint32(n), benchServerTo)
	binary.BigEndian.PutUint16(f[36:], port)
	return f
}

// BenchmarkBalanceReply: a real server's access port → reply rule → the service's port put back → outer header → fabric
// port. It is to be compared with BenchmarkEncap/bindings=1k: the same without rule.
func BenchmarkBalanceReply(b *testing.B) {
	r := benchBalance(b, 1024, true)
	s := r.Compiler.Snapshot()
	f := reply(0, 1024)
	var batch frame.Batch
	batch.N = 1
	batch.Pkt[0] = frame.Packet{Off: frame.Headroom, Port: acc, Len: uint16(copy(r.Mem[frame.Headroom:], f))}
	r.SetTime(1)
	r.Process(acc, &batch, s)
	out := r.Out(fab)
	if len(out) != 1 {
		b.Fatalf("%d frames came out of a reply, want 1: dropped %v", len(out), dropsOf(r, acc))
	}
	ports := binary.BigEndian.Uint16(r.Mem[out[0].Addr+38+34:])
	if ports != benchService {
		b.Fatalf("the reply came from port %d, want the service's %d", ports, benchService)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	measure(b, r, acc, fab, func(int) []byte { return reply(rng.IntN(benchServers), uint16(rng.Uint32())) })
}
