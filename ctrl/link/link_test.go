package link

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"penstock/ctrl/model"
)

// namespace puts the test, locked to its thread, into a network namespace of its own.
func namespace(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		if os.Getenv("PENSTOCK_REQUIRE_ROOT") == "1" {
			t.Fatal("needs root, and PENSTOCK_REQUIRE_ROOT=1 is set")
		}
		t.Skip("needs root")
	}
	runtime.LockOSThread()
	old, err := netns.Get()
	if err != nil {
		t.Fatal(err)
	}
	ns, err := netns.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ns.Close()
		if err := netns.Set(old); err != nil {
			t.Error(err) // the thread stays locked and ends with the goroutine
			return
		}
		old.Close()
		runtime.UnlockOSThread()
	})
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

const mac0 = model.MAC(0x020000000010)

// veth makes the pair name, name+"p"; both ends are down.
func veth(t *testing.T, name string) netlink.Link {
	t.Helper()
	a := netlink.NewLinkAttrs()
	a.Name, a.MTU = name, 1500
	a.HardwareAddr = []byte{2, 0, 0, 0, 0, 0x10}
	must(t, netlink.LinkAdd(&netlink.Veth{LinkAttrs: a, PeerName: name + "p"}))
	return byName(t, name)
}

func byName(t *testing.T, name string) netlink.Link {
	t.Helper()
	l, err := netlink.LinkByName(name)
	must(t, err)
	return l
}

// until reads events of an interface until one fits, and returns that event with the ones before it.
func until(t *testing.T, events <-chan Event, name string, fits func(Event) bool) []Event {
	t.Helper()
	var list []Event
	timeout := time.After(5 * time.Second)
	for {
		select {
		case e, ok := <-events:
			if !ok {
				t.Fatal("channel closed")
			}
			if e.Name != name {
				continue
			}
			list = append(list, e)
			if fits(e) {
				return list
			}
		case <-timeout:
			t.Fatalf("no event of %s fits, got %+v", name, list)
		}
	}
}

func present(e Event) bool { return e.Present }
func absent(e Event) bool  { return !e.Present }
func up(e Event) bool      { return e.Up }
func down(e Event) bool    { return e.Present && !e.Up }

func last(l []Event) Event { return l[len(l)-1] }

func TestWatch(t *testing.T) {
	namespace(t)
	v := veth(t, "port0")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	events, err := Watch(ctx, []string{"port0", "port1"})
	must(t, err)

	// The first state of each, present or not.
	e := until(t, events, "port0", func(Event) bool { return true })[0]
	if want := (Event{Name: "port0", Ifindex: v.Attrs().Index, Present: true, MTU: 1500, MAC: mac0}); e != want {
		t.Fatalf("first %+v, want %+v", e, want)
	}
	if e := until(t, events, "port1", func(Event) bool { return true })[0]; e != (Event{Name: "port1"}) {
		t.Fatalf("first event %+v, want it absent", e)
	}

	// Up needs both ends; carrier is lost with the other end.
	peer := byName(t, "port0p")
	must(t, netlink.LinkSetUp(v))
	must(t, netlink.LinkSetUp(peer))
	until(t, events, "port0", up)
	if e, err := Get("port0"); err != nil || !e.Up {
		t.Fatalf("Get: %+v, %v", e, err)
	}
	must(t, netlink.LinkSetDown(peer))
	until(t, events, "port0", down)
	must(t, netlink.LinkSetUp(peer))
	until(t, events, "port0", up)
	must(t, netlink.LinkSetDown(v))
	until(t, events, "port0", down)

	must(t, netlink.LinkSetMTU(v, 1400))
	until(t, events, "port0", func(e Event) bool { return e.MTU == 1400 })
	must(t, netlink.LinkSetHardwareAddr(v, []byte{2, 0, 0, 0, 0, 0x11}))
	until(t, events, "port0", func(e Event) bool { return e.MAC == 0x020000000011 })

	// Renamed: absent under the old name, present under the new one.
	must(t, netlink.LinkSetName(v, "port1"))
	if e := last(until(t, events, "port0", absent)); e != (Event{Name: "port0"}) {
		t.Fatalf("port0 after it was renamed: %+v, want it absent", e)
	}
	if e := last(until(t, events, "port1", present)); e.Ifindex != v.Attrs().Index {
		t.Fatalf("port1 after port0 was renamed to it: %+v, want interface %d", e, v.Attrs().Index)
	}
	must(t, netlink.LinkSetName(v, "port0"))
	until(t, events, "port0", present)

	// Removed and made anew: another interface.
	must(t, netlink.LinkDel(v))
	w := veth(t, "port0")
	list := until(t, events, "port0", present)
	if !slices.ContainsFunc(list, absent) || last(list).Ifindex != w.Attrs().Index ||
		w.Attrs().Index == v.Attrs().Index {
		t.Fatalf("events of port0 made anew: %+v, want it absent and then interface %d", list, w.Attrs().Index)
	}
	must(t, netlink.LinkDel(w))
	until(t, events, "port0", absent)

	cancel()
	for range events { // ends: the channel is closed
	}
}

// TestFollow: the same events as from Watch, reported by a call.
func TestFollow(t *testing.T) {
	namespace(t)
	v := veth(t, "port0")
	events := make(chan Event, 100)
	if err := Follow(t.Context(), []string{"port0"}, func(e Event) { events <- e }); err != nil {
		t.Fatal(err)
	}
	until(t, events, "port0", present)
	peer := byName(t, "port0p")
	must(t, netlink.LinkSetUp(v))
	must(t, netlink.LinkSetUp(peer))
	until(t, events, "port0", up)
	must(t, netlink.LinkSetDown(peer))
	until(t, events, "port0", down)
	must(t, netlink.LinkDel(v))
	until(t, events, "port0", absent)
	if err := Follow(t.Context(), []string{""}, func(Event) {}); err == nil {
		t.Error("an invalid name was accepted, want an error")
	}
}

// TestWatchBridge: joining and leaving a bridge sends link messages of another family, the last of them a "delete".
func TestWatchBridge(t *testing.T) {
	namespace(t)
	v := veth(t, "port0")
	a := netlink.NewLinkAttrs()
	a.Name = "br0"
	br := &netlink.Bridge{LinkAttrs: a}
	if err := netlink.LinkAdd(br); err != nil {
		if errors.Is(err, unix.EOPNOTSUPP) {
			t.Skip("the kernel has no bridge")
		}
		t.Fatal(err)
	}
	events, err := Watch(t.Context(), []string{"port0"})
	must(t, err)
	must(t, netlink.LinkSetMaster(v, br))
	must(t, netlink.LinkSetNoMaster(v))
	must(t, netlink.LinkSetMTU(v, 1300)) // comes after the messages of the bridge
	list := until(t, events, "port0", func(e Event) bool { return e.MTU == 1300 })
	if slices.ContainsFunc(list, absent) {
		t.Fatalf("port0 is absent after its bridge was removed: %+v, want it present", list)
	}
}

// TestWatchOverrun: events are not read while more arrive than the socket's buffer holds, so that the kernel drops
// notifications. The last state of each interface is still reported.
func TestWatchOverrun(t *testing.T) {
	namespace(t)
	v := veth(t, "port0")
	veth(t, "other")
	events, err := watch(t.Context(), []string{"port0", "port1", "other"}, 1)
	must(t, err)
	for i := range 300 {
		must(t, netlink.LinkSetMTU(v, 1000+i))
	}
	must(t, netlink.LinkSetName(v, "port1"))
	must(t, netlink.LinkDel(byName(t, "other")))
	if n := netlinkDrops(t); n == 0 {
		t.Fatal("the kernel dropped no notification, want drops: the test shows nothing without them")
	}
	until(t, events, "port1", func(e Event) bool { return e.MTU == 1299 })
	// "port0" and "other" may have been reported before.
	must(t, netlink.LinkSetName(v, "port0"))
	until(t, events, "port0", present)
	veth(t, "other")
	until(t, events, "other", func(e Event) bool { return e.Present && e.Ifindex == byName(t, "other").Attrs().Index })
}

// netlinkDrops adds up the drops of this namespace's netlink sockets.
func netlinkDrops(t *testing.T) (sum int) {
	f, err := os.Open("/proc/thread-self/net/netlink")
	must(t, err)
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		var n int
		if fs := strings.Fields(s.Text()); len(fs) > 8 && fs[0] != "sk" {
			_, err := fmt.Sscan(fs[8], &n)
			must(t, err)
			sum += n
		}
	}
	return sum
}

func TestWatchBadNames(t *testing.T) {
	for _, names := range [][]string{{""}, {"a-name-too-long-for-linux"}, {"port0", "port0"}} {
		if _, err := Watch(t.Context(), names); err == nil {
			t.Errorf("%q was accepted", names)
		}
	}
}

func TestGet(t *testing.T) {
	namespace(t)
	if e, err := Get("port0"); err != nil || e != (Event{Name: "port0"}) {
		t.Errorf("absent interface: %+v, error %v, want its name alone", e, err)
	}
	v := veth(t, "port0")
	if e, err := Get("port0"); err != nil || e.Ifindex != v.Attrs().Index || e.MAC != mac0 || e.Up {
		t.Errorf("port0: %+v, error %v, want interface %d, down, with its MAC", e, err, v.Attrs().Index)
	}
	if e, err := Get("lo"); err != nil || !e.Present || e.MAC != 0 {
		t.Errorf("lo: %+v, error %v, want it present without a MAC", e, err)
	}
	if _, err := Get("a-name-too-long-for-linux"); err == nil {
		t.Error("an impossible name was accepted, want an error")
	}
}

func TestPrepare(t *testing.T) {
	namespace(t)
	v := veth(t, "port0")
	undo, err := Prepare("port0", Options{Promisc: true, MTU: 2000})
	must(t, err)
	a := byName(t, "port0").Attrs()
	if a.RawFlags&unix.IFF_UP == 0 || a.MTU != 2000 || a.Promisc != 1 {
		t.Errorf("prepared: flags %#x MTU %d promiscuity %d", a.RawFlags, a.MTU, a.Promisc)
	}
	// From another thread, in another namespace.
	done := make(chan error)
	go func() { done <- undo() }()
	must(t, <-done)
	a = byName(t, "port0").Attrs()
	if a.RawFlags&unix.IFF_UP != 0 || a.MTU != 1500 || a.Promisc != 0 {
		t.Errorf("put back: flags %#x MTU %d promiscuity %d", a.RawFlags, a.MTU, a.Promisc)
	}
	must(t, netlink.LinkSetUp(v))
	must(t, undo())
	if byName(t, "port0").Attrs().RawFlags&unix.IFF_UP == 0 {
		t.Error("the second undo changed the interface, want no change")
	}
}

// TestPrepareChangesLittle: values that were right before are not touched, and later changes by others stay.
func TestPrepareChangesLittle(t *testing.T) {
	namespace(t)
	v := veth(t, "port0")
	must(t, netlink.LinkSetUp(v))
	undo, err := Prepare("port0", Options{MTU: 1600})
	must(t, err)
	if p := byName(t, "port0").Attrs().Promisc; p != 0 {
		t.Errorf("promiscuity %d, want none added", p)
	}
	must(t, netlink.LinkSetMTU(v, 1700))
	must(t, undo())
	if a := byName(t, "port0").Attrs(); a.RawFlags&unix.IFF_UP == 0 || a.MTU != 1700 {
		t.Errorf("flags %#x MTU %d, want it up with 1700", a.RawFlags, a.MTU)
	}

	// The interface is removed, and another one gets its name: undo leaves it alone.
	undo, err = Prepare("port0", Options{Promisc: true, MTU: 1600})
	must(t, err)
	must(t, netlink.LinkDel(v))
	w := veth(t, "port0")
	must(t, netlink.LinkSetMTU(w, 1600))
	must(t, netlink.LinkSetUp(w))
	must(t, undo())
	if a := byName(t, "port0").Attrs(); a.RawFlags&unix.IFF_UP == 0 || a.MTU != 1600 {
		t.Errorf("flags %#x MTU %d, want it left alone", a.RawFlags, a.MTU)
	}
}

// TestPrepareKeepsTags: an interface that strips tags leaves them in the frames while it is a port.
func TestPrepareKeepsTags(t *testing.T) {
	namespace(t)
	veth(t, "port0")
	expect := func(when string, want bool) {
		t.Helper()
		out, err := exec.Command("ethtool", "-k", "port0").CombinedOutput()
		if err != nil {
			t.Fatalf("ethtool (Debian: package ethtool, make deps): %v: %s", err, out)
		}
		if on := regexp.MustCompile(`(?m)^rx-vlan-offload: on`).Match(out); on != want {
			t.Errorf("%s: the interface strips tags: %v, want %v", when, on, want)
		}
	}
	expect("before", true) // precondition of the test
	warn := func(msg string, args ...any) { t.Error(msg, args) }
	undo, err := Prepare("port0", Options{Warn: warn})
	must(t, err)
	expect("prepared", false)
	again, err := Prepare("port0", Options{Warn: warn})
	must(t, err)
	must(t, again())
	expect("prepared twice, once put back", false)
	must(t, undo())
	expect("put back", true)
}

func TestPrepareFails(t *testing.T) {
	namespace(t)
	if _, err := Prepare("port0", Options{}); !errors.Is(err, ErrAbsent) {
		t.Errorf("error %v", err)
	}
	veth(t, "port0")
	if _, err := Prepare("port0", Options{MTU: 1 << 20}); err == nil || !strings.Contains(err.Error(), "port0") {
		t.Errorf("error %v", err)
	}
	if a := byName(t, "port0").Attrs(); a.RawFlags&unix.IFF_UP != 0 || a.MTU != 1500 {
		t.Errorf("left behind: flags %#x MTU %d", a.RawFlags, a.MTU)
	}
}
