package client_test

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"penstock/ctrl/client"
)

// Resume is for a stream that broke off: a box that never answered is an error at once.
func TestWatchWithoutBox(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	c := client.New(filepath.Join(t.TempDir(), "none.sock"))
	err := c.Watch(ctx, client.WatchOptions{Resume: true}, func(client.Event) error { return nil })
	if !errors.Is(err, client.ErrNotRunning) {
		t.Fatalf("error %v, want %v", err, client.ErrNotRunning)
	}
}
