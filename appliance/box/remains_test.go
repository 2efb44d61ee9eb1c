package box

import (
	"bytes"
	"context"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"penstock/conf"
	"penstock/ctrl/compile"
	"penstock/ctrl/model"
	"penstock/dataplane/table"
)

// drainingState has a draining server of a service without a check.
func drainingState() *model.State {
	return &model.State{
		Tenants:  map[string]model.Tenant{"red": {Name: "red", ID: 100}},
		Segments: map[string]model.Segment{"red/web": {Tenant: "red", Name: "web", ID: 1}},
		VIPs: map[string]model.VIP{"red/www": {Tenant: "red", Name: "www", Segment: "web",
			Address: netip.MustParseAddr("10.10.1.100")}},
		Services: map[string]model.Service{"red/http": {Tenant: "red", Name: "http", VIP: "www", ID: 7, Port: 80}},
		Servers: map[string]model.Server{"red/http/web1": {Tenant: "red", Service: "http", Name: "web1",
			Address: netip.MustParseAddr("10.10.1.20"), State: model.StateDraining}},
	}
}

// drainingBox is a box of which nothing runs, with a draining server of a service without a check.
func drainingBox(t *testing.T, dir string, log *bytes.Buffer) *Box {
	t.Helper()
	b := &Box{log: slog.New(slog.NewTextHandler(log, nil)), remained: make(chan struct{}, 1)}
	cfg := &conf.Config{}
	cfg.Box.StateDir = dir
	b.cfg.Store(cfg)
	rows, err := table.NewBindings(table.Config{Capacity: 1024})
	if err != nil {
		t.Fatal(err)
	}
	b.compiler = compile.New(compile.Config{Bindings: rows})
	plan, err := b.compiler.Plan(drainingState(), model.BindingChanges{})
	if err == nil {
		err = b.compiler.Apply(plan)
	}
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestRemainsFile: since when a server drains is saved when the box stops and read when it starts; what is no such file
// is a warning that names it.
func TestRemainsFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "draining.json")
	var log bytes.Buffer
	b := drainingBox(t, dir, &log)
	ctx, stop := context.WithCancel(t.Context())
	stop()
	b.followRemains(ctx)
	was, _ := b.compiler.Remains()
	since := was.Draining["red/http/web1"]
	time.Sleep(time.Millisecond)
	b = drainingBox(t, dir, &log)
	b.loadRemains()
	if now, _ := b.compiler.Remains(); !now.Draining["red/http/web1"].Equal(since) || since.IsZero() {
		t.Errorf("after a restart the server drains since %v, want %s", now.Draining, since)
	}
	if log.Len() > 0 {
		t.Errorf("logged %s, want nothing", &log)
	}
	for name, make := range map[string]func() error{
		"cut":         func() error { return os.WriteFile(path, []byte(`{"draining":{"red/ht`), 0o600) },
		"wrong types": func() error { return os.WriteFile(path, []byte(`{"rules":7}`), 0o600) },
		"FIFO":        func() error { return syscall.Mkfifo(path, 0o600) },
		"directory":   func() error { return os.Mkdir(path, 0o700) },
	} {
		log.Reset()
		if err := os.RemoveAll(path); err != nil {
			t.Fatal(err)
		}
		if err := make(); err != nil {
			t.Fatal(err)
		}
		b = drainingBox(t, dir, &log)
		b.loadRemains()
		if !strings.Contains(log.String(), path) {
			t.Errorf("%s: logged %q, want a warning that names %s", name, &log, path)
		}
		if r, _ := b.compiler.Remains(); len(r.Draining) != 1 || len(r.Rules) != 0 {
			t.Errorf("%s: %+v, want the server to drain from now on", name, r)
		}
	}
	log.Reset()
	b.followRemains(ctx) // path is a directory or a damaged file now: the box goes on
	_ = os.RemoveAll(path)
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	drainingBox(t, dir, &log).followRemains(ctx)
	if !strings.Contains(log.String(), "not saved") {
		t.Errorf("a directory in the way: logged %q, want a warning", &log)
	}

	// The box tries again: no other change is needed.
	b = drainingBox(t, dir, &log)
	ctx, stop = context.WithCancel(t.Context())
	over := make(chan struct{})
	go func() { b.followRemains(ctx); close(over) }()
	time.Sleep(1500 * time.Millisecond)
	_ = os.Remove(path)
	time.Sleep(1500 * time.Millisecond)
	if _, err := os.Stat(path); err != nil {
		t.Errorf("the way is free again: %v, want the file", err)
	}
	stop()
	<-over
}

// TestRemainsAcknowledged: when a push that drains a server has returned, the file says so; what is made live at the
// start, before the file is read, does not replace the file.
func TestRemainsAcknowledged(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "draining.json")
	var log bytes.Buffer
	b := drainingBox(t, dir, &log)
	push := func(server string) {
		t.Helper()
		s := drainingState()
		s.Servers["red/http/"+server] = model.Server{Tenant: "red", Service: "http", Name: server,
			Address: netip.MustParseAddr("10.10.1.21"), State: model.StateDraining}
		plan, err := b.compiler.Plan(s, model.BindingChanges{})
		if err == nil {
			err = live{Compiler: b.compiler, box: b}.Apply(plan)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	push("web2")
	if _, err := os.Stat(path); err == nil {
		t.Fatal("the file was written before it was read, want it left alone")
	}
	b.loadRemains()
	push("web3")
	text, err := os.ReadFile(path)
	if err != nil || !strings.Contains(string(text), "red/http/web3") {
		t.Errorf("after the push of web3: the file has %q (%v), want web3 in it", text, err)
	}
}
