package e2e

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"github.com/cilium/ebpf/rlimit"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"penstock/ctrl/model"
	"penstock/dataplane/wire/checksum"
	"penstock/perf/load"
)

// What the kernel's devices do is done within the reception of a frame: they have no process.

const (
	nextHop   = model.MAC(0x02000000ee02) // of remoteIP, as the kernel's router knows it
	routerTTL = 63                        // of a template's 64, behind a router
	bridgeIf  = "br"
)

// KernelRoute is the kernel's IPv4 forwarding: one route, one neighbour, a flow by its UDP source port.
func KernelRoute() Device {
	return Device{
		Name: "kernel-route", Flows: PlainFlows, Expect: routed,
		Frames: func(size, flows int) (load.Template, error) {
			t, err := load.UDP(size, flows, macA, sender, senderIP, remoteIP, srcPort, dstPort)
			if err == nil {
				t.Vary = t.Vary[1:] // all to the router's MAC
			}
			return t, err
		},
		Before: func(_ context.Context, b *Bed) error {
			if err := router(b); err != nil {
				return err
			}
			return b.Lab.Do(dutNS, func() error {
				out, err := netlink.LinkByName(PortB)
				if err != nil {
					return err
				}
				to := &net.IPNet{IP: remoteIP[:], Mask: net.CIDRMask(32, 32)}
				if err := netlink.RouteReplace(&netlink.Route{
					LinkIndex: out.Attrs().Index, Dst: to, Scope: netlink.SCOPE_LINK,
				}); err != nil {
					return fmt.Errorf("route %v: %w", to, err)
				}
				return neighbour(netlink.Neigh{
					LinkIndex: out.Attrs().Index, Family: unix.AF_INET,
					State: netlink.NUD_PERMANENT, IP: remoteIP[:],
				}, nextHop)
			})
		},
	}
}

// router lets the kernel forward between the ports of a bed.
func router(b *Bed) error {
	for _, kv := range [...][2]string{
		{"all/rp_filter", "0"}, {PortA + "/rp_filter", "0"},
		{PortA + "/forwarding", "1"}, {PortB + "/forwarding", "1"},
	} {
		if err := b.Lab.Sysctl(dutNS, "net/ipv4/conf/"+kv[0], kv[1]); err != nil {
			return err
		}
	}
	return nil
}

// routed is what the kernel's router owes: new MACs, one less to live.
func routed(t load.Template) (load.Expect, error) {
	ip := append([]byte(nil), t.Frame[ipv4:ipv4+20]...)
	ip[8], ip[10], ip[11] = routerTTL, 0, 0
	binary.BigEndian.PutUint16(ip[10:], checksumOf(ip))
	rest, err := t.Constant(udpRest, udpLen)
	return load.Expect{Size: len(t.Frame), Values: []load.Value{
		{Offset: 0, Octets: append(macOctets(nextHop), macOctets(macB)...)},
		{Offset: etherType, Octets: be16(ipv4EtherType)},
		{Offset: ipv4, Octets: ip},
		{Offset: udpRest, Octets: rest},
	}}, err
}

// checksumOf is the checksum of an IPv4 header in which it is 0.
func checksumOf(header []byte) uint16 { return checksum.Checksum(header, 0) }

// KernelBridge is the kernel's bridge with a static entry for every MAC address.
func KernelBridge() Device {
	return Device{
		Name: "kernel-bridge", Flows: PlainFlows, Expect: same,
		Before: func(_ context.Context, b *Bed) error {
			if err := b.Lab.Bridge(dutNS, bridgeIf, PortA, PortB); err != nil {
				return err
			}
			b.Cleanup(func() error { return b.Lab.Delete(dutNS, bridgeIf) })
			return b.Lab.Do(dutNS, func() error {
				out, err := netlink.LinkByName(PortB)
				if err != nil {
					return err
				}
				for k := range PlainFlows {
					// NOARP is static; PERMANENT would be the bridge's own address.
					n := netlink.Neigh{
						LinkIndex: out.Attrs().Index, Family: unix.AF_BRIDGE,
						Flags: netlink.NTF_MASTER, State: netlink.NUD_NOARP,
					}
					if err := neighbour(n, firstRemote+model.MAC(k)); err != nil {
						return err
					}
				}
				return nil
			})
		},
	}
}

func neighbour(n netlink.Neigh, mac model.MAC) error {
	n.HardwareAddr = macOctets(mac)
	if err := netlink.NeighSet(&n); err != nil {
		return fmt.Errorf("neighbour %v: %w", mac, err)
	}
	return nil
}

// XDPRedirect is an XDP program that sends every frame out of PortB as it is: the least that any device here can do.
func XDPRedirect() Device {
	return Device{
		Name: "xdp-redirect", Flows: PlainFlows, Expect: same,
		Before: func(_ context.Context, b *Bed) error {
			return b.withPorts(func(in, out int) error { return redirect(b, in, out) })
		},
	}
}

// withPorts calls fn in the device's namespace with the indices of PortA and PortB.
func (b *Bed) withPorts(fn func(in, out int) error) error {
	return b.Lab.Do(dutNS, func() error {
		in, err := netlink.LinkByName(PortA)
		if err != nil {
			return err
		}
		out, err := netlink.LinkByName(PortB)
		if err != nil {
			return err
		}
		return fn(in.Attrs().Index, out.Attrs().Index)
	})
}

func redirect(b *Bed, in, out int) error {
	memlock := rlimit.RemoveMemlock() // matters before kernel 5.11 only
	p, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Name: "penstock_redir", Type: ebpf.XDP, License: "none",
		Instructions: asm.Instructions{
			asm.Mov.Imm(asm.R1, int32(out)),
			asm.Mov.Imm(asm.R2, 0),
			asm.FnRedirect.Call(),
			asm.Return(),
		},
	})
	if err != nil {
		return fmt.Errorf("load the redirecting program: %w", errors.Join(err, memlock))
	}
	b.Cleanup(p.Close)
	l, err := link.AttachXDP(link.XDPOptions{Program: p, Interface: in, Flags: link.XDPDriverMode})
	if err != nil {
		return fmt.Errorf("attach the redirecting program in native mode: %w", err)
	}
	b.Cleanup(l.Close)
	return nil
}
