package steer

import (
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"
)

// The oldest kernel that will do: 5.9 brought bpf_link for XDP, 5.10 UMEMs shared between interfaces.
const (
	wantMajor = 5
	wantMinor = 10
)

// CheckKernel returns an error that matches ErrKernelTooOld if the running kernel is older than 5.10.
func CheckKernel() error {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return fmt.Errorf("steer: ask for the kernel's version: %w", err)
	}
	return checkRelease(unix.ByteSliceToString(u.Release[:]))
}

func checkRelease(release string) error {
	var major, minor int
	if _, err := fmt.Sscanf(release, "%d.%d", &major, &minor); err != nil {
		return fmt.Errorf("steer: kernel release %q has no version: %w", release, err)
	}
	if major < wantMajor || major == wantMajor && minor < wantMinor {
		return fmt.Errorf("steer: kernel %s: %w: %d.%d or newer is needed",
			release, ErrKernelTooOld, wantMajor, wantMinor)
	}
	return nil
}

// attached asks the kernel (RTM_GETLINK) for the ID of the XDP program on an interface, 0 if there is none.
func attached(ifindex int) (uint32, error) {
	rib, err := syscall.NetlinkRIB(unix.RTM_GETLINK, unix.AF_UNSPEC)
	if err != nil {
		return 0, fmt.Errorf("steer: list interfaces: %w", err)
	}
	msgs, err := syscall.ParseNetlinkMessage(rib)
	if err != nil {
		return 0, fmt.Errorf("steer: list interfaces: %w", err)
	}
	for i := range msgs {
		m := &msgs[i]
		if m.Header.Type != unix.RTM_NEWLINK || len(m.Data) < unix.SizeofIfInfomsg || linkIndex(m.Data) != ifindex {
			continue
		}
		attrs, err := syscall.ParseNetlinkRouteAttr(m)
		if err != nil {
			return 0, fmt.Errorf("steer: interface index %d: %w", ifindex, err)
		}
		for _, a := range attrs {
			if a.Attr.Type&^unix.NLA_F_NESTED == unix.IFLA_XDP {
				return programID(a.Value), nil
			}
		}
	}
	return 0, nil
}
