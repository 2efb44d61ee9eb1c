package integration

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"penstock/ctrl/compile"
	"penstock/ctrl/model"
	"penstock/ctrl/resolve/owner"
	"penstock/ctrl/status"
	"penstock/ctrl/unicast"
	"penstock/dataplane/resolve"
	"penstock/integration/endpoint"
	"penstock/integration/lab"
)

const (
	joinOwners = 100
	joinSwitch = model.MAC(0x02000000000a) // of all owners
	joinPulls  = 8                         // owners that a box pulls from at once, at most
)

// TestJoinWire: a box that begins gets the bindings of 100 boxes over its fabric port while it forwards, with and
// without loss of messages. PENSTOCK_JOIN is the number of each box's VIFs: 10,000 for a million in all, with 100,000
// frames a second; the times are judged then.
func TestJoinWire(t *testing.T) {
	each, rate := 1000, 10_000
	full := false
	if s := os.Getenv("PENSTOCK_JOIN"); s != "" {
		var err error
		each, err = strconv.Atoi(s)
		must(t, err)
		rate, full = 100_000, true
	}
	for _, c := range []struct {
		loss  float64
		limit time.Duration
	}{{0, 10 * time.Second}, {0.02, 15 * time.Second}} {
		t.Run(fmt.Sprintf("%.0f %% lost", 100*c.loss), func(t *testing.T) {
			testJoinWire(t, each, rate, c.loss, c.limit, full)
		})
	}
}

// joinTown is box1 alone, with two VMs between which frames cross it, and the tenants of the owners.
func joinTown(each int) options {
	o := options{fake: true, only: "box1", FabricOptions: lab.FabricOptions{ControlVLAN: controlVLAN}}
	o.Tenants, o.Segments, o.Subnets = lab.DemoTenants()[:1], lab.DemoSegments()[:1], lab.DemoSubnets()[:1]
	for i := range 10 {
		name := fmt.Sprint("t", i)
		o.Tenants = append(o.Tenants, model.Tenant{Name: name, ID: uint32(1000 + i)})
		o.Segments = append(o.Segments, model.Segment{Tenant: name, Name: "net", ID: 7})
	}
	for i := range 2 {
		o.VMs = append(o.VMs, lab.VMSpec{Tenant: "red", Segment: "web", Name: fmt.Sprint("red-vm", i+1), Box: "box1",
			MAC: 0x020000000001 + model.MAC(i), Addresses: lab.DemoAddresses(byte(i + 1))[:1], Raw: true})
	}
	o.Dataplane.Bindings = joinOwners*each + 1000
	o.Dataplane.RingSize = 4096
	o.Dataplane.Poll = "adaptive"
	return o
}

func testJoinWire(t *testing.T, each, rate int, loss float64, limit time.Duration, full bool) {
	f := startFabric(t, joinTown(each))
	n := f.Node("box1")
	paths := model.Path{A: n.SwitchMAC, B: joinSwitch, VLANs: []model.PathVLAN{{VID: 102}}}
	if n.SwitchMAC > joinSwitch {
		paths.A, paths.B = paths.B, paths.A
	}
	f.push("box1", []lab.Operation{{Op: "put", Kind: paths.Kind(), Key: paths.Key(), Value: paths}})
	before := f.memory(t, "box1")

	// The box begins anew with everything in place, so that its first words are heard.
	must(t, f.procs["box1"].Stop(10*time.Second))
	w := newJoinWorld(f, each, loss)
	var listening sync.WaitGroup
	stopped := make(chan struct{})
	listening.Go(func() { w.run(stopped) })
	began := time.Now()
	f.start("box1")
	f.waitReady("box1")
	s := f.steady(t, "red-vm1", "red-vm2", rate, 16)
	held := 0
	for end := began.Add(4 * limit); held < joinOwners*each && time.Now().Before(end); {
		time.Sleep(20 * time.Millisecond)
		var boxes status.Items[status.FabricBox]
		f.get("box1", "/v1/boxes", &boxes)
		held = 0
		for _, b := range boxes.Items {
			held += b.Known
		}
	}
	took := time.Since(began)
	f.eventually(t, "three HELLOs that ask for those of others", func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		return len(w.solicits) >= 3
	})
	after := f.memory(t, "box1")
	r := stop(t, s)
	close(stopped)
	listening.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	t.Logf("%d bindings of %d boxes %v after the start, %d PULLs, %d messages lost, %d owners at once; %d frames "+
		"forwarded; memory %d MB before, %d MB after", held, joinOwners, took.Round(time.Millisecond), w.asked, w.lost,
		w.most, r.Received, before>>10, after>>10)
	if held != joinOwners*each {
		t.Fatalf("bindings: got %d after %v, want %d\ndrops: %v", held, took, joinOwners*each, f.drops("box1"))
	}
	if full && took > limit {
		t.Errorf("time until all bindings: got %v, want at most %v", took, limit)
	}
	if grown := after - before; full && grown > 64<<10 {
		t.Errorf("memory that the bindings take: got %d KiB, want 64 MiB at most", grown)
	}
	if lost := r.Lost() - r.SendErrors; r.Lost() >= r.SendErrors && lost > r.Overruns {
		t.Errorf("data frames that the box lost: got %d, want none: %v, drops %v", lost, r, f.drops("box1"))
	}
	if w.most > joinPulls {
		t.Errorf("owners pulled from at once: got %d, want %d at most", w.most, joinPulls)
	}
	if w.wheres != 0 {
		t.Errorf("questions that were broadcast: got %d, want none", w.wheres)
	}
	for i, at := range w.solicits[1:] {
		if apart := at.Sub(w.solicits[i]); apart < 500*time.Millisecond || full && apart > 1500*time.Millisecond {
			t.Errorf("between two HELLOs that ask for those of others: got %v, want 1 s", apart)
		}
	}
	if len(w.solicits) != 3 {
		t.Errorf("HELLOs that ask for those of others: got %d, want 3", len(w.solicits))
	}
	if w.failed != nil {
		t.Error(w.failed)
	}
}

// joinWorld is everything behind the box's fabric port: its edge switch, and the owners.
type joinWorld struct {
	sw   *endpoint.Switch
	rng  *rand.Rand
	loss float64

	mu       sync.Mutex
	owners   map[uint8]*owner.Owner
	hellos   map[uint8][]byte // made beforehand, without the sequence
	due      map[uint8]time.Time
	pulling  map[uint8]time.Time // owners that are pulled from: the last PULL
	solicits []time.Time
	most     int
	asked    int
	lost     int
	wheres   int
	failed   error
}

func newJoinWorld(f *fabric, each int, loss float64) *joinWorld {
	w := &joinWorld{sw: f.edge(f.t, "box1"), rng: rand.New(rand.NewPCG(1, 2)), loss: loss,
		owners: map[uint8]*owner.Owner{}, hellos: map[uint8][]byte{}, due: map[uint8]time.Time{},
		pulling: map[uint8]time.Time{}}
	for i := range joinOwners {
		at := compile.Place{Switch: joinSwitch, Port: uint8(101 + i)}
		o := &owner.Owner{At: at, Tenant: 1000 + uint32(i%10), First: 0x021000000000 + uint64(i)<<20,
			IP: uint32(10<<24 + i*each), Count: each}
		w.owners[at.Port], w.hellos[at.Port] = o, o.Hello(0)
	}
	return w
}

// run plays until stopped is closed.
func (w *joinWorld) run(stopped <-chan struct{}) {
	for {
		select {
		case <-stopped:
			return
		default:
		}
		b, err := w.sw.Receive(5 * time.Millisecond)
		w.mu.Lock()
		if err == nil {
			w.take(b)
		}
		w.say()
		w.mu.Unlock()
	}
}

// lose reports whether the next message is lost.
func (w *joinWorld) lose() bool {
	if w.rng.Float64() >= w.loss {
		return false
	}
	w.lost++
	return true
}

// take takes a frame of the box.
func (w *joinWorld) take(b []byte) {
	if len(b) < 18 || binary.BigEndian.Uint16(b[12:]) != 0x8100 {
		return
	}
	if binary.BigEndian.Uint16(b[16:]) == 0x88b5 {
		m, _, ok := resolve.Parse(b[18:])
		switch {
		case ok && m.Op == resolve.OpWhere:
			w.wheres++
		case ok && m.Op == resolve.OpHello && m.Flags&resolve.FlagSolicit != 0:
			w.solicits = append(w.solicits, time.Now())
			for p := range w.owners {
				if !w.lose() {
					w.due[p] = time.Now().Add(time.Duration(w.rng.Int64N(int64(time.Second))))
				}
			}
		}
		return
	}
	_, _, payload, ok := unicast.Packet(b)
	if !ok || endpoint.MACAt(b) != joinSwitch {
		return
	}
	m, _, ok := resolve.Parse(payload)
	o := w.owners[b[18+17]] // 10.p.0.1
	if !ok || m.Op != resolve.OpPull || o == nil || w.lose() {
		return
	}
	w.asked++
	w.pulling[o.At.Port] = time.Now()
	for p, last := range w.pulling {
		if time.Since(last) > 2*time.Second { // given up: five questions of 200 ms
			delete(w.pulling, p)
		}
	}
	w.most = max(w.most, len(w.pulling))
	for _, message := range w.owners[o.At.Port].Answer(&m) {
		head, _, _ := resolve.Parse(message)
		if head.Flags&resolve.FlagLast != 0 {
			delete(w.pulling, o.At.Port)
		}
		if !w.lose() {
			w.send(w.unicast(o.At.Port, message))
		}
	}
}

// say sends the HELLOs that are due.
func (w *joinWorld) say() {
	for p, at := range w.due {
		if time.Now().Before(at) {
			continue
		}
		delete(w.due, p)
		b := append([]byte(nil), w.hellos[p]...)
		binary.BigEndian.PutUint64(b[8:], uint64(time.Now().UnixNano()))
		if !w.lose() {
			w.send(unicast.Broadcast(uint64(joinSwitch), controlVLAN, b))
		}
	}
}

// unicast is a message as the edge switch hands it to the box.
func (w *joinWorld) unicast(from uint8, payload []byte) []byte {
	udp := binary.BigEndian.AppendUint16(nil, unicast.SourcePort(uint64(joinSwitch), from))
	udp = binary.BigEndian.AppendUint16(udp, unicast.PortBinding)
	udp = append(binary.BigEndian.AppendUint16(udp, uint16(8+len(payload))), 0, 0)
	return (&endpoint.Outer{DstMAC: w.sw.BoxMAC, SrcMAC: w.sw.MAC, ID: 102, Flags: 0x4000, TTL: 63, Proto: 17,
		Src: endpoint.Special(w.sw.Scheme, from, 1), Dst: endpoint.Special(w.sw.Scheme, w.sw.Port, 1),
		Inner: append(udp, payload...)}).Encode()
}

func (w *joinWorld) send(b []byte) {
	if err := w.sw.Send(b); err != nil && w.failed == nil {
		w.failed = err
	}
}
