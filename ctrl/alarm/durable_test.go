package alarm

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// Acknowledging an alarm while the file is missing returns ErrNotDurable; when the file is back, it is written.
func TestNotDurable(t *testing.T) {
	path := filepath.Join(t.TempDir(), "alarms.db")
	b, _ := newBoard(t, path, nil)
	b.Raise(down("up0"))
	if err := b.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path, path+".away"); err != nil {
		t.Fatal(err)
	}
	a, err := b.Acknowledge(b.Active()[0].ID, "ann", "")
	if !errors.Is(err, ErrNotDurable) || a.Acknowledged == nil {
		t.Errorf("got %+v and error %v, want an acknowledged alarm and ErrNotDurable", a, err)
	}
	if !b.IsActive(SpoolFailing, "spool") {
		t.Error("the alarm spool_failing is not active, want it active")
	}
	if err := os.Rename(path+".away", path); err != nil {
		t.Fatal(err)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	b, _ = newBoard(t, path, nil)
	if a, err := b.Get(a.ID); err != nil || a.Acknowledged == nil || a.Acknowledged.By != "ann" {
		t.Errorf("after the next start the alarm is %+v, %v, want acknowledged by ann", a, err)
	}
}
