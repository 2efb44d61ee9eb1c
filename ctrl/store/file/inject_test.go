package file

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"go.etcd.io/bbolt"
)

const injectEnv = "PENSTOCK_TEST_INJECT_FILE"

// TestMain makes the test binary the process whose system calls fail.
func TestMain(m *testing.M) {
	if path := os.Getenv(injectEnv); path != "" {
		runtime.LockOSThread() // strace counts by thread
		injectWriter(path)
		os.Exit(0)
	}
	os.Exit(m.Run())
}

var bucket = []byte("b")

func makeBucket(_ *File, tx *bbolt.Tx) error {
	if tx.Bucket(bucket) != nil || !tx.Writable() {
		return nil
	}
	_, err := tx.CreateBucket(bucket)
	return err
}

// entry is large enough for a page of its own, so that commits free and reuse pages.
func injectEntry(i int) (key, value []byte) {
	key = binary.BigEndian.AppendUint32(nil, uint32(i))
	return key, Seal(key, bytes.Repeat([]byte{byte(i)}, 3000))
}

// injectWriter starts with a new file in a new directory, writes, and prints how each step ended.
func injectWriter(path string) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		fmt.Println("failed", -1)
		return
	}
	f, err := Open(path, Options{What: "the file"}, makeBucket)
	if err != nil {
		f, err = Open(path, Options{What: "the file"}, makeBucket) // the next start
	}
	if err != nil {
		fmt.Println("failed", -1)
		return
	}
	for i := range 8 {
		err := f.Update(func(tx *bbolt.Tx) error {
			k, v := injectEntry(i)
			if i >= 4 { // the pages of an older one become free
				old, _ := injectEntry(i - 4)
				_ = tx.Bucket(bucket).Delete(old)
			}
			return tx.Bucket(bucket).Put(k, v)
		})
		var ue *UnknownError
		switch {
		case err == nil:
			fmt.Println("done", i)
		case errors.As(err, &ue) && !ue.Earlier:
			fmt.Println("unknown", i)
		default:
			fmt.Println("refused", i)
		}
		var there []string
		if err := f.View(func(tx *bbolt.Tx) error {
			return tx.Bucket(bucket).ForEach(func(k, _ []byte) error {
				there = append(there, strconv.Itoa(int(binary.BigEndian.Uint32(k))))
				return nil
			})
		}); err == nil {
			fmt.Println("holds", strings.Join(there, ","))
		}
	}
	f.Close()
}

// TestInject makes every system call by which the file is made and written fail in turn, once and for ever, and ends
// the process before it. A completed step is in the file after the next start, a refused step is not, and the readers
// of the first process see the same.
func TestInject(t *testing.T) {
	strace, err := exec.LookPath("strace")
	if err != nil {
		if os.Getenv("PENSTOCK_REQUIRE_ROOT") != "" {
			t.Fatal("strace is needed: make deps")
		}
		t.Skip("strace is needed")
	}
	runs, words := 0, map[string]int{}
	for _, call := range []string{"pwrite64", "fdatasync", "fsync", "ftruncate", "renameat2"} {
		for _, how := range []string{"error=EIO:when=%d", "error=EIO:when=%d+", "signal=KILL:when=%d"} {
			for n := 1; ; n++ {
				fault := fmt.Sprintf(call+":"+how, n)
				out := injectOnce(t, strace, call, fault, words)
				runs++
				if out == "done 8" { // the fault did not occur
					break
				}
				if n > 60 {
					t.Fatalf("%s: the writer did not end: %s", fault, out)
				}
			}
		}
	}
	t.Logf("%d runs: %v", runs, words)
	for _, w := range []string{"done", "refused", "unknown"} {
		if words[w] == 0 {
			t.Errorf("no step ended as %s", w)
		}
	}
}

// injectOnce is one run, and the next start. It returns "done 8" if nothing failed.
func injectOnce(t *testing.T, strace, call, fault string, words map[string]int) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "new", "state", "db")
	cmd := exec.Command(strace, "-f", "-qq", "-o", "/dev/null", "-e", "trace="+call, "-e", "inject="+fault, os.Args[0])
	// The race detector would wait a second at every end.
	cmd.Env = append(os.Environ(), injectEnv+"="+path, "GORACE=atexit_sleep_ms=0")
	text, _ := cmd.Output() // killed, in some runs
	may := map[int]string{} // outcome by step
	last, done := -1, 0
	for line := range strings.Lines(string(text)) {
		word, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		if word == "holds" {
			if want := held(may, last); rest != want {
				t.Errorf("%s: behind step %d it holds %q, want %q", fault, last, rest, want)
			}
			continue
		}
		last, _ = strconv.Atoi(rest)
		may[last] = word
		words[word]++
		if word == "done" {
			done++
		}
	}
	f, err := Open(path, Options{What: "the file", NoSync: true}, makeBucket)
	if errors.Is(err, os.ErrNotExist) && len(may) == 0 {
		return "" // not even the directory was made
	}
	if err != nil {
		t.Errorf("%s: the next start: error %v, want none", fault, err)
		return ""
	}
	defer f.Close()
	err = f.View(func(tx *bbolt.Tx) error {
		for err := range tx.Check() {
			t.Errorf("%s: check of the file: %v, want no fault", fault, err)
		}
		for i := range 4 {
			k, v := injectEntry(i + 4)
			if got := tx.Bucket(bucket).Get(k); got != nil && !bytes.Equal(got, v) {
				t.Errorf("%s: step %d has a wrong value", fault, i+4)
			} else if (got != nil) != (may[i+4] == "done") && (may[i+4] == "done" || may[i+4] == "refused") {
				t.Errorf("%s: step %d ended as %s; in the file: %v", fault, i+4, may[i+4], got != nil)
			}
		}
		return nil
	})
	if err != nil {
		t.Errorf("%s: read the file: error %v, want none", fault, err)
	}
	return fmt.Sprint("done ", done)
}

// held returns the entries that readers see after a step: those of completed steps, without those that later steps
// deleted.
func held(may map[int]string, last int) string {
	var keys []string
	for i := range last + 1 {
		if may[i] == "done" && may[i+4] != "done" {
			keys = append(keys, strconv.Itoa(i))
		}
	}
	return strings.Join(keys, ",")
}
