package flow

import (
	"encoding/binary"
	"testing"

	"penstock/dataplane/fib"
)

// FuzzTable: whatever packets come in whatever order, the table's limits, counters and list hold, and a flow has the
// server that it was given last. An operation is four octets: what, two of the flow, a pause.
func FuzzTable(f *testing.F) {
	f.Add([]byte{0, 1, 0, 0, 1, 1, 0, 0, 2, 1, 0, 200, 5, 1, 0, 255})
	f.Add(binary.BigEndian.AppendUint32(nil, 0x00ff00ff))
	f.Fuzz(fuzzTable)
}

func fuzzTable(t *testing.T, ops []byte) {
	const limit = 64
	tab := newTable(t, Config{Flows: limit, Servers: 4, V6: true, Rate: 1e6})
	servers := map[Key]fib.Ref{}
	now := int64(1e9)
	for ; len(ops) >= 4; ops = ops[4:] {
		pause := int64(ops[3])
		now += pause * pause * 1e6 // up to 65 s
		tab.Turn(now)
		k := Key{VIP: 1 << 20, ClientPort: binary.BigEndian.Uint16(ops[1:]), Proto: ops[0] >> 4, V6: ops[0]&8 != 0}
		server := 1<<20 | fib.Ref(ops[2]&3)
		p, s, ok := find(tab, k)
		if ok && tab.Entry(s).Server() != servers[k] {
			t.Fatalf("%+v has server %x, want %x", k, tab.Entry(s).Server(), servers[k])
		}
		switch op := ops[0] & 7; {
		case !ok && op < 2:
			ok = tab.Restore(&p, server, State(1+ops[2]%5), op == 0, int32(ops[3])*100)
		case !ok:
			_, ok = tab.Insert(&p, server, HalfOpen, op&1 == 0)
		case op == 0:
			tab.Remove(s)
			ok = false
		case op == 1:
			tab.Rebind(s, server, State(1+ops[2]%5), true)
		case op == 2:
			tab.Datagram(s)
			continue
		default:
			tab.TCP(s, ops[2])
			continue
		}
		if ok {
			servers[k] = server
		}
		if tab.Len() > limit || tab.count[HalfOpen] > limit/4 {
			t.Fatalf("%d flows, %d half-open; want at most %d, %d", tab.Len(), tab.count[HalfOpen], limit, limit/4)
		}
	}
	checkCounts(t, tab)
}
