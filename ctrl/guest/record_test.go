package guest

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"penstock/ctrl/guest/style"
)

// TestRecords: what is recorded is on disk, also of many guests at once; what cannot be written is not recorded.
func TestRecords(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "guests.json")
	r, err := openRecords(path)
	if err != nil {
		t.Fatal(err)
	}
	rec := record{VIFs: []string{"red/vm"}, State: style.State{Addresses: addrs("10.0.0.1")}}
	var all sync.WaitGroup
	for i := range 200 {
		all.Go(func() {
			socket := fmt.Sprint("/", i)
			if err := r.put(socket, &rec); err != nil {
				t.Errorf("record %s: %v, want no error", socket, err)
			}
			if again, err := openRecords(path); err != nil || !again.has(socket) {
				t.Errorf("%s is recorded and not on disk: %v", socket, err)
			}
			if i%2 == 0 {
				if err := r.put(socket, nil); err != nil {
					t.Errorf("record %s: %v, want no error", socket, err)
				}
			}
		})
	}
	all.Wait()
	again, err := openRecords(path)
	if err != nil || len(again.have) != 100 {
		t.Errorf("on disk are %d records, %v, want 100", len(again.have), err)
	}
	if err := os.Rename(dir, dir+".away"); err != nil {
		t.Fatal(err)
	}
	other := rec
	other.VIFs = []string{"red/other"}
	if err := r.put("/new", &rec); err == nil || r.has("/new") {
		t.Errorf("without the directory: got %v, recorded %v, want an error and no record", err, r.has("/new"))
	}
	if err := r.put("/1", &other); err == nil {
		t.Error("without the directory a change was recorded, want an error")
	}
	if err := r.put("/3", nil); err == nil || !r.has("/3") {
		t.Errorf("without the directory: got %v, recorded %v, want an error and the record", err, r.has("/3"))
	}
	if err := os.Rename(dir+".away", dir); err != nil {
		t.Fatal(err)
	}
	if err := r.put("/new", &rec); err != nil {
		t.Fatal(err)
	}
	again, err = openRecords(path)
	if err != nil || len(again.have) != 101 || again.have["/1"].VIFs[0] != "red/vm" {
		t.Errorf("on disk are %d records, %v, want 101, and the first as before", len(again.have), err)
	}
	if err := os.WriteFile(path, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if again, err = openRecords(path); err == nil || len(again.have) != 0 {
		t.Errorf("a damaged file: got %d records, %v, want an error and none", len(again.have), err)
	}
}
