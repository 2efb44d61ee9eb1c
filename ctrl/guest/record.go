package guest

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	"penstock/ctrl/guest/style"
	"penstock/ctrl/readfile"
	"penstock/ctrl/store/file"
)

// record is what was done in a guest.
type record struct {
	VIFs     []string      `json:"vifs"` // that last asked for it
	State    style.State   `json:"state"`
	Linger   time.Duration `json:"linger,omitempty"`
	Orphaned time.Time     `json:"orphaned,omitzero"` // since when no VIF refers to the guest
}

// records is the file of all records: what is recorded is on disk.
type records struct {
	path string
	mu   sync.Mutex
	have map[string]record // by socket
}

// maxRecords is larger than any file of records: 10,000 guests with 16 addresses each.
const maxRecords = 32 << 20

type recordFile struct {
	Guests map[string]record `json:"guests"`
}

func openRecords(path string) (*records, error) {
	r := &records{path: path, have: map[string]record{}}
	text, err := readfile.Regular(path, maxRecords)
	if errors.Is(err, fs.ErrNotExist) {
		return r, nil
	}
	var f recordFile
	if err == nil {
		err = json.Unmarshal(text, &f)
	}
	if err != nil {
		return r, fmt.Errorf("the records of guests that were set up cannot be read; what no VIF asks for any more "+
			"stays in those guests: %w", err)
	}
	if f.Guests != nil {
		r.have = f.Guests
	}
	return r, nil
}

func (r *records) sockets() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := make([]string, 0, len(r.have))
	for s := range r.have {
		out = append(out, s)
	}
	return out
}

func (r *records) has(socket string) bool {
	_, ok := r.get(socket)
	return ok
}

func (r *records) get(socket string) (record, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	v, ok := r.have[socket]
	return v, ok
}

// put records what is being done in a guest; nil = nothing is left there. It returns when that is on disk.
func (r *records) put(socket string, v *record) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	last, had := r.have[socket]
	switch {
	case v == nil && !had, v != nil && had && same(&last, v):
		return nil
	case v == nil:
		delete(r.have, socket)
	default:
		r.have[socket] = *v
	}
	if err := r.store(); err != nil {
		if had {
			r.have[socket] = last
		} else {
			delete(r.have, socket)
		}
		return fmt.Errorf("record what is done in the guest: %w", err)
	}
	return nil
}

func same(a, b *record) bool {
	x, err1 := json.Marshal(a)
	y, err2 := json.Marshal(b)
	return err1 == nil && err2 == nil && slices.Equal(x, y)
}

// store replaces the file as a whole. No other process writes it: the box holds its store's lock.
func (r *records) store() error {
	if r.path == "" {
		return nil
	}
	text, err := json.MarshalIndent(recordFile{r.have}, "", " ")
	if err != nil {
		return err
	}
	const flags = os.O_WRONLY | os.O_CREATE | os.O_TRUNC | syscall.O_NONBLOCK | syscall.O_NOFOLLOW
	f, err := os.OpenFile(r.path+".new", flags, 0o600)
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // fails after the rename
	_, err = f.Write(append(text, '\n'))
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), r.path); err != nil {
		return err
	}
	return file.SyncDir(filepath.Dir(r.path))
}
