package api_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"penstock/ctrl/api"
	"penstock/ctrl/client"
	"penstock/ctrl/core"
	"penstock/ctrl/model"
)

func TestSocketFile(t *testing.T) {
	w := newWorld(t, nil)
	st, err := os.Stat(w.path)
	if err != nil || st.Mode().Perm() != 0o660 {
		t.Fatalf("the socket's file: %v, %v, want mode 0660", st, err)
	}
	c := api.Config{Path: w.path, Group: -1, Core: w.core, Events: w.events, Alarms: w.alarms, Gateways: w.gates,
		Info: w.info}
	if _, err := api.New(c); err == nil || !strings.Contains(err.Error(), "another process listens") {
		t.Errorf("a second server on one socket: %v, want that another process listens", err)
	}
	c.Path = filepath.Join(w.dir, "file")
	if err := os.WriteFile(c.Path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := api.New(c); err == nil || !strings.Contains(err.Error(), "not a socket") {
		t.Errorf("a file in the place of the socket: %v, want that it is not a socket", err)
	}
	c.Path = filepath.Join(w.dir, "stale")
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: c.Path})
	if err != nil {
		t.Fatal(err)
	}
	ln.SetUnlinkOnClose(false)
	ln.Close()
	s, err := api.New(c)
	if err != nil {
		t.Fatalf("a stale socket is not replaced: %v", err)
	}
	if err := s.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(c.Path); !os.IsNotExist(err) {
		t.Errorf("the socket is left behind: %v", err)
	}
	c.Mode = 0o666
	if _, err := api.New(c); err == nil {
		t.Error("a world-writable control socket is accepted, want an error")
	}
}

const callerEnv, callerGroupEnv = "PENSTOCK_TEST_CALLER", "PENSTOCK_TEST_CALLER_GROUP"

// TestMain lets the test binary be a caller with another user.
func TestMain(m *testing.M) {
	path := os.Getenv(callerEnv)
	if path == "" {
		os.Exit(m.Run())
	}
	if os.Getenv(callerGroupEnv) != "" {
		if err := syscall.Setgroups([]int{4242}); err != nil {
			fmt.Println(err)
		}
	} else if err := syscall.Setgroups(nil); err != nil {
		fmt.Println(err)
	}
	if err := syscall.Setgid(65534); err != nil {
		fmt.Println(err)
	}
	if err := syscall.Setuid(65534); err != nil {
		fmt.Println(err)
	}
	c := client.New(path)
	var v any
	fmt.Println("read:", c.Get(context.Background(), "/v1/tenants", &v))
	_, err := c.Put(context.Background(), model.KindTenant, "X", map[string]int{"id": 77}, client.WriteOptions{})
	fmt.Println("write:", err)
	os.Exit(0)
}

// TestAccess: root and the group may write, other users may read if the configuration lets them, and nobody else is
// served.
func TestAccess(t *testing.T) {
	if os.Geteuid() != 0 {
		if os.Getenv("PENSTOCK_REQUIRE_ROOT") == "1" {
			t.Fatal("needs root")
		}
		t.Skip("needs root to become another user")
	}
	for _, c := range []struct {
		readers, group bool
		read, write    string
	}{
		{false, false, "permission denied", "permission denied"},
		{true, false, "<nil>", "may read here, not write"},
		{false, true, "<nil>", "<nil>"},
		{true, true, "<nil>", "<nil>"},
	} {
		w := newWorld(t, func(a *api.Config, _ *core.Config) { a.Group, a.ReadOnly = 4242, c.readers })
		for d := w.dir; len(d) > len(os.TempDir()); d = filepath.Dir(d) {
			if err := os.Chmod(d, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		bin := filepath.Join(w.dir, "caller")
		if err := os.Link(os.Args[0], bin); err != nil { // the test binary lies where others may not go
			text, err := os.ReadFile(os.Args[0])
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(bin, text, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		cmd := exec.Command(bin)
		cmd.Env = append(os.Environ(), callerEnv+"="+w.path)
		if c.group {
			cmd.Env = append(cmd.Env, callerGroupEnv+"=1")
		}
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("the other user's process fails: %v: %s", err, out)
		}
		read, write, _ := strings.Cut(string(out), "\n")
		if !strings.Contains(read, "read: ") || !strings.Contains(read, c.read) || !strings.Contains(write, c.write) {
			t.Errorf("readers_any %v, member %v: %s, want %q and %q", c.readers, c.group, out, c.read, c.write)
		}
		if ro := filepath.Join(w.dir, "c-ro.sock"); c.readers {
			conn := client.New(ro)
			_, err := conn.Put(t.Context(), model.KindTenant, "Y", map[string]int{"id": 78}, client.WriteOptions{})
			if !client.Is(err, "forbidden") {
				t.Errorf("a write by root on the read-only socket: %v, want the code forbidden", err)
			}
			conn.Close()
		}
	}
}
