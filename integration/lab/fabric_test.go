package lab

import (
	"encoding/json"
	"errors"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"penstock/conf"
	"penstock/ctrl/model"
)

func TestFabric(t *testing.T) {
	l := newLab(t, "fabric")
	vms := append(DemoVMs(), VMSpec{Tenant: "red", Segment: "web", Name: "red-tag", Box: "box1", Behind: "red-vm1",
		VLAN: 30, MAC: 0x020000000030})
	f, err := Fabric(l, FabricOptions{VMs: vms, Scheme: model.Scheme24, Dataplane: DataplaneOptions{
		Workers: 2, RingSize: 512, Bindings: 1000, Poll: "interrupt", Mode: "copy", FrameSize: 4096, Frames: 16384,
		Verify: true, Handoff: true, LogLevel: "debug",
	}})
	must(t, err)
	if len(f.Boxes) != 2 || len(f.Switches) != 2 || len(f.VMs) != 5 || len(f.Trunks) != 2 {
		t.Fatalf("%d boxes, %d switches, %d VMs, %d trunks", len(f.Boxes), len(f.Switches), len(f.VMs), len(f.Trunks))
	}
	for _, n := range append(f.Boxes, f.Switches...) {
		text, err := os.ReadFile(n.Config)
		must(t, err)
		c, err := conf.Load(n.Config)
		if err != nil {
			t.Fatalf("%v in\n%s", err, text)
		}
		if len(c.Ports) != 3 || c.Dataplane.Workers != 2 || c.Box.Scheme != model.Scheme24 || !c.Dataplane.Verify ||
			c.Control.Socket != n.Socket {
			t.Errorf("%s: got %+v, want 3 ports, 2 workers and the lab's options", n.Name, c)
		}
		for _, p := range n.Ports {
			must(t, l.WaitUp(n.Namespace, p.Name))
			must(t, l.WaitUp(p.PeerNamespace, p.PeerInterface))
		}
	}
	box1 := f.Node("box1")
	if mac, err := l.MAC("box1", "fab0"); err != nil || mac != BoxMAC(0) {
		t.Errorf("fab0 of box1 has %v, %v", mac, err)
	}
	if id, err := l.XDPProgram("box1", "fab0"); err != nil || id != 0 {
		t.Errorf("XDP program %d, %v", id, err)
	}
	d := box1.Documents
	if len(d.VIFs) != 3 || len(d.Bindings) != 2 || len(d.Paths) != 3 || d.VIFs[2].Port != "acc0" ||
		d.VIFs[2].VLAN != 30 {
		t.Errorf("got %+v, want 3 VIFs, 2 bindings, 3 paths, the last VIF on acc0 with VLAN 30", d)
	}
	var keys []string
	for _, op := range d.Operations() {
		keys = append(keys, op.Op+" "+string(op.Kind)+" "+op.Key)
		if _, err := json.Marshal(op); err != nil {
			t.Error(err)
		}
	}
	for _, want := range []string{"put tenants red", "put subnets blue/web6", "put vifs red/red-tag",
		"put bindings blue/web/02:00:00:00:00:02", "put paths 02:00:00:00:fa:0a/02:00:00:00:fa:0b"} {
		if !strings.Contains(strings.Join(keys, "\n")+"\n", want+"\n") {
			t.Errorf("no operation %q in %q", want, keys)
		}
	}
	if want := "fe80::ff:fe00:1"; d.VIFs[0].Addresses[2].String() != want {
		t.Errorf("link-local address %v, want %s", d.VIFs[0].Addresses[2], want)
	}
	if out, err := l.Run("red-vm1", "ip", "-6", "address"); err != nil ||
		!strings.Contains(string(out), "fe80::ff:fe00:1/64") {
		t.Errorf("addresses of red-vm1: got %s, %v; want fe80::ff:fe00:1/64", out, err)
	}
	if out, err := l.Run("red-vm1", "ip", "route"); err != nil ||
		!strings.Contains(string(out), "default via 10.0.0.254") {
		t.Errorf("routes of red-vm1: got %s, %v; want the default route via 10.0.0.254", out, err)
	}
}

// TestTap expects tagged frames to cross a tapped trunk with their tags, and to be seen on the way.
func TestTap(t *testing.T) {
	l := newLab(t, "tap")
	f, err := Fabric(l, FabricOptions{Tap: true})
	must(t, err)
	open := func(namespace, name string) (fd int) {
		must(t, l.Do(namespace, func() (err error) {
			ifi, err := net.InterfaceByName(name)
			if err != nil {
				return err
			}
			if fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW, 0); err != nil {
				return err
			}
			all := uint16(unix.ETH_P_ALL)
			return errors.Join(unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 1}),
				unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_AUXDATA, 1),
				unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all<<8 | all>>8, Ifindex: ifi.Index}))
		}))
		t.Cleanup(func() { unix.Close(fd) })
		return fd
	}
	trunk := f.Trunks[1]
	a, tap, b := open("swa", trunk.PortA), open(TapNamespace, trunk.Tap), open("swb", trunk.PortB)
	frame := append(append(append([]byte{}, hardware(0x02000000fa0b)...), hardware(0x02000000fa0a)...), 0x81, 0, 0, 102,
		0x88, 0xb6)
	frame = append(frame, make([]byte, 50)...)
	for range 3 { // the bridge takes a moment to forward
		if _, err := unix.Write(a, frame); err != nil {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Millisecond)
	}
	for end, fd := range map[string]int{"tap": tap, "other end": b} {
		buf, oob := make([]byte, 2000), make([]byte, 200)
		n, oobn, _, _, err := unix.Recvmsg(fd, buf, oob, 0)
		if err != nil {
			t.Errorf("%s: got %v, want a frame", end, err)
			continue
		}
		if n != len(frame)-4 || buf[12] != 0x88 || oobn == 0 {
			t.Errorf("%s: %d octets, %d of control data: % x", end, n, oobn, buf[:n])
		}
	}
}

func TestFabricErrors(t *testing.T) {
	for name, opts := range map[string]FabricOptions{
		"no box":  {VMs: []VMSpec{{Name: "x", Box: "nowhere"}}},
		"switch":  {VMs: []VMSpec{{Name: "x", Box: "swa"}}},
		"behind":  {VMs: []VMSpec{{Name: "x", Box: "box1", Behind: "y"}}},
		"3 edges": {Boxes: []BoxSpec{{"b1", "s1", 1}, {"b2", "s2", 1}, {"b3", "s3", 1}}},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := Fabric(newLab(t, "bad"), opts); err == nil {
				t.Error("no error")
			}
		})
	}
}
