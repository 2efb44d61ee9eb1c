package integration

import (
	"errors"
	"fmt"
	"testing"

	"penstock/ctrl/model"
	"penstock/integration/endpoint"
	"penstock/integration/lab"
)

// outward starts traffic from red-vm1 to the outside, which either gateway may receive.
func (f *fabric) outward(t *testing.T, rate int) *endpoint.Steady {
	t.Helper()
	to := endpoint.Host{MAC: model.DefaultRouterMAC, IPv4: lab.OutsideAddress}
	var templates [][]byte
	for port := range uint16(8) {
		templates = append(templates,
			bytesOf(endpoint.UDP4(f.host("red-vm1"), to, 0, 20000+port, 9, endpoint.SteadyPayload(40))))
	}
	var rx []*endpoint.Raw
	for _, g := range f.Gateways {
		rx = append(rx, f.open(t, g.Name, g.Interface))
	}
	s, err := endpoint.StartSteadyTo(f.raw(t, "red-vm1"), rx, rate, templates...)
	must(t, err)
	return s
}

// cable pulls, or puts back, the cable of a gateway.
func (f *fabric) cable(gateway string, pulled bool) error {
	g := f.Gateway(gateway)
	if pulled {
		return f.lab.SetDown(g.Name, g.Interface)
	}
	// the route went with the link
	return errors.Join(f.lab.SetUp(g.Name, g.Interface), f.lab.DefaultRoute(g.Name, g.Interface, g.BoxSide.Addr()))
}

// silence lets a gateway answer no ARP, or answer again.
func (f *fabric) silence(gateway string, silent bool) error {
	return f.lab.Sysctl(gateway, "net/ipv4/conf/all/arp_ignore", map[bool]string{true: "8", false: "0"}[silent])
}

// TestSwitchUnderTraffic: planned switches lose nothing, nor does a gateway that falls silent while it still takes
// frames; a cable that is pulled costs a gap, and nothing after it. With one worker and with two, whose queues the
// gateways' answers share.
func TestSwitchUnderTraffic(t *testing.T) {
	for _, workers := range []int{1, 2} {
		t.Run(fmt.Sprintf("workers=%d", workers), func(t *testing.T) {
			o := outside()
			o.Dataplane.Workers, o.Dataplane.Queues = workers, workers
			f := startFabric(t, o)
			f.isActive(t, "isp1", "up", "up")
			f.reaches(t, "at first")

			s := f.outward(t, 5000)
			for i := range 20 {
				to := []string{"isp2", "isp1"}[i%2]
				if g := f.command(t, "gateway", "switch", "out", to); g.Active != to {
					t.Fatalf("got %+v, want %s active", g, to)
				}
				sent := s.Sent()
				f.eventually(t, "traffic", func() bool { return s.Sent() > sent+50 })
			}
			if r := stop(t, s); r.Lost() != 0 {
				t.Errorf("20 planned switches: %v", r)
			}

			for _, fault := range []struct {
				name string
				do   func(gateway string, broken bool) error
				most func(sent uint32) uint32 // lost
			}{
				{"silence", f.silence, func(uint32) uint32 { return 0 }},
				{"cable", f.cable, func(sent uint32) uint32 { return sent / 4 }},
			} {
				s := f.outward(t, 5000)
				for i, g := range []string{"isp1", "isp2"} {
					other := []string{"isp2", "isp1"}[i]
					sent := s.Sent()
					must(t, fault.do(g, true))
					f.isActive(t, other)
					f.eventually(t, "traffic", func() bool { return s.Sent() > sent+2500 })
					must(t, fault.do(g, false))
					f.isActive(t, other, "up", "up")
				}
				if r := stop(t, s); r.Lost() > fault.most(r.Sent) {
					t.Errorf("%s: got %v, want at most %d lost", fault.name, r, fault.most(r.Sent))
				}
				f.reaches(t, "after "+fault.name)
			}
		})
	}
}
