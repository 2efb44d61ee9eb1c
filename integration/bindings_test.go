package integration

import (
	"encoding/hex"
	"fmt"
	"net"
	"testing"
	"time"

	"penstock/ctrl/model"
	"penstock/integration/lab"
)

const controlVLAN = 4000

// fabricTown is three boxes behind two edge switches that are told nothing of each other: neither places nor bindings.
func fabricTown() options {
	o := options{FabricOptions: lab.FabricOptions{NoPlaces: true, ControlVLAN: controlVLAN}}
	o.Boxes = append(lab.DemoBoxes(), lab.BoxSpec{Name: "box3", Switch: "swa", Port: 7})
	o.VMs = append(lab.DemoVMs(), lab.VMSpec{Tenant: "red", Segment: "web", Name: "red-vm3", Box: "box3",
		MAC: 0x020000000003, Addresses: lab.DemoAddresses(3)})
	return o
}

// TestBindings: boxes that are told tenants, segments and their own VIFs find each other's VIFs; a box that restarts
// knows them again; one that is killed keeps its claims.
func TestBindings(t *testing.T) {
	began := time.Now()
	f := startFabric(t, fabricTown())
	t.Logf("from the start of the processes to frames between all boxes: %v", time.Since(began))
	f.pingAll(t)
	for _, stop := range []func(string) error{
		func(box string) error { return f.procs[box].Stop(10 * time.Second) },
		func(box string) error { f.procs[box].Kill(); return nil },
	} {
		must(t, stop("box3"))
		f.start("box3")
		f.waitReady("box3")
		f.converge()
		f.pingAll(t)
	}
}

// pingAll has tenants' stacks talk, with ARP and neighbour discovery as they are.
func (f *fabric) pingAll(t *testing.T) {
	t.Helper()
	for _, to := range []string{"10.0.0.2", "10.0.0.3", "fd00::2", "fd00::3"} {
		if out, err := f.lab.Run(f.VM("red-vm1").Namespace, "ping", "-c", "2", "-i", "0.2", "-W", "2", to); err != nil {
			t.Errorf("ping %s from red-vm1: %v\n%s", to, err, out)
		}
	}
}

// TestBindingMoves: a VM that moves to another box is reached there at once, and its old box lets go.
func TestBindingMoves(t *testing.T) {
	f := startFabric(t, fabricTown())
	to := f.VM("red-vm3")
	v := to.VIF()
	// Its VIF appears at box2, where the same MAC listens behind another port.
	at2 := f.VM("red-vm2")
	moved := v
	moved.Port = at2.Port
	f.push("box2", []lab.Operation{{Op: "delete", Kind: model.KindVIF, Key: at2.VIF().Key()},
		{Op: "put", Kind: moved.Kind(), Key: moved.Key(), Value: moved}})
	rx := f.raw(t, "red-vm2")
	tx := f.raw(t, "red-vm1")
	frame := append(hexBytes(t, "020000000003020000000001"), 0x88, 0xb6)
	frame = append(frame, make([]byte, 46)...)
	began := time.Now()
	arrived := func() bool {
		must(t, tx.Send(frame))
		_, err := rx.Find(5*time.Millisecond, func(b []byte) bool {
			return len(b) >= 12 && net.HardwareAddr(b[:6]).String() == "02:00:00:00:00:03"
		})
		return err == nil
	}
	f.eventually(t, "frames for the moved VM arrive at its new box", arrived)
	t.Logf("after the push frames arrived at the new box within %v", time.Since(began))
	f.push("box3", []lab.Operation{{Op: "delete", Kind: v.Kind(), Key: v.Key()}})
	f.eventually(t, "they arrive after its old box has let go", arrived)
}

func hexBytes(t *testing.T, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(text)
	must(t, err)
	return b
}

// TestHereOnTheWire: a HERE as a foreign implementation sends it becomes a binding, and packets go there.
func TestHereOnTheWire(t *testing.T) {
	o := options{fake: true, only: "box1", noPush: true, FabricOptions: lab.FabricOptions{ControlVLAN: controlVLAN}}
	f := startFabric(t, o)
	n := f.Node("box1")
	d := n.Documents
	d.Tenants = []model.Tenant{{Name: "red", ID: 300}}
	d.Segments = []model.Segment{{Tenant: "red", Name: "web", ID: 7}}
	d.Subnets, d.Paths = nil, []model.Path{{A: n.SwitchMAC, B: 0x02000000000a, VLANs: []model.PathVLAN{{VID: 102}}}}
	var vifs []model.VIF
	for _, v := range d.VIFs {
		if v.Tenant == "red" {
			vifs = append(vifs, v)
		}
	}
	d.VIFs = vifs
	f.push("box1", d.Operations())
	sw := f.edge(t, "box1")
	here := hexBytes(t, "ffffffffffff02000000000a8100cfa088b5"+
		"505301020000000018fae27693b4000000012c0000070200000001010a00000102000000000a0011")
	must(t, sw.Send(here))
	vm := f.raw(t, "red-vm1")
	frame := append(hexBytes(t, "020000000101020000000001"), 0x88, 0xb6)
	frame = append(frame, make([]byte, 46)...)
	f.eventually(t, "packets to the VIF leave for its place", func() bool {
		must(t, vm.Send(frame))
		_, err := sw.Find(20*time.Millisecond, func(b []byte) bool {
			return len(b) > 38 && fmt.Sprintf("%x %x", b[:6], b[34:38]) == "02000000000a 0a11012c"
		})
		return err == nil
	})
}
