package box

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"path/filepath"
	"time"

	"penstock/ctrl/compile"
	"penstock/ctrl/readfile"
	"penstock/ctrl/store/file"
)

const (
	// maxRemains is the largest file of what outlives servers that is written and read, in octets.
	maxRemains = 64 << 20
	// remainsEvery is the time between two writings, at least.
	remainsEvery = 200 * time.Millisecond
	// remainsLook is when changes are found that changed no table.
	remainsLook = time.Second
)

// remainsFile is the file in which the box keeps since when servers drain, and rules that outlive their server.
func (b *Box) remainsFile() string { return filepath.Join(b.cfg.Load().Box.StateDir, "draining.json") }

// loadRemains goes on with what the file says. A file that cannot be read is a warning: draining begins anew.
func (b *Box) loadRemains() {
	var r compile.Remains
	text, err := readfile.Regular(b.remainsFile(), maxRemains)
	if err == nil {
		err = json.Unmarshal(text, &r)
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		b.log.Warn("draining servers drain anew, and replies of removed servers are dropped", "path",
			b.remainsFile(), "err", err)
	default:
		b.compiler.Restore(r)
	}
}

// followRemains saves what outlives servers when it changes, until ctx is done, and then once more. What cannot
// be written is tried again, with one warning.
func (b *Box) followRemains(ctx context.Context) {
	saved, failed := uint64(0), false
	look := time.NewTicker(remainsLook)
	defer look.Stop()
	for done := false; !done; {
		select {
		case <-ctx.Done():
			done = true
		case <-b.remained:
		case <-look.C:
		}
		if b.compiler.RemainsVersion() == saved {
			continue
		}
		var r compile.Remains
		r, saved = b.compiler.Remains()
		text, err := json.Marshal(r)
		if err == nil && len(text) > maxRemains {
			err = errors.New("there are too many")
		}
		if err == nil {
			err = file.Replace(b.remainsFile(), append(text, '\n'))
		}
		if err != nil {
			saved = 0 // again at the next look
		}
		if err != nil && !failed {
			b.log.Warn("draining and removed servers are not saved", "path", b.remainsFile(), "err", err)
		}
		failed = err != nil
		select {
		case <-ctx.Done():
		case <-time.After(remainsEvery):
		}
	}
}
