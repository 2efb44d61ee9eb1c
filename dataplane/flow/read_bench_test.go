package flow

import "testing"

// BenchmarkRead: what showing flows costs a worker: a page of 256 of a full table of a million.
func BenchmarkRead(b *testing.B) {
	for _, v6 := range []bool{false, true} {
		name := map[bool]string{false: "v4", true: "v6"}[v6]
		b.Run(name, func(b *testing.B) {
			t, err := New(Config{Flows: 1 << 20, Servers: 16, V6: v6})
			if err != nil {
				b.Fatal(err)
			}
			defer t.Close()
			for i := range uint64(1 << 20) {
				k := Key{Client: [2]uint64{0, i}, VIP: 1 << 20, ClientPort: uint16(i), Port: 80, Proto: 6, V6: v6}
				var p Probe
				t.Prepare(&p, &k)
				t.Insert(&p, 1<<20|1, Established, false)
			}
			out := make([]Flow, 256)
			var at uint32
			b.ResetTimer()
			for range b.N {
				at, _ = t.Read(at, out)
			}
		})
	}
}
