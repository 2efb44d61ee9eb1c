package style

import (
	"fmt"
	"net/netip"
	"strings"
)

// netplan (netplan(5)). It joins the addresses that several files give an interface. Where NetworkManager renders,
// package style writes for NetworkManager itself: netplan up to 0.106 makes lo a connection of type ethernet, which
// NetworkManager does not bring up.

const netplanPath = "/etc/netplan/90-penstock.yaml"

func netplanFile(addrs []netip.Addr) File {
	var b strings.Builder
	b.WriteString(header + "network:\n  version: 2\n  ethernets:\n    lo:\n      addresses:\n")
	for _, a := range addrs {
		fmt.Fprintf(&b, "        - \"%s\"\n", Prefix(a))
	}
	return File{Path: netplanPath, Content: []byte(b.String())}
}
