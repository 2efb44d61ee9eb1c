package integration

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"penstock/ctrl/model"
	"penstock/integration/endpoint"
	"penstock/integration/lab"
)

// program is the path of the binary under test; TestMain sets it before any test runs.
var program string

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	if os.Geteuid() != 0 {
		return m.Run() // every test skips, or fails if root is required
	}
	if program = os.Getenv("PENSTOCK_BINARY"); program == "" {
		dir, err := os.MkdirTemp("", "penstock-test-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		program = filepath.Join(dir, "penstock")
		build := exec.Command("go", "build", "-o", program, "penstock/appliance")
		if out, err := build.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "build the binary: %v\n%s", err, out)
			return 1
		}
	}
	return m.Run()
}

func requireRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() == 0 {
		return
	}
	if os.Getenv("PENSTOCK_REQUIRE_ROOT") == "1" {
		t.Fatal("root is required")
	}
	t.Skip("needs root")
}

// options are the properties of a test's fabric.
type options struct {
	lab.FabricOptions
	fake   bool   // edge switches are played by the test: see fabric.edge
	only   string // start only this box or edge switch; "" = all
	noPush bool   // leave the boxes' tables empty
}

// fabric is a lab with its processes running.
type fabric struct {
	*lab.Topology
	t       *testing.T
	lab     *lab.Lab
	procs   map[string]*lab.Process
	clients map[string]*http.Client
}

var labs atomic.Int32 // labs made by this process so far: part of their names

// startFabric builds a fabric, starts a process for every box and edge switch, pushes the tables and waits until frames
// get through. At the end of the test every process has to be alive, balanced and free of ownership breaches.
func startFabric(t *testing.T, o options) *fabric {
	t.Helper()
	requireRoot(t)
	l, err := lab.New(fmt.Sprintf("t%d", labs.Add(1)))
	if err != nil {
		t.Fatal(err)
	}
	stop := l.CloseOnSignal()
	f := &fabric{t: t, lab: l, procs: make(map[string]*lab.Process), clients: make(map[string]*http.Client)}
	t.Cleanup(func() {
		f.finish()
		stop()
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	d := &o.Dataplane
	d.Verify = true
	if d.RingSize == 0 {
		d.RingSize = 1024
	}
	if d.Bindings == 0 {
		d.Bindings = 10_000
	}
	if d.Poll == "" {
		d.Poll = "interrupt" // several boxes share the machine's cores here
	}
	if f.Topology, err = lab.Fabric(l, o.FabricOptions); err != nil {
		t.Fatal(err)
	}
	var nodes []*lab.Node
	for _, n := range slices.Concat(f.Boxes, f.Switches) {
		if o.only == "" && (n.Switch != "" || !o.fake) || o.only == n.Name {
			nodes = append(nodes, n)
		}
	}
	for _, n := range nodes {
		f.start(n.Name)
	}
	for _, n := range nodes {
		f.waitReady(n.Name)
	}
	if !o.noPush {
		for _, n := range nodes {
			if n.Switch != "" {
				f.push(n.Name, n.Documents.Operations())
			}
		}
	}
	if !o.fake && !o.noPush {
		f.converge()
	}
	return f
}

// start starts the process of a node.
func (f *fabric) start(node string) {
	f.t.Helper()
	n := f.Node(node)
	p, err := f.lab.Start(n.Namespace, node, program, "run", "--config", n.Config)
	if err != nil {
		f.t.Fatal(err)
	}
	f.procs[node] = p
	f.clients[node] = &http.Client{Timeout: 60 * time.Second, Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", n.Socket)
		},
	}}
}

// waitReady waits until a node reports that its tables are live.
func (f *fabric) waitReady(node string) {
	f.t.Helper()
	p := f.procs[node]
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		resp, err := f.clients[node].Get("http://box/readyz")
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return
			}
			err = errors.New(resp.Status)
		}
		if !p.Running() {
			f.t.Fatalf("%s has ended:\n%s", node, p.Log())
		}
		if time.Now().After(deadline) {
			f.t.Fatalf("%s is not ready after 20 s: %v\n%s", node, err, p.Log())
		}
	}
}

// finish checks every process that still runs.
func (f *fabric) finish() {
	for name, p := range f.procs {
		if !p.Running() {
			if err := p.Wait(0); err != nil {
				f.t.Errorf("%s has ended: %v", name, err)
			}
		} else {
			f.balanced(name)
		}
		log := p.Log()
		for _, sign := range []string{"DATA RACE", "panic:"} {
			if i := strings.Index(log, sign); i >= 0 {
				f.t.Errorf("log of %s: got this, want no %q:\n%s", name, sign, log[i:min(len(log), i+8000)])
			}
		}
		if f.t.Failed() {
			f.t.Logf("log of %s:\n%s", name, tail(log, 60))
		}
	}
}

func tail(text string, lines int) string {
	all := strings.Split(text, "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// raw opens the interface of a VM for frames of the test's own.
func (f *fabric) raw(t *testing.T, vm string) *endpoint.Raw {
	t.Helper()
	v := f.VM(vm)
	return f.open(t, v.Namespace, v.Interface)
}

func (f *fabric) open(t *testing.T, namespace, name string) *endpoint.Raw {
	t.Helper()
	var r *endpoint.Raw
	if err := f.lab.Do(namespace, func() (err error) { r, err = endpoint.Open(name); return err }); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

// edge opens the edge switch's end of a box's fabric port, to play the edge switch.
func (f *fabric) edge(t *testing.T, box string) *endpoint.Switch {
	t.Helper()
	n := f.Node(box)
	r := f.open(t, n.Switch, fmt.Sprintf("down%d", n.SwitchPort))
	return &endpoint.Switch{Raw: r, Scheme: f.Options.Scheme, MAC: n.SwitchMAC, BoxMAC: n.MAC, Port: n.SwitchPort}
}

// host returns a VM's addresses.
func (f *fabric) host(vm string) endpoint.Host {
	v := f.VM(vm)
	h := endpoint.Host{MAC: v.MAC}
	for _, p := range v.Addresses {
		if p.Addr().Is4() {
			h.IPv4 = p.Addr()
		} else {
			h.IPv6 = p.Addr()
		}
	}
	return h
}

// converge waits until frames get through from every box to every other: edge switches must first learn their boxes'
// MACs.
func (f *fabric) converge() {
	f.t.Helper()
	for _, from := range f.VMs {
		for _, to := range f.VMs {
			if from.Box != to.Box && from.Tenant == to.Tenant && from.Segment == to.Segment && from.Behind == "" &&
				to.Behind == "" {
				f.waitThrough(from.Name, to.Name, 5*time.Second)
			}
		}
	}
}

// waitThrough waits until a frame of a kind that no stack answers gets from one VM to another, and returns how long
// that took.
func (f *fabric) waitThrough(from, to string, limit time.Duration) time.Duration {
	f.t.Helper()
	src, dst := f.VM(from), f.VM(to)
	frames, err := endpoint.Mix(endpoint.MixOptions{Seed: 1,
		From: endpoint.Host{MAC: src.MAC, IPv4: netip.IPv4Unspecified(), IPv6: netip.IPv6Unspecified()},
		To:   endpoint.Host{MAC: dst.MAC, IPv4: netip.IPv4Unspecified(), IPv6: netip.IPv6Unspecified()}, Probe: true},
		1)
	if err != nil {
		f.t.Fatal(err)
	}
	tx, rx := f.raw(f.t, from), f.raw(f.t, to)
	defer tx.Close()
	defer rx.Close()
	began := time.Now()
	for time.Since(began) < limit {
		if err := tx.Send(frames[0]); err != nil {
			f.t.Fatal(err)
		}
		if _, err := rx.Find(5*time.Millisecond, func(b []byte) bool { return bytes.Equal(b, frames[0]) }); err == nil {
			took := time.Since(began)
			must(f.t, rx.Drain(20*time.Millisecond)) // those sent meanwhile
			return took
		}
	}
	f.t.Fatalf("nothing gets from %s to %s within %v: drops %v of %s, %v of %s", from, to, limit, f.dropsIfUp(src.Box),
		src.Box, f.dropsIfUp(dst.Box), dst.Box)
	return 0
}

func mac(s string) model.MAC {
	m, err := model.ParseMAC(s)
	if err != nil {
		panic(err)
	}
	return m
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func bytesOf(frame []byte, err error) []byte {
	if err != nil {
		panic(err) // a frame that the test itself cannot build
	}
	return frame
}
