package style

import (
	"fmt"
	"net/netip"
	"path"
	"slices"
	"strconv"
	"strings"
)

// ifcfg files of the network scripts (sysconfig.txt of initscripts). An alias has one IPv4 address. ARPUPDATE=no keeps
// ifup-aliases from announcing it. IPv6 addresses can stand in ifcfg-lo only, which is the administrator's.

const (
	scripts     = "/etc/sysconfig/network-scripts"
	ifcfgPrefix = scripts + "/ifcfg-lo:"
)

func ifcfgFiles(f *Facts, addrs []netip.Addr) (files []File, err error) {
	used := map[int]bool{} // by others, or kept
	have := map[netip.Addr]int{}
	for p, c := range f.files {
		n, ok := aliasNumber(p)
		if !ok {
			continue
		}
		if a, ok := ifcfgAddress(c.text); c.ours() && ok && slices.Contains(addrs, a) {
			if m, twice := have[a]; !twice || n < m {
				have[a] = n
			}
		} else if !c.ours() {
			used[n] = true
		}
	}
	for _, n := range have {
		used[n] = true
	}
	var six []string
	next := 0
	for _, a := range addrs {
		if !a.Is4() {
			six = append(six, Prefix(a).String())
			continue
		}
		n, ok := have[a]
		if !ok {
			for used[next] {
				next++
			}
			n = next
			used[n] = true
		}
		files = append(files, File{Path: ifcfgPrefix + strconv.Itoa(n), Content: fmt.Appendf(nil,
			"%sDEVICE=lo:%d\nIPADDR=%s\nNETMASK=255.255.255.255\nONBOOT=yes\nARPCHECK=no\nARPUPDATE=no\n",
			header, n, a)})
	}
	if six != nil {
		err = &Error{"an ifcfg file of an alias cannot hold IPv6 addresses, here " + strings.Join(six, ", "),
			fmt.Sprintf("in the guest, add IPV6INIT=yes and IPV6ADDR_SECONDARIES=\"%s\" to %s/ifcfg-lo, and set the "+
				"VIF's guest to manual", strings.Join(six, " "), scripts)}
	}
	return files, err
}

// aliasNumber returns N of the path ifcfg-lo:N.
func aliasNumber(p string) (n int, ok bool) {
	if !strings.HasPrefix(p, ifcfgPrefix) || path.Dir(p) != scripts {
		return 0, false
	}
	n, err := strconv.Atoi(p[len(ifcfgPrefix):])
	return n, err == nil && n >= 0 && n < 1<<16
}

func ifcfgAddress(text []byte) (netip.Addr, bool) {
	for _, line := range strings.Split(string(text), "\n") {
		if v, ok := strings.CutPrefix(line, "IPADDR="); ok {
			a, err := netip.ParseAddr(v)
			return a, err == nil
		}
	}
	return netip.Addr{}, false
}
