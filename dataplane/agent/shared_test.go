package agent_test

import (
	"bytes"
	"testing"

	"github.com/google/gopacket/layers"

	"penstock/dataplane/drop"
	"penstock/dataplane/fib"
)

// TestShared: two services of one server port. Replies get the port of the service that the request came by; what was
// not requested is dropped, and a second service's flow with the same addresses and ports, until the first is closed.
func TestShared(t *testing.T) {
	http, alt := rule(vip4, tcp, 8080, 8080, 80, 7), rule(vip4, tcp, 8080, 8080, 8888, 9)
	http.Shared, alt.Shared = true, true
	w := newWorld(t, fib.PolicyStrict, http, alt)
	request := func(id uint64, port uint16, change func(*layers.TCP)) []byte {
		return fromBox(t, tcp4(t, web1MAC, fib.Mark|id, "10.10.1.10", port, "10.10.1.100", 8080, change))
	}
	syn := func(l *layers.TCP) { l.SYN, l.ACK = true, false }
	reply := func(port, client uint16, change func(*layers.TCP)) []byte {
		return tcp4(t, clientMAC, web1MAC, "10.10.1.100", port, "10.10.1.10", client, change)
	}
	w.receive(srv, reply(8080, 41000, nil))
	w.dropped(drop.ReplyUnknown)
	for client, c := range map[uint16]struct {
		id   uint64
		port uint16
	}{41000: {7, 80}, 41001: {9, 8888}} {
		w.receive(fab, request(c.id, client, syn))
		w.one(srv)
		w.receive(srv, reply(8080, client, nil))
		if got, want := w.one(cli), reply(c.port, client, nil); !bytes.Equal(got, want) {
			t.Errorf("service %d: the client received\n%x, want\n%x", c.id, got, want)
		}
	}
	w.receive(fab, request(9, 41000, syn))
	w.dropped(drop.ReplyCollision)
	w.receive(srv, reply(8080, 41000, nil))
	if got, want := w.one(cli), reply(80, 41000, nil); !bytes.Equal(got, want) {
		t.Errorf("after the collision the client received\n%x, want\n%x", got, want)
	}
	fin := func(l *layers.TCP) { l.FIN = true }
	w.receive(fab, request(7, 41000, fin))
	w.one(srv)
	w.receive(srv, reply(8080, 41000, fin))
	w.one(cli)
	w.receive(fab, request(9, 41000, syn))
	w.one(srv)
	w.receive(srv, reply(8080, 41000, nil))
	if got, want := w.one(cli), reply(8888, 41000, nil); !bytes.Equal(got, want) {
		t.Errorf("after the first flow's end the client received\n%x, want\n%x", got, want)
	}
}
