// Package cut makes a station silent without a change to its link: a program at the tc hooks of the station's interface
// drops the kinds of frames that a word in a map names, and counts frames. A fault begins and ends with one write to
// memory: no command runs, and both directions change at once.
//
// It is attached as a clsact filter, which kernels have had since 4.5, and goes with the interface.
package cut

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/rlimit"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// What is dropped: the sum of these.
const (
	In     uint64 = 1 << iota // everything that arrives
	Out                       // everything that is to leave
	InARP                     // ARP that arrives
	OutARP                    // ARP that is to leave
)

// Counts of one interface.
type Counts struct {
	IPv4In  uint64 // packets addressed to the station that arrived and were not dropped
	Dropped uint64 // frames, both directions
}

// The words of the map's only value.
const (
	wordMode    = 0
	wordIPv4In  = 8
	wordDropped = 16
	valueSize   = 24
)

// Verdicts of tc programs and fields of struct __sk_buff (linux/pkt_cls.h, linux/bpf.h).
const (
	actOK         = 0
	actShot       = 2
	skbPacketType = 4 // 0: addressed to the station (PACKET_HOST)
	skbProtocol   = 16
)

// Cut is the programs at one interface.
type Cut struct {
	words *ebpf.Map
}

// Attach puts the programs at an interface of the calling thread's namespace. Nothing is dropped yet. It needs root.
func Attach(name string) (_ *Cut, err error) {
	if err := rlimit.RemoveMemlock(); err != nil {
		return nil, fmt.Errorf("cut %s: %w", name, err)
	}
	c := &Cut{}
	c.words, err = ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.Array, KeySize: 4, ValueSize: valueSize, MaxEntries: 1})
	if err != nil {
		return nil, fmt.Errorf("cut %s: map: %w", name, err)
	}
	link, err := netlink.LinkByName(name)
	if err == nil {
		err = netlink.QdiscAdd(&netlink.GenericQdisc{
			QdiscAttrs: netlink.QdiscAttrs{
				LinkIndex: link.Attrs().Index, Handle: netlink.MakeHandle(0xffff, 0),
				Parent: netlink.HANDLE_CLSACT,
			},
			QdiscType: "clsact",
		})
	}
	if err == nil {
		err = errors.Join(c.attach(link, netlink.HANDLE_MIN_INGRESS, In, InARP, true),
			c.attach(link, netlink.HANDLE_MIN_EGRESS, Out, OutARP, false))
	}
	if err != nil {
		c.words.Close()
		return nil, fmt.Errorf("cut %s: %w", name, err)
	}
	return c, nil
}

func (c *Cut) attach(link netlink.Link, hook uint32, all, arp uint64, count bool) error {
	p, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Type: ebpf.SchedCLS, License: "GPL", Instructions: instructions(c.words.FD(), all, arp, count),
	})
	if err != nil {
		return fmt.Errorf("program: %w", err)
	}
	defer p.Close() // the filter holds it
	return netlink.FilterAdd(&netlink.BpfFilter{
		FilterAttrs: netlink.FilterAttrs{
			LinkIndex: link.Attrs().Index, Parent: hook, Handle: 1, Protocol: unix.ETH_P_ALL, Priority: 1,
		},
		Fd: p.FD(), Name: "cut", DirectAction: true,
	})
}

// instructions is the program of one hook:
//
//	drop := mode & all
//	if the frame is ARP: drop |= mode & arp
//	if drop: dropped++, return TC_ACT_SHOT
//	if count and the frame is IPv4 and addressed to the station: ipv4in++
//	return TC_ACT_OK
func instructions(words int, all, arp uint64, count bool) asm.Instructions {
	ins := asm.Instructions{
		asm.LoadMem(asm.R6, asm.R1, skbProtocol, asm.Word),
		asm.LoadMem(asm.R9, asm.R1, skbPacketType, asm.Word),
		asm.StoreImm(asm.RFP, -4, 0, asm.Word),
		asm.Mov.Reg(asm.R2, asm.RFP),
		asm.Add.Imm(asm.R2, -4),
		asm.LoadMapPtr(asm.R1, words),
		asm.FnMapLookupElem.Call(),
		asm.JEq.Imm(asm.R0, 0, "ok"),
		asm.LoadMem(asm.R7, asm.R0, wordMode, asm.DWord),
		asm.Mov.Imm(asm.R1, 1),
		asm.Mov.Reg(asm.R8, asm.R7),
		asm.And.Imm(asm.R8, int32(all)),
		asm.JNE.Imm(asm.R8, 0, "shot"),
		asm.JNE.Imm(asm.R6, networkOrder(unix.ETH_P_ARP), "ip"),
		asm.And.Imm(asm.R7, int32(arp)),
		asm.JNE.Imm(asm.R7, 0, "shot"),
		asm.Ja.Label("ok"),
		asm.JNE.Imm(asm.R6, networkOrder(unix.ETH_P_IP), "ok").WithSymbol("ip"),
		asm.JNE.Imm(asm.R9, 0, "ok"),
	}
	if count {
		ins = append(ins, asm.AddAtomic.Mem(asm.R0, asm.R1, asm.DWord, wordIPv4In))
	}
	return append(ins,
		asm.Mov.Imm(asm.R0, actOK).WithSymbol("ok"),
		asm.Return(),
		asm.AddAtomic.Mem(asm.R0, asm.R1, asm.DWord, wordDropped).WithSymbol("shot"),
		asm.Mov.Imm(asm.R0, actShot),
		asm.Return(),
	)
}

// networkOrder returns what this machine reads where t stands on the wire.
func networkOrder(t uint16) int32 {
	var b [2]byte
	binary.BigEndian.PutUint16(b[:], t)
	return int32(binary.NativeEndian.Uint16(b[:]))
}

// Set makes the station drop what mode says from now on; 0 is nothing. The counters begin at 0 again.
func (c *Cut) Set(mode uint64) error {
	value := make([]byte, valueSize)
	binary.NativeEndian.PutUint64(value[wordMode:], mode)
	return c.words.Update(uint32(0), value, ebpf.UpdateAny)
}

// Counts returns the counters.
func (c *Cut) Counts() (n Counts, err error) {
	value := make([]byte, valueSize)
	if err := c.words.Lookup(uint32(0), &value); err != nil {
		return n, err
	}
	n.IPv4In = binary.NativeEndian.Uint64(value[wordIPv4In:])
	n.Dropped = binary.NativeEndian.Uint64(value[wordDropped:])
	return n, nil
}

// Close lets go of the map; the programs go with the interface.
func (c *Cut) Close() error { return c.words.Close() }
