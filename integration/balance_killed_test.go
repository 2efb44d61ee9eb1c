package integration

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"testing"
	"time"

	"penstock/ctrl/alarm"
	"penstock/ctrl/model"
	"penstock/integration/lab"
)

// balanceTables are the VIPs, services and servers of a box, as text, without their status.
func (b *balancer) balanceTables(t *testing.T, box string) string {
	t.Helper()
	var text bytes.Buffer
	for _, kind := range []string{"vips", "services", "servers"} {
		var l struct {
			Items []map[string]any `json:"items"`
		}
		b.get(box, "/v1/"+kind, &l)
		for _, item := range l.Items {
			for _, name := range []string{"status", "revision", "etag"} {
				delete(item, name)
			}
			line, err := json.Marshal(item)
			must(t, err)
			fmt.Fprintf(&text, "%s %s\n", kind, line)
		}
	}
	return text.String()
}

// TestBalanceKilled kills the director and the server's box the moment that they have acknowledged a push: after the
// restart everything is as acknowledged, and a server that drains and whose box has forgotten it still answers.
func TestBalanceKilled(t *testing.T) {
	b := startFloodTown(t)
	s := service{name: "echo", vip: "v4", protocol: "tcp", id: 7, port: 80, to: 8080,
		more: `check = { type = "none" }`, servers: []string{"web1"}}
	b.applyTo(t, vipDocument("v4", vip4, own4)+b.document(s), "d", "h1")
	b.linesOf(t, "web1", vip4+":8080")
	killed := func(box string) {
		t.Helper()
		p := b.procs[box]
		delete(b.procs, box)
		p.Kill()
		b.start(box)
		b.waitReady(box)
	}
	server := func(name string, change func(*model.Server)) {
		t.Helper()
		x := model.Server{Tenant: "red", Service: "echo", Name: name, Address: b.host("web2").IPv4, Port: 8081}
		change(&x)
		b.push("d", []lab.Operation{{Op: "put", Kind: x.Kind(), Key: x.Key(), Value: x}})
	}
	for round, change := range []func(){
		func() { server("web2", func(*model.Server) {}) },
		func() { server("web2", func(x *model.Server) { w := uint16(7); x.Weight = &w }) },
		func() { server("web2", func(x *model.Server) { x.State = model.StateDraining }) },
		func() {
			x := model.Service{Tenant: "red", Name: "more", VIP: "v4", ID: 9, Port: 81, TableSize: 131_071,
				Check: &model.Check{Type: "none"}}
			b.push("d", []lab.Operation{{Op: "put", Kind: x.Kind(), Key: x.Key(), Value: x},
				{Op: "delete", Kind: model.KindServer, Key: "red/echo/web2"}})
		},
		func() { b.push("d", []lab.Operation{{Op: "delete", Kind: model.KindService, Key: "red/more"}}) },
	} {
		change()
		want := b.balanceTables(t, "d")
		killed("d")
		if got := b.balanceTables(t, "d"); got != want {
			t.Fatalf("change %d, after the kill: got\n%swant\n%s", round, got, want)
		}
	}

	k := b.talk(t, "client", vip4+":80", 10)
	b.set(t, "echo/web1", "draining")
	b.push("h1", []lab.Operation{{Op: "delete", Kind: model.KindServer, Key: "red/echo/web1"}})
	killed("h1")
	time.Sleep(1500 * time.Millisecond) // each connection says something
	k.end(t)
	if got := b.drops("h1")["vip_source"] + b.drops("h1")["reply_unknown"]; got != 0 {
		t.Errorf("replies dropped after the restart of the server's box: got %d, want 0", got)
	}
}

// TestDirectorsDiffer gives one of two directors another key for its choice of servers: both say so.
func TestDirectorsDiffer(t *testing.T) {
	d := startDirectors(t, directorsTown(""))
	d.settles(t, "d1")
	const kind = alarm.DirectorsDiffer
	if n := d.active("d1", kind); n != 0 {
		t.Fatalf("equal directors: %d alarms %s, want none", n, kind)
	}
	must(t, d.procs["d2"].Stop(10*time.Second))
	file := d.Node("d2").Config
	text, err := os.ReadFile(file)
	must(t, err)
	other := bytes.Replace(text, []byte(`key = "000102030405060708090a0b0c0d0e0f"`),
		[]byte(`key = "ff0102030405060708090a0b0c0d0e0f"`), 1)
	if bytes.Equal(other, text) {
		t.Fatalf("no balancer key in %s:\n%s", file, text)
	}
	must(t, os.WriteFile(file, other, 0o600))
	d.start("d2")
	d.waitReady("d2")
	began := time.Now()
	for _, box := range []string{"d1", "d2"} {
		d.eventually(t, box+" raises "+string(kind), func() bool { return d.active(box, kind) == 1 })
		t.Logf("%s: %v after the other director was ready", box, time.Since(began).Round(10*time.Millisecond))
	}
}
