package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/vishvananda/netlink"

	"penstock/ctrl/model"
	"penstock/perf/load"
)

const (
	ovsSchema   = "/usr/share/openvswitch/vswitch.ovsschema"
	ovsDPDK     = "/usr/lib/openvswitch-switch-dpdk/ovs-vswitchd-dpdk" // Debian's build with AF_XDP
	ovsPatience = 10 * time.Second
	ovsPackage  = "Debian: openvswitch-switch-dpdk"

	vni          = 100
	vtep         = "172.16.0.1/24"
	farVTEP      = "172.16.0.2"
	farVTEPMAC   = model.MAC(0x02000000ee03)
	vxlanPort    = 4789
	vxlanOuter   = 50 // Ethernet, IPv4, UDP, VXLAN (RFC 7348, 5)
	vxlanProto   = 23
	vxlanDst     = 30
	vxlanUDPDst  = 36
	vxlanFlags   = 42
	vxlanVNI     = 46
	vxlanHasVNI  = 8
	protocolUDP  = 17
	ovsInside    = "br-int"
	ovsOutside   = "br-phy"
	ovsTunnel    = "vx0"
	ovsSocket    = "db.sock"
	ovsctlSocket = "vswitchd.ctl"
)

var farVTEPOctets = []byte{172, 16, 0, 2}

// OVS is Open vSwitch's userspace datapath on its AF_XDP driver: one flow from port to port; with vxlan, one flow into
// a tunnel to a known far end.
func OVS(name string, vxlan bool) Device {
	o := &ovs{vxlan: vxlan}
	d := Device{Name: name, Flows: PlainFlows, Before: o.before, Command: o.command, Prepare: o.prepare, Expect: same}
	if vxlan {
		d.Expect = tunnelled
	}
	for _, tool := range [...]string{"ovsdb-tool", "ovsdb-server", "ovs-vsctl", "ovs-ofctl", "ovs-appctl"} {
		if _, err := exec.LookPath(tool); err != nil {
			d.Absent = fmt.Errorf("%s is not installed (%s)", tool, ovsPackage)
		}
	}
	var err error
	if o.program, err = exec.LookPath(ovsDPDK); err != nil {
		if o.program, err = exec.LookPath("ovs-vswitchd"); err != nil {
			d.Absent = fmt.Errorf("ovs-vswitchd is not installed (%s)", ovsPackage)
		}
	}
	return d
}

type ovs struct {
	program string
	vxlan   bool
}

// env puts a program's files into the device's directory.
func (o *ovs) env(b *Bed, argv ...string) []string {
	return append([]string{
		"env", "OVS_RUNDIR=" + b.Dir, "OVS_DBDIR=" + b.Dir, "OVS_LOGDIR=" + b.Dir, "OVS_SYSCONFDIR=" + b.Dir,
	}, argv...)
}

func (o *ovs) run(b *Bed, argv ...string) error {
	_, err := b.Lab.Run(dutNS, o.env(b, argv...)...)
	return err
}

// vsctl changes the database and, with wait, waits until ovs-vswitchd has done it.
func (o *ovs) vsctl(b *Bed, wait bool, args ...string) error {
	argv := []string{"ovs-vsctl", "--timeout=10", "--db=unix:" + filepath.Join(b.Dir, ovsSocket)}
	if !wait {
		argv = append(argv, "--no-wait")
	}
	return o.run(b, append(argv, args...)...)
}

// before starts a database server of the trial's own. It has nothing to do under load and runs beside the source.
func (o *ovs) before(ctx context.Context, b *Bed) error {
	db, sock := filepath.Join(b.Dir, "conf.db"), filepath.Join(b.Dir, ovsSocket)
	for _, f := range [...]string{db, sock, filepath.Join(b.Dir, ovsctlSocket)} {
		if err := os.Remove(f); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	if err := o.run(b, "ovsdb-tool", "create", db, ovsSchema); err != nil {
		return err
	}
	p, err := b.Lab.Start(dutNS, "ovsdb",
		o.env(b, "ovsdb-server", db, "--remote=punix:"+sock, "--no-chdir",
			"--unixctl="+filepath.Join(b.Dir, "ovsdb.ctl"))...)
	if err != nil {
		return err
	}
	b.Cleanup(func() error { p.Kill(); return nil })
	for deadline := time.Now().Add(ovsPatience); ; {
		if _, err := os.Stat(sock); err == nil {
			break
		}
		if !p.Running() || time.Now().After(deadline) {
			return fmt.Errorf("ovsdb-server does not listen:\n%s", tail(p.Log(), 2000))
		}
		if err := sleep(ctx, 10*time.Millisecond); err != nil {
			return err
		}
	}
	return o.vsctl(b, false, "init", "--", "set", "Open_vSwitch", ".",
		fmt.Sprintf("other_config:pmd-cpu-mask=%#x", 1<<b.CPUs[0]))
}

func (o *ovs) command(b *Bed) ([]string, error) {
	return o.env(b, o.program, "unix:"+filepath.Join(b.Dir, ovsSocket), "--no-chdir",
		"--unixctl="+filepath.Join(b.Dir, ovsctlSocket)), nil
}

func (o *ovs) prepare(_ context.Context, b *Bed) error {
	port := func(bridge, name string) []string {
		return []string{
			"--", "add-port", bridge, name, "--", "set", "interface", name, "type=afxdp", "options:n_rxq=1",
			"options:xdp-mode=native",
			"other_config:pmd-rxq-affinity=0:" + strconv.Itoa(b.CPUs[0]),
		}
	}
	bridge := func(name string) []string {
		return []string{"--", "add-br", name, "--", "set", "bridge", name, "datapath_type=netdev", "fail-mode=secure"}
	}
	flow := func(bridge, flow string) error {
		return o.run(b, "ovs-ofctl", "add-flow", "unix:"+filepath.Join(b.Dir, bridge+".mgmt"), flow)
	}
	if !o.vxlan {
		err := o.vsctl(b, true, slices.Concat(bridge(ovsInside), port(ovsInside, PortA), port(ovsInside, PortB))...)
		if err != nil {
			return err
		}
		return flow(ovsInside, "in_port="+PortA+",actions=output:"+PortB)
	}
	if err := o.vsctl(b, true, slices.Concat(
		bridge(ovsInside), port(ovsInside, PortA),
		[]string{
			"--", "add-port", ovsInside, ovsTunnel, "--", "set", "interface", ovsTunnel, "type=vxlan",
			"options:remote_ip=" + farVTEP,
			"options:key=" + strconv.Itoa(vni), "options:dst_port=" + strconv.Itoa(vxlanPort),
		},
		bridge(ovsOutside), port(ovsOutside, PortB))...); err != nil {
		return err
	}
	if err := b.Lab.Do(dutNS, func() error {
		l, err := netlink.LinkByName(ovsOutside)
		if err != nil {
			return err
		}
		addr, err := netlink.ParseAddr(vtep)
		if err != nil {
			return err
		}
		if err := netlink.AddrReplace(l, addr); err != nil {
			return fmt.Errorf("give %s the address %s: %w", ovsOutside, vtep, err)
		}
		return netlink.LinkSetUp(l)
	}); err != nil {
		return err
	}
	err := o.run(b, "ovs-appctl", "-t", filepath.Join(b.Dir, ovsctlSocket),
		"tnl/neigh/set", ovsOutside, farVTEP, farVTEPMAC.String())
	if err != nil {
		return err
	}
	if err := flow(ovsOutside, "in_port=LOCAL,actions=output:"+PortB); err != nil {
		return err
	}
	return flow(ovsInside, "in_port="+PortA+",actions=output:"+ovsTunnel)
}

// tunnelled is what OVS with VXLAN owes: the frame as it was behind outer headers to the far end, with its VNI.
func tunnelled(t load.Template) (load.Expect, error) {
	e, err := shifted(t, vxlanOuter)
	e.Values = append(e.Values,
		load.Value{Offset: 0, Octets: macOctets(farVTEPMAC)},
		load.Value{Offset: etherType, Octets: append(be16(ipv4EtherType), versionAndWords)},
		load.Value{Offset: vxlanProto, Octets: []byte{protocolUDP}},
		load.Value{Offset: vxlanDst, Octets: farVTEPOctets},
		load.Value{Offset: vxlanUDPDst, Octets: be16(vxlanPort)},
		load.Value{Offset: vxlanFlags, Octets: []byte{vxlanHasVNI}},
		load.Value{Offset: vxlanVNI, Octets: []byte{vni >> 16, vni >> 8, vni & 0xff}},
		load.Value{Offset: vxlanOuter, Octets: macOctets(firstRemote)[:2]},
		load.Value{Offset: vxlanOuter + 6, Octets: macOctets(sender)},
	)
	return e, err
}
