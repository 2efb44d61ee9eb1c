package vm

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"penstock/integration/endpoint"
)

// testMTU changes MTUs under the box, and starts it with those that zero-copy mode takes and does not.
func testMTU(t *testing.T, m *Machine) {
	t.Run("while it runs", func(t *testing.T) {
		w := open(t, m, settings{})
		w.through(10 * time.Second)
		frame, err := endpoint.UDP4(near, far, 0, 1, 2, make([]byte, 1400))
		must(t, err)
		for _, mtu := range []int{1300, fabricMTU, 1300, fabricMTU} {
			must(t, m.IP("link", "set", fabricLink, "mtu", fmt.Sprint(mtu)))
			for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
				ports, err := w.Ports()
				must(t, err)
				if ports["fab0"].MTU == mtu {
					break
				}
				if time.Now().After(deadline) {
					t.Fatalf("the box reports an MTU of %d, want %d", ports["fab0"].MTU, mtu)
				}
			}
			must(t, w.access.Send(frame))
			_, err := w.fabric.Find(500*time.Millisecond, func(b []byte) bool { return len(b) > 1400 })
			if passed := err == nil; passed != (mtu == fabricMTU) {
				t.Errorf("MTU %d: a packet of 1,462 octets gets through: %v", mtu, passed)
			}
			w.through(10 * time.Second)
		}
		w.out(11, 200)
	})
	t.Run("jumbo", func(t *testing.T) {
		w := open(t, m, settings{frameSize: 4096, accessMTU: 3000, fabricMTU: 3100})
		w.through(10 * time.Second)
		for i, n := range []int{2958, 2957, 1500, 18} {
			frame, err := endpoint.UDP4(near, far, 0, uint16(i), 2, make([]byte, n))
			must(t, err)
			must(t, w.access.Send(frame))
			o, err := w.fabric.Encapsulated(3 * time.Second)
			must(t, err)
			if string(o.Inner) != string(frame) {
				t.Errorf("a frame of %d octets left as one of %d: %s", len(frame), len(o.Inner),
					endpoint.Diff(frame, o.Inner))
			}
			back := w.fabric.ToBox(otherPort, tenantID, segmentID, pathVLAN, w.udp(far, near, uint16(i))).Encode()
			must(t, w.fabric.Send(back))
			if _, err := w.access.Receive(3 * time.Second); err != nil {
				t.Error(err)
			}
		}
	})
	t.Run("too large for a frame", func(t *testing.T) {
		w := open(t, m, settings{})
		w.through(10 * time.Second)
		must(t, m.IP("link", "set", accessLink, "mtu", "3000"))
		for i := range uint16(100) { // more than a ring's worth of descriptors, if each took several
			frame, err := endpoint.UDP4(near, far, 0, i, 2, make([]byte, 2500))
			must(t, err)
			must(t, w.access.Send(frame))
		}
		w.through(10 * time.Second)
		must(t, m.IP("link", "set", accessLink, "mtu", fmt.Sprint(accessMTU)))
		w.out(12, 200)
		w.in(13, 200)
	})
	t.Run("largest", func(t *testing.T) {
		w := open(t, m, settings{fabricMTU: 1766})
		w.expectMode("zero-copy", 2)
		w.through(10 * time.Second)
	})
	t.Run("larger", func(t *testing.T) {
		refused(t, m, settings{fabricMTU: 1767}, "eth2", "zero-copy", "MTU is above 1766")
	})
}

// refused starts a box that cannot run, and expects it to report the reason and to leave the interfaces clean.
func refused(t *testing.T, m *Machine, s settings, want ...string) {
	t.Helper()
	b := prepare(t, m, s)
	must(t, b.Launch(s.toml()))
	r, err := b.Wait(stopLimit)
	must(t, err)
	if r.Exit == 0 || r.Exit == 2 { // 2: a panic
		t.Errorf("exit status %d", r.Exit)
	}
	for _, text := range want {
		if !strings.Contains(r.Output, text) {
			t.Errorf("%q is not in %s", text, r.Output)
		}
	}
	b.expectClean(t)
}

// expectClean expects interfaces as they were before a box took them.
func (b *Box) expectClean(t *testing.T) {
	t.Helper()
	for _, link := range []string{accessLink, fabricLink} {
		text, err := b.Run(requestLimit, nil, "/bin/ip", "link", "show", link)
		must(t, err)
		if strings.Contains(text, "xdp") || strings.Contains(text, "PROMISC") {
			t.Errorf("left behind: %s", text)
		}
	}
}

// testChannels expects the kernel to refuse fewer queues while the box has sockets on them, and the box to go on.
func testChannels(t *testing.T, m *Machine) {
	w := open(t, m, settings{})
	w.through(10 * time.Second)
	if err := m.SetChannels(fabricLink, 1); err == nil {
		t.Error("the number of queues was changed under the box's sockets")
	} else {
		t.Log(err)
	}
	w.through(10 * time.Second)
	w.out(14, 200)
	w.in(15, 200)
}

// testMixed has one port copy and the other not: the UMEM is registered twice, and
// frames move between both all the same.
func testMixed(t *testing.T, m *Machine) {
	for _, modes := range [][2]string{{"copy", "zero-copy"}, {"zero-copy", "copy"}} {
		t.Run(modes[0]+" and "+modes[1], func(t *testing.T) {
			w := open(t, m, settings{mode: modes[0], fabricMode: modes[1]})
			ports, err := w.Ports()
			must(t, err)
			if got := [2]string{ports["acc0"].Mode, ports["fab0"].Mode}; got != modes {
				t.Errorf("modes %v", got)
			}
			w.through(10 * time.Second)
			w.out(16, 1000)
			w.in(17, 1000)
			must(t, m.IP("link", "set", fabricLink, "down"))
			w.waitPort("fab0", false)
			must(t, m.IP("link", "set", fabricLink, "up"))
			w.waitPort("fab0", true)
			w.through(10 * time.Second)
		})
	}
}

// testAuto: virtio-net's zero-copy mode is not to be trusted where the driver is a module, and only taken on demand.
func testAuto(t *testing.T, m *Machine) {
	w := open(t, m, settings{mode: "auto"})
	w.expectMode("copy", 2)
	if log := w.Log(); !strings.Contains(log, "virtio_net as a module") {
		t.Errorf("the log does not give the reason for copy mode: %s", log)
	}
	w.through(10 * time.Second)
	w.out(18, 500)
	w.in(19, 500)
}

// testSpareQueues: virtio-net takes queues into use when an XDP program is attached, if it has them to spare, and
// receives on them. The box reports them, and the generator reads them too.
func testSpareQueues(t *testing.T, m *Machine) {
	must(t, m.IP("link", "set", spareLink, "up"))
	for _, mode := range []string{"copy", "zero-copy"} {
		out, err := m.Run(requestLimit, nil, Penstock, "gen", "--tx", accessLink, "--rx", spareLink, "--profile",
			"size-64",
			"--rate", "100pps", "--count", "10", "--json", "-", "--mode", mode)
		must(t, err)
		var r struct{ Ports []struct{ Queues int } }
		must(t, json.Unmarshal([]byte(out), &r))
		if len(r.Ports) != 2 || r.Ports[1].Queues != 4 {
			t.Errorf("%s: the generator receives on %+v, want 4 queues of the second port", mode, r.Ports)
		}
	}
	w := open(t, m, settings{access: spareLink})
	if log := w.Log(); !strings.Contains(log, "receives on more queues") || !strings.Contains(log, `"receives on"=4`) {
		t.Errorf("the log does not report the additional queues: %s", log)
	}
}
