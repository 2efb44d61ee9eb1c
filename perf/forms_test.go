package perf

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"

	"penstock/dataplane/fib"
)

// BenchmarkForms: what BenchmarkEncap and BenchmarkDecap measure, with 1,000 bindings, in each form of encapsulation.
func BenchmarkForms(b *testing.B) {
	const n = 1000
	for _, form := range []struct {
		name string
		form fib.Form
		wrap func(inner []byte) []byte
	}{{"ip", fib.FormIP, encapsulated}, {"udp", fib.FormUDP, inUDP}, {"vxlan", fib.FormVXLAN, inVXLAN}} {
		b.Run("encap/"+form.name, func(b *testing.B) {
			r := benchForm(b, form.form, "web", n, frames)
			rng := rand.New(rand.NewPCG(1, 2))
			measure(b, r, acc, fab, func(int) []byte {
				mac, ip := remote(rng.IntN(n))
				return udp(mac, sender, 0x0a000001, ip, uint16(rng.Uint32()))
			})
		})
		b.Run("decap/"+form.name, func(b *testing.B) {
			r := benchForm(b, form.form, "web", n, frames)
			rng := rand.New(rand.NewPCG(1, 2))
			measure(b, r, fab, acc, func(int) []byte {
				mac, ip := remote(rng.IntN(n))
				return form.wrap(udp(sender, mac, ip, 0x0a000001, uint16(rng.Uint32())))
			})
		})
	}
}

// inUDP is encapsulated in form "udp".
func inUDP(inner []byte) []byte {
	f := encapsulated(append(make([]byte, 8), inner...))
	f[14+9] = 17
	sumIPv4(f[14:])
	binary.BigEndian.PutUint16(f[34:], 49152)
	binary.BigEndian.PutUint16(f[36:], udpPort)
	binary.BigEndian.PutUint16(f[38:], uint16(8+len(inner)))
	return f
}

// inVXLAN is encapsulated in VXLAN over IPv4.
func inVXLAN(inner []byte) []byte {
	f := inUDP(append(make([]byte, 8), inner...))
	copy(f[26:], []byte{192, 0, 2, 7, 192, 0, 2, 1})
	sumIPv4(f[14:])
	binary.BigEndian.PutUint16(f[36:], 4789)
	binary.BigEndian.PutUint64(f[42:], 0x08<<56|4096<<8)
	return f
}
