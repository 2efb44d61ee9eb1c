package dataplane

import (
	"encoding/binary"
	"testing"
	"time"

	"penstock/dataplane/fib"
	"penstock/dataplane/stats"
	"penstock/dataplane/table"
	"penstock/dataplane/wire"
	"penstock/dataplane/wire/checksum"
)

// TestFragmentsOfWorkers: with two workers all fragments of a datagram reach the server of its first one, whichever
// workers their addresses and their flow belong to, in any order, and so do ICMP errors.
func TestFragmentsOfWorkers(t *testing.T) {
	for _, handoff := range []bool{false, true} {
		cfg := Config{Workers: 2, Frames: 4096, RingSize: 512, Handoff: handoff, Flows: Flows{Limit: 4096}}
		x := newBench(t, 1, cfg)
		s := x.snap // a copy
		const vip, vipMAC = 0x0a0a0164, 0x02560a0a0164
		s.Generation = 2
		s.VIPs = []fib.VIP{{Ref: 1 << fib.RefBits, Tenant: 100, MAC: vipMAC, IP4: vip, Here: true,
			Exact: table.NewStatic([]uint64{fib.ServiceKey(wire.ProtoUDP, 53)}, []uint32{0})}}
		s.Services = []fib.Service{{Ref: 1 << fib.RefBits, ID: 7, Tenant: 100, Proto: wire.ProtoUDP, Port: 53,
			PortEnd: 53, Scheduler: fib.SchedRR, Members: []uint32{0, 1}, Weights: []uint16{1, 1},
			Table: []uint16{0, 1, 0, 1, 1, 0, 1}}}
		to := fib.LocLocal | uint32(flows)
		for i := range uint32(2) {
			s.Servers = append(s.Servers, fib.Server{Ref: i | 1<<fib.RefBits, MAC: target + uint64(i),
				Source: fib.Mark | 7, Loc: to, Port: 5300, Accept: fib.AcceptAll})
		}
		if err := x.bindings.Upsert(&table.Binding{MAC: vipMAC, Loc: fib.VIPLoc(0), IP4: []uint32{vip}}); err != nil {
			t.Fatal(err)
		}
		x.Prepare(stats.Indices{Services: stats.Used{N: 1}, Servers: stats.Used{N: 2}})
		x.Publish(&s)
		x.start()
		orders := [][]int{{0, 1, 2}, {2, 1, 0}, {1, 0, 2}, {2, 0, 1}}
		const clients = 40
		for c := range clients {
			client := uint32(0x0a0a0200 + c)
			parts := cut(client, vip, vipMAC, uint16(1000+c))
			for _, i := range orders[c%len(orders)] {
				x.a.Send(parts[i])
			}
			servers, bad := map[uint64]int{}, 0
			for n := 0; n < 3; n++ {
				f := x.b.Receive(time.Second)
				if f == nil {
					break
				}
				servers[wire.MAC(f)]++
				if binary.BigEndian.Uint32(f[26:]) != client {
					bad++
				}
			}
			if len(servers) != 1 || servers[target]+servers[target+1] != 3 || bad > 0 {
				t.Fatalf("handoff %v, client %d, order %v: fragments by server %v, %d of others; want 3 at one (%+v)",
					handoff, c, orders[c%len(orders)], servers, bad, Sum(x.Ports()))
			}
			x.a.Send(about(client, vip, vipMAC, uint16(1000+c)))
			if f := x.b.Receive(time.Second); f == nil || servers[wire.MAC(f)] != 3 ||
				binary.BigEndian.Uint16(f[62:]) != 5300 {
				t.Fatalf("handoff %v, client %d: the server of %v received %x as error about its reply (ports %+v)",
					handoff, c, servers, f, Sum(x.Ports()))
			}
		}
		x.end()
	}
}

// about returns an ICMP error with 8 octets of a datagram from port 53 to the client.
func about(client, vip uint32, vipMAC uint64, port uint16) []byte {
	f := make([]byte, 14+20+8+20+8)
	wire.PutMAC(f[0:], vipMAC)
	wire.PutMAC(f[6:], source0)
	f[12] = 8
	header := func(ip wire.IPv4, total uint16, proto uint8, src, dst uint32) {
		ip.SetVersionIHL(wire.IPv4Len)
		ip.SetTotalLen(total)
		ip.SetTTL(64)
		ip.SetProto(proto)
		ip.SetSrc(src)
		ip.SetDst(dst)
		ip.SetChecksum(checksum.Checksum(ip, 0))
	}
	header(f[14:34], 56, wire.ProtoICMP, 0x0a090909, vip)
	f[34], f[35] = 3, 3
	header(f[42:62], 100, wire.ProtoUDP, vip, client)
	binary.BigEndian.PutUint16(f[62:], 53)
	binary.BigEndian.PutUint16(f[64:], port)
	binary.BigEndian.PutUint16(f[36:], checksum.Checksum(f[34:], 0))
	return f
}

// cut returns the three fragments of a datagram to port 53.
func cut(client, vip uint32, vipMAC uint64, port uint16) (list [][]byte) {
	for i := range 3 {
		f := make([]byte, 14+20+104)
		wire.PutMAC(f[0:], vipMAC)
		wire.PutMAC(f[6:], source0)
		f[12] = 8
		ip := wire.IPv4(f[14:34])
		ip.SetVersionIHL(wire.IPv4Len)
		ip.SetTotalLen(124)
		ip.SetID(port)
		ip.SetTTL(64)
		ip.SetProto(wire.ProtoUDP)
		more := uint16(0x2000)
		if i == 2 {
			more = 0
		}
		ip.SetFlagsFragment(more | uint16(i*13))
		ip.SetSrc(client)
		ip.SetDst(vip)
		ip.SetChecksum(checksum.Checksum(ip, 0))
		if i == 0 {
			binary.BigEndian.PutUint16(f[34:], port)
			binary.BigEndian.PutUint16(f[36:], 53)
			binary.BigEndian.PutUint16(f[38:], 312)
		}
		list = append(list, f)
	}
	return list
}
