package xsktest

import (
	"os"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// wiresEnv names pairs of interfaces that are joined with each other and whose driver has zero-copy mode, as
// "eth1-eth2 eth3-eth4": what a guest of integration/vm has. Nothing else is on those wires.
const wiresEnv = "PENSTOCK_TEST_WIRES"

// Wire takes the next free pair of zero-copy interfaces into the current namespace, under the names a and b, up; the
// test skips if there is none. Where the test ends they go back.
func Wire(t testing.TB, a, b string) (End, End) {
	t.Helper()
	pairs := strings.Fields(os.Getenv(wiresEnv))
	if len(pairs) == 0 {
		t.Skip("needs interfaces with zero-copy mode: make test-vm has them")
	}
	outer := outside(t)
	defer outer.Close()
	for _, pair := range pairs {
		one, two, _ := strings.Cut(pair, "-")
		if _, err := outer.LinkByName(one); err != nil {
			continue // taken
		}
		return take(t, outer, one, a), take(t, outer, two, b)
	}
	t.Fatalf("all wires of %s=%q are in use", wiresEnv, os.Getenv(wiresEnv))
	return End{}, End{}
}

// outside is netlink in the namespace that the process was started in.
func outside(t testing.TB) *netlink.Handle {
	t.Helper()
	h, err := netlink.NewHandleAt(home, unix.NETLINK_ROUTE)
	if err != nil {
		t.Fatalf("netlink in the namespace of the process: %v", err)
	}
	return h
}

// take moves an interface here, until the test ends, and sets it up.
func take(t testing.TB, outer *netlink.Handle, from, to string) End {
	t.Helper()
	move(t, outer, from, to)
	t.Cleanup(func() { giveBack(t, to, from) })
	Up(t, to)
	return End{to, index(t, to)}
}

func move(t testing.TB, outer *netlink.Handle, from, to string) {
	t.Helper()
	here, err := netns.Get()
	if err != nil {
		t.Fatalf("get network namespace: %v", err)
	}
	defer here.Close()
	l, err := outer.LinkByName(from)
	if err != nil {
		t.Fatalf("find %s: %v", from, err)
	}
	if err := outer.LinkSetDown(l); err != nil {
		t.Fatalf("set %s down: %v", from, err)
	}
	if err := outer.LinkSetNsFd(l, int(here)); err != nil {
		t.Fatalf("take %s: %v", from, err)
	}
	if l, err = netlink.LinkByName(from); err == nil {
		err = netlink.LinkSetName(l, to)
	}
	if err == nil {
		err = netlink.SetPromiscOn(l) // test frames are for nobody's MAC
	}
	if err != nil {
		t.Fatalf("call %s %s and make it promiscuous: %v", from, to, err)
	}
}

// giveBack moves an interface to the namespace that the process was started in; sockets that are bound to it lose it.
func giveBack(t testing.TB, name, as string) {
	t.Helper()
	l := find(t, name)
	if err := netlink.LinkSetDown(l); err != nil {
		t.Errorf("set %s down: %v", name, err)
	}
	if err := netlink.LinkSetName(l, as); err != nil {
		t.Errorf("call %s %s: %v", name, as, err)
	}
	if err := netlink.LinkSetNsFd(l, int(home)); err != nil {
		t.Errorf("give %s back: %v", name, err)
	}
}

// TakeAway has the effect of deleting an interface, for an interface of a Wire: sockets that are bound to the interface
// lose it. The interface then comes back under another index, up.
func TakeAway(t testing.TB, e End) End {
	t.Helper()
	giveBack(t, e.Name, "away-"+e.Name)
	outer := outside(t)
	defer outer.Close()
	move(t, outer, "away-"+e.Name, e.Name)
	Up(t, e.Name)
	return End{e.Name, index(t, e.Name)}
}
