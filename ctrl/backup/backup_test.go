package backup

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"penstock/ctrl/model"
	"penstock/ctrl/store"
)

// made is an archive with tables of some bindings, of the box box1.
func made(t *testing.T) []byte {
	t.Helper()
	dir := t.TempDir()
	s, err := store.Open(filepath.Join(dir, Tables), store.Options{NoSync: true})
	must(t, err)
	_, err = s.Commit(&store.Batch{Puts: []model.Object{model.Tenant{Name: "red", ID: 1}}}, nil)
	must(t, err)
	revision, err := s.Revision()
	must(t, err)
	must(t, s.Close())
	must(t, os.WriteFile(filepath.Join(dir, "gateways.json"), []byte(`{"out":"isp2"}`), 0o600))
	must(t, os.WriteFile(filepath.Join(dir, Config), []byte("[box]\n"), 0o600))
	var out bytes.Buffer
	m := Manifest{Version: "test", Box: "box1", Revision: revision, Made: time.Unix(1_800_000_000, 5)}
	must(t, Pack(&out, m, dir, []string{Tables, "gateways.json", Config}))
	return out.Bytes()
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func unpacked(t *testing.T, archive []byte) error {
	t.Helper()
	_, err := Unpack(bytes.NewReader(archive), t.TempDir())
	return err
}

// TestArchive: an archive has the modes and names of its files, and the same files make the same archive.
func TestArchive(t *testing.T) {
	t.Parallel()
	a := made(t)
	must(t, unpacked(t, a))
	r := tar.NewReader(bytes.NewReader(a))
	for _, want := range []string{manifestName, Tables, "gateways.json", Config} {
		h, err := r.Next()
		if err != nil || h.Name != want || h.Mode != 0o600 || !h.ModTime.Equal(time.Unix(1_800_000_000, 0)) {
			t.Errorf("got %+v, %v; want %s, mode 0600, made at 1800000000", h, err, want)
		}
	}
}

// TestDamage: an archive that was cut short, or has one other octet, is refused, wherever that is.
func TestDamage(t *testing.T) {
	t.Parallel()
	a := made(t)
	for n := 0; n < len(a); n += 1 + len(a)/50 {
		if err := unpacked(t, a[:n]); err == nil {
			t.Errorf("cut at octet %d of %d: taken, want an error", n, len(a))
		}
	}
	if err := unpacked(t, a[:len(a)-1]); err == nil {
		t.Error("without its last octet: taken, want an error")
	}
	if err := unpacked(t, append(bytes.Clone(a), 0)); err == nil {
		t.Error("with an octet behind its end: taken, want an error")
	}
	for n := 0; n < len(a); n += 1 + len(a)/40 {
		b := bytes.Clone(a)
		b[n] ^= 0x04
		if err := unpacked(t, b); err == nil {
			t.Errorf("octet %d of %d changed: taken, want an error", n, len(a))
		}
	}
	i := bytes.Index(a, []byte(`{"out":"isp2"}`))
	b := bytes.Clone(a)
	b[i+8] = 'x'
	if err := unpacked(t, b); err == nil || !strings.Contains(err.Error(), "gateways.json is damaged") {
		t.Errorf("an octet of gateways.json changed: %v, want its name", err)
	}
}

// rewritten is an archive whose manifest and files were changed by somebody who knows tar.
func rewritten(t *testing.T, a []byte, manifest func(string) string, without string) []byte {
	t.Helper()
	in := tar.NewReader(bytes.NewReader(a))
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for {
		h, err := in.Next()
		if err == io.EOF {
			break
		}
		must(t, err)
		text, err := io.ReadAll(in)
		must(t, err)
		if h.Name == manifestName && manifest != nil {
			text = []byte(manifest(string(text)))
		}
		if h.Name == without {
			continue
		}
		must(t, w.WriteHeader(header(h.Name, int64(len(text)), h.ModTime)))
		_, err = w.Write(text)
		must(t, err)
	}
	must(t, w.Close())
	return out.Bytes()
}

func replace(from, to string) func(string) string {
	return func(s string) string { return strings.Replace(s, from, to, 1) }
}

// TestManifest: what the manifest says is checked before it is used.
func TestManifest(t *testing.T) {
	t.Parallel()
	a := made(t)
	for what, tc := range map[string]struct {
		change  func(string) string
		without string
		want    string
	}{
		"unchanged":      {nil, "", ""},
		"newer":          {replace(`"format": 1`, `"format": 2`), "", "the archive has the format 2"},
		"newer tables":   {replace(`"penstock.db": 2`, `"penstock.db": 3`), "", "penstock.db has the format 3"},
		"unknown layout": {replace(`"alarms.db": 1`, `"vports.db": 1`), "", "vports.db has the format 1"},
		"no format":      {replace(`"format": 1`, `"format": 0`), "", "names no format"},
		"no JSON":        {replace(`{`, `[`), "", "manifest.json cannot be read"},
		"other revision": {replace(`"revision": 1`, `"revision": 7`), "", "its revision is 1, want 7"},
		"path":           {replace(`"name": "gateways.json"`, `"name": "../../etc/x"`), "", `"../../etc/x"`},
		"hidden":         {replace(`"name": "gateways.json"`, `"name": ".x"`), "", `".x"`},
		"twice":          {replace(`"name": "gateways.json"`, `"name": "penstock.db"`), "", `"penstock.db"`},
		"no tables":      {replace(`"name": "penstock.db"`, `"name": "x.db"`), "", "does not name penstock.db"},
		"missing":        {nil, "gateways.json", "gateways.json with 14 octets is missing"},
		"last missing":   {nil, Config, "penstock.toml is missing"},
		"manifest gone":  {nil, manifestName, "it begins with \"penstock.db\""},
		"unnamed":        {replace("penstock.toml", "penstock.tomx"), "", "penstock.tomx with 6 octets is missing"},
		"other SHA-256":  {replace(`"sha256": "`, `"sha256": "00`), "", "in a way that no archive has"},
		"negative size":  {replace(`"size": 14`, `"size": -14`), "", "in a way that no archive has"},
	} {
		err := unpacked(t, rewritten(t, a, tc.change, tc.without))
		if got := fmt.Sprint(err); tc.want == "" && err != nil || !strings.Contains(got, tc.want) {
			t.Errorf("%s: %v, want %q", what, err, tc.want)
		}
		if _, newer := errors.AsType[*NewerError](err); newer != strings.Contains(tc.want, "has the format") {
			t.Errorf("%s: %T, want a NewerError for newer formats alone", what, err)
		}
	}
}

// state is a state directory of the box box1, and what is in it.
func state(t *testing.T) (dir string, content func() string) {
	t.Helper()
	dir = t.TempDir()
	s, err := store.Open(filepath.Join(dir, Tables), store.Options{NoSync: true})
	must(t, err)
	must(t, s.Close())
	must(t, os.WriteFile(filepath.Join(dir, "gateways.json"), []byte("old"), 0o640))
	must(t, os.WriteFile(filepath.Join(dir, "flows"), []byte("old flows"), 0o640))
	return dir, func() string {
		entries, err := os.ReadDir(dir)
		must(t, err)
		var b strings.Builder
		for _, e := range entries {
			text, _ := os.ReadFile(filepath.Join(dir, e.Name()))
			fmt.Fprintf(&b, "%s %d %x\n", e.Name(), len(text), text[:min(len(text), 4)])
		}
		return b.String()
	}
}

func TestRestore(t *testing.T) {
	t.Parallel()
	a := made(t)
	dir, content := state(t)
	before := content()
	refused := func(what string, archive []byte, target Target, want string) {
		t.Helper()
		done, err := Restore(bytes.NewReader(archive), target)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %+v, %v; want the error %q", what, done, err, want)
		}
		if got := content(); got != before {
			t.Errorf("%s: the state is\n%s\nwant what it was:\n%s", what, got, before)
		}
	}
	refused("another box", a, Target{State: dir, Box: "box2"}, `of the box "box1", and this one is "box2"`)
	refused("cut short", a[:len(a)-600], Target{State: dir, Box: "box1"}, "")
	refused("newer", rewritten(t, a, replace(`"format": 1`, `"format": 2`), ""), Target{State: dir, Box: "box1"},
		"use the version that made it")
	s, err := store.Open(filepath.Join(dir, Tables), store.Options{})
	must(t, err)
	refused("the box runs", a, Target{State: dir, Box: "box1"}, "another process uses it")
	must(t, s.Close())

	done, err := Restore(bytes.NewReader(a), Target{State: dir, Box: "box2", Force: true})
	must(t, err)
	if string(done.Config) != "[box]\n" || done.Manifest.Box != "box1" {
		t.Errorf("restored %+v, want box1 and its configuration", done)
	}
	if rev, err := store.Examine(filepath.Join(dir, Tables)); err != nil || rev != done.Manifest.Revision || rev == 0 {
		t.Errorf("the tables have revision %d, %v; want %d", rev, err, done.Manifest.Revision)
	}
	if text, _ := os.ReadFile(filepath.Join(dir, "gateways.json")); string(text) != `{"out":"isp2"}` {
		t.Errorf("gateways.json is %q, want the archive's", text)
	}
	for _, name := range []string{"flows", Config} {
		if _, err := os.Stat(filepath.Join(dir, name)); !os.IsNotExist(err) {
			t.Errorf("%s is in the state directory, want it not there: %v", name, err)
		}
	}
	if text, _ := os.ReadFile(filepath.Join(done.Kept, "flows")); string(text) != "old flows" {
		t.Errorf("what was there before has the flows %q, want them kept", text)
	}
}

// TestRestoreFails: after an error in the middle of the change what was there is there again.
func TestRestoreFails(t *testing.T) {
	t.Parallel()
	a := made(t)
	dir, content := state(t)
	must(t, os.Remove(filepath.Join(dir, "gateways.json")))
	must(t, os.MkdirAll(filepath.Join(dir, "gateways.json", "x"), 0o700)) // no file can be renamed to it
	before := content()
	if done, err := Restore(bytes.NewReader(a), Target{State: dir, Box: "box1"}); err == nil {
		t.Errorf("a file over a directory: %+v, want an error", done)
	}
	if got := content(); got != before {
		t.Errorf("the state is\n%s\nwant what it was:\n%s", got, before)
	}
}

// TestRestoreCannotKeep: when what is there cannot be kept, it stays.
func TestRestoreCannotKeep(t *testing.T) {
	a := made(t)
	dir, content := state(t)
	before := content()
	defer func() { link = os.Link }()
	for most := range 3 { // of the three files
		n := 0
		link = func(from, to string) error {
			if n++; n > most {
				return syscall.ENOSPC
			}
			return os.Link(from, to)
		}
		done, err := Restore(bytes.NewReader(a), Target{State: dir, Box: "box1"})
		if !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("%d links: %+v, %v; want ENOSPC", most, done, err)
		}
		if got := content(); got != before {
			t.Fatalf("%d links: the state is\n%s\nwant what it was:\n%s", most, got, before)
		}
	}
}

// TestRestoreNew: an empty directory gets the state, and so does one whose tables are damaged.
func TestRestoreNew(t *testing.T) {
	t.Parallel()
	a := made(t)
	empty := filepath.Join(t.TempDir(), "new")
	damaged, _ := state(t)
	must(t, os.Truncate(filepath.Join(damaged, Tables), 5000))
	for _, dir := range []string{empty, damaged} {
		_, err := Restore(bytes.NewReader(a), Target{State: dir, Box: "box1"})
		must(t, err)
		if rev, err := store.Examine(filepath.Join(dir, Tables)); err != nil || rev == 0 {
			t.Errorf("%s: the tables have revision %d, %v; want the archive's", dir, rev, err)
		}
	}
}

func FuzzUnpack(f *testing.F) {
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, archive []byte) { _ = unpacked(t, archive) })
}
