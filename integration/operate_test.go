package integration

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os/exec"
	"strings"
	"testing"
	"time"

	"penstock/ctrl/model"
	"penstock/ctrl/status"
	"penstock/integration/lab"
)

// serviceTown is one box with a client and two web servers, which have the virtual address on lo.
func serviceTown() options {
	var o options
	o.Trunks = []uint16{101}
	o.Boxes = []lab.BoxSpec{{Name: "box1", Switch: "swa", Port: 2}, {Name: "box2", Switch: "swb", Port: 3}}
	o.fake, o.only = true, "box1"
	o.Balancer = "key = \"000102030405060708090a0b0c0d0e0f\"\nflows = 65536"
	o.Tenants = []model.Tenant{{Name: "red", ID: 100}}
	o.Segments = []model.Segment{{Tenant: "red", Name: "web", ID: 1}}
	o.Subnets = []model.Subnet{{Tenant: "red", Name: "web4", Segment: "web",
		Prefix: netip.MustParsePrefix("10.10.1.0/24")}}
	for i, name := range []string{"client", "web1", "web2"} {
		o.VMs = append(o.VMs, lab.VMSpec{Tenant: "red", Segment: "web", Name: name, Box: "box1",
			MAC: 0x020000000110 + model.MAC(i), Addresses: []netip.Prefix{
				netip.MustParsePrefix(fmt.Sprintf("10.10.1.%d/24", 10+i))}})
		if i > 0 {
			o.VMs[i].Virtual = []netip.Prefix{netip.MustParsePrefix("10.10.1.100/32")}
		}
	}
	return o
}

// penstock runs a command line against box1 that has to succeed; text is its standard input.
func (f *fabric) penstock(t *testing.T, text string, args ...string) string {
	t.Helper()
	c := exec.Command(program, append(args, "-s", f.Node("box1").Socket)...)
	c.Stdin = strings.NewReader(text)
	var errs strings.Builder
	c.Stderr = &errs
	out, err := c.Output()
	if err != nil {
		t.Fatalf("penstock %s: %v\n%s%s", strings.Join(args, " "), err, out, errs.String())
	}
	return string(out)
}

// items decodes the JSON of show.
func items[T any](t *testing.T, text string) []T {
	t.Helper()
	var l status.Items[T]
	if err := json.Unmarshal([]byte(text), &l); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return l.Items
}

// TestOperateService: an operator brings a service from IPVS, sees its traffic, drains a server, and takes it away.
func TestOperateService(t *testing.T) {
	f := startFabric(t, serviceTown())
	for _, vm := range []string{"web1", "web2"} {
		if _, err := f.lab.Nginx(vm, vm, netip.MustParseAddrPort("10.10.1.100:8080")); err != nil {
			t.Fatal(err)
		}
	}
	table := "-A -t 10.10.1.100:80 -s mh -b mh-port\n-a -t 10.10.1.100:80 -r 10.10.1.11:8080 -g -w 1\n" +
		"-a -t 10.10.1.100:80 -r 10.10.1.12:8080 -g -w 1\n"
	out := f.penstock(t, table, "service", "import", "red", "--director", "box1=10.10.1.101")
	if !strings.Contains(out, "4 changes") {
		t.Errorf("the import printed %s, want 4 changes: a VIP, a service, two servers", out)
	}
	const service = "red/10.10.1.100-tcp-80"
	f.eventually(t, "both servers are up", func() bool {
		up := 0
		var l status.Items[status.Server]
		f.get("box1", "/v1/stats/servers", &l)
		for _, s := range l.Items {
			if s.State == "up" && s.LastCheck != nil {
				up++
			}
		}
		return up == 2
	})
	var held []net.Conn // connections that stay
	by := map[string]int{}
	dial := func(_ context.Context, _, address string) (c net.Conn, err error) {
		err = f.lab.Do("client", func() error { // a socket belongs to the namespace of the thread that makes it
			if c, err = net.DialTimeout("tcp4", address, 5*time.Second); err != nil {
				return err
			}
			return c.(*net.TCPConn).SetLinger(0) // closed by a reset: its flow ends 10 s later, not two minutes
		})
		return c, err
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: dial},
		Timeout: 5 * time.Second}
	get := func() error {
		resp, err := client.Get("http://10.10.1.100/")
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		by[strings.TrimSpace(string(body))]++
		return err
	}
	var err error
	for i := 0; i < 40 && err == nil; i++ {
		err = get()
	}
	for i := 0; i < 20 && err == nil; i++ {
		var c net.Conn
		if c, err = dial(t.Context(), "tcp4", "10.10.1.100:80"); err == nil {
			held = append(held, c)
		}
	}
	if err != nil || by["web1"] == 0 || by["web2"] == 0 || by["web1"]+by["web2"] != 40 {
		t.Errorf("40 requests: answers %v, %v; want all answered, by both servers", by, err)
	}
	var services status.Items[status.Service]
	f.eventually(t, "the counters have the connections", func() bool {
		f.get("box1", "/v1/stats/services", &services)
		return len(services.Items) == 1 && services.Items[0].Connections >= 60
	})
	if s := services.Items[0]; !s.Directing || s.Usable != 2 || s.InPackets < 240 || s.InBytes == 0 ||
		s.Flows < 20 || s.OutPackets < 60 {
		t.Errorf("statistics of the service: %+v, want it directed here, 2 usable, its packets both ways and its flows",
			s)
	}
	flows := items[status.Flow](t, f.penstock(t, "", "show", "flows", service, "--client", "10.10.1.10", "--state",
		"established", "-o", "json"))
	if len(flows) != 20 {
		t.Errorf("%d established flows, want the 20 connections that stay: %+v", len(flows), flows)
	}
	out = f.penstock(t, "", "show", "servers", service)
	for _, want := range []string{"10.10.1.11-8080", "10.10.1.12-8080", "up"} {
		if !strings.Contains(out, want) {
			t.Errorf("show servers printed\n%s\nwant %s in it", out, want)
		}
	}

	f.penstock(t, "", "service", "drain", service, "10.10.1.11-8080")
	var one struct {
		Status struct {
			State string
			Flows *int
		}
	}
	server := "/v1/servers/" + service + "/10.10.1.11-8080"
	f.get("box1", server, &one)
	if one.Status.State != "draining" || one.Status.Flows == nil || *one.Status.Flows == 0 {
		t.Errorf("after the drain: status %+v, want it draining, with flows", one.Status)
	}
	for _, c := range held {
		c.Close()
	}
	f.penstock(t, "", "service", "drain", service, "10.10.1.11-8080", "--wait", "--timeout", "60s")
	f.get("box1", server, &one)
	if one.Status.State != "drained" || *one.Status.Flows != 0 {
		t.Errorf("at the end: status %+v, want it drained with 0 flows", one.Status)
	}
	f.penstock(t, "", "service", "rm", service)
	if out := f.penstock(t, "", "show", "servers", "-o", "json"); len(items[status.Server](t, out)) != 0 {
		t.Errorf("after rm: servers %s, want none", out)
	}
}
