package integration

import (
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
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

// foreignBox is a box whose edge switch is played by the test, with tenant 300 and its segment 7.
func foreignBox(t *testing.T) *fabric {
	t.Helper()
	o := options{fake: true, only: "box1", noPush: true, FabricOptions: lab.FabricOptions{ControlVLAN: controlVLAN}}
	o.Dataplane.Bindings = 200_000
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
	return f
}

// A HERE as a foreign implementation sends it: the head of the frame, and the body.
const (
	hereHead = "ffffffffffff02000000000a8100cfa088b5"
	hereBody = "505301020000000018fae27693b4000000012c0000070200000001010a00000102000000000a0011"
)

// TestHereOnTheWire: a HERE becomes a binding, and packets go there.
func TestHereOnTheWire(t *testing.T) {
	f := foreignBox(t)
	sw := f.edge(t, "box1")
	must(t, sw.Send(hexBytes(t, hereHead+hereBody)))
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
	var b binding
	f.get("box1", "/v1/bindings/red/web/02:00:00:00:01:01", &b)
	if got, want := fmt.Sprint(b), "{02:00:00:00:01:01 [10.0.0.1] 02:00:00:00:00:0a 17 "+
		"{fabric 1800000000000000000 300 7 }}"; got != want {
		t.Errorf("the binding: got %s, want %s", got, want)
	}
}

// binding is what GET /v1/bindings says of one.
type binding struct {
	MAC        model.MAC    `json:"mac"`
	Addresses  []netip.Addr `json:"addresses"`
	SwitchMAC  model.MAC    `json:"switch_mac"`
	SwitchPort int          `json:"switch_port"`
	Status     struct {
		Origin    string `json:"origin"`
		Sequence  uint64 `json:"sequence"`
		TenantID  uint32 `json:"tenant_id"`
		SegmentID uint32 `json:"segment_id"`
		Port      string `json:"port"`
	} `json:"status"`
}

func (f *fabric) bindings(node, origin string) []binding {
	f.t.Helper()
	var page struct{ Items []binding }
	f.get(node, "/v1/bindings?origin="+origin, &page)
	return page.Items
}

// TestBadHereOnTheWire: of a HERE with one fault nothing is learned, and the operator sees a counter for each; 36
// bodies in one frame are all learned.
func TestBadHereOnTheWire(t *testing.T) {
	f := foreignBox(t)
	sw := f.edge(t, "box1")
	change := func(at int, octets string) string { return hereBody[:2*at] + octets + hereBody[2*at+len(octets):] }
	for _, c := range []struct{ what, body, reason, metric string }{
		{"version 2", change(2, "02"), "message_version", ""},
		{"magic 5054", change(0, "5054"), "message_magic", ""},
		{"39 octets", hereBody[:78], "message_short", ""},
		{"an unknown tenant", change(16, "00012d"), "", `penstock_binding_heard_total{outcome="unknown"} 1`},
		{"p 0", change(38, "0000"), "message_place", ""},
		{"opcode 9", change(3, "09"), "message_opcode", ""},
		{"a group MAC", change(22, "03"), "", `penstock_binding_messages_total{outcome="malformed"} 1`},
	} {
		before, want := f.drops("box1"), map[string]uint64{}
		if c.reason != "" {
			want[c.reason] = 1
		}
		must(t, sw.Send(hexBytes(t, hereHead+c.body)))
		f.expectDrops(t, "box1", before, want)
		if c.reason != "" {
			if text := f.penstock(t, "", "show", "drops"); !strings.Contains(text, c.reason) {
				t.Errorf("%s: show drops does not name %s: %s", c.what, c.reason, text)
			}
		}
		if c.metric != "" {
			f.eventually(t, c.what+" is counted as "+c.metric, func() bool { return f.metric("box1", c.metric) })
		}
	}
	if got := f.bindings("box1", "fabric"); len(got) != 0 {
		t.Errorf("of faulty messages %v was learned, want nothing", got)
	}
	text := hereHead
	for i := range 36 {
		text += change(22, fmt.Sprintf("0200000002%02x0a0001%02x", i, i+1))
	}
	must(t, sw.Send(hexBytes(t, text)))
	f.eventually(t, "36 bodies of one frame are learned", func() bool {
		return len(f.bindings("box1", "fabric")) == 36
	})
}

// metric reports whether a node's metrics have a line.
func (f *fabric) metric(node, line string) bool {
	return strings.Contains(f.metrics(node), "\n"+line+"\n")
}

func (f *fabric) metrics(node string) string {
	f.t.Helper()
	var text []byte
	err := f.lab.Do(f.Node(node).Namespace, func() error {
		conn, err := net.DialTimeout("tcp", "127.0.0.1:9469", 2*time.Second)
		if err != nil {
			return err
		}
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
		if _, err := fmt.Fprint(conn, "GET /metrics HTTP/1.0\r\n\r\n"); err != nil {
			return err
		}
		text, err = io.ReadAll(conn)
		return err
	})
	if err != nil {
		f.t.Fatalf("read the metrics of %s: %v", node, err)
	}
	return string(text)
}

// TestStations: a guest that its VIF does not hold to anything changes its MAC and addresses: it is learned, announced
// to the other boxes, and reached from there, in both families; the others know it as theirs, without flag 3. It moves
// to another box with its next frame.
func TestStations(t *testing.T) {
	o := fabricTown()
	f := startFabric(t, o)
	for _, vm := range []string{"red-vm1", "red-vm3"} {
		v := f.VM(vm).VIF()
		v.AntiSpoof = "off"
		f.push(f.VM(vm).Box, []lab.Operation{{Op: "put", Kind: v.Kind(), Key: v.Key(), Value: v}})
	}
	become := func(vm string) {
		for _, argv := range [][]string{{"link", "set", "eth0", "down"},
			{"link", "set", "eth0", "address", "02:00:00:00:00:77", "up"}, {"addr", "flush", "dev", "eth0"},
			{"addr", "add", "10.0.0.77/24", "dev", "eth0"},
			{"addr", "add", "fd00::77/64", "dev", "eth0", "nodad"}} {
			f.run(t, vm, append([]string{"ip"}, argv...)...)
		}
	}
	reaches := func(vm, address string) {
		f.eventually(t, vm+" reaches "+address, func() bool { _, err := f.ping(vm, address, 1); return err == nil })
	}
	become("red-vm1")
	reaches("red-vm1", "10.0.0.2")
	reaches("red-vm1", "fd00::2")
	reaches("red-vm2", "10.0.0.77")
	reaches("red-vm2", "fd00::77")
	is := func(box, origin string) bool {
		for _, b := range f.bindings(box, origin) {
			if b.MAC == 0x020000000077 {
				return len(b.Addresses) == 2 && (origin != "learned" || b.Status.Port == f.VM("red-vm1").Port)
			}
		}
		return false
	}
	f.eventually(t, "box1 has the station as learned", func() bool { return is("box1", "learned") })
	f.eventually(t, "box2 has it from the fabric", func() bool { return is("box2", "fabric") })
	f.run(t, "red-vm1", "ip", "link", "set", "eth0", "down")
	become("red-vm3")
	reaches("red-vm3", "10.0.0.2")
	reaches("red-vm2", "fd00::77")
	f.eventually(t, "box1 has it from the fabric", func() bool {
		return is("box1", "fabric") && !is("box1", "learned")
	})
}
