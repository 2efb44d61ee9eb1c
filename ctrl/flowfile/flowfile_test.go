package flowfile

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"penstock/dataplane/flow"
)

var when = time.Unix(1_800_000_000, 5)

func some(n int) []Flow {
	rng := rand.New(rand.NewPCG(1, uint64(n)))
	list := make([]Flow, n)
	for i := range list {
		list[i] = Flow{
			Server: fmt.Sprintf("red/http/web%d", rng.IntN(9)), Client: netip.AddrFrom4([4]byte{10, 1, 2, byte(i)}),
			ClientPort: uint16(i), Port: 80, Proto: 6, State: flow.Established, OffTable: i%7 == 0,
			Age: time.Duration(rng.IntN(1000)) * time.Millisecond,
		}
		if i%3 == 0 {
			list[i].Client = netip.MustParseAddr("fd00::1")
		}
		if i%5 == 0 {
			list[i].Proto, list[i].State = 17, flow.UDP
		}
	}
	return list
}

func save(t testing.TB, path string, list []Flow) {
	t.Helper()
	n, err := Save(path, when, func(yield func(*Flow) bool) {
		for i := range list {
			if !yield(&list[i]) {
				return
			}
		}
	})
	if err != nil || n != len(list) {
		t.Fatalf("saved %d flows, %v; want %d", n, err, len(list))
	}
}

func load(path string, now time.Time) (list []Flow, err error) {
	err = Load(path, now, func(f *Flow) { list = append(list, *f) })
	return list, err
}

// TestSaveLoad: what was saved is loaded, older by the time that has passed, without what is too old.
func TestSaveLoad(t *testing.T) {
	path := filepath.Join(t.TempDir(), "flows")
	for _, n := range []int{0, 1, 1000} {
		want := some(n)
		save(t, path, want)
		got, err := load(path, when)
		if err != nil || !slices.Equal(got, want) {
			t.Fatalf("loaded %d flows, %v; want the %d saved ones", len(got), err, n)
		}
	}
	got, err := load(path, when.Add(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	want := some(1000)
	want = slices.DeleteFunc(want, func(f Flow) bool { return f.State == flow.UDP })
	for i := range want {
		want[i].Age += time.Minute
	}
	if !slices.Equal(got, want) {
		t.Errorf("a minute later: %d flows, want the %d of TCP, a minute older", len(got), len(want))
	}
	got, err = load(path, when.Add(-time.Hour))
	if err != nil || !slices.Equal(got, some(1000)) {
		t.Errorf("with the clock set back: %d flows, %v; want all as they were", len(got), err)
	}
	if st, err := os.Stat(path); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("the file's mode: %v, %v; want 0600", st.Mode(), err)
	}
	if list, err := os.ReadDir(filepath.Dir(path)); err != nil || len(list) != 1 {
		t.Errorf("%d files are left, %v; want one", len(list), err)
	}
}

// TestDamaged: no file that lacks something, or has anything else in it, tells of a flow.
func TestDamaged(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "flows")
	if list, err := load(path, when); err != nil || list != nil {
		t.Errorf("without a file: %d flows, %v; want none and no error", len(list), err)
	}
	save(t, path, some(20))
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	bad := func(name string, b []byte) {
		t.Helper()
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		if list, err := load(path, when); err == nil || list != nil {
			t.Errorf("%s: %d flows, error %v; want none and an error", name, len(list), err)
		}
	}
	for n := range good {
		bad(fmt.Sprintf("the first %d octets", n), good[:n])
		x := bytes.Clone(good)
		x[n] ^= 0x10
		bad(fmt.Sprintf("octet %d changed", n), x)
	}
	bad("more at the end", append(bytes.Clone(good), 0))
	if err := Load(dir, when, func(*Flow) {}); !errors.Is(err, ErrDamaged) {
		t.Errorf("a directory: %v, want %v", err, ErrDamaged)
	}
	if _, err := Save(filepath.Join(dir, "none", "flows"), when, func(func(*Flow) bool) {}); err == nil {
		t.Error("saved into a directory that does not exist, want an error")
	}
}

// FuzzParse: a file with a right checksum is read to its end or refused. The checksum of every input is made right.
func FuzzParse(f *testing.F) {
	path := filepath.Join(f.TempDir(), "flows")
	save(f, path, some(5))
	good, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good[:len(good)-4])
	f.Fuzz(func(t *testing.T, b []byte) {
		sum := crc32.Checksum(b, table)
		b = append(bytes.Clone(b), byte(sum>>24), byte(sum>>16), byte(sum>>8), byte(sum))
		n := 0
		if err := parse(b, when, func(*Flow) { n++ }); err != nil && n > 0 {
			t.Fatalf("%d flows of a file with the error %v, want none", n, err)
		}
	})
}
