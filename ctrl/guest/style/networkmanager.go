package style

import (
	"fmt"
	"net/netip"
	"strings"
)

// NetworkManager (nm-settings-keyfile(5)) from 1.42 on. It gives lo 127.0.0.1/8 and ::1/128 by itself. An interface has
// one profile at a time, so a second one for lo would not be in effect.

const (
	nmDir  = "/etc/NetworkManager/system-connections"
	nmPath = nmDir + "/penstock-lo.nmconnection"
	// The same everywhere: it names the profile within one guest.
	nmUUID = "7d1d0b4e-5b3a-5c0b-9d55-70656e73746f"
)

func networkManagerFiles(f *Facts, addrs []netip.Addr) ([]File, error) {
	for _, p := range f.lo {
		if strings.HasPrefix(p, nmDir+"/") && p != nmPath {
			var list []string
			for _, a := range addrs {
				list = append(list, Prefix(a).String())
			}
			return nil, &Error{"the guest has a profile of its own for lo, " + p + ", and only one is in effect",
				fmt.Sprintf("add %s to that profile and set the VIF's guest to manual, or remove the profile",
					strings.Join(list, ", "))}
		}
	}
	var four, six []string
	for _, a := range addrs {
		if a.Is4() {
			four = append(four, Prefix(a).String())
		} else {
			six = append(six, Prefix(a).String())
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s[connection]\nid=penstock-lo\nuuid=%s\ntype=loopback\ninterface-name=lo\n\n[loopback]\n", header,
		nmUUID)
	section := func(name string, list []string) {
		fmt.Fprintf(&b, "\n[%s]\n", name)
		for i, a := range list {
			fmt.Fprintf(&b, "address%d=%s\n", i+1, a)
		}
		method := "manual"
		if list == nil {
			method = "auto"
		}
		fmt.Fprintf(&b, "method=%s\n", method)
	}
	section("ipv4", four)
	section("ipv6", six)
	return []File{{Path: nmPath, Content: []byte(b.String())}}, nil
}
