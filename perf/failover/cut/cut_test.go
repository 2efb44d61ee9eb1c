package cut

import (
	"bytes"
	"errors"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"penstock/ctrl/model"
	"penstock/integration/endpoint"
	"penstock/integration/lab"
)

// frame is one of the given EtherType to a station. mark tells frames apart.
func frame(to model.MAC, etherType uint16, mark byte) []byte {
	b := make([]byte, 60)
	for i := range 6 {
		b[i] = byte(to >> (40 - 8*i))
	}
	copy(b[6:], []byte{2, 0, 0, 0, 0, 0x77})
	b[12], b[13], b[59] = byte(etherType>>8), byte(etherType), mark
	return b
}

func TestCut(t *testing.T) {
	if os.Geteuid() != 0 {
		if os.Getenv("PENSTOCK_REQUIRE_ROOT") == "1" {
			t.Fatal("root is required")
		}
		t.Skip("needs root")
	}
	l, err := lab.New("cut")
	must(t, err)
	defer func() { must(t, l.Close()) }()
	for _, ns := range []string{"near", "far"} {
		must(t, l.Namespace(ns))
		must(t, l.Sysctl(ns, "net/ipv6/conf/default/disable_ipv6", "1"))
	}
	const station = model.MAC(0x020000000001)
	must(t, l.Veth("near", "a", "far", "b", lab.VethOptions{B: lab.EndOptions{MAC: station}}))
	var near, far *endpoint.Raw
	var c *Cut
	must(t, l.Do("near", func() (err error) { near, err = endpoint.Open("a"); return err }))
	defer near.Close()
	must(t, l.Do("far", func() (err error) {
		if far, err = endpoint.Open("b"); err == nil {
			c, err = Attach("b")
		}
		return err
	}))
	defer far.Close()
	defer c.Close()

	const ip, arp, other = 0x0800, 0x0806, 0x88b5
	mark := byte(0)
	// passes reports whether a frame gets out of b. Arriving frames are read from the counters, since packet sockets
	// see frames before the cut.
	passes := func(etherType uint16) bool {
		mark++
		f := frame(0x020000000055, etherType, mark)
		err := far.Send(f)
		if errors.Is(err, unix.ENOBUFS) { // what the kernel says when a frame is dropped on its way out
			return false
		}
		must(t, err)
		_, err = near.Find(5*time.Second, func(b []byte) bool { return bytes.Equal(b, f) })
		return err == nil
	}
	wait := func(want Counts) {
		t.Helper()
		var n Counts
		for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
			var err error
			n, err = c.Counts()
			must(t, err)
			if n == want {
				return
			}
		}
		t.Errorf("%+v, want %+v", n, want)
	}
	for _, tc := range []struct {
		mode                   uint64
		outIP, outARP, outElse bool
		want                   Counts
	}{
		{0, true, true, true, Counts{IPv4In: 1}},
		{In, true, true, true, Counts{Dropped: 4}},
		{Out, false, false, false, Counts{IPv4In: 1, Dropped: 3}},
		{In | Out, false, false, false, Counts{Dropped: 7}},
		{InARP, true, true, true, Counts{IPv4In: 1, Dropped: 1}},
		{OutARP, true, false, true, Counts{IPv4In: 1, Dropped: 1}},
		{InARP | OutARP, true, false, true, Counts{IPv4In: 1, Dropped: 2}},
	} {
		must(t, c.Set(tc.mode))
		for _, f := range [][]byte{
			frame(station, ip, 0),
			frame(0x0300000000ff, ip, 0), // not to the station
			frame(station, arp, 0),
			frame(station, other, 0),
		} {
			must(t, near.Send(f))
		}
		gotIP, gotARP, gotElse := passes(ip), passes(arp), passes(other)
		if gotIP != tc.outIP || gotARP != tc.outARP || gotElse != tc.outElse {
			t.Errorf("mode %d: IPv4 leaves %t, ARP %t, others %t", tc.mode, gotIP, gotARP, gotElse)
		}
		wait(tc.want)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
