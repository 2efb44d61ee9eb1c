package station

import (
	"context"
	"encoding/binary"
	"net/netip"
	"runtime"
	"syscall"
	"testing"
	"time"

	"penstock/dataplane/wire"
	"penstock/dataplane/wire/checksum"
)

// synAck turns a SYN in a frame into the SYN-ACK that answers it, from the server's port put back to the service's.
func synAck(f []byte, service uint16) []byte {
	f = append([]byte(nil), f...)
	h := wire.IPv4(f[wire.EthernetLen:])
	t := wire.TCP(h.Payload())
	src, dst := h.Src(), h.Dst()
	h.SetSrc(dst)
	h.SetDst(src)
	t.SetDstPort(t.SrcPort())
	t.SetSrcPort(service)
	binary.BigEndian.PutUint32(t[8:], t.Seq()+1)
	t[13] = wire.TCPSyn | wire.TCPAck
	t.SetChecksum(0)
	t.SetChecksum(checksum.Checksum(t, checksum.PseudoIPv4(dst, src, wire.ProtoTCP, uint16(len(t)))))
	return f
}

// BenchmarkCheck is a TCP check of a server that answers at once: connect and reset. Every tenant has the same
// addresses.
func BenchmarkCheck(b *testing.B) {
	for _, tenants := range []uint32{1, 1000} {
		b.Run(map[uint32]string{1: "tenants=1", 1000: "tenants=1000"}[tenants], func(b *testing.B) {
			type answer struct {
				seg   Segment
				frame []byte
			}
			answers := make(chan answer, 64)
			s := New(Config{Inject: func(tenant, segment uint32, f []byte) bool {
				if t := wire.TCP(wire.IPv4(f[wire.EthernetLen:]).Payload()); t.Flags() == wire.TCPSyn {
					answers <- answer{Segment{tenant, segment}, synAck(f, 80)}
				}
				return true
			}})
			defer s.Close()
			defer close(answers)
			go func() {
				for a := range answers {
					s.Input(a.seg, a.frame)
				}
			}()
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			at := time.Now()
			var list []*Station
			for i := range tenants {
				st, err := s.Station(Key{Segment{i + 1, 1}, netip.MustParseAddr("10.10.1.101")}, 0x02560a0a0165)
				if err != nil {
					b.Fatal(err)
				}
				list = append(list, st)
			}
			took := time.Since(at)
			runtime.GC()
			runtime.ReadMemStats(&after)
			to := netip.MustParseAddrPort("10.10.1.100:80")
			var path []*Path
			for _, st := range list {
				path = append(path, &Path{Segment: st.Segment, MAC: 0x020000000114, Source: 0x024d4b000007, Port: 8080})
			}
			cpu := func() time.Duration {
				var u syscall.Rusage
				_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
				return time.Duration(u.Utime.Nano() + u.Stime.Nano())
			}
			start := cpu()
			b.ResetTimer()
			for i := range b.N {
				k := i % len(list)
				c, err := list[k].DialTCP(context.Background(), to, path[k])
				if err != nil {
					b.Fatal(err)
				}
				c.Close()
			}
			b.ReportMetric(float64(cpu()-start)/float64(b.N)/1e3, "cpu-µs/check")
			b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/float64(tenants)/1e3, "KB/tenant")
			b.ReportMetric(float64(took.Microseconds())/float64(tenants), "setup-µs/tenant")
		})
	}
}
