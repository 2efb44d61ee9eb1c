package box

import (
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"
)

// A log that nobody reads costs lines, which are counted, and no time.
func TestLogQueue(t *testing.T) {
	r, w := io.Pipe()
	var said strings.Builder
	warn := slog.New(slog.NewTextHandler(&said, nil))
	q := newLogQueue(w, warn)
	for range 2 * logRoom {
		if n, err := q.Write([]byte("line\n")); n != 5 || err != nil {
			t.Fatalf("got %d, %v, want 5 and no error", n, err)
		}
	}
	q.flush(10 * time.Millisecond) // in vain
	go func() { _, _ = io.Copy(io.Discard, r) }()
	q.flush(20 * time.Second)
	if !strings.Contains(said.String(), "lost") || !strings.Contains(said.String(), "lines=") {
		t.Errorf("it says %q, want how many lines were lost", said.String())
	}
}
