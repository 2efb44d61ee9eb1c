package style

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

func addrs(list ...string) (out []netip.Addr) {
	for _, a := range list {
		out = append(out, netip.MustParseAddr(a))
	}
	return out
}

// facts parses lines, and files as "path=content".
func facts(t *testing.T, lines ...string) *Facts {
	t.Helper()
	var b bytes.Buffer
	for _, l := range lines {
		if p, text, ok := strings.Cut(l, "="); ok && strings.HasPrefix(l, "/") {
			fmt.Fprintf(&b, "path %s\nfile 600 0 %d %s\n%s\n", p, len(text), p, text)
			continue
		}
		b.WriteString(l + "\n")
	}
	b.WriteString("end\n")
	f, err := Parse(b.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	f.Addresses = map[string]bool{}
	return f
}

// TestDetect: the style of guests that have traces of several.
func TestDetect(t *testing.T) {
	const nm, nm40 = "nm 1.42.4", "nm nmcli tool, version 1.40.16-1.el8"
	for _, tc := range []struct {
		name  string
		lines []string
		want  Style
		fault string
	}{
		{"Debian server", []string{"path /etc/network/interfaces", "tool ifquery", "path /etc/systemd/network"},
			Ifupdown, ""},
		{"Debian desktop", []string{"path /etc/network/interfaces", "tool ifquery", "path /etc/NetworkManager", nm},
			Ifupdown, ""},
		{"Debian cloud image", []string{"path /etc/netplan/50-cloud-init.yaml", "path /etc/network/interfaces",
			"tool ifquery", "path /run/systemd/netif/state"}, Netplan, ""},
		{"Ubuntu desktop", []string{"path /etc/netplan/01-network-manager-all.yaml", "renderer NetworkManager",
			"path /etc/NetworkManager", "nm 1.46.0"}, NetworkManager, ""},
		{"Ubuntu desktop 22.04", []string{"path /etc/netplan/01-network-manager-all.yaml", "renderer NetworkManager",
			"path /etc/NetworkManager", "nm 1.36.6"}, NetworkManager, "1.36"},
		{"our netplan file alone", []string{"path /etc/netplan/90-penstock.yaml", "path /etc/network/interfaces",
			"tool ifquery"}, Ifupdown, ""},
		{"RHEL 7", []string{"path /etc/sysconfig/network-scripts", "path /etc/sysconfig/network-scripts/ifcfg-eth0",
			"path /etc/sysconfig/network-scripts/ifup-aliases", "path /etc/NetworkManager", "nm 1.18.8"}, Ifcfg, ""},
		{"RHEL 8", []string{"path /etc/sysconfig/network-scripts/ifcfg-eth0", "path /etc/NetworkManager", nm40},
			NetworkManager, "1.40"},
		{"RHEL 9", []string{"path /etc/sysconfig/network-scripts", "path /etc/NetworkManager", "nm 1.48.10"},
			NetworkManager, ""},
		{"interfaces without ifupdown", []string{"path /etc/network/interfaces", "path /etc/NetworkManager", nm},
			NetworkManager, ""},
		{"networkd beside NetworkManager that does not run", []string{"path /etc/systemd/network/10-en.network",
			"path /etc/NetworkManager", nm}, Networkd, ""},
		{"networkd beside NetworkManager that runs", []string{"path /etc/systemd/network/10-en.network",
			"path /etc/NetworkManager", nm, "path /run/NetworkManager"}, NetworkManager, ""},
		{"our networkd file alone", []string{"path /etc/systemd/network/05-penstock-lo.network"}, "", "none of"},
		{"networkd that runs", []string{"path /run/systemd/netif/state", "tool systemd-networkd"}, Networkd, ""},
		{"netplan without a file", []string{"path /etc/netplan", "tool netplan"}, Netplan, ""},
		{"an unknown version", []string{"path /etc/NetworkManager", "nm oops"}, NetworkManager,
			"does not tell its version"},
		{"the older of two versions", []string{"path /etc/NetworkManager", nm, nm40}, NetworkManager, "1.40"},
		{"nothing", nil, "", "none of ifupdown"},
	} {
		got, err := Detect(facts(t, tc.lines...))
		if got != tc.want || (err == nil) != (tc.fault == "") ||
			err != nil && !strings.Contains(err.Error(), tc.fault) {
			t.Errorf("%s: got %q, %v, want %q, %q", tc.name, got, err, tc.want, tc.fault)
		}
	}
}

// TestSourced: which file of ours a main file of ifupdown reads.
func TestSourced(t *testing.T) {
	for main, want := range map[string]string{
		"":                                                     "",
		"source /etc/network/interfaces.d/*":                   "penstock",
		"source /etc/network/interfaces.d/*\n":                 "penstock",
		"  source interfaces.d/*":                              "penstock",
		"source /etc/network/interfaces.d/*.cfg":               "penstock.cfg",
		"source /etc/network/interfaces.d/*.conf":              "penstock.conf",
		"source /etc/other/* /etc/network/interfaces.d/[a-z]*": "penstock",
		"source-directory /etc/network/interfaces.d":           "penstock",
		"source-directory interfaces.d/":                       "penstock",
		"source \\\n /etc/network/interfaces.d/*":              "penstock",
		"#source /etc/network/interfaces.d/*":                  "",
		"source /etc/network/interfaces.d/eth0":                "",
		"source /etc/network/interfaces.d/*/*":                 "",
		"source [":                                             "",
	} {
		if want != "" {
			want = interfacesDir + "/" + want
		}
		if got := sourced([]byte(main)); got != want {
			t.Errorf("%q: got %q, want %q", main, got, want)
		}
	}
}

// TestBlock: with random main files, the block goes in and out octet for octet, also after something was appended.
func TestBlock(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	words := []string{"auto lo", "\n", "iface lo inet loopback", "\t", "# x", "\r\n", "address 10.0.0.1", " ", blockEnd,
		"é\xff"}
	for range 2000 {
		var main []byte
		for range r.IntN(8) {
			main = append(main, words[r.IntN(len(words))]...)
		}
		f := facts(t)
		f.files[interfacesPath] = content{mode: "644", owner: "0", text: main}
		for _, list := range [][]netip.Addr{addrs("10.0.0.1"), addrs("10.0.0.1", "fd00::1")} {
			files, err := ifupdownFiles(f, list)
			if err != nil || len(files) != 1 || !files[0].Edit {
				t.Fatalf("%q: got %v, %v, want the main file", main, files, err)
			}
			with := files[0].Content
			if !bytes.HasPrefix(with, main) || !bytes.Contains(with, []byte("address 10.0.0.1/32\n")) {
				t.Fatalf("%q: got %q, want the file and a block", main, with)
			}
			if got := without(with); !bytes.Equal(got, main) {
				t.Fatalf("without the block it is %q, want %q", got, main)
			}
			appended := append(bytes.Clone(with), "auto eth1\n"...)
			want := append(bytes.Clone(main), "auto eth1\n"...)
			if len(main) > 0 && main[len(main)-1] != '\n' {
				want = append(append(bytes.Clone(main), '\n'), "auto eth1\n"...)
			}
			if got := without(appended); !bytes.Equal(got, want) {
				t.Fatalf("after something was appended, without the block it is %q, want %q", got, want)
			}
			f.files[interfacesPath] = content{mode: "644", owner: "0", text: with}
		}
	}
}

// apply does to facts what a plan says.
func (f *Facts) apply(p *Plan) {
	for _, a := range p.Del {
		delete(f.Addresses, Prefix(a).String())
	}
	for _, a := range p.Add {
		f.Addresses[Prefix(a).String()] = true
	}
	for k, v := range p.Sysctls {
		f.sysctls[k] = v
	}
	for _, d := range p.Mkdir {
		f.paths[d] = true
	}
	for _, w := range p.Write {
		c := content{mode: "600", owner: w.Owner, text: w.Content}
		if c.owner == "" {
			c.owner = "0"
		}
		if w.Edit {
			c.mode, c.owner = f.files[w.Path].mode, f.files[w.Path].owner
		}
		f.files[w.Path], f.paths[w.Path] = c, true
	}
	for _, o := range p.Remove {
		delete(f.files, o)
		delete(f.paths, o)
	}
	for _, d := range p.Rmdir {
		used := false
		for o := range f.files {
			used = used || strings.HasPrefix(o, d+"/")
		}
		if !used {
			delete(f.paths, d)
		}
	}
}

func (f *Facts) String() string {
	var out []string
	for p, c := range f.files {
		out = append(out, fmt.Sprintf("file %s %s %s %q", p, c.mode, c.owner, c.text))
	}
	for p := range f.paths {
		out = append(out, "path "+p)
	}
	for a := range f.Addresses {
		out = append(out, "address "+a)
	}
	for k, v := range f.sysctls {
		out = append(out, fmt.Sprint("sysctl ", k, " ", v))
	}
	slices.Sort(out)
	return strings.Join(out, "\n")
}

// TestRandomPlans: whatever is asked of a guest, in whatever order, it has exactly that; asked again, nothing is done;
// with nothing asked it is as before. The box forgets its records now and then.
func TestRandomPlans(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	all := addrs("10.0.0.1", "10.0.0.2", "10.0.0.3", "fd00::1", "fd00::2")
	styles := [][]string{
		{"/etc/network/interfaces=auto lo\nsource interfaces.d/*\n", "tool ifquery", "path /etc/network"},
		{"/etc/network/interfaces=auto lo", "tool ifquery", "path /etc/network"},
		{"/etc/netplan/1.yaml=network:\n", "path /etc/netplan"},
		{"/etc/systemd/network/1.network=[Match]\n", "path /etc/systemd", "path /etc/systemd/network",
			"user systemd-network 998"},
		{"/etc/systemd/network/1.network=[Match]\n", "path /etc/systemd", "path /etc/systemd/network",
			"lo /etc/systemd/network/1.network"},
		{"path /etc/NetworkManager", "nm 1.42.0"},
		{"path /etc/sysconfig", "path /etc/sysconfig/network-scripts",
			"/etc/sysconfig/network-scripts/ifcfg-lo:1=DEVICE=lo:1\n"},
		{},
	}
	for i := range 4000 {
		f := facts(t, styles[i%len(styles)]...)
		for _, k := range sysctlKeys {
			f.sysctls[k] = r.IntN(4)
		}
		if r.IntN(2) == 0 {
			f.paths["/etc/sysctl.d"] = true
		}
		if r.IntN(3) == 0 {
			f.Addresses[Prefix(all[r.IntN(len(all))]).String()] = true
		}
		before, byHand := f.String(), f.Addresses
		f.Addresses = map[string]bool{}
		for a := range byHand {
			f.Addresses[a] = true
		}
		var last State
		for range 1 + r.IntN(6) {
			var want []netip.Addr
			for _, a := range all {
				if r.IntN(2) == 0 {
					want = append(want, a)
				}
			}
			p := Make(f, want, last)
			f.apply(p)
			last = p.State
			for _, a := range all {
				k := Prefix(a).String()
				if f.Addresses[k] != (slices.Contains(want, a) || byHand[k]) {
					t.Fatalf("asked for %v, the guest has %v", want, f.Addresses)
				}
			}
			for _, k := range sysctlKeys {
				if len(want) > 0 && f.sysctls[k] < need(k) {
					t.Fatalf("%s is %d, want at least %d", k, f.sysctls[k], need(k))
				}
			}
			if again := Make(f, want, last); again.Running() || again.Files() {
				t.Fatalf("asked again: got %+v, want nothing to do", again)
			}
			if r.IntN(4) == 0 {
				last = State{}
			}
		}
		f.apply(Make(f, nil, last))
		if got := f.String(); got != before {
			t.Fatalf("undone, the guest is\n%s\nwant\n%s", got, before)
		}
	}
}

// TestKernelForms: how /proc/net/tcp writes an address on a machine of either order of octets.
func TestKernelForms(t *testing.T) {
	for a, want := range map[string]string{
		"10.10.1.100":  "64010A0A",
		"fd00:10::100": "100000FD000000000000000000010000",
	} {
		if got := kernelForms(netip.MustParseAddr(a)); !slices.Contains(got, want) {
			t.Errorf("%s: got %q, want %q among them", a, got, want)
		}
	}
	got := kernelForms(netip.MustParseAddr("10.10.1.100"))
	if !slices.Contains(got, "0000000000000000FFFF000064010A0A") {
		t.Errorf("got %q, want the IPv4-mapped form among them", got)
	}
}

// FuzzParse: whatever a guest says of itself, a plan is made of it that touches only files of ours, below /etc.
func FuzzParse(f *testing.F) {
	f.Add([]byte("tool ip\npath /etc/netplan/1.yaml\nsysctl all.arp_ignore 0\nend\n"))
	f.Add([]byte("file 600 0 5 /etc/network/interfaces\nauto \nlink /etc/network/interfaces /etc/x\nend\n"))
	f.Add([]byte(header + "end\n"))
	f.Add([]byte("file 600 0 99999999999999999999 /x\nend\n"))
	f.Add(fmt.Appendf(nil, "file 600 0 %d %s\n%s%s{\"made\":[\"/\",\"/etc/../home\",\"/etc/a\"]}\n\nend\n",
		len(header)+len(stateLine)+42, sysctlPath, header, stateLine))
	f.Fuzz(func(t *testing.T, out []byte) {
		facts, err := Parse(out)
		if err != nil {
			return
		}
		facts.Addresses = map[string]bool{"10.0.0.9/32": true}
		for _, want := range [][]netip.Addr{addrs("10.0.0.1", "fd00::1"), nil} {
			p := Make(facts, want, State{Addresses: addrs("10.0.0.9")})
			for _, w := range p.Write {
				if !w.Edit && !strings.HasPrefix(w.Path, "/etc/") {
					t.Errorf("writes %q, want a file below /etc", w.Path)
				}
			}
			for _, d := range append(slices.Clone(p.Rmdir), p.Mkdir...) {
				if !strings.HasPrefix(d, "/etc/") || strings.Contains(d, "/../") {
					t.Errorf("makes or removes %q, want directories below /etc", d)
				}
			}
			for _, o := range p.Remove {
				if !facts.files[o].ours() && !strings.Contains(o, "/"+tempPrefix) {
					t.Errorf("removes %q, want files of ours", o)
				}
			}
			p.RunningStep()
			p.PrepareStep()
			p.CommitStep()
		}
	})
}
