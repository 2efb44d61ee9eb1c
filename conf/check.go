package conf

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// ErrNoInterface is the error of SystemProbe.Interface for a name that no interface has.
var ErrNoInterface = errors.New("no such interface")

// SystemProbe returns the properties of the machine that Check needs.
type SystemProbe interface {
	// Interface describes a network interface, or fails with ErrNoInterface.
	Interface(name string) (Interface, error)
	// Kernel returns the release, "6.12.9-amd64".
	Kernel() (string, error)
	// CPUs returns the CPUs that this process may run on, ascending.
	CPUs() ([]int, error)
	// Privileges returns the capabilities and limits of this process.
	Privileges() (Privileges, error)
	// HugePages returns the number of free 2 MiB pages.
	HugePages() (int, error)
	// Account reports whether an account (group: a group) of that name or number exists.
	Account(name string, group bool) bool
	// Readable is nil if this process can read the file.
	Readable(path string) error
	// Running reports whether a box answers on the control socket.
	Running(socket string) bool
}

// Interface holds the properties of a network interface that Check needs.
type Interface struct {
	Index      int
	Name       string // its own name, also if it was looked up by an alternative name
	Loopback   bool
	MTU        int
	RxQueues   int    // in use
	TxQueues   int    // in use
	MaxQueues  int    // that the driver could give; 0 = unknown
	Combined   bool   // the driver counts receive and transmit queues together
	XDPProgram uint32 // ID of the XDP program that is attached, or 0
	XDPHolder  Holder // the process whose bpf_link attaches it; zero if there is none, or it cannot be seen
	XDPSockets int    // AF_XDP sockets bound to it, as far as the kernel reports them
	Master     string // bridge or bond that it is a member of, or empty

	// FirmwareLLDP is the private flag and its value that keep the card from taking LLDP frames, if it does so now.
	FirmwareLLDP string
}

// Privileges are the capabilities and limits of a process.
type Privileges struct {
	NetAdmin, NetRaw, BPF, IPCLock, SysNice bool
	MemLock                                 uint64 // RLIMIT_MEMLOCK, octets
}

// Minimum kernel: 5.10 has XDP_SHARED_UMEM between interfaces and CAP_BPF.
const minMajor, minMinor = 5, 10

// Check compares the configuration with the machine. Errors keep the box from running; warnings mean a loss of function
// or performance. Both are in the order of the file's lines. Check changes nothing.
func Check(c *Config, probe SystemProbe) (errs, warnings Errors) {
	k := &checker{c: c, probe: probe}
	k.kernel()
	k.privileges()
	k.cpus()
	k.hugePages()
	k.accounts()
	k.files()
	k.ports()
	k.errs.sort()
	k.warnings.sort()
	return k.errs, k.warnings
}

type checker struct {
	c              *Config
	probe          SystemProbe
	errs, warnings Errors
}

func (k *checker) entry(key, format string, args []any) Error {
	return Error{File: k.c.file, Line: lineOf(k.c.lines, key), Key: key, Message: fmt.Sprintf(format, args...)}
}

func (k *checker) failf(key, format string, args ...any) {
	k.errs = append(k.errs, k.entry(key, format, args))
}

func (k *checker) warnf(key, format string, args ...any) {
	k.warnings = append(k.warnings, k.entry(key, format, args))
}

func (k *checker) kernel() {
	release, err := k.probe.Kernel()
	if err != nil {
		k.warnf("", "the kernel's release is not known: %v", err)
		return
	}
	var major, minor int
	if _, err := fmt.Sscanf(release, "%d.%d", &major, &minor); err != nil {
		k.warnf("", "the kernel's release %q is not understood; want %d.%d or later", release, minMajor, minMinor)
		return
	}
	if major < minMajor || major == minMajor && minor < minMinor {
		k.failf("", "the kernel is %s, want %d.%d or later", release, minMajor, minMinor)
	}
}

func (k *checker) privileges() {
	p, err := k.probe.Privileges()
	if err != nil {
		k.warnf("", "privileges are not known: %v", err)
		return
	}
	var missing []string
	for _, c := range []struct {
		have bool
		name string
	}{{p.NetAdmin, "CAP_NET_ADMIN"}, {p.NetRaw, "CAP_NET_RAW"}, {p.BPF, "CAP_BPF"}} {
		if !c.have {
			missing = append(missing, c.name)
		}
	}
	if missing != nil {
		k.failf("", "no permission: %s missing; run as root, or as the systemd unit does", strings.Join(missing, ", "))
	}
	d := &k.c.Dataplane
	if umem := uint64(d.Frames) * uint64(d.FrameSize); !p.IPCLock && umem > p.MemLock {
		k.failf("dataplane.frames", "%d frames of %d octets are locked memory, but the limit is %s: want "+
			"CAP_IPC_LOCK or LimitMEMLOCK=infinity", d.Frames, d.FrameSize, sizeText(int64(p.MemLock)))
	}
	if d.Nice < 0 && !p.SysNice {
		k.failf("dataplane.nice", "found %d, but a value below 0 needs CAP_SYS_NICE", d.Nice)
	}
}

func (k *checker) cpus() {
	have, err := k.probe.CPUs()
	if err != nil {
		k.warnf("dataplane.cpus", "the CPUs of this machine are not known: %v", err)
		return
	}
	for i, cpu := range k.c.Dataplane.CPUs {
		if !slices.Contains(have, cpu) {
			k.failf(fmt.Sprintf("dataplane.cpus[%d]", i),
				"CPU %d does not exist, or this process may not use it: want one of %s",
				cpu, cpuText(have))
		}
	}
	if w := k.c.Dataplane.Workers; w > len(have) {
		k.warnf("dataplane.workers", "%d workers share %d CPUs: want at most %d", w, len(have), len(have))
	}
}

// cpuText writes ascending numbers with their ranges: 0-3, 6.
func cpuText(cpus []int) string {
	ids := make([]uint16, len(cpus))
	for i, c := range cpus {
		ids[i] = uint16(c)
	}
	return strings.NewReplacer("[", "", "]", "", `"`, "").Replace(vlanText(ids))
}

func (k *checker) hugePages() {
	d := &k.c.Dataplane
	if !d.HugePages {
		return
	}
	need := (d.Frames*d.FrameSize + 2<<20 - 1) / (2 << 20)
	if free, err := k.probe.HugePages(); err != nil {
		k.warnf("dataplane.huge_pages", "free huge pages are not known: %v", err)
	} else if free < need && !k.probe.Running(k.c.Control.Socket) {
		k.warnf("dataplane.huge_pages",
			"%d pages of 2 MiB are free, %d are needed; ordinary pages will be used: sysctl vm.nr_hugepages=%d", free,
			need, need)
	}
}

func (k *checker) accounts() {
	if o := k.c.Control.Owner; o != "" && !k.probe.Account(o, false) {
		k.failf("control.owner", "there is no user %q on this machine", o)
	}
	if g := k.c.Control.Group; g != "" && !k.probe.Account(g, true) {
		k.failf("control.group", "there is no group %q on this machine", g)
	}
}

func (k *checker) ports() {
	running := k.probe.Running(k.c.Control.Socket)
	byIndex := map[int]int{}
	mtu := make([]int, len(k.c.Ports)) // effective; 0 = unknown
	for i := range k.c.Ports {
		p := &k.c.Ports[i]
		mtu[i] = p.MTU
		at := func(name string) string { return fmt.Sprintf("port[%d].%s", i, name) }
		info, err := k.probe.Interface(p.Interface)
		switch {
		case errors.Is(err, ErrNoInterface):
			k.failf(at("interface"), "there is no interface %q: see `ip link`", p.Interface)
			continue
		case err != nil:
			k.failf(at("interface"), "the properties of %s cannot be read: %v", p.Interface, err)
			continue
		}
		if first, dup := byIndex[info.Index]; dup {
			k.failf(at("interface"),
				"%s is the interface of port %s already (both names mean %s): an interface is one port", p.Interface,
				k.c.Ports[first].Name, info.Name)
			continue
		}
		byIndex[info.Index] = i
		k.port(at, p, info, running)
		if mtu[i] == 0 {
			mtu[i] = info.MTU
			k.interfaceMTU(at("interface"), p, info.MTU)
		}
	}
	k.fabricMTU(mtu)
	k.uplinks()
}

func (k *checker) port(at func(string) string, p *Port, info Interface, running bool) {
	if info.Loopback {
		k.failf(at("interface"), "%s is a loopback interface: want a network card, or a veth", p.Interface)
		return
	}
	if info.Master != "" {
		k.warnf(at("interface"),
			"%s is a member of %s, which receives none of the port's packets: ip link set %s nomaster", p.Interface,
			info.Master, p.Interface)
	}
	if info.FirmwareLLDP != "" && p.speaksLLDP() {
		k.warnf(at("interface"), "the firmware of %s takes LLDP frames and sends its own: the box hears no switch, "+
			"and its neighbour hears two devices: ethtool --set-priv-flags %s %s", p.Interface, p.Interface,
			info.FirmwareLLDP)
	}
	switch {
	case running: // the program and the sockets are the running box's own
	case info.XDPProgram != 0:
		k.failf(at("interface"), "%s has an XDP program already (id %d%s): %s", p.Interface, info.XDPProgram,
			heldBy(info.XDPHolder),
			releaseXDP(p.Interface, info.XDPHolder))
	case info.XDPSockets > 0:
		k.failf(at("interface"), "%s is in use by %d AF_XDP sockets: stop the program that owns them", p.Interface,
			info.XDPSockets)
	}
	have := min(info.RxQueues, info.TxQueues)
	if have >= p.Queues {
		// Without a maximum the driver reported nothing, and the count is that of the queues that may be in use.
		if info.MaxQueues > 0 && info.RxQueues > p.Queues {
			remedy := fmt.Sprintf("ethtool -L %s rx %d, or queues = %d", p.Interface, p.Queues, info.RxQueues)
			if info.Combined {
				remedy = fmt.Sprintf("ethtool -L %s combined %d, or queues = %d", p.Interface, p.Queues, info.RxQueues)
			}
			k.warnf(at("queues"),
				"%s receives on %d queues, the port has %d: frames on the other queues never reach the box: %s",
				p.Interface, info.RxQueues, p.Queues, remedy)
		}
		return
	}
	remedy := fmt.Sprintf("ethtool -L %s rx %d tx %d, or queues = %d", p.Interface, p.Queues, p.Queues, have)
	switch {
	case info.MaxQueues > 0 && info.MaxQueues < p.Queues:
		remedy = fmt.Sprintf("the driver gives at most %d; queues = %d", info.MaxQueues, info.MaxQueues)
	case info.Combined:
		remedy = fmt.Sprintf("ethtool -L %s combined %d, or queues = %d", p.Interface, p.Queues, have)
	}
	k.failf(at("queues"), "too few queues: %s has %d, the port needs %d: %s", p.Interface, have, p.Queues, remedy)
}

// speaksLLDP reports whether the box sends and expects LLDP frames at the port.
func (p *Port) speaksLLDP() bool {
	return p.Role == RoleFabric && p.Encap != EncapVXLAN || p.Role == RoleDownlink || p.Role == RoleTrunk
}

func (k *checker) interfaceMTU(key string, p *Port, mtu int) {
	switch most := k.c.Dataplane.MaxMTU(); {
	case mtu < minMTU:
		k.failf(key, "the MTU of %s is %d, want at least %d: mtu = 1500", p.Interface, mtu, minMTU)
	case mtu > most && mtu <= maxMTU:
		k.failf(key,
			"the MTU of %s is %d, but a frame of %d octets carries %d: want dataplane.frame_size = 4096, or mtu = %d",
			p.Interface, mtu, k.c.Dataplane.FrameSize, most, most)
	case mtu > most:
		k.failf(key, "the MTU of %s is %d, but a frame of %d octets carries %d: want mtu = %d or less", p.Interface,
			mtu, k.c.Dataplane.FrameSize, most, most)
	}
}

// uplinks warns of uplink ports without a gateway.
func (k *checker) uplinks() {
	for i := range k.c.Ports {
		p := &k.c.Ports[i]
		if p.Role == RoleUplink && !slices.ContainsFunc(k.c.Groups, func(g Group) bool {
			return slices.ContainsFunc(g.Members, func(m Member) bool { return m.Port == p.Name })
		}) {
			k.warnf(fmt.Sprintf("port[%d].role", i),
				"no gateway is behind port %s: add a [[gateway_group.member]] with port = %q", p.Name, p.Name)
		}
	}
}

// fabricMTU warns if a frame of an access port, with its encapsulation, is too large for a fabric port, or if the MTU
// of a trunk or uplink is smaller than that of the ports that lead to it (PROTOCOL.md#encapsulation).
func (k *checker) fabricMTU(mtu []int) {
	for i := range k.c.Ports {
		to := &k.c.Ports[i]
		for j := range k.c.Ports {
			from := &k.c.Ports[j]
			extra, applies := 0, false
			switch {
			case to.Role == RoleFabric && from.Role == RoleAccess:
				extra, applies = to.encapsulation(), true
			case to.Role == RoleUplink && from.Role == RoleAccess:
				applies = true
			case to.Role == RoleTrunk && from.Role == RoleDownlink:
				applies = true
			}
			if !applies || mtu[i] == 0 || mtu[j] == 0 || mtu[i] >= mtu[j]+extra {
				continue
			}
			k.warnf(fmt.Sprintf("port[%d]", i), "the MTU of %s port %s is %d, but %s port %s has %d: full-sized "+
				"packets will not fit; want mtu = %d here, or %d there",
				to.Role, to.Name, mtu[i], from.Role, from.Name, mtu[j], mtu[j]+extra, mtu[i]-extra)
		}
	}
}
