// Package systemd_test compares the unit with the box's needs and with the files that make install installs.
package systemd_test

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// unit returns the settings of the unit in file, "Service.ExecStart" → values in order.
func unit(t *testing.T, file string) map[string][]string {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	out := map[string][]string{}
	section := ""
	for s := bufio.NewScanner(f); s.Scan(); {
		line := strings.TrimSpace(s.Text())
		switch {
		case line == "" || line[0] == '#':
		case line[0] == '[':
			section = strings.Trim(line, "[]")
		default:
			k, v, ok := strings.Cut(line, "=")
			if !ok {
				t.Errorf("%s: %q is not an assignment", file, line)
			}
			out[section+"."+k] = append(out[section+"."+k], v)
		}
	}
	return out
}

func TestUnit(t *testing.T) {
	u := unit(t, "penstock.service")
	for k, want := range map[string]string{
		"Service.Type": "notify", "Service.NotifyAccess": "main", "Service.WatchdogSec": "10",
		"Service.Restart": "always", "Service.RestartSec": "100ms",
		"Service.LimitMEMLOCK": "infinity", "Service.User": "penstock", "Service.StateDirectory": "penstock",
		"Service.RuntimeDirectory":      "penstock",
		"Service.CapabilityBoundingSet": "CAP_NET_ADMIN CAP_NET_RAW CAP_BPF CAP_IPC_LOCK CAP_SYS_NICE",
		"Service.AmbientCapabilities":   "CAP_NET_ADMIN CAP_NET_RAW CAP_BPF CAP_IPC_LOCK CAP_SYS_NICE",
	} {
		if !slices.Equal(u[k], []string{want}) {
			t.Errorf("%s = %q, want %q", k, u[k], want)
		}
	}
	if account, err := os.ReadFile("penstock.sysusers"); err != nil ||
		!strings.Contains(string(account), "\nu "+u["Service.User"][0]+" ") {
		t.Errorf("penstock.sysusers does not make the unit's user: %v", err)
	}
}

// TestInstall runs make install into a directory and compares the files there with the unit.
func TestInstall(t *testing.T) {
	if _, err := exec.LookPath("make"); err != nil {
		t.Skip("make is not installed")
	}
	root := t.TempDir()
	install := func() {
		t.Helper()
		// Any program will do for the binary: -o takes the target build for done.
		cmd := exec.Command("make", "-C", "..", "--no-print-directory", "-o", "build", "install", "BIN=/bin/true",
			"DESTDIR="+root, "PREFIX=/opt/penstock", "WIRESHARKDIR=/usr/lib/wireshark")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("make install: %v\n%s", err, out)
		}
	}
	install()
	installed := filepath.Join(root, "opt/penstock/lib/systemd/system/penstock.service")
	u := unit(t, installed)
	for _, k := range []string{"Service.ExecStartPre", "Service.ExecStart", "Service.ExecReload"} {
		if len(u[k]) != 1 {
			t.Errorf("%s: got %q, want one value", k, u[k])
			continue
		}
		for i, word := range strings.Fields(u[k][0]) {
			if !strings.HasPrefix(word, "/") {
				continue
			}
			info, err := os.Stat(filepath.Join(root, word))
			if err != nil || i == 0 && info.Mode()&0o111 == 0 {
				t.Errorf("%s: %s is not installed by make install: %v", k, word, err)
			}
		}
	}
	doc, ok := strings.CutPrefix(u["Unit.Documentation"][0], "file:")
	if _, err := os.Stat(filepath.Join(root, doc)); !ok || err != nil {
		t.Errorf("Documentation: %v", err)
	}
	for _, name := range []string{"opt/penstock/lib/sysusers.d/penstock.conf",
		"opt/penstock/lib/sysctl.d/60-penstock.conf", "usr/lib/wireshark/penstock.lua"} {
		if _, err := os.Stat(filepath.Join(root, name)); err != nil {
			t.Error(err)
		}
	}

	// A second installation keeps the operator's configuration.
	config := filepath.Join(root, "etc/penstock/penstock.toml")
	if err := os.WriteFile(config, []byte("# mine\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	install()
	if text, err := os.ReadFile(config); err != nil || string(text) != "# mine\n" {
		t.Errorf("make install replaced the configuration: %q, %v", text, err)
	}
}

// TestVerify checks the unit with systemd-analyze, with an existing command in place of the box.
func TestVerify(t *testing.T) {
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("systemd-analyze is not installed")
	}
	text, err := os.ReadFile("penstock.service")
	if err != nil {
		t.Fatal(err)
	}
	verify := func(text string) string {
		file := filepath.Join(t.TempDir(), "penstock.service")
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command(analyze, "verify", "--man=no", file).CombinedOutput()
		var mine []string // systemd also talks about units of the machine
		for line := range strings.Lines(string(out)) {
			if strings.Contains(line, "penstock") {
				mine = append(mine, line)
			}
		}
		if err != nil && mine == nil {
			t.Skipf("systemd-analyze does not work here: %v: %s", err, out)
		}
		return strings.Join(mine, "")
	}
	good := strings.ReplaceAll(string(text), "/usr/local/bin/penstock", "/bin/true")
	if out := verify(good); out != "" {
		t.Errorf("systemd-analyze verify: %s", out)
	}
	if out := verify(strings.Replace(good, "CAP_BPF", "CAP_NONSENSE", 1) + "Nonsense=yes\n"); out == "" {
		t.Error("systemd-analyze verify accepts a wrong unit: this test proves nothing")
	}
}
