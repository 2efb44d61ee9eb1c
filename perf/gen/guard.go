package gen

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// ErrManagement says that an interface looks like one over which this machine is reached.
var ErrManagement = errors.New("AF_XDP would take its frames from the kernel, and perhaps your session with them")

// ErrNoInterface says that there is no interface of a name.
var ErrNoInterface = errors.New("there is no such interface in this network namespace")

// guard refuses an interface that carries addresses or a default route, itself or by way of one that stands on it:
// its bridge or bond, or a VLAN or macvlan of it. IPv6 link-local addresses, which every interface has, do not count.
func guard(h *netlink.Handle, l netlink.Link) error {
	a := l.Attrs()
	if a.Flags&net.FlagLoopback != 0 {
		return fmt.Errorf("it is the loopback: %w; use another one", ErrManagement)
	}
	all, err := h.LinkList()
	if err != nil {
		return fmt.Errorf("list interfaces: %w", err)
	}
	for _, on := range standing(all, l) {
		what, err := carries(h, on)
		if err != nil {
			return err
		}
		if what != "" {
			who := "it"
			if o := on.Attrs(); o.Index != a.Index {
				who = o.Name + ", which stands on it,"
			}
			return fmt.Errorf("%s carries %s: %w; use another port, or --force", who, what, ErrManagement)
		}
	}
	return nil
}

// standing returns an interface and all that stand on it.
func standing(all []netlink.Link, l netlink.Link) []netlink.Link {
	found := []netlink.Link{l}
	for i := 0; i < len(found); i++ {
		at := found[i].Attrs()
		for _, o := range all {
			on := o.Attrs()
			// The parent of a veth is its peer.
			above := on.Index == at.MasterIndex || on.ParentIndex == at.Index && on.NetNsID < 0 && o.Type() != "veth"
			known := slices.ContainsFunc(found, func(f netlink.Link) bool { return f.Attrs().Index == on.Index })
			if above && !known {
				found = append(found, o)
			}
		}
	}
	return found
}

// carries says what of this machine's own an interface carries, "" if nothing.
func carries(h *netlink.Handle, l netlink.Link) (string, error) {
	name := l.Attrs().Name
	addrs, err := h.AddrList(l, unix.AF_UNSPEC)
	if err != nil {
		return "", fmt.Errorf("list addresses of %s: %w", name, err)
	}
	var what []string
	for _, a := range addrs {
		if a.IP.To4() != nil || !a.IP.IsLinkLocalUnicast() {
			what = append(what, a.IPNet.String())
		}
	}
	for _, family := range [...]int{unix.AF_INET, unix.AF_INET6} {
		routes, err := h.RouteList(l, family)
		if err != nil {
			return "", fmt.Errorf("list routes of %s: %w", name, err)
		}
		for _, r := range routes {
			if ones := 0; r.Dst != nil {
				if ones, _ = r.Dst.Mask.Size(); ones > 0 {
					continue
				}
			}
			what = append(what, "a default route")
			break
		}
	}
	return strings.Join(what, ", "), nil
}

// explain adds to an error of the system what helps against missing rights.
func explain(err error) error {
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) {
		return fmt.Errorf("%w (run it as root, or with CAP_NET_ADMIN, CAP_NET_RAW and CAP_BPF)", err)
	}
	return err
}
