package box

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"sync"
	"sync/atomic"
	"time"

	"penstock/ctrl/compile"
	"penstock/ctrl/core"
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

// loadRemains goes on with what the file says. A file that cannot be read is a warning: draining begins anew.
func (b *Box) loadRemains() {
	defer b.outlives.begun.Store(true)
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

// remains is what has been saved of what outlives servers.
type remains struct {
	mu      sync.Mutex
	begun   atomic.Bool // the file has been read
	version uint64      // of what was saved; 0 = nothing
	failed  bool        // the last time
}

// saveRemains saves what outlives servers if it has changed. A failure is one warning, and nothing counts as saved.
func (b *Box) saveRemains() {
	f := &b.outlives
	f.mu.Lock()
	defer f.mu.Unlock()
	if b.compiler.RemainsVersion() == f.version {
		return
	}
	r, version := b.compiler.Remains()
	text, err := json.Marshal(r)
	if err == nil && len(text) > maxRemains {
		err = errors.New("there are too many")
	}
	if err == nil {
		err = file.Replace(b.remainsFile(), append(text, '\n'))
	}
	if err != nil {
		version = 0 // again at the next look
		if !f.failed {
			b.log.Warn("draining and removed servers are not saved", "path", b.remainsFile(), "err", err)
		}
	}
	f.version, f.failed = version, err != nil
}

// Apply implements core.Live: what outlives servers is saved before the push that began it is acknowledged.
func (l live) Apply(p core.Plan) error {
	if err := l.Compiler.Apply(p); err != nil {
		return err
	}
	if l.box.outlives.begun.Load() { // else the stored state is made live, and the file is yet to be read
		l.box.saveRemains()
	}
	return nil
}

// followRemains saves what outlives servers when time changes it, until ctx is done, and then once more.
func (b *Box) followRemains(ctx context.Context) {
	look := time.NewTicker(remainsLook)
	defer look.Stop()
	for done := false; !done; {
		select {
		case <-ctx.Done():
			done = true
		case <-b.remained:
		case <-look.C:
		}
		b.saveRemains()
		select {
		case <-ctx.Done():
		case <-time.After(remainsEvery):
		}
	}
}
