package integration

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"penstock/ctrl/model"
	"penstock/ctrl/status"
	"penstock/integration/lab"
)

// floodTown is a director with the client and a station that floods, and a host with two servers, behind one switch.
func floodTown() options {
	o := balanceTown()
	o.Boxes = []lab.BoxSpec{{Name: "d", Switch: "swa", Port: 2}, {Name: "h1", Switch: "swa", Port: 3}}
	o.Tenants = []model.Tenant{{Name: "red", ID: 100}}
	o.Gateways = nil
	byName := map[string]lab.VMSpec{}
	for _, vm := range o.VMs {
		byName[vm.Name] = vm
	}
	client, flood := byName["client"], byName["near"]
	client.Box = "d"
	flood.Name, flood.Raw, flood.AntiSpoof = "flood", true, "mac"
	web1, web2 := byName["web1"], byName["web2"]
	web2.Box = "h1"
	o.VMs = []lab.VMSpec{client, flood, web1, web2}
	o.Balancer = fmt.Sprintf("key = \"000102030405060708090a0b0c0d0e0f\"\nflows = %d\nnew_flow_rate = %d", floodFlows,
		floodGuard)
	return o
}

// The sizes of the director, and the rate of the second flood, which is below the guard.
var floodFlows, floodGuard, floodBelow = floodSizes()

// floodSizes returns a table that a short flood fills, and the new flows a second that a worker inserts; with
// PENSTOCK_FLOOD_FULL=1 the defaults of both, for long floods.
func floodSizes() (flows uint64, guard int, below string) {
	if os.Getenv("PENSTOCK_FLOOD_FULL") == "1" {
		return 1_048_576, 125_000, "100kpps"
	}
	return 131_072, 20_000, "10kpps"
}

// floodTime is how long each flood lasts: PENSTOCK_FLOOD_SECONDS, 4 by default.
func floodTime(t *testing.T) time.Duration {
	t.Helper()
	text := os.Getenv("PENSTOCK_FLOOD_SECONDS")
	if text == "" {
		return 4 * time.Second
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("PENSTOCK_FLOOD_SECONDS=%q: want a number of seconds, 1 or more", text)
	}
	return time.Duration(n) * time.Second
}

// talkers are established connections. Each sends a line a second, and its server sends it back behind its name.
type talkers struct {
	wg     sync.WaitGroup
	stop   chan struct{}
	lines  atomic.Int64
	failed atomic.Int64

	mu    sync.Mutex
	first error
	of    map[string]int // connections, by server
}

// talk makes n connections from a namespace to an address.
func (f *fabric) talk(t *testing.T, namespace, to string, n int) *talkers {
	t.Helper()
	k := &talkers{stop: make(chan struct{}), of: map[string]int{}}
	for i := range n {
		var c net.Conn
		must(t, f.lab.Do(namespace, func() (err error) {
			c, err = net.DialTimeout("tcp", to, 5*time.Second)
			return err
		}))
		who, err := say(c, "hello")
		if err != nil {
			t.Fatalf("connection %d of %d to %s: got %v, want an answer", i+1, n, to, err)
		}
		k.of[who]++
		k.wg.Go(func() { k.run(c, who, time.Duration(i)*time.Second/time.Duration(n)) })
	}
	return k
}

func (k *talkers) run(c net.Conn, server string, offset time.Duration) {
	defer c.Close()
	time.Sleep(offset)
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for i := 0; ; i++ {
		select {
		case <-k.stop:
			return
		case <-tick.C:
		}
		k.lines.Add(1)
		who, err := say(c, fmt.Sprint(i))
		if err == nil && who != server {
			err = fmt.Errorf("the connection to %s was answered by %s", server, who)
		}
		if err != nil {
			k.failed.Add(1)
			k.mu.Lock()
			if k.first == nil {
				k.first = err
			}
			k.mu.Unlock()
			return
		}
	}
}

// say sends a line and returns who sent it back.
func say(c net.Conn, line string) (who string, err error) {
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := fmt.Fprintf(c, "%s\n", line); err != nil {
		return "", err
	}
	var got string
	if _, err := fmt.Fscanf(c, "%s %s\n", &who, &got); err != nil {
		return "", err
	}
	if got != line {
		return "", fmt.Errorf("%q came back for %q", got, line)
	}
	return who, nil
}

// end ends the connections, and expects that none broke or moved.
func (k *talkers) end(t *testing.T) {
	t.Helper()
	close(k.stop)
	k.wg.Wait()
	t.Logf("%d lines on %v, %d connections failed", k.lines.Load(), k.of, k.failed.Load())
	if n := k.failed.Load(); n != 0 {
		t.Errorf("established connections that broke or moved: got %d, want 0; the first: %v", n, k.first)
	}
}

// lines serves connections in a guest: each line comes back behind the guest's name.
func (f *fabric) linesOf(t *testing.T, vm, addr string) {
	t.Helper()
	var ln net.Listener
	must(t, f.lab.Do(f.VM(vm).Namespace, func() (err error) { ln, err = net.Listen("tcp", addr); return err }))
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				for {
					var line string
					if _, err := fmt.Fscanf(c, "%s\n", &line); err != nil {
						return
					}
					if _, err := fmt.Fprintf(c, "%s %s\n", vm, line); err != nil {
						return
					}
				}
			}()
		}
	}()
}

// startFloodTown starts floodTown, whose servers' box knows where the director's address is.
func startFloodTown(t *testing.T) *balancer {
	b := &balancer{fabric: startFabric(t, floodTown())}
	n := b.Node("d")
	v := model.Binding{Tenant: "red", Segment: "web", MAC: directorMAC4,
		Addresses: []netip.Addr{netip.MustParseAddr(own4)}, SwitchMAC: n.SwitchMAC, SwitchPort: uint16(n.SwitchPort)}
	b.push("h1", []lab.Operation{{Op: "put", Kind: v.Kind(), Key: v.Key(), Value: v}})
	return b
}

// TestBalanceFlood has SYNs and ACKs of random addresses at the service of established connections, half of them of a
// draining server: none breaks or moves, and the memory stays what it was.
func TestBalanceFlood(t *testing.T) {
	b := startFloodTown(t)
	s := service{name: "echo", vip: "v4", protocol: "tcp", id: 7, port: 80, to: 8080,
		more: `check = { type = "none" }`, servers: []string{"web1", "web2"}}
	b.applyTo(t, vipDocument("v4", vip4, own4)+b.document(s), "d", "h1")
	for _, vm := range s.servers {
		b.linesOf(t, vm, vip4+":8080")
		// Answers to the flood go nowhere.
		_, err := b.lab.Run(b.VM(vm).Namespace, "ip", "route", "add", "blackhole", "16.0.0.0/8")
		must(t, err)
	}
	const established = 1000
	k := b.talk(t, "client", vip4+":80", established)
	if k.of["web1"] < established/3 || k.of["web2"] < established/3 {
		t.Fatalf("connections by server: got %v, want about half each", k.of)
	}
	b.set(t, "echo/web2", "draining")
	time.Sleep(1200 * time.Millisecond) // each has said something: its flow is established
	before := b.settle(t, established)
	at := b.flows(t)
	most := 0.0
	for _, flood := range []struct{ profile, rate string }{
		{"syn-flood", "max"}, {"syn-flood", floodBelow}, {"ack-flood", "max"},
	} {
		t.Run(flood.profile+" "+flood.rate, func(t *testing.T) {
			most = max(most, b.flood(t, flood.profile, flood.rate, floodTime(t), established))
		})
	}
	t.Run("syn-flood half", func(t *testing.T) { b.connectBeside(t, most/2, established) })
	if got := b.memory(t, "d"); got > before+before/100 {
		t.Errorf("resident memory of the director: got %d KiB after the floods, want at most 1 %% more than %d", got,
			before)
	} else {
		t.Logf("resident memory of the director: %d KiB before, %d KiB after", before, got)
	}
	end := b.flows(t)
	if end.Guard == at.Guard || end.Evicted[halfOpen] == at.Evicted[halfOpen] {
		t.Errorf("after the floods: got %+v, want new flows beyond the guard and half-open ones evicted", end)
	}
	b.eventuallyWithin(t, 15*time.Second, "no half-open flow is left",
		func() bool { return b.flows(t).Flows[halfOpen] == 0 })
	k.end(t)
	if got := b.flows(t).Evicted["established"]; got != 0 {
		t.Errorf("established flows evicted: got %d, want 0", got)
	}
}

// settle floods the director until its resident memory grows no further, and returns that memory in KiB. What the box
// needs once (pages of its program, the heap that looking at it takes) is no memory of flows; a leak never settles.
func (b *balancer) settle(t *testing.T, established int) (kib int) {
	t.Helper()
	for round, still := 0, 0; still < 2; round++ {
		if round == 20 {
			t.Fatalf("resident memory of the director: still growing after %d floods, at %d KiB", round, kib)
		}
		b.flood(t, []string{"syn-flood", "ack-flood"}[round%2], "max", time.Second, established)
		for range 2000 {
			b.flows(t)
		}
		now := b.memory(t, "d")
		if now <= kib+kib/400 {
			still++
		} else {
			still = 0
		}
		kib = max(kib, now)
	}
	return kib
}

// connectBeside makes new connections, one after the other, beside a flood of so many SYNs a second: all succeed.
func (b *balancer) connectBeside(t *testing.T, rate float64, established int) {
	t.Helper()
	stop, done := make(chan struct{}), make(chan struct{})
	n, longest := 0, time.Duration(0)
	go func() {
		defer close(done)
		for ; ; n++ {
			select {
			case <-stop:
				return
			default:
			}
			began := time.Now()
			if err := b.connection(); err != nil {
				t.Errorf("connection %d beside the flood: got %v, want an answer", n+1, err)
				return
			}
			longest = max(longest, time.Since(began))
			time.Sleep(20 * time.Millisecond) // the generator needs the CPU, too
		}
	}()
	b.flood(t, "syn-flood", fmt.Sprintf("%.0fpps", rate), floodTime(t), established)
	close(stop)
	<-done
	t.Logf("%d new connections beside %.0f SYNs a second, the longest took %v", n, rate, longest)
	if n < 2 {
		t.Errorf("new connections beside the flood: got %d, want more", n)
	}
}

// connection makes a connection to the service, says a line, and closes it.
func (b *balancer) connection() error {
	var c net.Conn
	err := b.lab.Do(b.VM("client").Namespace, func() (err error) {
		c, err = net.DialTimeout("tcp", vip4+":80", 20*time.Second)
		return err
	})
	if err != nil {
		return err
	}
	defer c.Close()
	_, err = say(c, "hello")
	return err
}

// flood sends frames of a profile to the virtual address for the time d, and looks at the director meanwhile. It
// returns how many frames a second the director has received of it.
func (b *balancer) flood(t *testing.T, profile, rate string, d time.Duration, established int) float64 {
	t.Helper()
	rx := b.port("d", "acc1").RxPackets
	p, err := b.lab.Start("flood", "gen", program, "gen", "--tx", "eth0", "--profile", profile, "--rate", rate,
		"--duration", d.String(), "--src-mac", b.VM("flood").MAC.String(), "--dst-mac", vipMAC4.String(),
		"--set", "ipv4.dst="+vip4)
	must(t, err)
	most := map[string]uint64{}
	for p.Running() {
		f := b.flows(t)
		for s, n := range f.Flows {
			most[s] = max(most[s], n)
		}
		time.Sleep(100 * time.Millisecond)
	}
	if err := p.Wait(5 * time.Second); err != nil {
		t.Fatalf("the generator: %v\n%s", err, p.Log())
	}
	f := b.flows(t)
	t.Logf("most flows by state %v; %+v\n%s", most, f, p.Log())
	all := uint64(0)
	for _, n := range f.Flows {
		all += n
	}
	if all > floodFlows || most[halfOpen] > floodFlows/4 {
		t.Errorf("flows: got %d of them and %d half-open, want at most %d and %d", all, most[halfOpen],
			floodFlows, floodFlows/4)
	}
	if f.Flows["established"] < uint64(established) && profile == "syn-flood" {
		t.Errorf("established flows: got %d, want %d", f.Flows["established"], established)
	}
	return float64(b.port("d", "acc1").RxPackets-rx) / d.Seconds()
}

const halfOpen = "half-open"

// flows returns the flow table of the director, which has one worker.
func (b *balancer) flows(t *testing.T) status.FlowTable {
	t.Helper()
	var l status.Items[status.FlowTable]
	b.get("d", "/v1/stats/flows", &l)
	if len(l.Items) != 1 {
		t.Fatalf("flow tables of the director: got %+v, want one", l.Items)
	}
	return l.Items[0]
}

func (b *balancer) eventuallyWithin(t *testing.T, limit time.Duration, what string, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(limit); !cond(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Errorf("%s: not within %v", what, limit)
			return
		}
	}
}
