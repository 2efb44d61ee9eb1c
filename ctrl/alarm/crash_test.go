package alarm

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"penstock/ctrl/event"
)

const crashEnv = "PENSTOCK_TEST_CRASH_ALARMS"

// TestMain makes the test binary the box that is killed.
func TestMain(m *testing.M) {
	if args := os.Getenv(crashEnv); args != "" {
		fmt.Println("failed:", crashBox(strings.Split(args, " ")))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// crashBox raises and clears alarms without end, and prints its events. args are the spool and the URLs.
func crashBox(args []string) error {
	events := event.New(event.Config{})
	b, err := Open(Config{Path: args[0], Box: "box1", Events: events})
	if err != nil {
		return err
	}
	var list []Receiver
	for i, url := range args[1:] {
		list = append(list, hook(fmt.Sprint("r", i), url))
	}
	b.SetReceivers(list)
	go func() {
		for i := 0; ; i++ {
			object := fmt.Sprintf("%d/%d", os.Getpid(), i%20)
			if i/20%2 == 0 {
				b.Raise(down(object))
			} else {
				b.Clear(PortDown, "port "+object)
			}
			if i%7 == 0 {
				time.Sleep(time.Millisecond)
			}
		}
	}()
	r := events.After(0)
	for {
		evs, err := r.Next(context.Background(), 100)
		if err != nil {
			return err
		}
		for _, e := range evs {
			if a := e.Data.(Event); a.Action != ActionRepeat {
				text, _ := json.Marshal(a)
				fmt.Println(string(text))
			}
		}
	}
}

// Every receiver gets every event that was published before the box was killed at least once, and in that order: a
// receiver that answers, one that fails at times, and one that is unreachable until the end.
func TestKill(t *testing.T) {
	path := filepath.Join(t.TempDir(), "alarms.db")
	rnd := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 0))
	var flaky *inbox
	var n atomic.Int32
	good, away := newInbox(t, nil), newInbox(t, func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(502) })
	flaky = newInbox(t, nil)
	flaky.set(func(w http.ResponseWriter, r *http.Request) {
		switch i := n.Add(1); {
		case i%5 == 0:
			w.WriteHeader(500)
		case i%7 == 0: // takes the notice, and the box gets no answer
			flaky.take(r)
			panic(http.ErrAbortHandler)
		default:
			flaky.take(r)
		}
	})
	inboxes := []*inbox{good, flaky, away}
	args := path
	for _, in := range inboxes {
		args += " " + in.URL
	}
	say := func(a Event) string {
		return fmt.Sprintf("%d %s %s %d", a.Alarm.ID, a.Action, a.Alarm.Object, a.Alarm.Count)
	}
	var promised []string
	const kills = 8
	for range kills {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), crashEnv+"="+args)
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		stop := len(promised) + 20 + rnd.IntN(80)
		for sc := bufio.NewScanner(out); sc.Scan(); {
			var a Event
			if err := json.Unmarshal(sc.Bytes(), &a); err != nil {
				t.Fatalf("the box prints %q, want an event", sc.Text())
			}
			promised = append(promised, say(a))
			if len(promised) == stop {
				if err := cmd.Process.Kill(); err != nil { // SIGKILL; the events in the pipe were published too
					t.Fatal(err)
				}
			}
		}
		_ = cmd.Wait() // killed on purpose
	}
	if len(promised) < 20*kills {
		t.Fatalf("%d events, want more", len(promised))
	}
	for _, in := range inboxes {
		in.set(nil)
	}
	b, _ := newBoard(t, path, nil) // the last start of the box
	var list []Receiver
	for i, in := range inboxes {
		list = append(list, hook(fmt.Sprint("r", i), in.URL))
	}
	b.SetReceivers(list)
	wait(t, "nothing waits", func() bool {
		return !slices.ContainsFunc(b.Receivers(), func(r ReceiverStatus) bool { return r.Waiting > 0 })
	})
	for i, in := range inboxes {
		in.mu.Lock()
		var got []string
		seen := map[string]bool{}
		again, last := 0, uint64(0)
		for _, n := range in.notices {
			if seen[n.ID] {
				again++
				continue
			}
			seen[n.ID] = true
			if n.Sequence <= last {
				t.Errorf("receiver %d: notice %d comes after %d, want their order", i, n.Sequence, last)
			}
			last = n.Sequence
			got = append(got, say(Event{n.Action, n.Alarm}))
		}
		in.mu.Unlock()
		// The published events are a part of the received ones, in their order; the others were durable and not yet
		// published.
		at := 0
		for _, g := range got {
			if at < len(promised) && g == promised[at] {
				at++
			}
		}
		if at < len(promised) {
			t.Errorf("receiver %d never got %q, event %d of %d, want all of them", i, promised[at], at, len(promised))
		}
		t.Logf("receiver %d: %d events promised, %d notices, %d of them again", i, len(promised), len(got), again)
	}
}
