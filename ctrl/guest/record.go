package guest

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"sync"
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

// records is the file of all records: what is recorded is on disk. Reading does not wait for the disk.
type records struct {
	path string

	writes sync.Mutex // the file, and stored
	stored uint64     // changes that are on disk

	mu      sync.Mutex
	have    map[string]record // by socket
	changes uint64
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
		_ = os.Rename(path, path+".damaged") // for whoever looks into it; what cannot be renamed is replaced
		return r, fmt.Errorf("the records of guests that were set up cannot be read, and are set aside as "+
			"%s.damaged; what no VIF asks for any more stays in those guests: %w", path, err)
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

// put records what is being done in a guest; nil = nothing is left there. It returns when that is on disk. Records that
// come while the disk is busy are written together.
func (r *records) put(socket string, v *record) error {
	r.mu.Lock()
	last, had := r.have[socket]
	if v == nil && !had || v != nil && had && same(&last, v) {
		r.mu.Unlock()
		return nil
	}
	r.set(socket, v)
	r.changes++
	mine := r.changes
	r.mu.Unlock()

	r.writes.Lock()
	defer r.writes.Unlock()
	if r.stored >= mine {
		return nil
	}
	r.mu.Lock()
	now := r.changes
	text, err := json.MarshalIndent(recordFile{r.have}, "", " ")
	r.mu.Unlock()
	if err == nil {
		err = r.store(text)
	}
	if err == nil {
		r.stored = now
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.set(socket, nil); had {
		r.set(socket, &last)
	}
	r.changes++ // the next one writes the file again
	return fmt.Errorf("record what is done in the guest: %w", err)
}

// set changes a record in memory. The caller holds mu.
func (r *records) set(socket string, v *record) {
	if v == nil {
		delete(r.have, socket)
	} else {
		r.have[socket] = *v
	}
}

func same(a, b *record) bool {
	x, err1 := json.Marshal(a)
	y, err2 := json.Marshal(b)
	return err1 == nil && err2 == nil && slices.Equal(x, y)
}

// store replaces the file as a whole. No other process writes it: the box holds its store's lock.
func (r *records) store(text []byte) error {
	if r.path == "" {
		return nil
	}
	return file.Replace(r.path, append(text, '\n'))
}
