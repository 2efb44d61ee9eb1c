package agent_test

import (
	"bytes"
	"testing"

	"penstock/dataplane/fib"
)

// TestShared6: two services of one server port over IPv6. Each reply gets the port of the service that its request came
// by.
func TestShared6(t *testing.T) {
	http, alt := rule(vip6, tcp, 8080, 8080, 80, 7), rule(vip6, tcp, 8080, 8080, 8888, 9)
	http.Shared, alt.Shared = true, true
	w := newWorld(t, fib.PolicyStrict, http, alt)
	for client, c := range map[uint16]struct {
		id   uint64
		port uint16
	}{41000: {7, 80}, 41001: {9, 8888}} {
		w.receive(fab, fromBox(t, tcp6(t, web1MAC, fib.Mark|c.id, "fd00:10::10", client, "fd00:10::100", 8080)))
		w.one(srv)
		w.receive(srv, tcp6(t, clientMAC, web1MAC, "fd00:10::100", 8080, "fd00:10::10", client))
		want := tcp6(t, clientMAC, web1MAC, "fd00:10::100", c.port, "fd00:10::10", client)
		if got := w.one(cli); !bytes.Equal(got, want) {
			t.Errorf("service %d: the client received\n%x, want\n%x", c.id, got, want)
		}
	}
}
