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
	// Required: if it does not work, the run ends with an error. Else the report says why it has no figures.
	Required bool
	// Workers is how many CPUs the device has, the source's among them, and how many queues its interfaces have; 0 = 1.
	Workers int
	// Sources is how many of the queues the source feeds, in equal parts; 0 = 1.
	Sources int
	// Patience is how long it may take from the first frame sent to the first that comes out; 0 = 15 s.
	Patience time.Duration

	// Frames makes the source's template; nil: UDP to Flows destination MACs.
	Frames func(size, flows int) (load.Template, error)
	// Before is called for each trial when the interfaces are there and the program does not run yet; nil if there is
	// nothing to do.
	Before func(context.Context, *Bed) error
	// Command returns the program and its arguments; nil if the device is the kernel, set up by Before.
	Command func(*Bed) ([]string, error)
	// Prepare is called for each trial once the program runs; nil if there is nothing to do.
	Prepare func(context.Context, *Bed) error
	// Expect says what the frames of a template are when they come out.
	Expect func(load.Template) (load.Expect, error)
}

// Bed is what a device is put into.
type Bed struct {
	Lab     *lab.Lab
	Process *lab.Process // nil if the device is the kernel
	Dir     string       // of the device, kept from trial to trial
	CPUs    []int        // of the device; the first it has to itself
	House   []int        // of the process's threads that do not choose their CPU; nil = CPUs

	clean []func() error // in reverse order
}

// Cleanup calls f at the end of the trial, before the functions of earlier calls.
func (b *Bed) Cleanup(f func() error) { b.clean = append(b.clean, f) }

// The namespaces and interfaces of a bed.
const (
	genNS, dutNS, sinkNS = "gen", "dut", "sink"
	SourceIf             = "g0"
	PortA, PortB         = "a0", "b0"
	SinkIf               = "s0"
)

// PlainFlows is how many flows a device gets that does not look at them.
const PlainFlows = 1000

// What the source's frames have in common.
const (
	tenant           = 100
	segment          = 7
	firstRemote      = model.MAC(0x020100000000) // flow k goes to firstRemote + k
	sender           = model.MAC(0x02000000cc01)
	macA, macB       = model.MAC(0x02000000aa0a), model.MAC(0x02000000aa0b) // of PortA and PortB
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
		cpu := strconv.Itoa(b.CPUs[0])
		return []string{
			"env", "RUNTIME_DIRECTORY=" + b.Dir, path, "--no-shconf", "--no-telemetry", "--no-huge", "-m", "1024",
			"--no-pci",
			"--lcores", "0@" + cpu + ",1@" + cpu, "--main-lcore", "1",
			"--vdev", "net_af_xdp0,iface=" + PortA, "--vdev", "net_af_xdp1,iface=" + PortB, "--",
			"--forward-mode=mac", "--auto-start", "--nb-cores=1", "--total-num-mbufs=16384", "--no-lsc-interrupt",
			"--txd=2048", "--rxd=2048",
		}, nil
	}
	return d
}

func be16(v uint16) []byte { return binary.BigEndian.AppendUint16(nil, v) }

func macOctets(m model.MAC) []byte {
	return append(be16(uint16(m>>32)), append(be16(uint16(m>>16)), be16(uint16(m))...)...)
}
