package flow

import (
	"math/rand/v2"
	"sync"
	"testing"

	"penstock/dataplane/fib"
)

func noteKey(i int) NoteKey {
	k := NoteKey{VIF: 7, VIP: 1 << 20, ClientPort: uint16(i), Port: 8080, Proto: tcp}
	k.Client[1] = uint64(i >> 8)
	return k
}

const (
	second   = int64(1e9)
	serviceA = fib.Ref(1<<20 | 1)
	serviceB = fib.Ref(1<<20 | 2)
)

// TestNotesStayOld: a note that nobody uses stays old, also when the clock has gone half way round since.
func TestNotesStayOld(t *testing.T) {
	n := NewNotes(100)
	k := noteKey(1)
	n.Request(&k, serviceA, tcpSYN, second)
	for _, days := range []int64{1, 40, 49, 60, 90} {
		now := days * 24 * 3600 * second
		if service, ok := n.Reply(&k, tcpSYN, now); ok {
			t.Errorf("after %d days a reply belongs to service %#x, want to none", days, service)
		}
	}
	if !n.Request(&k, serviceB, tcpSYN, 60*24*3600*second) {
		t.Error("after 60 days the flow is refused to another service, want it accepted")
	}
}

// TestNotesCollision: a live 5-tuple is refused to another service until the flow is closed by both ends, is reset, or
// has been silent for a minute.
func TestNotesCollision(t *testing.T) {
	const request, reply = false, true
	type packet struct {
		at     int64 // seconds
		reply  bool
		flags  uint8
		forB   bool // a request for the other service
		accept bool // of requests; of replies: there is a service, which is B if forB
	}
	const ack = 0x10
	udp := func(k *NoteKey) { k.Proto = protoUDP }
	for _, c := range []struct {
		name string
		kind func(*NoteKey)
		list []packet
	}{
		{"unknown reply", nil, []packet{{1, reply, ack, false, false}}},
		{"second service waits for both FINs", nil, []packet{
			{1, request, tcpSYN, false, true}, {1, reply, tcpSYN | ack, false, true}, {2, request, ack, false, true},
			{3, request, tcpSYN, true, false}, {3, request, tcpFIN | ack, false, true},
			{4, request, tcpSYN, true, false}, {5, reply, ack, false, true}, {6, reply, tcpFIN | ack, false, true},
			{7, request, tcpSYN, true, true}, {7, reply, tcpSYN | ack, true, true},
			{8, request, ack, false, false}, {8, request, ack, true, true},
		}},
		{"reset by the server", nil, []packet{
			{1, request, tcpSYN, false, true}, {1, reply, tcpRST, false, true},
			{1, request, ack, true, false}, {1, request, tcpSYN, true, true},
		}},
		{"a minute", nil, []packet{
			{1, request, tcpSYN, false, true}, {1, request, ack, false, true}, {60, request, tcpSYN, true, false},
			{62, request, tcpSYN, true, true}, {63, reply, ack, true, true},
		}},
		{"established is kept 124 minutes", nil, []packet{
			{1, request, tcpSYN, false, true}, {1, request, ack, false, true}, {7000, reply, ack, false, true},
			{14000, reply, ack, false, true}, {22000, reply, ack, false, false},
		}},
		{"half-open", nil, []packet{
			{1, request, tcpSYN, false, true}, {12, reply, ack, false, false}, {12, request, tcpSYN, true, true},
		}},
		{"UDP", udp, []packet{
			{1, request, 0, false, true}, {1, reply, 0, false, true}, {2, request, 0, false, true},
			{30, request, 0, true, false}, {33, request, 0, true, true}, {33, reply, 0, true, true},
		}},
	} {
		n, k := NewNotes(16), noteKey(1)
		if c.kind != nil {
			c.kind(&k)
		}
		for i, p := range c.list {
			service := serviceA
			if p.forB {
				service = serviceB
			}
			if !p.reply {
				if ok := n.Request(&k, service, p.flags, p.at*second); ok != p.accept {
					t.Errorf("%s: request %d was accepted: %v, want %v", c.name, i, ok, p.accept)
				}
				continue
			}
			got, ok := n.Reply(&k, p.flags, p.at*second)
			if ok != p.accept || ok && got != service {
				t.Errorf("%s: reply %d is of service %x, %v; want %x, %v", c.name, i, got, ok, service, p.accept)
			}
		}
	}
}

// TestNotesModel: flows are accepted, and have the service, that a map says.
func TestNotesModel(t *testing.T) {
	const flows = 2000
	rng := rand.New(rand.NewPCG(4, 4))
	n := NewNotes(4 * flows) // so that none is evicted
	want := map[NoteKey]fib.Ref{}
	for range 4 * flows {
		k := noteKey(rng.IntN(flows))
		service := serviceA + fib.Ref(rng.IntN(2))
		ok := n.Request(&k, service, tcpSYN, second)
		if have, there := want[k]; ok != (!there || have == service) {
			t.Fatalf("%+v: accepted %v for %x, and was %x, %v", k, ok, service, have, there)
		} else if !there {
			want[k] = service
		}
	}
	for k, service := range want {
		if got, ok := n.Reply(&k, 0x10, second); !ok || got != service {
			t.Fatalf("%+v: service %x, %v; want %x", k, got, ok, service)
		}
	}
	if n.Evicted() != 0 {
		t.Errorf("%d flows were evicted, want none", n.Evicted())
	}

	// As many flows as there is room for: nearly all are kept.
	n = NewNotes(10 * flows)
	for i := range 10 * flows {
		k := noteKey(i)
		n.Request(&k, serviceA, tcpSYN, second)
	}
	if n.Evicted() > flows/100 {
		t.Errorf("%d of %d flows were evicted, want at most 1 in 1,000", n.Evicted(), 10*flows)
	}
}

// TestNotesConcurrent: workers that note, use and look up the same flows never see one with another's service, nor
// accept two services for one flow.
func TestNotesConcurrent(t *testing.T) {
	const flows, workers = 64, 4
	n := NewNotes(flows / 4) // full: rows are replaced all the time
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(w), 9))
			for range 40_000 {
				i := rng.IntN(flows)
				k := noteKey(i)
				service := 1<<20 | fib.Ref(i)
				switch rng.IntN(3) {
				case 0:
					n.Request(&k, service, 0x10, second)
				case 1:
					if got, ok := n.Reply(&k, 0x10, second); ok && got != service {
						t.Errorf("flow %d has service %x, want %x", i, got, service)
						return
					}
				case 2:
					if got, ok := n.Look(&k, second); ok && got != service {
						t.Errorf("flow %d has service %x, want %x", i, got, service)
						return
					}
				}
			}
		})
	}
	wg.Wait()
	// One flow, two services: as long as it lives, one of them.
	for round := range 2000 {
		k := noteKey(100_000 + round)
		var ok [2]bool
		for i := range ok {
			wg.Go(func() { ok[i] = n.Request(&k, serviceA+fib.Ref(i), tcpSYN, second) })
		}
		wg.Wait()
		if ok[0] == ok[1] {
			t.Fatalf("round %d: accepted for the services: %v, want one of two", round, ok)
		}
	}
}

func BenchmarkNotes(b *testing.B) {
	const flows = 1 << 20
	n := NewNotes(flows)
	for i := range flows {
		k := noteKey(i)
		n.Request(&k, serviceA, 0x10, second)
	}
	b.ReportMetric(float64(len(n.sets)*512)/flows, "octets/flow")
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		k := noteKey(int(uint32(i)*2654435761) % flows)
		n.Reply(&k, 0x10, second)
	}
}
