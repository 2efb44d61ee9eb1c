package style

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

const byHand = "configure the addresses in the guest by hand, and set the VIF's guest to manual"

// Detect returns the style of a guest, and whether it can hold addresses on lo. Several styles may leave traces in one
// guest. netplan writes for the others, so it comes first. Then comes what has its programs installed, then what has
// only files. Traces of our own do not count.
func Detect(f *Facts) (Style, error) {
	plan := f.any("/etc/netplan/*.yaml", netplanPath) || f.any("/run/netplan/*.yaml") || f.any("/lib/netplan/*.yaml")
	interfaces := f.paths["/etc/network/interfaces"]
	network := f.any("/etc/systemd/network/*.network", networkdPath) || f.any("/run/systemd/network/*.network")
	nm := f.paths["/etc/NetworkManager"]
	ifcfg := f.any(scripts+"/ifcfg-*") || f.paths[scripts]
	scriptsTool := f.paths[scripts+"/ifup"] || f.paths[scripts+"/ifup-aliases"] || f.paths["/etc/init.d/network"] ||
		f.paths["/etc/rc.d/init.d/network"]
	nmTool := len(f.nm) > 0
	switch {
	case plan && !f.nmByPlan:
		return Netplan, nil
	case plan:
		return NetworkManager, f.nmUsable()
	case interfaces && f.tools["ifquery"]:
		return Ifupdown, nil
	case nm && nmTool && ifcfg && scriptsTool:
		if f.nmUsable() != nil {
			return Ifcfg, nil
		}
		return NetworkManager, nil
	case ifcfg && scriptsTool:
		return Ifcfg, nil
	case nm && nmTool && !(network && !f.paths["/run/NetworkManager"]):
		return NetworkManager, f.nmUsable()
	case network:
		return Networkd, nil
	case interfaces:
		return Ifupdown, nil
	case nm:
		return NetworkManager, f.nmUsable()
	case ifcfg:
		return Ifcfg, nil
	case f.tools["systemd-networkd"] && (f.paths["/run/systemd/netif/state"] ||
		f.paths["/etc/systemd/system/multi-user.target.wants/systemd-networkd.service"]):
		return Networkd, nil
	case f.paths["/etc/netplan"] && f.tools["netplan"]:
		return Netplan, nil
	}
	return "", &Error{"the guest has none of ifupdown, netplan, systemd-networkd, NetworkManager and ifcfg files",
		"configure the addresses in the guest by hand so that they survive its restart, and set the VIF's guest to " +
			"manual"}
}

var versionNumber = regexp.MustCompile(`(\d{1,4})\.(\d{1,4})`)

// nmUsable says why NetworkManager cannot configure lo: it can since 1.42 (NetworkManager, NEWS of 1.42: "Add support
// for managing the loopback interface").
func (f *Facts) nmUsable() error {
	known := ""
	for _, said := range f.nm {
		m := versionNumber.FindStringSubmatch(said)
		if m == nil {
			continue
		}
		known = m[0]
		major, _ := strconv.Atoi(m[1])
		if minor, _ := strconv.Atoi(m[2]); major < 1 || major == 1 && minor < 42 {
			return &Error{fmt.Sprintf("the guest's NetworkManager is version %s, which cannot configure lo; 1.42 is "+
				"the first that can", strings.TrimSpace(known)),
				"update NetworkManager in the guest, or " + byHand}
		}
	}
	if known == "" {
		return &Error{"the guest has files of NetworkManager, and does not tell its version; 1.42 is the first that " +
			"can configure lo", "install NetworkManager 1.42 or later in the guest, or " + byHand}
	}
	return nil
}
