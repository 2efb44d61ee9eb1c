package qga

import (
	"context"
	"net/netip"
	"strings"
)

// Info is what an agent can do.
type Info struct {
	Version  string
	commands map[string]bool // → enabled
}

// Info asks the agent for its commands.
func (q *Conn) Info(ctx context.Context) (*Info, error) {
	var r struct {
		Version  string `json:"version"`
		Commands []struct {
			Name    string `json:"name"`
			Enabled bool   `json:"enabled"`
		} `json:"supported_commands"`
	}
	if err := q.call(ctx, "guest-info", nil, &r); err != nil {
		return nil, err
	}
	i := &Info{Version: printable(r.Version), commands: make(map[string]bool, len(r.Commands))}
	for _, c := range r.Commands {
		i.commands[c.Name] = c.Enabled
	}
	return i, nil
}

// Check returns an error that names the commands that the agent does not have, or that are blocked.
func (i *Info) Check(commands ...string) error {
	var blocked, unknown []string
	for _, c := range commands {
		switch enabled, known := i.commands[c]; {
		case !known:
			unknown = append(unknown, c)
		case !enabled:
			blocked = append(blocked, c)
		}
	}
	switch {
	case blocked != nil:
		return &Error{strings.Join(blocked, ", "), Blocked, "the guest's agent blocks it"}
	case unknown != nil:
		return &Error{strings.Join(unknown, ", "), Unknown, "the guest's agent (version " + i.Version +
			") does not have it"}
	}
	return nil
}

// Interface is an interface of the guest.
type Interface struct {
	Name      string
	Addresses []netip.Prefix
}

// Interfaces returns the guest's interfaces with their addresses.
func (q *Conn) Interfaces(ctx context.Context) ([]Interface, error) {
	var r []struct {
		Name      string `json:"name"`
		Addresses []struct {
			Address string `json:"ip-address"`
			Prefix  int    `json:"prefix"`
		} `json:"ip-addresses"`
	}
	if err := q.call(ctx, "guest-network-get-interfaces", nil, &r); err != nil {
		return nil, err
	}
	list := make([]Interface, 0, len(r))
	for _, n := range r {
		i := Interface{Name: n.Name}
		for _, a := range n.Addresses {
			if ip, err := netip.ParseAddr(a.Address); err == nil {
				if p := netip.PrefixFrom(ip.WithZone("").Unmap(), a.Prefix); p.IsValid() {
					i.Addresses = append(i.Addresses, p)
				}
			}
		}
		list = append(list, i)
	}
	return list, nil
}
