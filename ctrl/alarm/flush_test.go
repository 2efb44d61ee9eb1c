package alarm

import (
	"bytes"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// While a disk hangs, an alarm is active and delivery continues in order; when it answers again no alarm is missing.
func TestDiskHangs(t *testing.T) {
	path := filepath.Join(t.TempDir(), "alarms.db")
	var hang atomic.Pointer[chan struct{}]
	b, events := newBoard(t, path, func(c *Config) {
		c.StallAfter = 20 * time.Millisecond
		c.BeforeSync = func() {
			if ch := hang.Load(); ch != nil {
				<-*ch
			}
		}
	})
	in := newInbox(t, nil)
	b.SetReceivers([]Receiver{hook("a", in.URL)})
	b.Raise(down("up0"))
	wait(t, "delivery from the disk", func() bool {
		return slices.Contains(in.got(), "raise port up0") &&
			b.Receivers()[0].Waiting == 0
	})
	if err := b.Flush(); err != nil {
		t.Fatal(err)
	}
	before := len(published(t, events))

	answer := make(chan struct{})
	release := sync.OnceFunc(func() { hang.Store(nil); close(answer) })
	t.Cleanup(release)
	hang.Store(&answer)
	b.Raise(down("up1"))
	wait(t, "the alarm is sent without the disk", func() bool { return slices.Contains(in.got(), "raise spool") })
	b.Raise(down("up2"))
	b.Clear(PortDown, "port up0")
	wait(t, "so is what happens then", func() bool { return slices.Contains(in.got(), "clear port up0") })
	want := []string{"raise port up1", "raise spool", "raise port up2", "clear port up0"}
	wait(t, "events without the disk", func() bool { return len(published(t, events)) == before+len(want) })
	if got := published(t, events)[before:]; !slices.Equal(got, want) {
		t.Errorf("events %q, want %q", got, want)
	}
	if got := in.got(); !slices.Equal(got[len(got)-len(want):], want) {
		t.Errorf("notices %q, want %q at the end", got, want)
	}
	if !b.IsActive(SpoolFailing, "spool") {
		t.Error("spool_failing is cleared before the disk answers, want it active")
	}

	release()
	wait(t, "the alarm about it is over", func() bool { return slices.Contains(in.got(), "clear spool") })
	in.ordered(t)
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	b, _ = newBoard(t, path, nil)
	for _, object := range []string{"port up1", "port up2"} {
		if !b.IsActive(PortDown, object) {
			t.Errorf("the alarm of %s is not active after a restart, want it active", object)
		}
	}
	if b.IsActive(PortDown, "port up0") {
		t.Error("the alarm of port up0 is active, want it cleared")
	}
}

// A spool that is damaged while the box runs loses its waiting notices, and an alarm names the receiver.
func TestUnreadable(t *testing.T) {
	path := filepath.Join(t.TempDir(), "alarms.db")
	b, _ := newBoard(t, path, nil)
	in := newInbox(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) })
	r := hook("a", in.URL)
	r.FailingAfter = time.Hour
	b.SetReceivers([]Receiver{r})
	b.Raise(down("bad1"))
	b.Raise(down("bad2"))
	if err := b.Flush(); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i, found := 0, 0; ; i++ {
		n := bytes.Index(text[i:], []byte("port bad"))
		if n < 0 {
			if found < 2 {
				t.Fatal("the notices are not in the file, want them there")
			}
			break
		}
		i += n
		found++
		if _, err := f.WriteAt([]byte("sort"), int64(i)); err != nil {
			t.Fatal(err)
		}
	}
	wait(t, "two dropped notices", func() bool { return b.Receivers()[0].Dropped == 2 })
	wait(t, "the alarm webhook_lost", func() bool { return b.IsActive(WebhookLost, "webhook a") })
	if a := b.Active()[0]; a.Kind != WebhookLost || a.Count != 1 {
		t.Errorf("alarm %+v, want webhook_lost with count 1", a)
	}
	in.set(nil)
	wait(t, "delivery goes on", func() bool { return slices.Contains(in.got(), "raise webhook a") })
	if got := in.got(); len(got) != 1 {
		t.Errorf("notices %q, want one", got)
	}
}

// A receiver of an alarm's first notice gets all later ones, also at a lower severity and after a restart.
func TestWorst(t *testing.T) {
	path := filepath.Join(t.TempDir(), "alarms.db")
	b, _ := newBoard(t, path, nil)
	in := newInbox(t, nil)
	r := hook("a", in.URL)
	r.Severity = Major
	b.SetReceivers([]Receiver{r})
	say := func(object string, s Severity) {
		r := down(object)
		r.Severity = s
		b.Raise(r)
	}
	say("up0", Minor)
	say("up0", Major)
	say("up0", Warning)
	say("up1", Minor)
	if err := errors.Join(b.Flush(), b.Close()); err != nil {
		t.Fatal(err)
	}
	b, _ = newBoard(t, path, nil)
	b.SetReceivers([]Receiver{r})
	b.Clear(PortDown, "port up1")
	b.Clear(PortDown, "port up0")
	want := []string{"severity port up0", "severity port up0", "clear port up0"}
	wait(t, "the last notice", func() bool { return len(in.got()) >= len(want) })
	if got := in.got(); !slices.Equal(got, want) {
		t.Errorf("notices %q, want %q", got, want)
	}
}
