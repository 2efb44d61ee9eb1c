package style

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/netip"
	"path"
	"slices"
	"strings"
)

// A guest that owns an address on lo must not answer ARP for it on its other interfaces (arp_ignore 1), nor name it as
// sender of its own requests (arp_announce 2). Linux, Documentation/networking/ip-sysctl.rst. Larger values are
// stricter, and stay.

const sysctlPath = "/etc/sysctl.d/99-penstock.conf"

var sysctlKeys = []string{"all.arp_ignore", "lo.arp_ignore", "all.arp_announce", "lo.arp_announce"}

// need returns the least value of a sysctl.
func need(key string) int {
	if strings.HasSuffix(key, "arp_announce") {
		return 2
	}
	return 1
}

// State is what a guest was like before anything was done in it, and which addresses it was given. It stands in the
// guest's file in /etc/sysctl.d, and in the records of the box.
type State struct {
	Sysctls   map[string]int `json:"sysctl,omitempty"`    // values before
	Kept      []netip.Addr   `json:"kept,omitempty"`      // on lo before
	Made      []string       `json:"made,omitempty"`      // directories that were made, the outermost first
	Addresses []netip.Addr   `json:"addresses,omitempty"` // given to the guest
}

// Empty reports whether nothing was done.
func (s *State) Empty() bool { return len(s.Addresses) == 0 && len(s.Sysctls) == 0 && len(s.Made) == 0 }

func (s *State) clone() State {
	c := State{Sysctls: map[string]int{}, Kept: slices.Clone(s.Kept), Made: slices.Clone(s.Made),
		Addresses: slices.Clone(s.Addresses)}
	for k, v := range s.Sysctls {
		c.Sysctls[k] = v
	}
	return c
}

const stateLine = "# before: "

func sysctlFile(s *State) (File, error) {
	text, err := json.Marshal(s)
	if err != nil {
		return File{}, err
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s%s%s\n", header, stateLine, text)
	for _, k := range sysctlKeys {
		fmt.Fprintf(&b, "net.ipv4.conf.%s = %d\n", k, max(need(k), s.Sysctls[k]))
	}
	return File{Path: sysctlPath, Content: b.Bytes()}, nil
}

// stateIn reads the state in a sysctl file of ours. The guest may have changed it: what is not plausible is left out.
func stateIn(text []byte) (s State, ok bool) {
	const most = 1024
	for _, line := range bytes.Split(text, []byte{'\n'}) {
		v, found := bytes.CutPrefix(line, []byte(stateLine))
		if !found {
			continue
		}
		if json.Unmarshal(v, &s) != nil || len(s.Addresses) > most || len(s.Kept) > most || len(s.Made) > most {
			return State{}, false
		}
		for k, v := range s.Sysctls {
			if !slices.Contains(sysctlKeys, k) || v < 0 || v > 255 {
				delete(s.Sysctls, k)
			}
		}
		strange := func(a netip.Addr) bool { return !a.IsValid() || a.Zone() != "" }
		s.Addresses, s.Kept = slices.DeleteFunc(s.Addresses, strange), slices.DeleteFunc(s.Kept, strange)
		s.Made = slices.DeleteFunc(s.Made,
			func(p string) bool { return path.Clean(p) != p || !strings.HasPrefix(p, "/etc/") })
		return s, true
	}
	return State{}, false
}
