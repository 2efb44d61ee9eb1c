package balance_test

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"

	"github.com/google/gopacket/layers"

	"penstock/dataplane/fib"
	"penstock/dataplane/frame"
	"penstock/dataplane/wire/checksum"
)

// FuzzMutated sends frames of all kinds, mutated, from all ports: nothing panics, and all frames are accounted for.
func FuzzMutated(f *testing.F) {
	f.Add(uint64(1))
	f.Fuzz(func(t *testing.T, seed uint64) { mutated(t, seed, 20) })
}

func TestMutated(t *testing.T) {
	for seed := range uint64(20) {
		mutated(t, seed, 40)
	}
}

func mutated(t *testing.T, seed uint64, rounds int) {
	rng := rand.New(rand.NewPCG(seed, 2))
	w := quickWorld(t)
	w.serve(vip4, fib.Service{Proto: udp, Port: 443, Hash: fib.HashQUIC}, web1, web2)
	w.serve(vip6, fib.Service{Proto: udp, Port: 53, Scheduler: fib.SchedLC}, web1, web2)
	for range rounds {
		var list [][]byte
		for len(list) < 16 {
			v6 := rng.IntN(2) == 0
			p := packet{sport: uint16(1000 + rng.IntN(3)), dport: []uint16{80, 53, 443, 8003, 9}[rng.IntN(5)],
				flags: uint8(rng.IntN(32)), ttl: uint8(1 + rng.IntN(3)), data: make([]byte, rng.IntN(1400))}
			if v6 {
				p.from, p.to = "fd00:10::10", "fd00:10::100"
			}
			if rng.IntN(2) == 0 {
				p.proto = layers.IPProtocolUDP
			}
			one := [][]byte{p.frame(t)}
			switch rng.IntN(4) {
			case 0:
				one = fragments(one[0], 8*(1+rng.IntN(170)), rng.Uint32N(4), 0)
				rng.Shuffle(len(one), func(i, j int) { one[i], one[j] = one[j], one[i] })
			case 1:
				p.from, p.to, p.sport, p.dport = p.to, p.from, p.dport, p.sport
				if p.from == "" {
					p.from, p.to = "10.10.1.100", "10.10.1.10"
				}
				reply := p.frame(t)
				one = [][]byte{icmpError(t, reply, min(rng.IntN(200)+8, len(reply)-14))}
			}
			for _, f := range one {
				for range rng.IntN(3) {
					switch at := 12 + rng.IntN(min(len(f)-12, 80)); rng.IntN(3) {
					case 0:
						f[at] = byte(rng.IntN(256))
					case 1:
						f = f[:at]
					case 2:
						f[at] ^= 1 << rng.IntN(8)
					}
					if len(f) < 14 {
						break
					}
				}
				if len(f) > 34 && f[12] == 8 && rng.IntN(4) > 0 { // mostly with a right checksum of the header
					if n := 14 + int(f[14]&15)*4; n <= len(f) && n >= 34 {
						f[24], f[25] = 0, 0
						binary.BigEndian.PutUint16(f[24:], checksum.Checksum(f[14:n], 0))
					}
				}
				list = append(list, f)
			}
		}
		list = list[:min(len(list), frame.BatchSize)]
		port := []int{acc, near, fab}[rng.IntN(3)]
		if port == fab {
			for i := range list {
				list[i] = fromFar(t, list[i])
			}
		}
		w.receive(port, list...)
		for p := range 4 {
			w.from(p)
		}
		w.tick(rng.Int64N(60e6))
	}
}
