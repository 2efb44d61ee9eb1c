package steer

import (
	"errors"
	"fmt"
	"strings"

	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

var (
	// ErrOccupied says that another XDP program is attached to the interface.
	ErrOccupied = errors.New("another XDP program is attached")
	// ErrKernelTooOld says that the kernel lacks what the box needs; see CheckKernel.
	ErrKernelTooOld = errors.New("the kernel is too old")
)

// AttachError says why the program could not be attached. errors.Is sees the system's error through it.
type AttachError struct {
	Ifindex int
	Name    string // of the interface, "?" if there is none
	Tried   string
	Foreign uint32 // ID of the XDP program that is attached already, 0 if none
	Err     error
	Remedy  string // what the operator can do, or empty
}

func (e *AttachError) Error() string {
	s := fmt.Sprintf("steer: interface %s (index %d): %s: %v", e.Name, e.Ifindex, e.Tried, e.Err)
	if e.Remedy != "" {
		s += ": " + e.Remedy
	}
	return s
}

func (e *AttachError) Unwrap() error { return e.Err }

// failed makes an AttachError and finds the remedy.
func (p *Program) failed(tried string, err error) error {
	a := &AttachError{Ifindex: p.opts.Ifindex, Name: p.name, Tried: tried, Err: err}
	switch {
	case errors.Is(err, unix.EBUSY), errors.Is(err, unix.EEXIST):
		a.Err = fmt.Errorf("%w: %w", ErrOccupied, err)
		a.Foreign, a.Remedy = p.occupant()
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		a.Remedy = "needs the capabilities CAP_BPF and CAP_NET_ADMIN (systemd: AmbientCapabilities=)"
	case errors.Is(err, unix.ENODEV):
		a.Remedy = "no such interface in this network namespace; it may have been deleted or moved"
	case errors.Is(err, unix.EOPNOTSUPP):
		a.Remedy = "the driver has no native mode; use mode auto or generic"
	case errors.Is(err, unix.ERANGE), errors.Is(err, unix.EINVAL):
		a.Remedy = fmt.Sprintf("the driver refuses its present settings: "+
			"lower the MTU (`ip link set dev %s mtu 1500`), "+
			"switch off LRO (`ethtool -K %s lro off`), or use generic mode", p.name, p.name)
	case errors.Is(err, unix.ENOMEM):
		a.Remedy = "not enough memory, or locked memory is limited (systemd: LimitMEMLOCK=infinity)"
	}
	return a
}

// occupant finds the program that holds the interface, and how to make it go.
func (p *Program) occupant() (id uint32, remedy string) {
	id, err := attached(p.opts.Ifindex)
	if err != nil || id == 0 {
		// It went away since, or cannot be asked for.
		return 0, fmt.Sprintf("`bpftool net show dev %s` shows it; stop the process that attached it, "+
			"or, if none holds it, `ip link set dev %s xdp off`", p.name, p.name)
	}
	var s strings.Builder
	fmt.Fprintf(&s, "program ID %d holds it (`bpftool prog show id %d`): ", id, id)
	if l := holder(p.opts.Ifindex, id); l != 0 {
		fmt.Fprintf(&s, "stop the process that attached it, or detach its link with `bpftool link detach id %d` "+
			"(`ip link set dev %s xdp off` does not remove a link)", l, p.name)
	} else {
		fmt.Fprintf(&s, "remove it with `ip link set dev %s xdp off`", p.name)
	}
	return id, s.String()
}

// holder returns the ID of the bpf_link that attaches the program to the interface, 0 if it is attached without one.
func holder(ifindex int, prog uint32) link.ID {
	var it link.Iterator
	defer it.Close()
	for it.Next() {
		info, err := it.Link.Info()
		if err != nil {
			continue
		}
		if x := info.XDP(); x != nil && int(x.Ifindex) == ifindex && uint32(info.Program) == prog {
			return it.ID
		}
	}
	return 0
}
