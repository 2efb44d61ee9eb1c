package vm

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/vishvananda/netlink"

	"penstock/ctrl/model"
	"penstock/integration/endpoint"
	"penstock/integration/lab"
	"penstock/integration/vm/inside"
)

// Wire is the namespace of the lab that holds the host's ends of the guest's interfaces.
const Wire = "wire"

// bootLimit is how long a guest may take until it answers; an idle machine needs some 5 s.
const bootLimit = 2 * time.Minute

// hostMTU of taps lets through whatever a guest's MTU may be.
const hostMTU = 9000

// The guest's memory in MiB. Virtio_net sends zero-copy frames behind a header that is a variable of the driver; where
// the driver is a module, its address does not translate to that of its memory but, without address randomisation, to
// one some MiB above the first GiB: whatever lies there goes out as header. So there is
// memory, and the kernel does not use it.
const (
	memory = 1024
	spare  = 128
)

// NIC is an interface of the guest. The first is called eth1 there, the next eth2 and so on.
type NIC struct {
	Tap    string // the host's end, in namespace Wire, up; or, if empty:
	Hub    int    // inside QEMU, joined with those of the same number
	Queues int    // of a tap, 0 = 1
	MAC    model.MAC
}

// Options describe a guest.
type Options struct {
	Kernel  *Kernel
	Modules []string // beside virtio_net
	NICs    []NIC
	Files   map[string]string // path in the guest, without slash in front → file of the host
}

// Machine is a running guest. Its methods may be called from several goroutines.
type Machine struct {
	Release string // of the kernel
	lab     *lab.Lab
	process *lab.Process
	console string // path
	monitor *monitor
}

// Boot starts a guest and waits until it answers. It ends with the lab at the latest.
func Boot(l *lab.Lab, o Options) (*Machine, error) {
	m := &Machine{Release: o.Kernel.Release, lab: l, console: filepath.Join(l.Dir(), "console.log")}
	if err := m.boot(o); err != nil {
		if m.process != nil {
			m.process.Kill()
			err = fmt.Errorf("%w\n%s%s", err, m.process.Log(), m.Console())
		}
		return nil, fmt.Errorf("boot kernel %s: %w", o.Kernel.Release, err)
	}
	return m, nil
}

func (m *Machine) boot(o Options) error {
	if err := m.wire(o.NICs); err != nil {
		return err
	}
	initrd := filepath.Join(m.lab.Dir(), "initramfs")
	image, err := initramfs(o)
	if err != nil {
		return err
	}
	if err := os.WriteFile(initrd, image, 0o644); err != nil {
		return err
	}
	socket := filepath.Join(m.lab.Dir(), "monitor.sock")
	if m.process, err = m.lab.Start(Wire, "qemu", arguments(o, initrd, m.console, socket)...); err != nil {
		return err
	}
	for deadline := time.Now().Add(bootLimit); ; time.Sleep(20 * time.Millisecond) {
		if m.monitor == nil {
			m.monitor, err = dialMonitor(socket)
		} else if err = m.ping(); err == nil {
			return nil
		}
		if !m.process.Running() {
			return fmt.Errorf("QEMU has ended: %w", m.process.Wait(0))
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("no answer within %v: %w", bootLimit, err)
		}
	}
}

// wire makes the namespace and the taps.
func (m *Machine) wire(nics []NIC) error {
	if err := m.lab.Namespace(Wire); err != nil {
		return err
	}
	for _, scope := range []string{"all", "default"} {
		if err := m.lab.Sysctl(Wire, "net/ipv6/conf/"+scope+"/disable_ipv6", "1"); err != nil {
			return err
		}
	}
	for _, n := range append([]NIC{{Tap: "agent"}}, nics...) {
		if n.Tap == "" {
			continue
		}
		if err := m.lab.Do(Wire, func() error { return tap(n) }); err != nil {
			return fmt.Errorf("tap %s: %w", n.Tap, err)
		}
	}
	return m.lab.Do(Wire, func() error {
		link, err := netlink.LinkByName("agent")
		if err != nil {
			return err
		}
		addr, err := netlink.ParseAddr(fmt.Sprintf("%s/%d", inside.HostAddress, inside.Prefix))
		if err != nil {
			return err
		}
		return netlink.AddrAdd(link, addr)
	})
}

// tap makes a tap in the calling thread's namespace, one that stays without a process.
func tap(n NIC) error {
	attrs := netlink.NewLinkAttrs()
	attrs.Name = n.Tap
	link := &netlink.Tuntap{LinkAttrs: attrs, Mode: netlink.TUNTAP_MODE_TAP,
		Flags: netlink.TUNTAP_DEFAULTS | netlink.TUNTAP_VNET_HDR}
	if n.Queues > 1 {
		link.Flags = netlink.TUNTAP_MULTI_QUEUE_DEFAULTS | netlink.TUNTAP_VNET_HDR
	}
	if err := netlink.LinkAdd(link); err != nil {
		return err
	}
	for _, f := range link.Fds { // the queues that LinkAdd opened; QEMU opens its own
		f.Close()
	}
	return errors.Join(netlink.LinkSetMTU(link, hostMTU), netlink.LinkSetUp(link))
}

// programs are what a host needs, with their Debian packages.
var programs = [...][2]string{{"qemu-system-x86_64", "qemu-system-x86"}, {"apt-get", "apt"}, {"dpkg-deb", "dpkg"},
	{"xz", "xz-utils"}}

// Missing returns the packages that this machine lacks.
func Missing() []string {
	var list []string
	for _, p := range programs {
		if _, err := exec.LookPath(p[0]); err != nil {
			list = append(list, p[1])
		}
	}
	for _, f := range [][2]string{{keyring, "debian-archive-keyring"},
		{"/usr/share/doc/busybox-static", "busybox-static"}} {
		if _, err := os.Stat(f[0]); err != nil {
			list = append(list, f[1])
		}
	}
	return list
}

// initramfs packs the guest's root.
func initramfs(o Options) ([]byte, error) {
	modules, err := o.Kernel.modules(append([]string{"virtio_net"}, o.Modules...)...)
	if err != nil {
		return nil, err
	}
	busybox, err := exec.LookPath("busybox")
	if err != nil {
		return nil, err
	}
	var a archive
	if err := a.fileOf("bin/busybox", busybox); err != nil {
		return nil, err
	}
	for _, applet := range []string{"sh", "ip", "cat", "dmesg", "ls"} {
		a.link("bin/"+applet, "busybox")
	}
	for i, mod := range modules {
		a.file(fmt.Sprintf("%s/%03d-%s.ko", strings.TrimPrefix(inside.ModuleDir, "/"), i, mod.name), mod.data)
	}
	for name, from := range o.Files {
		if err := a.fileOf(name, from); err != nil {
			return nil, err
		}
	}
	return a.bytes(), nil
}

// arguments of QEMU.
func arguments(o Options, initrd, console, monitor string) []string {
	args := []string{
		"qemu-system-x86_64", "-nodefaults", "-no-user-config", "-no-reboot", "-display", "none",
		"-accel", "tcg,thread=single", "-cpu", "qemu64,-cx16", "-smp", "2", "-m", fmt.Sprint(memory + spare),
		"-kernel", o.Kernel.Image, "-initrd", initrd,
		"-append",
		fmt.Sprintf("console=ttyS0 panic=-1 oops=panic loglevel=5 mitigations=off net.ifnames=0 rdinit=/init nokaslr "+
			"mem=%dM", memory),
		"-serial", "file:" + console, "-qmp", "unix:" + monitor + ",server=on,wait=off",
	}
	for i, n := range append([]NIC{{Tap: "agent"}}, o.NICs...) {
		queues := max(n.Queues, 1)
		backend := ""
		device := fmt.Sprintf("virtio-net-pci,id=%s,netdev=net%d,iommu_platform=on,disable-legacy=on,romfile=",
			nicID(i), i)
		if n.Tap != "" {
			backend = fmt.Sprintf("tap,id=net%d,ifname=%s,script=no,downscript=no,vhost=off", i, n.Tap)
			if queues > 1 {
				backend += fmt.Sprintf(",queues=%d", queues)
				device += fmt.Sprintf(",mq=on,vectors=%d", 2*queues+2)
			}
		} else {
			backend = fmt.Sprintf("hubport,id=net%d,hubid=%d", i, n.Hub)
		}
		if n.MAC != 0 {
			device += ",mac=" + n.MAC.String()
		}
		args = append(args, "-netdev", backend, "-device", device)
	}
	return args
}

func nicID(i int) string { return fmt.Sprintf("nic%d", i) }

// Open opens the host's end of an interface, a tap, for frames.
func (m *Machine) Open(tap string) (r *endpoint.Raw, err error) {
	err = m.lab.Do(Wire, func() (err error) {
		r, err = endpoint.Open(tap)
		return err
	})
	return r, err
}

// SetLink takes the cable out of ethN of the guest, or puts it in.
func (m *Machine) SetLink(n int, up bool) error {
	return m.monitor.do("set_link", map[string]any{"name": nicID(n), "up": up})
}

// Console returns the output of the guest's kernel.
func (m *Machine) Console() string {
	b, err := os.ReadFile(m.console)
	if err != nil {
		return err.Error()
	}
	return strings.ReplaceAll(string(b), "\r", "")
}

// complaints of a kernel, by how their lines begin behind the time stamp.
var complaints = []string{"BUG:", "WARNING:", "Oops", "Kernel panic", "INFO: task", "general protection fault",
	"list_add corruption", "list_del corruption", "refcount_t:"}

// Complaints returns the error messages of the guest's kernel, the first of them with the lines that follow it.
func (m *Machine) Complaints() string {
	lines := strings.Split(m.Console(), "\n")
	for i, line := range lines {
		if slices.ContainsFunc(complaints, func(c string) bool { return strings.Contains(line, c) }) {
			return strings.Join(lines[i:min(len(lines), i+60)], "\n")
		}
	}
	return ""
}

// Running reports whether the guest has not ended.
func (m *Machine) Running() bool { return m.process.Running() }

// Close ends the guest.
func (m *Machine) Close() error {
	err := m.monitor.do("quit", nil)
	return errors.Join(err, m.process.Wait(10*time.Second), m.monitor.close())
}
