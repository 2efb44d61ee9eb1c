package conf

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// machine is a SystemProbe with given answers.
type machine struct {
	interfaces map[string]Interface
	kernel     string
	cpus       []int
	privileges Privileges
	huge       int
	accounts   []string
	unreadable map[string]bool
	running    bool
	err        error // of everything but interfaces
}

func (m *machine) Interface(name string) (Interface, error) {
	if i, ok := m.interfaces[name]; ok {
		return i, nil
	}
	if name == "broken" {
		return Interface{}, errors.New("netlink is out of order")
	}
	return Interface{}, fmt.Errorf("%s: %w", name, ErrNoInterface)
}
func (m *machine) Kernel() (string, error)         { return m.kernel, m.err }
func (m *machine) CPUs() ([]int, error)            { return m.cpus, m.err }
func (m *machine) Privileges() (Privileges, error) { return m.privileges, m.err }
func (m *machine) HugePages() (int, error)         { return m.huge, m.err }
func (m *machine) Account(name string, group bool) bool {
	return slices.Contains(m.accounts, name) && group == strings.HasPrefix(name, "g")
}
func (m *machine) Readable(path string) error {
	if m.unreadable[path] {
		return errors.New("permission denied")
	}
	return nil
}

func (m *machine) Running(string) bool { return m.running }

// good is a machine on which minimal and edgeSwitch run without complaint.
func good() *machine {
	return &machine{
		interfaces: map[string]Interface{
			"eth1": {Index: 1, Name: "eth1", MTU: 1500, RxQueues: 1, TxQueues: 1},
			"eth2": {Index: 2, Name: "eth2", MTU: 1534, RxQueues: 1, TxQueues: 1},
		},
		kernel: "6.12.9-amd64", cpus: []int{0, 1, 2, 3}, privileges: Privileges{NetAdmin: true, NetRaw: true, BPF: true,
			IPCLock: true, SysNice: true},
		accounts: []string{"alice", "guests"},
	}
}

func TestCheck(t *testing.T) {
	iface := func(name string, change func(*Interface)) func(*machine) {
		return func(m *machine) {
			i := m.interfaces[name]
			change(&i)
			m.interfaces[name] = i
		}
	}
	for _, tc := range []struct {
		name     string
		text     string // default minimal
		machine  func(*machine)
		errs     []string
		warnings []string
	}{
		{name: "good"},
		{name: "good edge", text: edgeSwitch},
		{name: "no interface", machine: func(m *machine) { delete(m.interfaces, "eth1") },
			errs: []string{`p.toml:3: port[0].interface: there is no interface "eth1": see ` + "`ip link`"}},
		{name: "unreadable interface", text: strings.Replace(minimal, "eth1", "broken", 1),
			errs: []string{"p.toml:3: port[0].interface: the properties of broken cannot be read: netlink is out of " +
				"order"}},
		{name: "loopback", machine: iface("eth1", func(i *Interface) { i.Loopback = true }),
			errs: []string{"p.toml:3: port[0].interface: eth1 is a loopback interface"}},
		{name: "one interface, two names", machine: iface("eth2", func(i *Interface) { i.Index, i.Name = 1, "eth1" }),
			errs: []string{"p.toml:7: port[1].interface: eth2 is the interface of port acc0 already (both names mean " +
				"eth1)"}},
		{name: "XDP program", machine: iface("eth2", func(i *Interface) { i.XDPProgram = 12 }),
			errs: []string{"p.toml:7: port[1].interface: eth2 has an XDP program already (id 12): stop what put it " +
				"there (bpftool net show dev eth2); if no process holds it, ip link set dev eth2 xdp off"}},
		{name: "XDP program of a service", machine: iface("eth2", func(i *Interface) {
			i.XDPProgram, i.XDPHolder = 12, Holder{4711, "penstock", "penstock.service"}
		}),
			errs: []string{"p.toml:7: port[1].interface: eth2 has an XDP program already (id 12, held by penstock, " +
				"process 4711): " +
				"stop it: systemctl stop penstock.service"}},
		{name: "XDP program of a process", machine: iface("eth2", func(i *Interface) {
			i.XDPProgram, i.XDPHolder = 12, Holder{4711, "xdp-filter", ""}
		}),
			errs: []string{"p.toml:7: port[1].interface: eth2 has an XDP program already (id 12, held by xdp-filter, " +
				"process 4711): " +
				"stop that process (kill 4711)"}},
		{name: "XDP sockets", machine: iface("eth2", func(i *Interface) { i.XDPSockets = 2 }),
			errs: []string{"p.toml:7: port[1].interface: eth2 is in use by 2 AF_XDP sockets"}},
		{name: "own XDP program", machine: func(m *machine) {
			iface("eth2", func(i *Interface) { i.XDPProgram, i.XDPSockets = 12, 1 })(m)
			m.running = true
		}},
		{name: "bridge member", machine: iface("eth1", func(i *Interface) { i.Master = "br0" }),
			warnings: []string{"p.toml:3: port[0].interface: eth1 is a member of br0|ip link set eth1 nomaster"}},
		{name: "firmware that takes LLDP", machine: func(m *machine) {
			for _, name := range []string{"eth1", "eth2"} { // no switch is heard at the access port
				iface(name, func(i *Interface) { i.FirmwareLLDP = "disable-fw-lldp on" })(m)
			}
		}, warnings: []string{"p.toml:7: port[1].interface: the firmware of eth2 takes LLDP frames|" +
			"ethtool --set-priv-flags eth2 disable-fw-lldp on"}},
		{name: "queues, combined", text: minimal + "queues = 2\n[dataplane]\nworkers = 2\n", machine: func(m *machine) {
			iface("eth1", func(i *Interface) { i.RxQueues, i.TxQueues = 2, 2 })(m)
			iface("eth2", func(i *Interface) { i.Combined, i.MaxQueues = true, 4 })(m)
		},
			errs: []string{"p.toml:11: port[1].queues: too few queues: eth2 has 1, the port needs 2: ethtool -L eth2 " +
				"combined " +
				"2, or queues = 1"}},
		{name: "queues, separate", text: minimal + "[dataplane]\nworkers = 2\n", machine: func(m *machine) {
			iface("eth1", func(i *Interface) { i.RxQueues, i.TxQueues = 2, 2 })(m)
			iface("eth2", func(i *Interface) { i.RxQueues = 2 })(m)
		},
			errs: []string{"p.toml:5: port[1].queues: too few queues: eth2 has 1, the port needs 2: ethtool -L eth2 " +
				"rx 2 tx " +
				"2, or queues = 1"}},
		{name: "queues, driver", text: minimal + "queues = 4\n[dataplane]\nworkers = 4\n", machine: func(m *machine) {
			iface("eth1", func(i *Interface) { i.RxQueues, i.TxQueues = 4, 4 })(m)
			iface("eth2", func(i *Interface) { i.MaxQueues = 2 })(m)
		},
			errs: []string{"p.toml:11: port[1].queues: too few queues: eth2 has 1, the port needs 4: the driver " +
				"gives at most " +
				"2; queues = 2"}},
		{name: "queues that are not taken, combined",
			machine: iface("eth2", func(i *Interface) {
				i.RxQueues, i.TxQueues, i.Combined, i.MaxQueues = 8, 8, true, 8
			}),
			warnings: []string{"p.toml:5: port[1].queues: eth2 receives on 8 queues, the port has 1|ethtool -L eth2 " +
				"combined 1, or queues = 8"}},
		{name: "queues that are not taken, separate",
			machine: iface("eth2", func(i *Interface) { i.RxQueues, i.TxQueues, i.MaxQueues = 2, 1, 8 }),
			warnings: []string{"p.toml:5: port[1].queues: eth2 receives on 2 queues, the port has 1|ethtool -L eth2 " +
				"rx 1, or queues = 2"}},
		{name: "queues that may not be in use",
			machine: iface("eth2", func(i *Interface) { i.RxQueues, i.TxQueues = 8, 8 })},
		{name: "fabric MTU", machine: iface("eth2", func(i *Interface) { i.MTU = 1500 }),
			warnings: []string{"p.toml:5: port[1]: the MTU of fabric port fab0 is 1500, but access port acc0 has " +
				"1500: full-sized packets will not fit; want mtu = 1534 here, or 1466 there"}},
		{name: "fabric MTU of form udp", text: minimal + "encap = \"udp\"\nmtu = 1541",
			warnings: []string{"p.toml:5: port[1]: the MTU of fabric port fab0 is 1541, but access port acc0 has " +
				"1500: full-sized packets will not fit; want mtu = 1542 here, or 1499 there"}},
		{name: "fabric MTU of form udp, enough", text: minimal + "encap = \"udp\"\nmtu = 1542"},
		{name: "fabric MTU set", text: minimal + "mtu = 1533",
			warnings: []string{"p.toml:5: port[1]: the MTU of fabric port fab0 is 1533"}},
		{name: "MTU set larger", text: minimal + "mtu = 1534",
			machine: iface("eth2", func(i *Interface) { i.MTU = 1500 })},
		{name: "trunk MTU", text: edgeSwitch, machine: iface("eth2", func(i *Interface) { i.MTU = 1499 }),
			warnings: []string{"p.toml:9: port[1]: the MTU of trunk port t1 is 1499, but downlink port d1 has 1500"}},
		{name: "tiny MTU", machine: iface("eth1", func(i *Interface) { i.MTU = 575 }),
			errs: []string{"p.toml:3: port[0].interface: the MTU of eth1 is 575, want at least 576"}},
		{name: "large MTU", machine: iface("eth2", func(i *Interface) { i.MTU = 3000 }),
			errs: []string{"p.toml:7: port[1].interface: the MTU of eth2 is 3000, but a frame of 2048 octets carries " +
				"1774: want dataplane.frame_size = 4096, or mtu = 1774"}},
		{name: "jumbo MTU", machine: iface("eth2", func(i *Interface) { i.MTU = 9000 }),
			errs: []string{"p.toml:7: port[1].interface: the MTU of eth2 is 9000|want mtu = 1774 or less"}},
		{name: "privileges", machine: func(m *machine) { m.privileges = Privileges{NetRaw: true, MemLock: 8 << 20} },
			errs: []string{"p.toml:11: dataplane.frames: 16384 frames of 2048 octets are locked memory, but the " +
				"limit is 8MiB: want CAP_IPC_LOCK",
				"p.toml:12: dataplane.nice: found -5, but a value below 0 needs CAP_SYS_NICE",
				"p.toml: no permission: CAP_NET_ADMIN, CAP_BPF missing"},
			text: minimal + "[dataplane]\nnice = -5\n"},
		{name: "limit instead of capability",
			machine: func(m *machine) { m.privileges.IPCLock, m.privileges.MemLock = false, 32<<20 }},
		{name: "old kernel", machine: func(m *machine) { m.kernel = "5.9.16" },
			errs: []string{"p.toml: the kernel is 5.9.16, want 5.10 or later"}},
		{name: "older kernel", machine: func(m *machine) { m.kernel = "4.19.0-27" },
			errs: []string{"p.toml: the kernel is 4.19.0-27"}},
		{name: "strange kernel", machine: func(m *machine) { m.kernel = "mainline" },
			warnings: []string{`p.toml: the kernel's release "mainline" is not understood`}},
		{name: "CPU", text: minimal + "[dataplane]\nworkers = 2\ncpus = [\n1,\n5]\n", machine: func(m *machine) {
			for _, n := range []string{"eth1", "eth2"} {
				iface(n, func(i *Interface) { i.RxQueues, i.TxQueues = 2, 2 })(m)
			}
			m.cpus = []int{0, 1, 2, 7}
		},
			errs: []string{"p.toml:15: dataplane.cpus[1]: CPU 5 does not exist, or this process may not use it: " +
				"want one of 0-2, 7"}},
		{name: "more workers than CPUs", text: strings.ReplaceAll(minimal, "role", "queues = 1\nrole") +
			"[dataplane]\nworkers = 5\n", warnings: []string{"dataplane.workers: 5 workers share 4 CPUs"}},
		{name: "huge pages", text: minimal + "[dataplane]\nhuge_pages = true\n",
			machine: func(m *machine) { m.huge = 15 },
			warnings: []string{"p.toml:12: dataplane.huge_pages: 15 pages of 2 MiB are free, 16 are needed|sysctl " +
				"vm.nr_hugepages=16"}},
		{name: "enough huge pages", text: minimal + "[dataplane]\nhuge_pages = true\n",
			machine: func(m *machine) { m.huge = 16 }},
		{name: "accounts", text: minimal + "[control]\nowner = \"bob\"\ngroup = \"gone\"\n",
			errs: []string{`p.toml:12: control.owner: there is no user "bob"`,
				`p.toml:13: control.group: there is no group "gone"`}},
		{name: "good accounts", text: minimal + "[control]\nowner = \"alice\"\ngroup = \"guests\"\n"},
		{name: "files of webhooks", text: minimal + hooks("https://a") +
			"token_file = \"/t\"\nsecret_file = \"/s\"\nca_file = \"/c\"\n", machine: func(m *machine) {
			m.unreadable = map[string]bool{"/t": true, "/c": true}
		},
			warnings: []string{"p.toml:14: alarm.webhook[0].token_file: the file cannot be read; " +
				"webhook h gets no notices until it can: permission denied",
				"p.toml:16: alarm.webhook[0].ca_file: the file cannot be read"}},
		{name: "token in clear text", text: minimal + hooks("http://a") + "token_file = \"/t\"\n",
			warnings: []string{"p.toml:13: alarm.webhook[0].url: the token travels in clear text"}},
		{name: "uplink", text: minimal + gateways, machine: func(m *machine) {
			m.interfaces["eth3"] = Interface{Index: 3, Name: "eth3", MTU: 1500, RxQueues: 1, TxQueues: 1}
		}},
		{name: "uplink that leads nowhere",
			text: minimal + without(gateways, gateways[strings.Index(gateways, "[[gateway_group]]"):]),
			machine: func(m *machine) {
				m.interfaces["eth3"] = Interface{Index: 3, Name: "eth3", MTU: 1400, RxQueues: 1, TxQueues: 1}
			},
			warnings: []string{"p.toml:11: port[2]: the MTU of uplink port up0 is 1400, but access port acc0 has 1500",
				"p.toml:14: port[2].role: no gateway is behind port up0: add a [[gateway_group.member]]"}},
		{name: "blind", text: minimal + "[dataplane]\nhuge_pages = true\n",
			machine: func(m *machine) { m.err = errors.New("no /proc") },
			warnings: []string{"dataplane.cpus: the CPUs of this machine are not known: no /proc",
				"dataplane.huge_pages: free huge pages are not known: no /proc", "the kernel's release is not known",
				"privileges are not known"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			text := tc.text
			if text == "" {
				text = minimal
			}
			m := good()
			if tc.machine != nil {
				tc.machine(m)
			}
			errs, warnings := Check(mustParse(t, text), m)
			compare(t, "error", errs, tc.errs)
			compare(t, "warning", warnings, tc.warnings)
		})
	}
}

func compare(t *testing.T, what string, got Errors, want []string) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%d %ss, want %d:\n%v", len(got), what, len(want), got)
		return
	}
	for i := range got {
		for part := range strings.SplitSeq(want[i], "|") {
			if !strings.Contains(got[i].Error(), part) {
				t.Errorf("%s %d:\ngot  %s\nwant %s", what, i, got[i], part)
			}
		}
	}
}
