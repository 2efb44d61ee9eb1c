package e2e

import (
	"errors"
	"fmt"
	"strconv"
)

// Placement says how much of its CPU a device gets, and what has to be done within it.
type Placement struct {
	Name  string
	Share float64 // of one CPU, that the device's process may use; 0 = all of it
	// Whole: the kernel's reception for the device (NAPI of PortA) runs on the device's CPU too, in a thread of its
	// own, and not inside the source's system call. Devices in the kernel can be measured only in this way.
	Whole bool
}

// The placements that are measured.
var (
	Half      = Placement{Name: "half", Share: 0.5}
	Unlimited = Placement{Name: "unlimited"}
	OneCore   = Placement{Name: "one-core", Whole: true}
)

// ParsePlacement reads the name of a placement, or the share of a CPU to which a device is held, from 0.5 to 1.
func ParsePlacement(name string) (Placement, error) {
	for _, p := range [...]Placement{Half, Unlimited, OneCore} {
		if name == p.Name {
			return p, nil
		}
	}
	// The kernel's lowest quota is 1 ms.
	if share, err := strconv.ParseFloat(name, 64); err == nil && share >= 0.5 && share <= 1 {
		return Placement{Name: name, Share: share}, nil
	}
	return Placement{}, fmt.Errorf("placement %q: must be half, unlimited, one-core, or a share of a CPU from 0.5 to 1",
		name)
}

// String says what the placement is, in a heading.
func (p Placement) String() string {
	switch {
	case p.Whole:
		return "everything of the device, the kernel's reception too, on one core"
	case p.Share > 0:
		return fmt.Sprintf("the device's process held to %g of a core, the kernel's reception on the source's", p.Share)
	}
	return "the device's process has a core, the kernel's reception is on the source's"
}

// Why devices are not measured under some placements.
var (
	errPlacement = errors.New("works within the kernel's reception, which this placement puts on the source's core")
	errWorkers   = errors.New("has two cores, which only unlimited gives")
)

// SinkNAPI says who pays for the reception at the sink, which hides what the device's own transmission costs.
type SinkNAPI string

// On veth the receiver's NAPI runs inside the sender's system call, unless it is given a thread.
const (
	SinkInline   SinkNAPI = "inline"   // the device, for every frame
	SinkThreaded SinkNAPI = "threaded" // the source's core
)

// ParseSinkNAPI reads the name of a SinkNAPI.
func ParseSinkNAPI(name string) (SinkNAPI, error) {
	switch s := SinkNAPI(name); s {
	case SinkInline, SinkThreaded:
		return s, nil
	}
	return "", fmt.Errorf("NAPI of the sink %q: must be %s or %s", name, SinkInline, SinkThreaded)
}
