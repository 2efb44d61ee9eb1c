package integration

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"penstock/ctrl/model"
	"penstock/integration/lab"
)

// takeovers is how often TestDirectorsManyFlows kills a director: PENSTOCK_TAKEOVERS, 1 by default.
func takeovers(t *testing.T) int {
	t.Helper()
	text := os.Getenv("PENSTOCK_TAKEOVERS")
	if text == "" {
		return 1
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("PENSTOCK_TAKEOVERS=%q: want a number, 1 or more", text)
	}
	return n
}

// TestDirectorsManyFlows kills the active director under 1,000 established connections, each of which says a line a
// second; half of 900 are on a draining server, 100 are of a scheduler without a table. None breaks or moves.
// Beside them a flow of 1,000 datagrams a second each way tells how long it is blocked.
func TestDirectorsManyFlows(t *testing.T) {
	var all []time.Duration
	for range takeovers(t) {
		all = append(all, takeOver(t))
	}
	slices.Sort(all)
	t.Logf("blocked in %d takeovers: median %v, %v to %v", len(all), all[len(all)/2], all[0], all[len(all)-1])
}

// takeOver makes the lab, kills the active director, and returns how long it blocked the datagrams.
func takeOver(t *testing.T) (blocked time.Duration) {
	t.Helper()
	ok := t.Run("takeover", func(t *testing.T) {
		o := directorsTown("")
		for _, s := range []struct {
			name, scheduler string
			id              uint32
			port            uint16
		}{{"http", "maglev", 9, 80}, {"late", "lc", 10, 81}} {
			o.Services = append(o.Services, model.Service{Tenant: "red", Name: s.name, VIP: "www", ID: s.id,
				Protocol: "tcp", Port: s.port, Scheduler: s.scheduler, Check: &model.Check{Type: model.CheckNone}})
			for i, w := range []string{"web1", "web2"} {
				o.Servers = append(o.Servers, model.Server{Tenant: "red", Service: s.name, Name: w,
					Address: o.VMs[i+1].Addresses[0].Addr(), Port: 8000 + s.port})
			}
		}
		d := startDirectors(t, o)
		for _, vm := range []string{"web1", "web2"} {
			d.linesOf(t, vm, "10.10.1.100:8080")
			d.linesOf(t, vm, "10.10.1.100:8081")
		}
		d.settles(t, "d1")
		client := d.VM("client").Namespace
		many, late := d.talk(t, client, "10.10.1.100:80", 900), d.talk(t, client, "10.10.1.100:81", 100)
		if many.of["web2"] < 200 || late.of["web1"] == 0 || late.of["web2"] == 0 {
			t.Fatalf("connections by server: got %v and %v, want 200 of the first on web2, the others on both", many.of,
				late.of)
		}
		i := slices.IndexFunc(o.Servers, func(s model.Server) bool { return s.Key() == "red/http/web2" })
		draining := o.Servers[i]
		draining.State = model.StateDraining
		for _, n := range d.Boxes {
			d.push(n.Name, []lab.Operation{{Op: "put", Kind: draining.Kind(), Key: draining.Key(), Value: draining}})
		}
		probe := d.beginEvery(t, 53, time.Millisecond)
		before := d.neighbour(t, "client", "10.10.1.100")
		time.Sleep(1500 * time.Millisecond) // each connection has said something
		d.kill(t, "d1")
		time.Sleep(2 * time.Second) // each has said something since
		lost := 0
		lost, blocked = probe.end()
		t.Logf("%d of %d datagrams lost, blocked %v", lost, probe.sent, blocked)
		if len(probe.servers) != 1 {
			t.Errorf("the datagrams were answered by %v, want one server", probe.servers)
		}
		many.end(t)
		late.end(t)
		if after := d.neighbour(t, "client", "10.10.1.100"); after != before {
			t.Errorf("the client's neighbour entry of the VIP: got %s after the takeover, want %s", after, before)
		}
		d.settles(t, "d2")
	})
	if !ok {
		t.FailNow()
	}
	return blocked
}

// neighbour returns the MAC that a guest has for an address.
func (f *fabric) neighbour(t *testing.T, vm, address string) (mac string) {
	t.Helper()
	out, err := f.lab.Run(f.VM(vm).Namespace, "ip", "-br", "neighbour", "show", address)
	must(t, err)
	var where, dev string
	if _, err := fmt.Sscan(string(out), &where, &dev, &mac); err != nil {
		t.Fatalf("neighbour entry of %s at %s: got %q and %v, want one with a MAC", address, vm, out, err)
	}
	return mac
}
