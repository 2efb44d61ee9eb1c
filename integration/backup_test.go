package integration

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"penstock/ctrl/client"
	"penstock/ctrl/model"
	"penstock/ctrl/status"
)

// TestBackupRestore: a backup that is taken while others push is of one revision, and puts a stopped box back to it.
func TestBackupRestore(t *testing.T) {
	f := startFabric(t, serviceTown())
	node := f.Node("box1")
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var pushes atomic.Uint64
	ended := make(chan bool)
	go func() { // the tenant's ID is another one after every push
		defer close(ended)
		cl := client.New(node.Socket)
		defer cl.Close()
		for id := uint32(1000); ctx.Err() == nil; id++ {
			green := model.Tenant{Name: "green", ID: id}
			if _, err := cl.Put(ctx, model.KindTenant, "green", green, client.WriteOptions{}); err == nil {
				pushes.Add(1)
			}
		}
	}()
	f.eventually(t, "pushes are taken", func() bool { return pushes.Load() > 20 })
	archive := filepath.Join(t.TempDir(), "box1.tar")
	f.penstock(t, "", "backup", archive)
	begun := pushes.Load()
	f.eventually(t, "pushes go on behind a backup", func() bool { return pushes.Load() > begun })
	stop()
	<-ended
	if st, err := os.Stat(archive); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("the archive: %v, %v; want mode 0600", st, err)
	}
	piped := filepath.Join(t.TempDir(), "piped.tar")
	out, err := exec.Command("sh", "-c", program+" backup - -s "+node.Socket+" | (sleep 1; cat)").Output()
	must(t, err)
	must(t, os.WriteFile(piped, out, 0o600))
	tool(t, 0, "backup", "--check", piped)

	said := tool(t, 0, "backup", "--check", archive)
	revision := regexp.MustCompile(`at revision \d+`).FindString(said)
	if revision == "" {
		t.Errorf("backup --check: %s, want the revision", said)
	}
	if text := tool(t, 3, "restore", archive, node.Config); !strings.Contains(text, "systemctl stop penstock") {
		t.Errorf("restore onto a running box: %s, want that it is to be stopped", text)
	}
	f.penstock(t, "", "delete", "tenant", "red", "--with-dependents")
	must(t, f.procs["box1"].Stop(10*time.Second))
	if text := tool(t, 0, "restore", archive, node.Config); !strings.Contains(text, revision) {
		t.Errorf("restored %s, want %s", text, revision)
	}
	f.start("box1")
	f.waitReady("box1")
	var box status.Box
	f.get("box1", "/v1/box", &box)
	if got := fmt.Sprintf("at revision %d", box.Revision); got != revision {
		t.Errorf("after the restore the box is %s, want %s", got, revision)
	}
	if vifs := items[model.VIF](t, f.penstock(t, "", "show", "vifs", "red", "-o", "json")); len(vifs) != 3 {
		t.Errorf("after the restore there are the VIFs %v, want the three of the backup", vifs)
	}
	kept, err := filepath.Glob(filepath.Join(node.State, "before-restore-*", "penstock.db"))
	if err != nil || len(kept) != 1 {
		t.Errorf("what was there before is in %v, %v; want one directory", kept, err)
	}
}

// tool runs a command line that needs no box, and returns what it prints.
func tool(t *testing.T, code int, args ...string) string {
	t.Helper()
	c := exec.Command(program, args...)
	out, err := c.CombinedOutput()
	if c.ProcessState == nil || c.ProcessState.ExitCode() != code {
		t.Fatalf("penstock %s: %v, want the exit code %d\n%s", strings.Join(args, " "), err, code, out)
	}
	return string(out)
}
