package e2e

import (
	"context"
	"encoding/binary"
	"errors"
	"os/exec"
	"strconv"
	"time"

	"penstock/ctrl/model"
	"penstock/integration/lab"
	"penstock/perf/load"
)

// Device is something that forwards from interface PortA to PortB.
type Device struct {
	Name   string
	Flows  int   // that the source sends it
	Absent error // why it cannot be measured here; nil if it can
	// Patience is how long it may take from the first frame sent to the first that comes out; 0 = 15 s.
	Patience time.Duration

	// Command returns the program and its arguments.
	Command func(*Bed) ([]string, error)
	// Prepare is called once the program runs, and again for each trial; nil if there is nothing to do.
	Prepare func(context.Context, *Bed) error
	// Expect says what the frames of a template are when they come out.
	Expect func(load.Template) (load.Expect, error)
}

// Bed is what a device is put into.
type Bed struct {
	Lab     *lab.Lab
	Process *lab.Process
	Dir     string // of the device, kept from trial to trial
	CPU     int    // that the device has to itself
}

// The namespaces and interfaces of a bed.
const (
	gen, dut, sink = "gen", "dut", "sink"
	SourceIf       = "g0"
	PortA, PortB   = "a0", "b0"
	SinkIf         = "s0"
)

// PlainFlows is how many flows a device gets that does not look at them.
const PlainFlows = 1000

// What the source's frames have in common.
const (
	tenant           = 100
	segment          = 7
	firstRemote      = model.MAC(0x020100000000) // flow k goes to firstRemote + k
	sender           = model.MAC(0x02000000cc01)
	srcPort, dstPort = 1024, 9
)

var senderIP, remoteIP = [4]byte{10, 0, 0, 1}, [4]byte{10, 0, 0, 2}

func template(size, flows int) (load.Template, error) {
	return load.UDP(size, flows, firstRemote, sender, senderIP, remoteIP, srcPort, dstPort)
}

// Offsets in an Ethernet frame that starts where a value stands.
const (
	etherType = 12
	ipv4      = 14
	ipv4Len   = 22 // EtherType to destination address
	udpRest   = 36 // destination port, length, no checksum
	udpLen    = 6
)

// same is what a plain forwarder owes: everything but the MAC addresses as it was.
func same(t load.Template) (load.Expect, error) { return shifted(t, 0) }

// shifted expects the template behind n octets of something else.
func shifted(t load.Template, n int) (load.Expect, error) {
	e := load.Expect{Size: n + len(t.Frame)}
	for _, part := range [...][2]int{{etherType, ipv4Len}, {udpRest, udpLen}} {
		octets, err := t.Constant(part[0], part[1])
		if err != nil {
			return e, err
		}
		e.Values = append(e.Values, load.Value{Offset: n + part[0], Octets: octets})
	}
	return e, nil
}

// Asavie is the plain forwarder of package baseline; binary is its command.
func Asavie(binary string) Device {
	return Device{
		Name: "asavie", Flows: PlainFlows, Expect: same,
		Command: func(*Bed) ([]string, error) { return []string{binary, "-a", PortA, "-b", PortB}, nil },
	}
}

// Testpmd is DPDK's testpmd, which writes new MAC addresses (`mac`) and nothing else, on DPDK's AF_XDP driver.
func Testpmd() Device {
	d := Device{Name: "testpmd", Flows: PlainFlows, Expect: same}
	path, err := exec.LookPath("dpdk-testpmd")
	if err != nil {
		d.Absent = errors.New("dpdk-testpmd is not installed (Debian: dpdk, dpdk-dev, librte-net-af-xdp23)")
	}
	d.Command = func(b *Bed) ([]string, error) {
		// Two threads as it demands, both on the device's CPU; the main one sleeps.
		cpu := strconv.Itoa(b.CPU)
		return []string{
			"env", "RUNTIME_DIRECTORY=" + b.Dir, path, "--no-shconf", "--no-telemetry", "--no-huge", "-m", "1024", "--no-pci",
			"--lcores", "0@" + cpu + ",1@" + cpu, "--main-lcore", "1",
			"--vdev", "net_af_xdp0,iface=" + PortA, "--vdev", "net_af_xdp1,iface=" + PortB, "--",
			"--forward-mode=mac", "--auto-start", "--nb-cores=1", "--total-num-mbufs=16384", "--no-lsc-interrupt", "--txd=2048", "--rxd=2048",
		}, nil
	}
	return d
}

func be16(v uint16) []byte { return binary.BigEndian.AppendUint16(nil, v) }
