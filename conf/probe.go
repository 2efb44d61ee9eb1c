package conf

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Machine is the SystemProbe of the machine and network namespace that the process runs in. It changes nothing.
type Machine struct{}

var _ SystemProbe = Machine{}

// Interface implements SystemProbe, with netlink and the ethtool ioctl.
func (Machine) Interface(name string) (Interface, error) {
	l, err := netlink.LinkByName(name)
	if err != nil {
		if _, ok := errors.AsType[netlink.LinkNotFoundError](err); ok {
			return Interface{}, fmt.Errorf("%s: %w", name, ErrNoInterface)
		}
		return Interface{}, fmt.Errorf("netlink query for %s: %w", name, err)
	}
	a := l.Attrs()
	info := Interface{
		Index: a.Index, Name: a.Name, MTU: a.MTU, Loopback: a.Flags&net.FlagLoopback != 0,
		RxQueues: a.NumRxQueues, TxQueues: a.NumTxQueues,
	}
	if a.Xdp != nil && a.Xdp.Attached {
		info.XDPProgram = max(a.Xdp.ProgId, 1)
		info.XDPHolder = xdpHolder(info.XDPProgram)
	}
	if a.MasterIndex != 0 {
		info.Master = fmt.Sprintf("interface %d", a.MasterIndex)
		if m, err := netlink.LinkByIndex(a.MasterIndex); err == nil {
			info.Master = m.Attrs().Name
		}
	}
	// Netlink gives the number of queues that the device was created with; the driver gives the number in use.
	if ch, err := channelsOf(a.Name); err == nil {
		info.Combined = ch.MaxCombined > 0
		info.RxQueues = int(ch.Combined + ch.Rx)
		info.TxQueues = int(ch.Combined + ch.Tx)
		info.MaxQueues = int(max(ch.MaxCombined, min(ch.MaxRx, ch.MaxTx)))
	}
	// Most drivers have no private flags; an error is no reason to warn of them.
	if flags, err := privateFlags(ethtool, a.Name); err == nil {
		info.FirmwareLLDP = firmwareLLDP(flags)
	}
	// Kernels without XDP socket diagnostics do not list sockets; binding fails later, with its own message.
	if sockets, err := netlink.SocketDiagXDP(); err == nil {
		for _, s := range sockets {
			if s.XDPInfo != nil && int(s.XDPInfo.Ifindex) == a.Index {
				info.XDPSockets++
			}
		}
	}
	return info, nil
}

// Kernel implements SystemProbe.
func (Machine) Kernel() (string, error) {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return "", fmt.Errorf("uname: %w", err)
	}
	return unix.ByteSliceToString(u.Release[:]), nil
}

// CPUs implements SystemProbe: the CPUs that a thread may be pinned to. A request for all CPUs makes the kernel return
// them, less those that cgroups exclude or that are offline. The initial mask of the process is too small: it lacks the
// CPUs that isolcpus= or CPUAffinity= reserves for the workers.
func (Machine) CPUs() ([]int, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var mine, set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &mine); err != nil {
		return nil, fmt.Errorf("sched_getaffinity: %w", err)
	}
	for cpu := range maxCPU + 1 {
		set.Set(cpu)
	}
	set, err := pinnable(set, mine)
	if err != nil {
		return nil, err
	}
	var out []int
	for cpu := range maxCPU + 1 {
		if set.IsSet(cpu) {
			out = append(out, cpu)
		}
	}
	return out, nil
}

// pinnable pins this thread to as many of the CPUs in all as possible, for a moment, and returns the resulting mask.
func pinnable(all, mine unix.CPUSet) (got unix.CPUSet, err error) {
	if err := unix.SchedSetaffinity(0, &all); err != nil {
		return mine, nil // sched_setaffinity is forbidden: the process may use its present CPUs only
	}
	err = unix.SchedGetaffinity(0, &got)
	if e := unix.SchedSetaffinity(0, &mine); err == nil {
		err = e
	}
	if err != nil {
		return got, fmt.Errorf("setting the affinity to all CPUs: %w", err)
	}
	return got, nil
}

// Privileges implements SystemProbe: the effective capabilities of the process.
func (Machine) Privileges() (Privileges, error) {
	f, err := os.Open("/proc/self/status")
	if err != nil {
		return Privileges{}, err
	}
	defer f.Close()
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_MEMLOCK, &limit); err != nil {
		return Privileges{}, fmt.Errorf("getrlimit: %w", err)
	}
	for s := bufio.NewScanner(f); s.Scan(); {
		hex, ok := strings.CutPrefix(s.Text(), "CapEff:")
		if !ok {
			continue
		}
		caps, err := strconv.ParseUint(strings.TrimSpace(hex), 16, 64)
		if err != nil {
			return Privileges{}, fmt.Errorf("/proc/self/status: %w", err)
		}
		has := func(n int) bool { return caps>>n&1 == 1 }
		return Privileges{
			NetAdmin: has(unix.CAP_NET_ADMIN), NetRaw: has(unix.CAP_NET_RAW),
			BPF:     has(unix.CAP_BPF) || has(unix.CAP_SYS_ADMIN), // capabilities(7): CAP_SYS_ADMIN includes CAP_BPF
			IPCLock: has(unix.CAP_IPC_LOCK), SysNice: has(unix.CAP_SYS_NICE),
			MemLock: limit.Cur,
		}, nil
	}
	return Privileges{}, errors.New("/proc/self/status has no CapEff line")
}

// HugePages implements SystemProbe.
func (Machine) HugePages() (int, error) {
	b, err := os.ReadFile("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages")
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(b)))
}

// Account implements SystemProbe.
func (Machine) Account(name string, group bool) bool {
	if _, err := strconv.ParseUint(name, 10, 32); err == nil {
		return true // a number needs no name
	}
	var err error
	if group {
		_, err = user.LookupGroup(name)
	} else {
		_, err = user.Lookup(name)
	}
	return err == nil
}

// Readable implements SystemProbe.
func (Machine) Readable(path string) error {
	st, err := os.Stat(path)
	switch {
	case err != nil:
		return err
	case !st.Mode().IsRegular():
		return fmt.Errorf("%s is not a plain file", path)
	}
	return unix.Access(path, unix.R_OK)
}

// Running implements SystemProbe.
func (Machine) Running(socket string) bool {
	if !filepath.IsAbs(socket) {
		return false
	}
	c, err := net.DialTimeout("unix", socket, time.Second)
	if err != nil {
		return false
	}
	c.Close()
	return true
}
