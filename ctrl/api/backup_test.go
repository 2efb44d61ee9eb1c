package api_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"

	"penstock/ctrl/api"
	"penstock/ctrl/backup"
	"penstock/ctrl/client"
	"penstock/ctrl/core"
)

// TestBackup: the archive comes as it is, and an error is an answer of its own.
func TestBackup(t *testing.T) {
	w := newWorld(t, nil)
	var got bytes.Buffer
	if err := w.client.Backup(t.Context(), &got); err != nil || got.String() != "archive" {
		t.Errorf("got %q, %v; want the archive", got.String(), err)
	}
	for _, tc := range []struct {
		err    error
		status int
		words  string
	}{
		{&backup.SpaceError{Dir: "/var/lib/penstock", Need: 50 << 20, Free: 3 << 20}, http.StatusInsufficientStorage,
			"a backup needs 50 MiB in /var/lib/penstock, where 3 MiB are free"},
		{fmt.Errorf("copy: %w", syscall.ENOSPC), http.StatusInsufficientStorage, "no space left"},
		{errors.New("input/output error"), http.StatusInternalServerError, "input/output error"},
	} {
		w.backup.Store(&tc.err)
		err := w.client.Backup(t.Context(), io.Discard)
		e, ok := errors.AsType[*client.Error](err)
		if !ok || e.Status != tc.status || !strings.Contains(e.Error(), tc.words) {
			t.Errorf("%v: the answer is %v, want status %d and the words %q", tc.err, err, tc.status, tc.words)
		}
	}
}

// TestBackupBreaksOff: nobody takes a part of an archive for the whole, and there is one backup at a time.
func TestBackupBreaksOff(t *testing.T) {
	begun, end := make(chan bool), make(chan bool)
	w := newWorld(t, func(ac *api.Config, _ *core.Config) {
		ac.Backup = func(_ context.Context, out io.Writer) error {
			_, err := out.Write(make([]byte, 100_000))
			begun <- true
			<-end
			return errors.Join(err, errors.New("the disk is gone"))
		}
	})
	broken := make(chan error)
	go func() { broken <- w.client.Backup(t.Context(), io.Discard) }()
	<-begun
	if err := w.client.Backup(t.Context(), io.Discard); !client.Is(err, "busy") {
		t.Errorf("a second backup: %v, want busy", err)
	}
	end <- true
	if err := <-broken; err == nil {
		t.Error("an archive that broke off was taken as whole, want an error")
	}
}
