package vm

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"testing"
	"time"

	"penstock/ctrl/model"
	"penstock/integration/endpoint"
	"penstock/integration/lab"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// The environment of a box with an access and a fabric port: a tenant's VM behind the access port, an edge switch
// behind the fabric port, both simulated by the test.
const (
	switchMAC  = model.MAC(0x02000000fa0a)
	otherMAC   = model.MAC(0x02000000fa0b) // another edge switch
	boxMAC     = model.MAC(0x02000000fb01)
	boxPort    = 3 // of the edge switch
	otherPort  = 5 // of the other one
	tenantID   = 100
	segmentID  = 7
	pathVLAN   = 101
	accessMTU  = 1500 // of the links, unless the settings say otherwise
	fabricMTU  = 1600
	accessLink = "eth1"
	fabricLink = "eth2"
	spareLink  = "eth3" // with more queues than there are CPUs
)

var (
	near = endpoint.Host{MAC: 0x020000000001, IPv4: netip.MustParseAddr("10.0.0.1"),
		IPv6: netip.MustParseAddr("fd00::1")}
	far = endpoint.Host{MAC: 0x020000000002, IPv4: netip.MustParseAddr("10.0.0.2"),
		IPv6: netip.MustParseAddr("fd00::2")}
)

// nics are the interfaces that site uses.
func nics(queues int) []NIC {
	return []NIC{{Tap: "acc0", Queues: queues}, {Tap: "fab0", Queues: queues, MAC: boxMAC}, {Tap: "spare", Queues: 4}}
}

// site is a box in a guest with its world.
type site struct {
	*Box
	t      *testing.T
	access *endpoint.Raw
	fabric *endpoint.Switch
}

// settings of a box; zero values are those of most tests.
type settings struct {
	mode       string // of both ports; "" = zero-copy
	fabricMode string // of the fabric port; "" = mode
	poll       string // "" = adaptive
	workers    int    // and queues; 0 = 2
	ring       int    // 0 = 256
	frameSize  int    // 0 = 2048
	accessMTU  int    // 0 = 1500
	fabricMTU  int    // 0 = 1600
	access     string // interface of the access port; "" = accessLink
	more       string // lines for [dataplane]
}

func (s settings) queues() int {
	if s.workers == 0 {
		return 2
	}
	return s.workers
}

func (s settings) toml() string {
	or := func(v *string, d string) {
		if *v == "" {
			*v = d
		}
	}
	orInt := func(v *int, d int) {
		if *v == 0 {
			*v = d
		}
	}
	or(&s.mode, "zero-copy")
	or(&s.fabricMode, s.mode)
	or(&s.poll, "adaptive")
	or(&s.access, accessLink)
	orInt(&s.ring, 256)
	orInt(&s.frameSize, 2048)
	return fmt.Sprintf(`
[dataplane]
workers = %[1]d
ring_size = %[2]d
frame_size = %[3]d
poll = %[4]q
verify = true
bindings = 1000
%[5]s

[[port]]
name = "acc0"
interface = %[6]q
role = "access"
queues = %[1]d
mode = %[7]q

[[port]]
name = "fab0"
interface = %[8]q
role = "fabric"
queues = %[1]d
mode = %[11]q
switch_mac = %[9]q
switch_port = %[10]d

[probe]
interval = "0s"
`, s.queues(), s.ring, s.frameSize, s.poll, s.more, s.access, s.mode, fabricLink, switchMAC, boxPort, s.fabricMode)
}

// prepare makes the guest's interfaces ready for a box that has no tables yet.
func prepare(t *testing.T, m *Machine, s settings) *Box {
	t.Helper()
	for link, mtu := range map[string]int{accessLink: max(s.accessMTU, accessMTU),
		fabricLink: max(s.fabricMTU, fabricMTU)} {
		must(t, m.IP("link", "set", link, "mtu", fmt.Sprint(mtu), "up"))
		must(t, m.SetChannels(link, s.queues()))
	}
	b := NewBox(m)
	must(t, b.Forget())
	return b
}

// open starts a box and pushes its tables. At the end of the test the box must be balanced, and end cleanly.
func open(t *testing.T, m *Machine, s settings) *site {
	t.Helper()
	w := &site{Box: prepare(t, m, s), t: t, access: raw(t, m, "acc0")}
	w.fabric = &endpoint.Switch{Raw: raw(t, m, "fab0"), Scheme: model.DefaultScheme, MAC: switchMAC, BoxMAC: boxMAC,
		Port: boxPort}
	must(t, w.Start(s.toml()))
	t.Cleanup(func() {
		if err := w.Balanced(); err != nil {
			t.Error(err)
		}
		if err := w.Stop(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("log of the box:\n%s", w.Log())
		}
	})
	tables := lab.Documents{
		Tenants:  []model.Tenant{{Name: "red", ID: tenantID}},
		Segments: []model.Segment{{Tenant: "red", Name: "web", ID: segmentID}},
		VIFs: []model.VIF{{Tenant: "red", Name: "vm1", Segment: "web", MAC: near.MAC,
			Addresses: []netip.Addr{near.IPv4, near.IPv6}, Port: "acc0"}},
		Bindings: []model.Binding{{Tenant: "red", Segment: "web", MAC: far.MAC,
			Addresses: []netip.Addr{far.IPv4, far.IPv6}, SwitchMAC: otherMAC, SwitchPort: otherPort}},
		Paths: []model.Path{{A: switchMAC, B: otherMAC, VLANs: []model.PathVLAN{{VID: pathVLAN}}}},
	}
	must(t, w.Push(tables.Operations()))
	return w
}

// raw opens the host's end of an interface for frames.
func raw(t *testing.T, m *Machine, tap string) *endpoint.Raw {
	t.Helper()
	r, err := m.Open(tap)
	must(t, err)
	t.Cleanup(func() { r.Close() })
	return r
}

// expectMode expects all ports open, with native XDP and in the given mode.
func (w *site) expectMode(mode string, queues int) {
	w.t.Helper()
	ports, err := w.Ports()
	must(w.t, err)
	for name, p := range ports {
		if !p.Open || !p.Up || p.XDP != "native" || p.Mode != mode || p.Queues != queues {
			w.t.Errorf("port %s is %+v, want it open, up, native, %s, %d queues", name, p, mode, queues)
		}
	}
	if len(ports) != 2 {
		w.t.Errorf("%d ports", len(ports))
	}
}

// window is how many frames are on their way at a time: less than any ring on it holds.
const window = 64

// out sends n frames of a mix from the VM, and expects each on the fabric, encapsulated, once, octet by octet.
func (w *site) out(seed uint64, n int) {
	w.t.Helper()
	frames, err := endpoint.Mix(endpoint.MixOptions{Seed: seed, From: near, To: far}, n)
	must(w.t, err)
	w.pass(frames, frames, w.access, w.fabric.Raw, func(frame []byte) ([]byte, bool) {
		o, err := endpoint.DecodeOuter(frame)
		if err != nil || o.Proto != endpoint.Proto143 {
			return nil, false
		}
		if o.DstMAC != otherMAC || o.SrcMAC != switchMAC || !o.Tagged || o.VID != pathVLAN ||
			o.Src != endpoint.Special(model.DefaultScheme, boxPort, segmentID) ||
			o.Dst != endpoint.Special(model.DefaultScheme, otherPort, tenantID) {
			w.t.Errorf("got encapsulation %+v, want the MACs, VLAN and addresses of this tenant's path", o)
		}
		return o.Inner, true
	})
}

// in sends n frames of a mix from the edge switch, and expects each at the VM.
func (w *site) in(seed uint64, n int) {
	w.t.Helper()
	frames, err := endpoint.Mix(endpoint.MixOptions{Seed: seed, From: far, To: near}, n)
	must(w.t, err)
	var wrapped [][]byte
	for _, f := range frames {
		wrapped = append(wrapped, w.fabric.ToBox(otherPort, tenantID, segmentID, pathVLAN, f).Encode())
	}
	w.pass(wrapped, frames, w.fabric.Raw, w.access, func(frame []byte) ([]byte, bool) {
		_, ok := endpoint.MixSequence(frame)
		return frame, ok
	})
}

// pass sends frames, a window at a time, and expects the result of each, once and unchanged.
func (w *site) pass(send, want [][]byte, tx, rx *endpoint.Raw, unwrap func([]byte) ([]byte, bool)) {
	w.t.Helper()
	e := endpoint.Expect(want)
	arrived := 0
	for sent := 0; sent < len(send); {
		for range min(window, len(send)-sent) {
			must(w.t, tx.Send(send[sent]))
			sent++
		}
		for arrived < sent {
			frame, err := rx.Receive(3 * time.Second)
			if err != nil {
				w.t.Fatalf("%d of %d frames arrived, then: %v; %v; %s", arrived, sent, err, e.Err(), w.state())
			}
			if frame, ok := unwrap(frame); ok {
				e.Arrived(frame)
				arrived++
			}
		}
	}
	more, err := rx.Collect(50 * time.Millisecond)
	must(w.t, err)
	for _, frame := range more {
		if frame, ok := unwrap(frame); ok {
			e.Arrived(frame)
		}
	}
	if err := e.Err(); err != nil {
		w.t.Error(err)
	}
}

// probe is a frame from the VM that no rule stops.
func probe(seq uint32) []byte {
	frames, err := endpoint.Mix(endpoint.MixOptions{Seed: 1, From: near, To: far, First: seq, Probe: true}, 1)
	if err != nil {
		panic(err) // a frame that the test itself cannot build
	}
	return frames[0]
}

// through waits until frames get through the box both ways, and returns how long that took.
func (w *site) through(limit time.Duration) time.Duration {
	w.t.Helper()
	began := time.Now()
	outward := probe(1)
	inward, err := endpoint.Mix(endpoint.MixOptions{Seed: 2, From: far, To: near, First: 2, Probe: true}, 1)
	must(w.t, err)
	for _, way := range []struct {
		name   string
		frame  []byte
		tx, rx *endpoint.Raw
		inner  []byte
	}{
		{"out", outward, w.access, w.fabric.Raw, outward},
		{"in", w.fabric.ToBox(otherPort, tenantID, segmentID, pathVLAN, inward[0]).Encode(), w.fabric.Raw, w.access,
			inward[0]},
	} {
		for {
			must(w.t, way.tx.Send(way.frame))
			if _, err := way.rx.Find(20*time.Millisecond,
				func(b []byte) bool { return bytes.HasSuffix(b, way.inner) }); err == nil {
				break
			}
			if time.Since(began) > limit {
				w.t.Fatalf("nothing gets %s within %v: %s", way.name, limit, w.state())
			}
		}
	}
	took := time.Since(began)
	for _, r := range []*endpoint.Raw{w.access, w.fabric.Raw} {
		must(w.t, r.Drain(50*time.Millisecond)) // those sent meanwhile
	}
	return took
}

// state shows where frames may have been lost: the box's counters, and the kernels' on both ends of the wires.
func (w *site) state() string {
	ports, err := w.Ports()
	inside, errInside := w.Run(requestLimit, nil, "/bin/cat", "/proc/net/dev")
	var outside []byte
	errOutside := w.lab.Do(Wire, func() (err error) {
		outside, err = os.ReadFile("/proc/thread-self/net/dev")
		return err
	})
	return fmt.Sprintf(`ports %+v
guest:
%s
host:
%s%v`, ports, inside, outside, errors.Join(err, errInside, errOutside))
}
