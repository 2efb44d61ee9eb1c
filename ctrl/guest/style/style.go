// Package style knows how a guest configures its network, and what to change there so that it owns addresses on its
// loopback interface: addresses and sysctls of the running kernel, and files in the guest's own style. It is pure: it
// reads what inspect.sh has said of the guest (Facts) and returns what to do (Plan); package guest carries it out.
//
// Files in the order of reading: facts.go and inspect.sh (what a guest is like), detect.go (which style it has), a file
// for each style, sysctl.go, plan.go (the difference between what is there and what is to be there), scripts.go (what
// runs in the guest). README.md beside package guest says what is written where.
//
// Every file of ours has a header line, by which it is known again: a file with its name and without the header is
// another's, and is an error. The file in /etc/sysctl.d also carries State, which is what there was before, so that
// whoever comes later can undo it: a box that has lost its records, or the box that the guest has moved to.
package style

import (
	"fmt"
	"net/netip"
	"path"
	"slices"
)

// Style is a way in which a guest configures its network.
type Style string

// The styles.
const (
	Ifupdown       Style = "ifupdown"
	Netplan        Style = "netplan"
	Networkd       Style = "systemd-networkd"
	NetworkManager Style = "NetworkManager"
	Ifcfg          Style = "ifcfg"
)

// header begins every file of ours.
const header = "# Written by Penstock for the virtual addresses of this guest. It is removed with the last of them.\n"

// File is a file as it is to be.
type File struct {
	Path    string
	Content []byte
	Owner   string // number; "" = root; its mode is 0600
	Edit    bool   // the administrator's file: owner and mode stay
}

// Error is why the addresses of a guest cannot be made to last. They are in effect until its next start.
type Error struct {
	Text   string
	Remedy string
}

func (e *Error) Error() string { return e.Text }

// filesOf returns the files that the style needs for addresses.
func filesOf(s Style, f *Facts, addrs []netip.Addr) ([]File, error) {
	switch s {
	case Ifupdown:
		return ifupdownFiles(f, addrs)
	case Netplan:
		return []File{netplanFile(addrs)}, nil
	case Networkd:
		return []File{networkdFile(f, addrs)}, nil
	case NetworkManager:
		return networkManagerFiles(f, addrs)
	case Ifcfg:
		return ifcfgFiles(f, addrs)
	}
	return nil, fmt.Errorf("no style %q", s)
}

// Prefix is an address as it stands on lo: /32 or /128.
func Prefix(a netip.Addr) netip.Prefix { return netip.PrefixFrom(a, a.BitLen()) }

// dirs returns the directories of a file, the outermost first, without "/" and /etc.
func dirs(file string) (out []string) {
	for d := path.Dir(file); d != "/" && d != "/etc" && d != "."; d = path.Dir(d) {
		out = append(out, d)
	}
	slices.Reverse(out)
	return out
}
