package steer

import (
	"encoding/binary"
	"errors"
	"testing"

	"golang.org/x/sys/unix"
)

func TestCheckRelease(t *testing.T) {
	for _, r := range []string{"5.10.0", "5.10", "5.15.0-91-generic", "6.1.0-18-amd64", "6.18.44", "10.0.0-rc1"} {
		if err := checkRelease(r); err != nil {
			t.Errorf("%s: error %v, want none", r, err)
		}
	}
	for _, r := range []string{"5.9.16", "4.19.0-26-amd64", "3.10.0-1160.el7.x86_64"} {
		if err := checkRelease(r); !errors.Is(err, ErrKernelTooOld) {
			t.Errorf("%s: error %v, want %v", r, err, ErrKernelTooOld)
		}
	}
	for _, r := range []string{"", "linux", "5"} {
		if err := checkRelease(r); err == nil || errors.Is(err, ErrKernelTooOld) {
			t.Errorf("%q: error %v, want one that says it is no release", r, err)
		}
	}
	if err := CheckKernel(); err != nil {
		t.Error(err)
	}
}

// FuzzProgramID: the attributes come from the kernel, and still no input may lead outside of them.
func FuzzProgramID(f *testing.F) {
	attr := func(typ uint16, v ...byte) []byte {
		b := binary.NativeEndian.AppendUint16(nil, uint16(4+len(v)))
		b = append(binary.NativeEndian.AppendUint16(b, typ), v...)
		for len(b)%4 != 0 {
			b = append(b, 0)
		}
		return b
	}
	id := binary.NativeEndian.AppendUint32(nil, 77)
	whole := append(attr(unix.IFLA_XDP_ATTACHED, 1), attr(unix.IFLA_XDP_PROG_ID, id...)...)
	if got := programID(whole); got != 77 {
		f.Errorf("program ID %d, want 77", got)
	}
	if got := programID(attr(unix.IFLA_XDP_ATTACHED, 0)); got != 0 {
		f.Errorf("program ID %d without a program, want 0", got)
	}
	f.Add(whole)
	f.Add([]byte{0, 0, 0, 0})
	f.Add(whole[:9])
	f.Fuzz(func(t *testing.T, b []byte) { programID(b) })
}

// TestInstructions: without exceptions the program is five instructions, no look at the frame.
func TestInstructions(t *testing.T) {
	if n := len(instructions(3, &Options{})); n != 5 {
		t.Errorf("%d instructions, want 5", n)
	}
	if n := len(instructions(3, &Options{PassToKernel: []EtherType{1, 2}})); n != 5+6+2+2 {
		t.Errorf("%d instructions with two exceptions, want %d", n, 5+6+2+2)
	}
}
