package vm

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

func TestReleaseOf(t *testing.T) {
	for _, tc := range []struct{ depends, want string }{
		{`linux-image-cloud-amd64
  Depends: linux-base-cloud-amd64
  Depends: linux-image-7.3.4+deb13-cloud-amd64
  Depends: linux-modules-cloud-amd64
`, "7.3.4+deb13-cloud-amd64"},
		{"linux-image-cloud-amd64\n  Depends: linux-image-6.12.95+deb12-cloud-amd64\n", "6.12.95+deb12-cloud-amd64"},
		{"linux-image-cloud-amd64\n  Suggests: linux-image-6.1\n", ""},
		{"", ""},
	} {
		got, err := releaseOf(tc.depends)
		if got != tc.want || (err == nil) != (tc.want != "") {
			t.Errorf("%q: %q, %v, want %q", tc.depends, got, err, tc.want)
		}
	}
}

func TestFindKernel(t *testing.T) {
	const release = "7.3.4+deb13-cloud-amd64"
	for _, tc := range []struct {
		name, modules, image string
		ok                   bool
	}{
		{"image in /boot", "lib/modules/" + release, "boot/vmlinuz-" + release, true},
		{"image beside the modules", "usr/lib/modules/" + release, "usr/lib/modules/" + release + "/vmlinuz", true},
		{"image of another kernel", "usr/lib/modules/" + release, "boot/vmlinuz-6.1", false},
		{"nothing", "etc", "etc/nothing", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			root := t.TempDir()
			for _, d := range []string{tc.modules, filepath.Dir(tc.image)} {
				must(t, os.MkdirAll(filepath.Join(root, d), 0o755))
			}
			must(t, os.WriteFile(filepath.Join(root, tc.image), nil, 0o644))
			k, err := findKernel(root)
			if !tc.ok {
				if err == nil {
					t.Errorf("found %+v, want an error", k)
				}
				return
			}
			must(t, err)
			if want := (Kernel{release, filepath.Join(root, tc.image), filepath.Join(root, tc.modules)}); *k != want {
				t.Errorf("found %+v, want %+v", *k, want)
			}
		})
	}
}

// TestArchive reads an archive back by the format's description: thirteen numbers, the name, the data, each part
// padded to four octets.
func TestArchive(t *testing.T) {
	var a archive
	a.file("bin/deep/one", []byte("12345"))
	a.file("bin/two", nil)
	a.link("sh", "bin/two")
	data := a.bytes()
	var got []string
	for at := 0; at < len(data); {
		if !bytes.HasPrefix(data[at:], []byte("070701")) {
			t.Fatalf("no header at %d of %d: %q", at, len(data), data[at:min(len(data), at+20)])
		}
		field := func(i int) (v int) {
			if _, err := fmt.Sscanf(string(data[at+6+8*i:at+14+8*i]), "%x", &v); err != nil {
				t.Fatal(err)
			}
			return v
		}
		name := at + 6 + 13*8
		body := (name + field(11) + 3) &^ 3
		got = append(got, fmt.Sprintf("%o %s %q", field(1), data[name:name+field(11)-1], data[body:body+field(6)]))
		at = (body + field(6) + 3) &^ 3
	}
	want := []string{`40755 bin ""`, `40755 bin/deep ""`, `100755 bin/deep/one "12345"`, `100755 bin/two ""`,
		`120777 sh "bin/two"`, `0 TRAILER!!! ""`}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%q, want %q", got, want)
	}
}
