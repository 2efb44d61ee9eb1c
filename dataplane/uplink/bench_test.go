package uplink

import (
	"fmt"
	"testing"

	"penstock/dataplane/fib"
	"penstock/dataplane/gateway"
	"penstock/dataplane/keeper"
)

// BenchmarkProberTurn is a turn of 10 µs with so many groups of 16 gateways, probed every 100 to 126 ms: the turns in
// which nothing is due, and all. Answers are lost, but never so many in a row that a gateway fails.
func BenchmarkProberTurn(b *testing.B) {
	const turn, interval = 10_000, 100_000_000
	for _, groups := range []int{1, 255} {
		for _, idle := range []bool{true, false} {
			b.Run(fmt.Sprintf("groups=%d/idle=%v", groups, idle), func(b *testing.B) {
				s := &fib.Snapshot{Groups: make([]fib.Group, groups+1), Ports: []fib.Port{{Up: true}}}
				for i := range groups {
					g := fib.Group{Live: fib.NewGroupLive(), MAC: groupMAC, Policy: gateway.DefaultPolicy()}
					g.Policy.Interval = interval + int64(i)*103_000
					g.Policy.AnnounceInterval, g.Policy.Misses = 0, 1<<30
					for slot := range gateway.MaxMembers {
						m := fib.Member{Live: &fib.MemberLive{}, IP: uint32(slot + 1), Static: 2}
						g.Members = append(g.Members, m)
						g.Order = append(g.Order, uint8(slot))
					}
					s.Groups[i+1] = g
				}
				shared := keeper.NewShared(1)
				shared.Open(0, true)
				k := keeper.New(1, shared)
				now := int64(1)
				k.Send = func(uint16, []byte) {}
				k.Room = func(uint16) int { return 64 }
				k.Stuck = func(uint16, uint32) (bool, uint32) { return false, 0 }
				k.Clean = func(int64) bool { return true }
				NewProber(k)
				pass := func(d int64) {
					for i := range s.Groups {
						for j := range s.Groups[i].Members {
							s.Groups[i].Members[j].Live.Answered.Store(now)
						}
					}
					now += d
					k.Turn(now, s)
				}
				for now < 20*interval { // all members up, and the first announcements made
					pass(turn)
				}
				if idle {
					for k.Next()-now < 3*turn {
						pass(turn)
					}
				}
				b.ReportAllocs()
				for b.Loop() {
					if idle {
						k.Turn(now, s)
					} else {
						now += turn
						k.Turn(now, s)
					}
				}
			})
		}
	}
}

const groupMAC = 0x02ff00000001
