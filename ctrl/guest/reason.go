package guest

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"penstock/ctrl/guest/qga"
	"penstock/ctrl/guest/style"
)

// missingError says that a guest that is set up by hand lacks addresses.
type missingError struct{ addrs []netip.Addr }

func (e *missingError) Error() string { return fmt.Sprintf("the guest does not have %v", e.addrs) }

// of returns what to tell a VIF with these addresses; "" if it lacks none.
func (e *missingError) of(addrs []netip.Addr, manual bool) string {
	addrs = slices.DeleteFunc(slices.Clone(addrs), func(a netip.Addr) bool { return !slices.Contains(e.addrs, a) })
	if len(addrs) == 0 || !manual {
		return ""
	}
	return fmt.Sprintf("guest-network-get-interfaces does not show %s in the guest, which is set up by hand. To do: "+
		"type there: %s.", list(addrs), byHand(addrs))
}

func list(addrs []netip.Addr) string {
	var out []string
	for _, a := range addrs {
		out = append(out, style.Prefix(a).String())
	}
	return strings.Join(out, ", ")
}

// byHand is what to type in a guest.
func byHand(addrs []netip.Addr) string {
	const most = 4
	var out []string
	for i, a := range addrs {
		if i == most {
			out = append(out, "…")
			break
		}
		out = append(out, fmt.Sprintf("ip address replace %s dev lo", style.Prefix(a)))
	}
	return strings.Join(append(out, "sysctl -w net.ipv4.conf.all.arp_ignore=1 net.ipv4.conf.all.arp_announce=2"), "; ")
}

// reasonOf says what has failed for a VIF, and what to do.
func reasonOf(err error, socket string, v VIF) string {
	what, remedy := strings.TrimSuffix(err.Error(), "."), ""
	var e *qga.Error
	var lasting *style.Error
	switch {
	case errors.As(err, &lasting):
		what = "the addresses are in effect and will not survive the guest's restart: " + lasting.Text
		remedy = lasting.Remedy
	case errors.As(err, &e):
		remedy = remedyOf(e, socket)
	case errors.Is(err, context.DeadlineExceeded):
		what = fmt.Sprintf("guest-exec: the guest was not done within %v", passLimit)
		remedy = "look at the load of the guest"
	default:
		remedy = "look at box.state_dir"
	}
	if len(v.Addresses) > 0 && lasting == nil && !v.Manual {
		remedy += "; or set the VIF's guest to manual and type in the guest: " + byHand(v.Addresses)
	}
	return fmt.Sprintf("%s. To do: %s.", what, remedy)
}

const agentFile = "/etc/qemu/qemu-ga.conf or /etc/sysconfig/qemu-ga"

func remedyOf(e *qga.Error, socket string) string {
	switch e.Fault {
	case qga.Absent:
		return "start the guest, and the agent in it (package qemu-guest-agent); check that guest_agent " + socket +
			" is the socket of its channel org.qemu.guest_agent.0"
	case qga.Forbidden:
		return "give the box's account write permission for " + socket + " and access to its directory, as " +
			"setfacl -m u:penstock:rw does"
	case qga.Silent:
		return "start or restart qemu-guest-agent in the guest; end another program that holds " + socket +
			", for the agent serves one at a time"
	case qga.Nonsense:
		return "check that guest_agent " + socket + " is a QEMU guest agent's socket; restart qemu-guest-agent in " +
			"the guest"
	case qga.Blocked:
		return "in the guest, remove " + e.Command + " from the blocked commands in " + agentFile +
			", and restart qemu-guest-agent"
	case qga.Unknown:
		return "update qemu-guest-agent in the guest; it has " + e.Command + " since QEMU 2.5"
	case qga.Refused:
		return "look at the log of qemu-guest-agent in the guest"
	}
	return "look in the guest at what the command says"
}
