package core

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"penstock/ctrl/model"
	"penstock/ctrl/store"
)

const crashEnv = "PENSTOCK_TEST_CRASH_DB"

// TestMain makes the test binary the process that is killed.
func TestMain(m *testing.M) {
	if path := os.Getenv(crashEnv); path != "" {
		fmt.Println("failed:", crashWriter(path))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

const crashRows = 700

// crashWriter pushes without end and prints what was acknowledged. Transaction N makes tenant tN, segment tN/s and one
// binding in it; bulk N replaces all bindings of B/s by rows that carry the number N.
func crashWriter(path string) error {
	s, err := store.Open(path, store.Options{})
	if err != nil {
		return err
	}
	c, err := New(Config{Store: s, Live: newRecorder(&testing.B{})})
	if err != nil {
		return err
	}
	ctx := context.Background()
	if _, err := c.Do(ctx, Transaction{Ops: []Op{put(model.KindTenant, "B", `{"id":2}`),
		put(model.KindSegment, "B/s", `{"id":1}`)}}); err != nil {
		return err
	}
	start := len(c.State().Tenants)
	for n := start; ; n++ {
		t := fmt.Sprint("t", n)
		_, err := c.Do(ctx, Transaction{Ops: []Op{put(model.KindTenant, t, fmt.Sprintf(`{"id":%d}`, n+2)),
			put(model.KindSegment, t+"/s", `{"id":1}`),
			put(model.KindBinding, t+"/s/02:00:00:00:00:01", `{"switch_mac":"02:aa:00:00:00:01","switch_port":1}`)}})
		if err != nil {
			return err
		}
		fmt.Println("transaction", n)
		var text bytes.Buffer
		for i := range crashRows {
			fmt.Fprintf(&text, `{"tenant":"B","segment":"s","mac":"%s","switch_mac":"%s","switch_port":1}`+"\n",
				model.MAC(0x020000000000+i), model.MAC(0x02aa00000000+n))
		}
		if _, err := c.BulkBindings(ctx, &text, BulkOptions{}); err != nil {
			return err
		}
		fmt.Println("bulk", n)
	}
}

// Killed at any moment, the box restarts with every acknowledged push, and each push is whole or absent.
func TestKill(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	rnd := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 0))
	total := 0
	for range 12 {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), crashEnv+"="+path)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		cmd.Stderr = os.Stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		acked := map[string]int{"transaction": -1, "bulk": -1}
		kill := make(chan struct{})
		go func() {
			<-kill
			time.Sleep(time.Duration(rnd.IntN(60_000)) * time.Microsecond)
			cmd.Process.Kill()
		}()
		started := false
		for sc := bufio.NewScanner(out); sc.Scan(); {
			word, number, _ := strings.Cut(sc.Text(), " ")
			n, err := strconv.Atoi(number)
			if err != nil {
				t.Fatalf("the writer prints %q, want a push and its number", sc.Text())
			}
			acked[word] = n
			total++
			if !started {
				started = true
				close(kill)
			}
		}
		if !started {
			t.Fatal("the writer acknowledged nothing, want at least one push")
		}
		_ = cmd.Wait() // killed on purpose
		checkCrash(t, path, acked)
	}
	t.Logf("%d pushes acknowledged, 12 kills", total)
}

func checkCrash(t *testing.T, path string, acked map[string]int) {
	t.Helper()
	s, err := store.Open(path, store.Options{NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	live := newRecorder(t)
	c, err := New(Config{Store: s, Live: live})
	if err != nil {
		t.Fatal(err)
	}
	st, bindings := live.snapshot()
	last := len(st.Tenants) - 1 // t1 … and B
	if last < acked["transaction"] || last > acked["transaction"]+1 {
		t.Errorf("%d transactions are stored, want the %d acknowledged ones or one more", last, acked["transaction"])
	}
	for n := 1; n <= last; n++ {
		name := fmt.Sprint("t", n)
		_, okT := st.Tenants[name]
		_, okS := st.Segments[name+"/s"]
		_, okB := bindings[model.BindingKey{Tenant: name, Segment: "s", MAC: 0x020000000001}]
		if !okT || !okS || !okB {
			t.Errorf("transaction %d is incomplete: tenant %v, segment %v, binding %v, want all or none", n, okT, okS,
				okB)
		}
	}
	versions := map[int]int{}
	for k, b := range bindings {
		if k.Tenant == "B" {
			versions[int(b.SwitchMAC-0x02aa00000000)]++
		}
	}
	if len(versions) > 1 {
		t.Errorf("bulk pushes are mixed: %v, want the rows of one", versions)
	}
	for v, n := range versions {
		if n != crashRows || v < acked["bulk"] {
			t.Errorf("bulk %d has %d rows; want all rows of bulk %d or a later one", v, n, acked["bulk"])
		}
	}
	if c.Revision() == 0 {
		t.Error("the revision is 0, want that of the pushes")
	}
}
