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
	}{{"ip", fib.FormIP, encapsulated}, {"udp", fib.FormUDP, inUDP}} {
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
