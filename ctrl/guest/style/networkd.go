package style

import (
	"fmt"
	"net/netip"
	"path"
	"slices"
	"strings"
)

// systemd-networkd (systemd.network(5)). The first file that matches an interface configures it, so a guest that has a
// file for lo gets a drop-in to it. networkd runs as an account of its own, and reads the files under it: the account
// owns ours, since nobody else may read them.

const (
	networkdPath = "/etc/systemd/network/05-penstock-lo.network"
	networkdDrop = "/etc/systemd/network/*.network.d/penstock.conf"
	networkdUser = "systemd-network"
)

func networkdFile(f *Facts, addrs []netip.Addr) File {
	var b strings.Builder
	b.WriteString(header)
	file := File{Path: networkdPath}
	if other := networkdOther(f); other != "" {
		file.Path = "/etc/systemd/network/" + other + ".d/penstock.conf"
	} else {
		b.WriteString("[Match]\nName=lo\n\n")
	}
	b.WriteString("[Network]\n")
	for _, a := range addrs {
		fmt.Fprintf(&b, "Address=%s\n", Prefix(a))
	}
	file.Owner = f.users[networkdUser]
	file.Content = []byte(b.String())
	return file
}

// networkdOther returns the name of the file, not ours, that configures lo: the first one by name, whatever its
// directory.
func networkdOther(f *Facts) string {
	var names []string
	for _, p := range f.lo {
		if p != networkdPath && strings.HasSuffix(p, ".network") {
			names = append(names, path.Base(p))
		}
	}
	if names == nil {
		return ""
	}
	return slices.Min(names)
}
