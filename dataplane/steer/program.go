package steer

import (
	"encoding/binary"

	"github.com/cilium/ebpf/asm"
)

// Fields of struct xdp_md (linux/bpf.h).
const (
	mdData    = 0
	mdDataEnd = 4
	mdMeta    = 8
	mdRxQueue = 16
)

// XDP actions (linux/bpf.h).
const (
	xdpDrop = 1
	xdpPass = 2
)

const (
	etherHeader = 14
	etherType   = 12
)

// instructions is the XDP program:
//
//	if the frame's EtherType is one of pass: return XDP_PASS
//	with stamp, if bpf_xdp_adjust_meta(ctx, -8) works: *(u64 *)ctx->data_meta = bpf_ktime_get_ns()
//	return bpf_redirect_map(sockets, ctx->rx_queue_index, XDP_PASS), with alone XDP_DROP
//
// The lowest bits of the helper's flags are what it returns if the map has no socket (kernel 5.3).
func instructions(socketsFD int, o *Options) asm.Instructions {
	pass, stamp, otherwise := o.PassToKernel, o.Stamp, int32(xdpPass)
	if o.Alone {
		otherwise = xdpDrop
	}
	var ins asm.Instructions
	if len(pass) > 0 {
		ins = append(ins,
			asm.LoadMem(asm.R2, asm.R1, mdData, asm.Word),
			asm.LoadMem(asm.R3, asm.R1, mdDataEnd, asm.Word),
			asm.Mov.Reg(asm.R4, asm.R2),
			asm.Add.Imm(asm.R4, etherHeader),
			asm.JGT.Reg(asm.R4, asm.R3, "redirect"),
			asm.LoadMem(asm.R5, asm.R2, etherType, asm.Half),
		)
		for _, t := range pass {
			ins = append(ins, asm.JEq.Imm(asm.R5, networkOrder(t), "pass"))
		}
	}
	context, label := asm.R1, "redirect"
	if stamp {
		context, label = asm.R6, "give" // calls lose R1
		ins = append(ins,
			asm.Mov.Reg(asm.R6, asm.R1).WithSymbol("redirect"),
			asm.Mov.Imm(asm.R2, -StampLen),
			asm.FnXdpAdjustMeta.Call(),
			asm.JNE.Imm(asm.R0, 0, "give"),
			asm.FnKtimeGetNs.Call(),
			asm.LoadMem(asm.R2, asm.R6, mdMeta, asm.Word),
			asm.LoadMem(asm.R3, asm.R6, mdData, asm.Word),
			asm.Mov.Reg(asm.R4, asm.R2),
			asm.Add.Imm(asm.R4, StampLen),
			asm.JGT.Reg(asm.R4, asm.R3, "give"),
			asm.StoreMem(asm.R2, 0, asm.R0, asm.DWord),
		)
	}
	ins = append(ins,
		asm.LoadMem(asm.R2, context, mdRxQueue, asm.Word).WithSymbol(label),
		asm.LoadMapPtr(asm.R1, socketsFD),
		asm.Mov.Imm(asm.R3, otherwise),
		asm.FnRedirectMap.Call(),
		asm.Return(),
	)
	if len(pass) > 0 {
		ins = append(ins,
			asm.Mov.Imm(asm.R0, xdpPass).WithSymbol("pass"),
			asm.Return(),
		)
	}
	return ins
}

// networkOrder returns what a load of 16 bits on this machine gives for t on the wire.
func networkOrder(t EtherType) int32 {
	var b [2]byte
	binary.BigEndian.PutUint16(b[:], uint16(t))
	return int32(binary.NativeEndian.Uint16(b[:]))
}
