package load

import (
	"encoding/binary"

	"github.com/cilium/ebpf/asm"
)

// What the program decides on a frame: the index of the counter.
const (
	verdictOther    = 0
	verdictExpected = 1
	verdicts        = 2
)

// Of linux/bpf.h: fields of struct xdp_md, and the action.
const (
	mdData    = 0
	mdDataEnd = 4
	xdpDrop   = 1
)

// sinkProgram is the sink's XDP program:
//
//	verdict = other
//	if the frame's size is right and all octets are as expected: verdict = expected
//	counts[verdict]++, of this CPU
//	return XDP_DROP
//
// Octets are compared eight at a time where there are as many, since the program runs on the device's CPU.
func sinkProgram(counts int, e *Expect) asm.Instructions {
	ins := asm.Instructions{
		asm.StoreImm(asm.RFP, -4, verdictOther, asm.Word),
		asm.LoadMem(asm.R2, asm.R1, mdData, asm.Word),
		asm.LoadMem(asm.R3, asm.R1, mdDataEnd, asm.Word),
		asm.Mov.Reg(asm.R4, asm.R2),
		asm.Add.Imm(asm.R4, int32(e.Size)),
		asm.JGT.Reg(asm.R4, asm.R3, "count"), // shorter
		asm.JLT.Reg(asm.R4, asm.R3, "count"), // longer
	}
	for _, v := range e.Values {
		for at, left := v.Offset, v.Octets; len(left) > 0; {
			var width int
			switch n := len(left); {
			case n >= 8:
				width = 8
				ins = append(ins,
					asm.LoadMem(asm.R5, asm.R2, int16(at), asm.DWord),
					asm.LoadImm(asm.R0, int64(binary.NativeEndian.Uint64(left)), asm.DWord),
					asm.JNE.Reg(asm.R5, asm.R0, "count"),
				)
			case n >= 4:
				width = 4
				ins = append(ins,
					asm.LoadMem(asm.R5, asm.R2, int16(at), asm.Word),
					asm.JNE.Imm32(asm.R5, int32(binary.NativeEndian.Uint32(left)), "count"),
				)
			case n >= 2:
				width = 2
				ins = append(ins,
					asm.LoadMem(asm.R5, asm.R2, int16(at), asm.Half),
					asm.JNE.Imm(asm.R5, int32(binary.NativeEndian.Uint16(left)), "count"),
				)
			default:
				width = 1
				ins = append(ins,
					asm.LoadMem(asm.R5, asm.R2, int16(at), asm.Byte),
					asm.JNE.Imm(asm.R5, int32(left[0]), "count"),
				)
			}
			at, left = at+width, left[width:]
		}
	}
	return append(ins,
		asm.StoreImm(asm.RFP, -4, verdictExpected, asm.Word),
		asm.LoadMapPtr(asm.R1, counts).WithSymbol("count"),
		asm.Mov.Reg(asm.R2, asm.RFP),
		asm.Add.Imm(asm.R2, -4),
		asm.FnMapLookupElem.Call(),
		asm.JEq.Imm(asm.R0, 0, "drop"),
		asm.LoadMem(asm.R1, asm.R0, 0, asm.DWord),
		asm.Add.Imm(asm.R1, 1),
		asm.StoreMem(asm.R0, 0, asm.R1, asm.DWord),
		asm.Mov.Imm(asm.R0, xdpDrop).WithSymbol("drop"),
		asm.Return(),
	)
}
