package machine

import (
	"os"
	"runtime"
	"strings"
	"testing"
)

func TestThis(t *testing.T) {
	m, err := This()
	if err != nil {
		t.Fatal(err)
	}
	release, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		t.Fatal(err)
	}
	if m.Kernel != strings.TrimSpace(string(release)) || m.Cores != runtime.NumCPU() || m.CPU == "" {
		t.Errorf("machine %+v, want kernel %s, %d cores and a CPU", m, release, runtime.NumCPU())
	}
}

func TestModel(t *testing.T) {
	for text, want := range map[string]string{
		"processor\t: 0\nmodel name\t: Example CPU @ 3: GHz\nmodel name\t: other\n": "Example CPU @ 3: GHz",
		"processor\t: 0\nCPU implementer\t: 0x41\n":                                 "unknown",
		"": "unknown",
	} {
		if got := model(text, "unknown"); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}
