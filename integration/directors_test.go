package integration

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"penstock/ctrl/alarm"
	"penstock/ctrl/model"
	"penstock/integration/lab"
)

// The lab of two directors: d1, d2 and the client's box k behind switch swa, the servers' hosts behind swb. The service
// answers each datagram with the server's name, so that one datagram every 2 ms tells how long a takeover blocks.
func directorsTown(mode string) options {
	o := options{}
	o.Trunks = []uint16{101}
	o.Boxes = []lab.BoxSpec{{Name: "d1", Switch: "swa", Port: 2}, {Name: "d2", Switch: "swa", Port: 8},
		{Name: "k", Switch: "swa", Port: 7}, {Name: "h1", Switch: "swb", Port: 3},
		{Name: "h2", Switch: "swb", Port: 4}}
	o.Tenants = []model.Tenant{{Name: "red", ID: 100}}
	o.Segments = []model.Segment{{Tenant: "red", Name: "web", ID: 1}}
	o.Subnets = []model.Subnet{{Tenant: "red", Name: "web4", Segment: "web",
		Prefix: netip.MustParsePrefix("10.10.1.0/24")}}
	vm := func(name, box string, last int) lab.VMSpec {
		return lab.VMSpec{Tenant: "red", Segment: "web", Name: name, Box: box, MAC: 0x020000000100 + model.MAC(last),
			Addresses: []netip.Prefix{netip.MustParsePrefix(fmt.Sprintf("10.10.1.%d/24", last))}}
	}
	o.VMs = []lab.VMSpec{vm("client", "k", 10), vm("web1", "h1", 20), vm("web2", "h2", 21)}
	for i := range o.VMs[1:] {
		o.VMs[i+1].Virtual = []netip.Prefix{netip.MustParsePrefix("10.10.1.100/32")}
	}
	addr := netip.MustParseAddr
	o.VIPs = []model.VIP{{Tenant: "red", Name: "www", Segment: "web", Address: addr("10.10.1.100"), Mode: mode,
		Directors: []model.Director{{Box: "d1", Address: addr("10.10.1.101")},
			{Box: "d2", Address: addr("10.10.1.102")}}}}
	for _, s := range []struct {
		name, scheduler string
		id              uint32
		port            uint16
	}{{"dns", "maglev", 7, 53}, {"last", "lc", 8, 54}} {
		o.Services = append(o.Services, model.Service{Tenant: "red", Name: s.name, VIP: "www", ID: s.id,
			Protocol: "udp", Port: s.port, Scheduler: s.scheduler, Check: &model.Check{Type: model.CheckNone}})
		for i, w := range []string{"web1", "web2"} {
			o.Servers = append(o.Servers, model.Server{Tenant: "red", Service: s.name, Name: w,
				Address: o.VMs[i+1].Addresses[0].Addr(), Port: 5200 + s.port - 53 + 100})
		}
	}
	o.Balancer = "key = \"000102030405060708090a0b0c0d0e0f\"\nflows = 65536"
	o.Fabric = "keys = [\"1:000102030405060708090a0b0c0d0e0f\"]"
	return o
}

// directors is the lab, running.
type directors struct{ *fabric }

func startDirectors(t *testing.T, o options) *directors {
	t.Helper()
	d := &directors{startFabric(t, o)}
	for _, vm := range []string{"web1", "web2"} {
		for _, port := range []uint16{5300, 5301} {
			d.echo(t, vm, netip.AddrPortFrom(netip.MustParseAddr("10.10.1.100"), port))
		}
	}
	return d
}

// echo answers datagrams with the name of the guest.
func (d *directors) echo(t *testing.T, vm string, addr netip.AddrPort) {
	t.Helper()
	var c net.PacketConn
	must(t, d.lab.Do(d.VM(vm).Namespace, func() (err error) {
		c, err = net.ListenPacket("udp", addr.String())
		return err
	}))
	t.Cleanup(func() { c.Close() })
	go func() {
		buf := make([]byte, 64)
		for {
			n, from, err := c.ReadFrom(buf)
			if err != nil {
				return
			}
			_, _ = c.WriteTo(append([]byte(vm+" "), buf[:n]...), from) // the client misses it
		}
	}()
}

// flowOf is a client's flow of numbered datagrams.
type flowOf struct {
	conn    net.Conn
	sent    int
	answers map[int]time.Time // when the answer to a number came
	servers map[string]bool
	stop    chan struct{}
	done    chan struct{}
}

// begin sends a datagram every 2 ms until end.
func (d *directors) begin(t *testing.T, port uint16) *flowOf {
	t.Helper()
	return d.beginEvery(t, port, 2*time.Millisecond)
}

// beginEvery sends a datagram every so often until end.
func (d *directors) beginEvery(t *testing.T, port uint16, every time.Duration) *flowOf {
	t.Helper()
	f := &flowOf{answers: map[int]time.Time{}, servers: map[string]bool{}, stop: make(chan struct{}),
		done: make(chan struct{})}
	must(t, d.lab.Do(d.VM("client").Namespace, func() (err error) {
		f.conn, err = net.Dial("udp", fmt.Sprintf("10.10.1.100:%d", port))
		return err
	}))
	t.Cleanup(func() { f.conn.Close() })
	received := make(chan struct{})
	go func() {
		defer close(received)
		buf := make([]byte, 64)
		for {
			n, err := f.conn.Read(buf)
			if ne, ok := err.(net.Error); ok && ne.Timeout() {
				return
			} else if err != nil {
				continue // an ICMP error about an earlier datagram
			}
			var name string
			var number int
			if _, err := fmt.Sscan(string(buf[:n]), &name, &number); err == nil {
				f.answers[number], f.servers[name] = time.Now(), true
			}
		}
	}()
	go func() {
		defer close(f.done)
		for next := time.Now(); ; next = next.Add(every) {
			select {
			case <-f.stop:
				_ = f.conn.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
				<-received
				return
			default:
			}
			time.Sleep(time.Until(next))
			_, _ = fmt.Fprintf(f.conn, "%d", f.sent) // an ICMP error about an earlier datagram
			f.sent++
		}
	}()
	return f
}

// end ends the flow, and returns how many datagrams had no answer and the longest time without one.
func (f *flowOf) end() (lost int, blocked time.Duration) {
	close(f.stop)
	<-f.done
	var last time.Time
	for i := range f.sent {
		at, ok := f.answers[i]
		if !ok {
			lost++
			continue
		}
		if !last.IsZero() {
			blocked = max(blocked, at.Sub(last))
		}
		last = at
	}
	return lost, blocked
}

// directs returns the box that directs the VIP, as a box sees it.
func (d *directors) directs(node string) (box string, here bool) {
	var v struct {
		Status struct {
			Director string `json:"director"`
			Here     bool   `json:"here"`
		} `json:"status"`
	}
	d.get(node, "/v1/vips/red/www", &v)
	return v.Status.Director, v.Status.Here
}

// settles waits until a director directs the VIP, and the client's box knows it.
func (d *directors) settles(t *testing.T, box string) {
	t.Helper()
	d.eventually(t, box+" directs the VIP, and k sends to it", func() bool {
		_, here := d.directs(box)
		at, _ := d.directs("k")
		return here && at == box
	})
}

// kill ends a box with its links.
func (d *directors) kill(t *testing.T, box string) {
	t.Helper()
	p := d.procs[box]
	delete(d.procs, box)
	n := d.Node(box)
	for _, x := range n.Ports {
		must(t, d.lab.SetDown(x.PeerNamespace, x.PeerInterface))
	}
	p.Kill()
}

// TestDirectorsTakeover kills the active director under traffic: the other one takes over within 330 ms, flows keep
// their servers, and when the first one is back it stands by.
func TestDirectorsTakeover(t *testing.T) {
	d := startDirectors(t, directorsTown(""))
	d.settles(t, "d1")
	if _, here := d.directs("d2"); here {
		t.Error("d2 directs the VIP while d1 lives, want it to stand by")
	}
	var flows []*flowOf
	for range 4 {
		flows = append(flows, d.begin(t, 53), d.begin(t, 54))
	}
	time.Sleep(300 * time.Millisecond)
	draining := d.Options.Servers[0]
	draining.State = model.StateDraining
	for _, n := range d.Boxes {
		d.push(n.Name, []lab.Operation{{Op: "put", Kind: draining.Kind(), Key: draining.Key(), Value: draining}})
	}
	time.Sleep(1500 * time.Millisecond)
	d.kill(t, "d1")
	time.Sleep(time.Second)
	for i, f := range flows {
		lost, blocked := f.end()
		t.Logf("flow %d: %d sent, %d lost, blocked %v, servers %v", i, f.sent, lost, blocked, f.servers)
		if len(f.servers) != 1 {
			t.Errorf("flow %d was answered by %v, want one server", i, f.servers)
		}
		if blocked > time.Second/2 {
			t.Errorf("flow %d was blocked for %v, want some 300 ms", i, blocked)
		}
	}
	d.settles(t, "d2")
	d.eventually(t, "alarm director_lost on d2", func() bool { return d.active("d2", alarm.DirectorLost) == 1 })
	n := d.Node("d1")
	for _, x := range n.Ports {
		must(t, d.lab.SetUp(x.PeerNamespace, x.PeerInterface))
	}
	d.start("d1")
	d.waitReady("d1")
	d.eventually(t, "no alarm director_lost on d2", func() bool { return d.active("d2", alarm.DirectorLost) == 0 })
	time.Sleep(time.Second)
	d.settles(t, "d2")
	if _, here := d.directs("d1"); here {
		t.Error("d1 directs the VIP after its return, want it to stand by")
	}
}

// TestDirectorsPlanned takes the active director out of the list under traffic: no datagram is lost.
func TestDirectorsPlanned(t *testing.T) {
	d := startDirectors(t, directorsTown(""))
	d.settles(t, "d1")
	flows := []*flowOf{d.begin(t, 53), d.begin(t, 54)}
	time.Sleep(500 * time.Millisecond)
	v := d.Options.VIPs[0]
	v.Directors = v.Directors[1:]
	for _, n := range d.Boxes {
		d.push(n.Name, []lab.Operation{{Op: "put", Kind: v.Kind(), Key: v.Key(), Value: v}})
	}
	time.Sleep(time.Second)
	for i, f := range flows {
		if lost, blocked := f.end(); lost != 0 || len(f.servers) != 1 {
			t.Errorf("flow %d: %d of %d lost, blocked %v, servers %v; want 0 lost and one server", i, lost, f.sent,
				blocked, f.servers)
		}
	}
	d.settles(t, "d2")
	if _, here := d.directs("d1"); here {
		t.Error("d1 directs the VIP after it has left the list")
	}
}

// TestDirectorsCut cuts the active director off and lets it come back: one of the two directs then.
func TestDirectorsCut(t *testing.T) {
	d := startDirectors(t, directorsTown(""))
	d.settles(t, "d1")
	n := d.Node("d1")
	must(t, d.lab.SetDown(n.Ports[0].PeerNamespace, n.Ports[0].PeerInterface))
	d.settles(t, "d2")
	must(t, d.lab.SetUp(n.Ports[0].PeerNamespace, n.Ports[0].PeerInterface))
	d.eventually(t, "d1 stands by after its return", func() bool {
		_, here := d.directs("d1")
		return !here
	})
	d.settles(t, "d2")
}

// TestDirectorsAnycast sends the packets of a flow by two directors in turn: one server gets them all.
func TestDirectorsAnycast(t *testing.T) {
	d := startDirectors(t, directorsTown(model.ModeAnycast))
	for _, box := range []string{"d1", "d2"} {
		d.eventually(t, box+" directs the VIP", func() bool { _, here := d.directs(box); return here })
	}
	f := d.begin(t, 53)
	v := d.Options.VIPs[0]
	for i := range 6 {
		at := d.Node([]string{"d1", "d2"}[i%2])
		b := model.Binding{Tenant: "red", Segment: "web", MAC: v.EffectiveMAC(), SwitchMAC: at.SwitchMAC,
			SwitchPort: uint16(at.SwitchPort)}
		d.push("k", []lab.Operation{{Op: "put", Kind: b.Kind(), Key: b.Key(), Value: b}})
		time.Sleep(200 * time.Millisecond)
	}
	if lost, _ := f.end(); lost != 0 || len(f.servers) != 1 {
		t.Errorf("%d of %d lost, servers %v; want 0 lost and one server", lost, f.sent, f.servers)
	}
}

// TestDirectorsRestart restarts the only director: flows of a scheduler without a table keep their servers, by the file
// that the box has saved, and a damaged file is no obstacle.
func TestDirectorsRestart(t *testing.T) {
	o := directorsTown("")
	o.VIPs[0].Directors = o.VIPs[0].Directors[:1]
	d := startDirectors(t, o)
	d.settles(t, "d1")
	var flows []*flowOf
	for range 8 {
		flows = append(flows, d.begin(t, 54))
	}
	time.Sleep(300 * time.Millisecond)
	restart := func(between func(file string)) {
		must(t, d.procs["d1"].Stop(10*time.Second))
		file := filepath.Join(d.Node("d1").State, "flows")
		between(file)
		d.start("d1")
		d.waitReady("d1")
		d.settles(t, "d1")
		if _, err := os.Stat(file); !os.IsNotExist(err) {
			t.Errorf("the file of flows after the start: %v, want it gone", err)
		}
	}
	restart(func(file string) {
		if st, err := os.Stat(file); err != nil || st.Size() < 8*21 {
			t.Errorf("the file of flows: %v, want one with 8 flows", err)
		}
	})
	time.Sleep(300 * time.Millisecond)
	servers := map[string]bool{}
	for i, f := range flows {
		lost, blocked := f.end()
		if len(f.servers) != 1 || len(f.answers) < f.sent/4 {
			t.Errorf("flow %d: %d of %d lost, blocked %v, servers %v; want one server before and after", i, lost,
				f.sent, blocked, f.servers)
		}
		for s := range f.servers {
			servers[s] = true
		}
	}
	if len(servers) != 2 {
		t.Errorf("the flows have the servers %v, want both", servers)
	}
	restart(func(file string) { must(t, os.WriteFile(file, []byte("PSFL"), 0o600)) })
}

// TestDirectorsAnnounce: the director that takes over tells the stations, and nobody takes that for a conflict.
func TestDirectorsAnnounce(t *testing.T) {
	d := startDirectors(t, directorsTown(""))
	d.settles(t, "d1")
	r := d.raw(t, "client")
	d.kill(t, "d1")
	if _, err := r.Find(3*time.Second, func(b []byte) bool { // gratuitous ARP of 10.10.1.100
		return len(b) >= 42 && b[12] == 8 && b[13] == 6 && b[28] == 10 && b[31] == 100 && b[41] == 100
	}); err != nil {
		t.Errorf("announcement to the client: %v", err)
	}
	for _, box := range []string{"d2", "k"} {
		if n := d.active(box, alarm.VIPConflict); n != 0 {
			t.Errorf("alarms vip_conflict of %s: got %d, want 0", box, n)
		}
	}
}
