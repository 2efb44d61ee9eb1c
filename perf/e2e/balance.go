package e2e

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"github.com/cilium/ebpf/rlimit"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"penstock/ctrl/model"
	"penstock/perf/load"
)

// Balancers send the packets of one service, UDP port 9 of vipIP, to balanceServers servers, port 9009. The flows are
// of one client, and differ in their source port. What each does:
//
//   - The box (balancebox.go) is a director: it finds tenant, virtual address and service, looks the flow up in its
//     table (or chooses a server and enters it), rewrites port, MACs and TTL, and encapsulates the frame, or delivers
//     it locally. The server keeps the virtual address: replies go past the director.
//   - nft-dnat is the kernel's router with a DNAT rule of nftables and its connection tracking. It has a flow table,
//     but rewrites the address, so that replies must come back through it, and encapsulates nothing.
//   - xdp-balance is an XDP program that hashes, rewrites port and MACs, and redirects. It has no flow table:
//     a server that comes or goes moves flows. It leaves the TTL as it is, and knows no IPv6, options, fragments,
//     ICMP errors, tenants, checks or statistics. It is about the least that a balancer can do.
const (
	balanceFlows   = 10_000
	balanceServers = 16 // a power of two: xdp-balance masks its hash
	serverPort     = 9009
	firstServer    = model.MAC(0x02000000dd00) // server k has firstServer + k
)

var vipIP = [4]byte{10, 0, 0, 100}

// serverIP is server k's own address, which only nft-dnat uses.
func serverIP(k int) net.IP { return net.IP{10, 0, 1, byte(10 + k)} }

// toVIP makes the frames of a service's clients, for a balancer with the given MAC.
func toVIP(mac model.MAC) func(size, flows int) (load.Template, error) {
	return func(size, flows int) (load.Template, error) {
		t, err := load.UDP(size, flows, mac, sender, senderIP, vipIP, srcPort, dstPort)
		if err == nil {
			t.Vary = t.Vary[1:] // the source port alone
		}
		return t, err
	}
}

// balanced is what every balancer owes: a server's MAC, less to live if it routes, the client's address, the server's
// port and an absent checksum; and the VIP as the destination unless it translates that.
func balanced(t load.Template, shift int, ttl byte, source []byte, translates bool) (load.Expect, error) {
	ip := append([]byte(nil), t.Frame[ipv4:ipv4+20]...)
	ip[8], ip[10], ip[11] = ttl, 0, 0
	binary.BigEndian.PutUint16(ip[10:], checksumOf(ip))
	rest, err := t.Constant(udpRest+2, udpLen-2)
	e := load.Expect{Size: shift + len(t.Frame), Values: []load.Value{
		{Offset: shift, Octets: macOctets(firstServer)[:5]},
		{Offset: shift + 6, Octets: source},
		{Offset: shift + etherType, Octets: be16(ipv4EtherType)},
		{Offset: shift + udpRest, Octets: append(be16(serverPort), rest...)},
	}}
	if translates { // another address in every flow, and so another checksum
		e.Values = append(e.Values, load.Value{Offset: shift + ipv4, Octets: ip[:10]},
			load.Value{Offset: shift + ipv4 + 12, Octets: ip[12:16]})
	} else {
		e.Values = append(e.Values, load.Value{Offset: shift + ipv4, Octets: ip})
	}
	return e, err
}

// NftDNAT is the kernel's router with a rule of nftables that translates the destination of a flow's first packet to a
// server by a hash, and connection tracking for the others.
func NftDNAT() Device {
	d := Device{
		Name: "nft-dnat", Flows: balanceFlows, Frames: toVIP(macA),
		Expect: func(t load.Template) (load.Expect, error) {
			return balanced(t, 0, routerTTL, macOctets(macB), true)
		},
	}
	if _, err := exec.LookPath("nft"); err != nil {
		d.Absent = errors.New("nft is not installed (Debian: nftables)")
	}
	d.Before = func(_ context.Context, b *Bed) error {
		if err := router(b); err != nil {
			return err
		}
		var servers []string
		for k := range balanceServers {
			servers = append(servers, fmt.Sprintf("%d : %v . %d", k, serverIP(k), serverPort))
		}
		rules := fmt.Sprintf(`table ip balance {
	chain prerouting {
		type nat hook prerouting priority dstnat;
		ip daddr %v udp dport %d dnat to jhash ip saddr . udp sport mod %d map { %s }
	}
}`, net.IP(vipIP[:]), dstPort, balanceServers, strings.Join(servers, ", "))
		if _, err := b.Lab.Run(dutNS, "nft", rules); err != nil {
			return err
		}
		b.Cleanup(func() error {
			_, err := b.Lab.Run(dutNS, "nft", "delete table ip balance")
			return err
		})
		return b.Lab.Do(dutNS, func() error {
			out, err := netlink.LinkByName(PortB)
			if err != nil {
				return err
			}
			to := &net.IPNet{IP: net.IP{10, 0, 1, 0}, Mask: net.CIDRMask(24, 32)}
			if err := netlink.RouteReplace(&netlink.Route{
				LinkIndex: out.Attrs().Index, Dst: to, Scope: netlink.SCOPE_LINK,
			}); err != nil {
				return fmt.Errorf("route %v: %w", to, err)
			}
			for k := range balanceServers {
				if err := neighbour(netlink.Neigh{
					LinkIndex: out.Attrs().Index, Family: unix.AF_INET, State: netlink.NUD_PERMANENT, IP: serverIP(k),
				}, firstServer+model.MAC(k)); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return d
}

// XDPBalance is an XDP program that chooses a server by a hash alone.
func XDPBalance() Device {
	return Device{
		Name: "xdp-balance", Flows: balanceFlows, Frames: toVIP(macA),
		Expect: func(t load.Template) (load.Expect, error) {
			return balanced(t, 0, t.Frame[ipv4+8], macOctets(macB), false)
		},
		Before: func(_ context.Context, b *Bed) error {
			return b.withPorts(func(in, out int) error { return hashing(b, in, out) })
		},
	}
}

// hashing attaches the program of XDPBalance.
func hashing(b *Bed, in, out int) error {
	memlock := rlimit.RemoveMemlock() // matters before kernel 5.11 only
	servers, err := ebpf.NewMap(&ebpf.MapSpec{
		Name: "penstock_srv", Type: ebpf.Array, KeySize: 4, ValueSize: 8, MaxEntries: balanceServers,
	})
	if err != nil {
		return fmt.Errorf("make the map of servers: %w", errors.Join(err, memlock))
	}
	b.Cleanup(servers.Close)
	for k := range uint32(balanceServers) {
		mac := append(macOctets(firstServer+model.MAC(k)), 0, 0)
		if err := servers.Put(k, mac); err != nil {
			return fmt.Errorf("server %d: %w", k, err)
		}
	}
	p, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Name: "penstock_lb", Type: ebpf.XDP, License: "none", Instructions: hashProgram(servers.FD(), out),
	})
	if err != nil {
		return fmt.Errorf("load the hashing program: %w", errors.Join(err, memlock))
	}
	b.Cleanup(p.Close)
	l, err := link.AttachXDP(link.XDPOptions{Program: p, Interface: in, Flags: link.XDPDriverMode})
	if err != nil {
		return fmt.Errorf("attach the hashing program in native mode: %w", err)
	}
	b.Cleanup(l.Close)
	return nil
}

// hashProgram is the program of XDPBalance: UDP over IPv4 without options, to the VIP and its port; all else passes.
func hashProgram(servers, out int) asm.Instructions {
	const (
		data, end   = 0, 4 // of struct xdp_md
		lowBits     = 0x9e3779b1 - 1<<32
		udpChecksum = udpRest + 4
	)
	// Values as a load in the host's order, little-endian here and on arm64, sees them.
	host16 := func(v uint16) int32 { return int32(v>>8 | v<<8) }
	vip := int32(binary.LittleEndian.Uint32(vipIP[:]))
	from := macOctets(macB)
	return asm.Instructions{
		asm.LoadMem(asm.R6, asm.R1, data, asm.Word),
		asm.LoadMem(asm.R2, asm.R1, end, asm.Word),
		asm.Mov.Reg(asm.R3, asm.R6),
		asm.Add.Imm(asm.R3, udpRest+udpLen),
		asm.JGT.Reg(asm.R3, asm.R2, "pass"),
		asm.LoadMem(asm.R3, asm.R6, etherType, asm.Half),
		asm.JNE.Imm(asm.R3, host16(ipv4EtherType), "pass"),
		asm.LoadMem(asm.R3, asm.R6, ipv4, asm.Byte),
		asm.JNE.Imm(asm.R3, versionAndWords, "pass"),
		asm.LoadMem(asm.R3, asm.R6, ipv4+9, asm.Byte),
		asm.JNE.Imm(asm.R3, unix.IPPROTO_UDP, "pass"),
		asm.LoadMem(asm.R3, asm.R6, ipv4+16, asm.Word),
		asm.Mov.Imm32(asm.R4, vip),
		asm.JNE.Reg(asm.R3, asm.R4, "pass"),
		asm.LoadMem(asm.R3, asm.R6, udpRest, asm.Half),
		asm.JNE.Imm(asm.R3, host16(dstPort), "pass"),
		// The hash of address and port, by a multiplication; its upper bits are the good ones.
		asm.LoadMem(asm.R3, asm.R6, ipv4+12, asm.Word),
		asm.LoadMem(asm.R4, asm.R6, udpRest-2, asm.Half),
		asm.LSh.Imm(asm.R4, 8),
		asm.Xor.Reg(asm.R3, asm.R4),
		asm.Mul.Imm32(asm.R3, lowBits),
		asm.RSh.Imm32(asm.R3, 16),
		asm.And.Imm(asm.R3, balanceServers-1),
		asm.StoreMem(asm.R10, -4, asm.R3, asm.Word),
		asm.LoadMapPtr(asm.R1, servers),
		asm.Mov.Reg(asm.R2, asm.R10),
		asm.Add.Imm(asm.R2, -4),
		asm.FnMapLookupElem.Call(),
		asm.JEq.Imm(asm.R0, 0, "pass"),
		asm.LoadMem(asm.R1, asm.R0, 0, asm.Word),
		asm.StoreMem(asm.R6, 0, asm.R1, asm.Word),
		asm.LoadMem(asm.R1, asm.R0, 4, asm.Half),
		asm.StoreMem(asm.R6, 4, asm.R1, asm.Half),
		asm.StoreImm(asm.R6, 6, int64(int32(binary.LittleEndian.Uint32(from))), asm.Word),
		asm.StoreImm(asm.R6, 10, int64(binary.LittleEndian.Uint16(from[4:])), asm.Half),
		asm.StoreImm(asm.R6, udpRest, int64(host16(serverPort)), asm.Half),
		// RFC 1624 for a checksum that is there: HC' = ~(~HC + ~m + m').
		asm.LoadMem(asm.R1, asm.R6, udpChecksum, asm.Half),
		asm.JEq.Imm(asm.R1, 0, "send"),
		asm.Xor.Imm(asm.R1, 0xffff),
		asm.Add.Imm(asm.R1, 0xffff-host16(dstPort)+host16(serverPort)),
		asm.Mov.Reg(asm.R2, asm.R1),
		asm.RSh.Imm(asm.R2, 16),
		asm.And.Imm(asm.R1, 0xffff),
		asm.Add.Reg(asm.R1, asm.R2),
		asm.Mov.Reg(asm.R2, asm.R1),
		asm.RSh.Imm(asm.R2, 16),
		asm.Add.Reg(asm.R1, asm.R2),
		asm.Xor.Imm(asm.R1, 0xffff),
		asm.And.Imm(asm.R1, 0xffff),
		asm.JNE.Imm(asm.R1, 0, "sum"),
		asm.Mov.Imm(asm.R1, 0xffff),
		asm.StoreMem(asm.R6, udpChecksum, asm.R1, asm.Half).WithSymbol("sum"),
		asm.Mov.Imm(asm.R1, int32(out)).WithSymbol("send"),
		asm.Mov.Imm(asm.R2, 0),
		asm.FnRedirect.Call(),
		asm.Return(),
		asm.Mov.Imm(asm.R0, 2).WithSymbol("pass"), // XDP_PASS
		asm.Return(),
	}
}
