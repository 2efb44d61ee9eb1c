package vm

import (
	"fmt"
	"testing"
	"time"

	"penstock/integration/endpoint"
)

// steady starts traffic both ways, rate frames a second each, over a number of flows.
func (w *site) steady(rate, flows int) (stop func() [2]endpoint.SteadyResult) {
	w.t.Helper()
	var out, in [][]byte
	for port := range uint16(flows) {
		out = append(out, w.udp(near, far, port))
		in = append(in, w.fabric.ToBox(otherPort, tenantID, segmentID, pathVLAN, w.udp(far, near, port)).Encode())
	}
	a, err := endpoint.StartSteady(w.access, w.fabric.Raw, rate, out...)
	must(w.t, err)
	b, err := endpoint.StartSteady(w.fabric.Raw, w.access, rate, in...)
	must(w.t, err)
	return func() (r [2]endpoint.SteadyResult) {
		w.t.Helper()
		for i, s := range []*endpoint.Steady{a, b} {
			r[i], err = s.Stop(300 * time.Millisecond)
			must(w.t, err)
			if r[i].Duplicates != 0 {
				w.t.Errorf("%d frames arrived twice", r[i].Duplicates)
			}
		}
		w.t.Logf("out: %v; in: %v", r[0], r[1])
		return r
	}
}

func (w *site) udp(from, to endpoint.Host, port uint16) []byte {
	w.t.Helper()
	frame, err := endpoint.UDP4(from, to, 0, 20000+port, 9, endpoint.SteadyPayload(40))
	must(w.t, err)
	return frame
}

// waitPort waits until the box reports a port as open and up, or not.
func (w *site) waitPort(port string, up bool) {
	w.t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		ports, err := w.Ports()
		must(w.t, err)
		if p := ports[port]; (p.Up && p.Open) == up {
			return
		}
		if time.Now().After(deadline) {
			w.t.Fatalf("port %s: got %+v, want up=%v\n%s", port, ports[port], up, w.Log())
		}
	}
}

// setTap sets the host's end of a wire down or up.
func (w *site) setTap(name string, up bool) error {
	if up {
		return w.lab.SetUp(Wire, name)
	}
	return w.lab.SetDown(Wire, name)
}

// setDriver takes the driver off the device of an interface, with which the interface goes, or puts it back.
func (w *site) setDriver(device string, bound bool) error {
	file := "unbind"
	if bound {
		file = "bind"
	}
	_, err := w.Run(requestLimit, nil, "/bin/sh", "-c",
		fmt.Sprintf("echo -n %s > /sys/bus/virtio/drivers/virtio_net/%s",
			device, file))
	return err
}

// testLinks disturbs every link in every way there is, under traffic, and expects it to flow again afterwards with no
// frame unaccounted for.
func testLinks(t *testing.T, m *Machine, mode string) {
	w := open(t, m, settings{mode: mode})
	w.through(10 * time.Second)
	for i, l := range []struct{ port, link, tap string }{{"acc0", accessLink, "acc0"}, {"fab0", fabricLink, "fab0"}} {
		device := fmt.Sprintf("virtio%d", i+1)
		for _, d := range []struct {
			name     string
			down, up func() error
			seen     bool // by the box
		}{
			{"down", func() error { return m.IP("link", "set", l.link, "down") },
				func() error { return m.IP("link", "set", l.link, "up") }, true},
			{"cable", func() error { return m.SetLink(i+1, false) }, func() error { return m.SetLink(i+1, true) },
				true},
			{"far end", func() error { return w.setTap(l.tap, false) }, func() error { return w.setTap(l.tap, true) },
				false},
			{"gone", func() error { return w.setDriver(device, false) },
				func() error { return w.setDriver(device, true) }, true},
		} {
			t.Run(l.port+" "+d.name, func(t *testing.T) {
				w := *w
				w.t = t
				stop := w.steady(500, 8)
				for range 2 {
					time.Sleep(50 * time.Millisecond)
					must(t, d.down())
					if d.seen {
						w.waitPort(l.port, false)
					}
					time.Sleep(50 * time.Millisecond)
					must(t, d.up())
					if d.name == "gone" {
						// The settings have gone with it; the number of queues is that of the CPUs, two.
						if l.link == fabricLink {
							must(t, m.IP("link", "set", l.link, "mtu", fmt.Sprint(fabricMTU)))
						}
						must(t, m.IP("link", "set", l.link, "up"))
					}
					w.waitPort(l.port, true)
				}
				w.through(10 * time.Second)
				for _, r := range stop() {
					if r.Lost() == 0 {
						t.Error("nothing was lost: the link was not disturbed")
					}
				}
				w.expectMode(mode, 2)
				must(t, w.Balanced())
				w.out(3, 200)
				w.in(4, 200)
			})
		}
	}
}
