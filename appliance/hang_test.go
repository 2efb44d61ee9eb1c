package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"penstock/dataplane/xsk/xsktest"
)

const commandEnv = "PENSTOCK_TEST_COMMAND"

// TestCommand is the penstock process of other tests.
func TestCommand(t *testing.T) {
	args := os.Getenv(commandEnv)
	if args == "" {
		t.Skip("for other tests")
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	os.Exit(execute(ctx, rootCommand(), strings.Fields(args)))
}

// penstock starts a penstock process.
func penstock(t *testing.T, stderr io.Writer, env []string, args ...string) (*exec.Cmd, <-chan error) {
	t.Helper()
	c := exec.Command(os.Args[0], "-test.run=^TestCommand$")
	c.Env = append(append(os.Environ(), env...), commandEnv+"="+strings.Join(args, " "))
	c.Stderr = stderr
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- c.Wait() }()
	t.Cleanup(func() { _ = c.Process.Kill() }) // it has ended unless the test failed
	return c, ended
}

// ends expects the process to end soon, with the given result.
func ends(t *testing.T, what string, ended <-chan error) error {
	t.Helper()
	select {
	case err := <-ended:
		return err
	case <-time.After(20 * time.Second):
		t.Fatalf("%s: it does not end", what)
	}
	return nil
}

// A configuration that is a pipe, a service manager that does not read and a log without a reader block neither the
// main loop, which feeds the watchdog, nor the end of the process.
func TestHeldUp(t *testing.T) {
	if !xsktest.Alone(t) {
		return
	}
	xsktest.Veth(t, "a0", "b0", xsktest.VethConfig{})
	dir := t.TempDir()
	path := filepath.Join(dir, "penstock.toml")
	text := fmt.Sprintf(`[box]
name = "test"
state_dir = %q
[dataplane]
workers = 1
frames = 4096
ring_size = 256
`+
		`bindings = 1024
[control]
socket = %q
[metrics]
listen = ""
[[port]]
name = "acc0"
interface = "a0"
`+
		"role = \"access\"\nmode = \"copy\"\n", dir, filepath.Join(dir, "control.sock"))
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(dir, "notify"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer manager.Close()
	// notified reads until the manager receives the word, and discards the messages before it.
	notified := func(word string) {
		t.Helper()
		var b [4096]byte
		_ = manager.SetReadDeadline(time.Now().Add(20 * time.Second))
		for {
			n, err := manager.Read(b[:])
			if err != nil {
				t.Fatalf("the manager is not told %s: %v", word, err)
			}
			if strings.HasPrefix(string(b[:n]), word) {
				return
			}
		}
	}
	logged, stderr, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer logged.Close()
	c, ended := penstock(t, stderr, []string{"NOTIFY_SOCKET=" + filepath.Join(dir, "notify"), "WATCHDOG_USEC=300000"},
		"run", "--config", path)
	notified("READY=1")

	// The configuration is a pipe that is open for writing and stays empty.
	if err := errors.Join(os.Remove(path), syscall.Mkfifo(path, 0o600)); err != nil {
		t.Fatal(err)
	}
	held, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	if err := c.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	for _, word := range []string{"RELOADING=1", "READY=1", "WATCHDOG=1", "WATCHDOG=1"} {
		notified(word)
	}

	// The log's pipe is full and has no reader, and the manager does not read.
	fd, err := syscall.Open(fmt.Sprintf("/proc/self/fd/%d", stderr.Fd()), syscall.O_WRONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(fd)
	for err == nil {
		_, err = syscall.Write(fd, make([]byte, 4096))
	}
	for range 20 {
		if err := c.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		time.Sleep(50 * time.Millisecond)
	}
	for range 15 { // more than the manager's queue holds, and it goes on where it was
		notified("WATCHDOG=1")
	}
	time.Sleep(2 * time.Second) // the queue is full again
	if err := c.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := ends(t, "SIGTERM", ended); err != nil {
		t.Errorf("SIGTERM: it ends with %v, want success", err)
	}
}

// A signal ends the box also before READY; check and apply end with a signal while they read a pipe.
func TestPipes(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range []string{"run --config " + path, "check --file-only " + path, "apply -f " + path} {
		c, ended := penstock(t, io.Discard, nil, strings.Fields(args)...)
		time.Sleep(300 * time.Millisecond)
		if err := c.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		if err := ends(t, args, ended); err == nil {
			t.Errorf("%s: it ends as if it had read the file", args)
		}
	}
	var said strings.Builder
	_, ended := penstock(t, &said, nil, "check", "--file-only", path)
	w, err := os.OpenFile(path, os.O_WRONLY, 0) // when the other side reads
	if err != nil {
		t.Fatal(err)
	}
	_, err = io.WriteString(w, "[box]\nnme = \"x\"\n")
	if err := errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	if err := ends(t, "check of a pipe", ended); err == nil || !strings.Contains(said.String(), "nme") {
		t.Errorf("check of a pipe: it ends with %v and says %q, want that nme is no key", err, said.String())
	}
}
