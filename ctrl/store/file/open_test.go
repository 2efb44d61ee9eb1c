package file

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"go.etcd.io/bbolt"
)

func openTest(t *testing.T, path string, o Options) *File {
	t.Helper()
	o.What, o.NoSync = "the file", true
	f, err := Open(path, o, makeBucket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func put(f *File, i int) error {
	return f.Update(func(tx *bbolt.Tx) error { return tx.Bucket(bucket).Put(injectEntry(i)) })
}

// A file at the path is whole, or it is refused: a file is made only if it does not exist and never did.
func TestNotNew(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "db")
	o := Options{What: "the file", NoSync: true,
		Traces: []string{filepath.Join(dir, "trace"), filepath.Join(dir, "other")}}
	refused := func(what, want string) {
		t.Helper()
		f, err := Open(path, o, makeBucket)
		if err == nil {
			f.Close()
		}
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: got error %v, want one of %s with %q", what, err, path, want)
		}
		os.Remove(path)
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	refused("cut to nothing", "it is empty")
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	refused("a directory", "no regular file")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	refused("a pipe", "no regular file")
	if err := os.Symlink(filepath.Join(dir, "nowhere"), path); err != nil {
		t.Fatal(err)
	}
	refused("a dangling link", "symbolic link")

	f := openTest(t, path, Options{Traces: o.Traces})
	f.Close()
	for _, trace := range o.Traces {
		if err := os.WriteFile(trace, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	f = openTest(t, path, Options{Traces: o.Traces}) // traces do not matter if the file exists
	f.Close()
	os.Remove(path)
	refused("lost", o.Traces[0]+" and "+o.Traces[1])
	os.Remove(o.Traces[0])
	os.Remove(o.Traces[1])
	openTest(t, path, Options{Traces: o.Traces})
}

// An interrupted start leaves PATH.new, which the next start makes anew. Of two starts at a time one gets the file.
func TestInterruptedStart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	if err := os.WriteFile(path+".new", []byte("half a file"), 0o600); err != nil {
		t.Fatal(err)
	}
	f := openTest(t, path, Options{})
	if _, err := os.Stat(path + ".new"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s.new: got error %v, want that it does not exist", path, err)
	}
	if err := put(f, 1); err != nil {
		t.Error(err)
	}
	f.Close()

	other := filepath.Join(t.TempDir(), "db")
	h, err := os.Create(other + ".new")
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	if err := syscall.Flock(int(h.Fd()), syscall.LOCK_EX); err != nil { // another process is making it
		t.Fatal(err)
	}
	if _, err := Open(other, Options{What: "the file"}, makeBucket); !errors.Is(err, ErrLocked) {
		t.Errorf("while another process makes it: got error %v, want ErrLocked", err)
	}
}

// A file that is removed or replaced under the process takes no writes until it is put back.
func TestGone(t *testing.T) {
	dir := t.TempDir()
	for what, take := range map[string]func(path string) error{
		"file renamed": func(path string) error { return os.Rename(path, path+".away") },
		"file replaced": func(path string) error {
			return errors.Join(os.Rename(path, path+".away"), os.WriteFile(path, nil, 0o600))
		},
		"directory renamed": func(path string) error {
			return os.Rename(filepath.Dir(path),
				filepath.Dir(path)+".away")
		},
	} {
		path := filepath.Join(dir, what, "db")
		if err := os.Mkdir(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		f := openTest(t, path, Options{})
		if err := errors.Join(put(f, 1), take(path)); err != nil {
			t.Fatal(err)
		}
		var ge *GoneError
		for name, err := range map[string]error{"Update": put(f, 2), "Verify": f.Verify()} {
			if !errors.As(err, &ge) || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "/fd/") {
				t.Errorf("%s, %s: got error %v, want a GoneError with the path of the content", what, name, err)
			}
		}
		if strings.HasPrefix(what, "file") {
			os.Remove(path)
			err := os.Rename(path+".away", path)
			if err = errors.Join(err, f.Verify(), put(f, 3)); err != nil {
				t.Errorf("%s and put back: error %v, want none", what, err)
			}
		}
	}

	path := filepath.Join(dir, "unlinked")
	f := openTest(t, path, Options{})
	var ge *GoneError
	err := f.Update(func(tx *bbolt.Tx) error { // in the middle of a write
		return errors.Join(tx.Bucket(bucket).Put(injectEntry(1)), os.Remove(path))
	})
	if !errors.As(err, &ge) {
		t.Errorf("removed during a write: got error %v, want a GoneError", err)
	}
	if err := f.View(func(tx *bbolt.Tx) error {
		if k, _ := injectEntry(1); tx.Bucket(bucket).Get(k) != nil {
			t.Error("the refused write is visible, want it undone")
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
}

// A reader that began before a failed write keeps its view, and the pages that it needs are not reused.
func TestReaderOverFailure(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	f := openTest(t, path, Options{MapSize: 1 << 24}) // a larger map: a growing file would wait for its readers
	for i := range 20 {
		if err := put(f, i); err != nil {
			t.Fatal(err)
		}
	}
	err := f.View(func(tx *bbolt.Tx) error {
		_ = os.Rename(path, path+".away")
		// Directly after the check: as when the file is removed during a write.
		err := f.update(func(tx *bbolt.Tx) error { return tx.Bucket(bucket).Put(injectEntry(21)) })
		var ge *GoneError
		if !errors.As(err, &ge) {
			t.Errorf("got error %v, want a GoneError", err)
		}
		_ = os.Rename(path+".away", path)
		for i := range 20 {
			if err := f.Update(func(tx *bbolt.Tx) error {
				k, _ := injectEntry(i)
				return tx.Bucket(bucket).Put(k, Seal(k, []byte("new")))
			}); err != nil {
				t.Error(err)
			}
		}
		for i := range 20 {
			k, want := injectEntry(i)
			if got := tx.Bucket(bucket).Get(k); string(got) != string(want) {
				t.Errorf("entry %d changed under a reader: %d octets, want %d", i, len(got), len(want))
			}
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	f.Close()
	f = openTest(t, path, Options{})
	if err = f.View(func(tx *bbolt.Tx) error {
		for err := range tx.Check() {
			t.Error(err)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
}
