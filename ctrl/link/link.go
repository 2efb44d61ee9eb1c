// Package link reads and prepares the kernel's network interfaces, and is the only importer of netlink: which of the
// box's ports exist, whether they have carrier, their MTU and MAC, and how a port is prepared for AF_XDP.
//
// Everything happens in the network namespace of the calling thread; background work started by a call stays in that
// namespace.
package link

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"penstock/ctrl/model"
)

// Event is the state of one interface. An absent interface has only its name.
type Event struct {
	Name    string
	Ifindex int       // another index means another interface, though the name is the same
	Present bool      // the kernel has an interface of this name
	Up      bool      // administratively up, and with carrier (IFF_UP and IFF_LOWER_UP)
	MTU     int       // octets behind the Ethernet header
	MAC     model.MAC // 0 if the interface has no Ethernet address
}

// ErrAbsent is returned for an interface that does not exist.
var ErrAbsent = errors.New("there is no interface of this name")

// Get reads the state of an interface once. An interface that does not exist is no error.
func Get(name string) (Event, error) {
	l, err := find(name)
	if errors.Is(err, ErrAbsent) {
		return Event{Name: name}, nil
	}
	if err != nil {
		return Event{}, fmt.Errorf("interface %s: %w", name, err)
	}
	return eventOf(l.Attrs()), nil
}

// find is netlink.LinkByName for primary names only. Alternative names do not count, since an event names the
// interface by its primary name.
func find(name string) (netlink.Link, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	l, err := netlink.LinkByName(name)
	if errors.As(err, new(netlink.LinkNotFoundError)) {
		return nil, ErrAbsent
	}
	return l, err
}

func checkName(name string) error {
	if name == "" || len(name) >= unix.IFNAMSIZ {
		return fmt.Errorf("%q is no interface name: want 1 to %d octets", name, unix.IFNAMSIZ-1)
	}
	return nil
}

func eventOf(a *netlink.LinkAttrs) Event {
	return Event{
		Name:    a.Name,
		Ifindex: a.Index,
		Present: true,
		Up:      isUp(a.RawFlags),
		MTU:     a.MTU,
		MAC:     macOf(a.HardwareAddr),
	}
}

func isUp(flags uint32) bool {
	const up = unix.IFF_UP | unix.IFF_LOWER_UP
	return flags&up == up
}

func macOf(a net.HardwareAddr) model.MAC {
	if len(a) != 6 {
		return 0
	}
	return model.MAC(binary.BigEndian.Uint16(a))<<32 | model.MAC(binary.BigEndian.Uint32(a[2:]))
}
