package keeper

import "sync/atomic"

// Shared holds the reports of the workers to the first one. Any thread may call the methods at any time.
type Shared struct {
	news    atomic.Uint32 // incremented after a change of any field below
	changes atomic.Uint32 // incremented after a change of faults or open
	kinds   [Kinds]atomic.Uint32
	faults  []atomic.Int32 // by port: workers whose transmit calls the kernel refuses
	open    []atomic.Bool  // by port: it can send, and its received frames are steered to the workers
	Wake    func()         // wakes the first worker; nil = it does not sleep
}

// NewShared returns the shared state for a number of ports, none of them open.
func NewShared(ports int) *Shared {
	return &Shared{faults: make([]atomic.Int32, ports), open: make([]atomic.Bool, ports)}
}

// Notify makes the next turn call Prober.News of a kind.
func (h *Shared) Notify(kind Kind) {
	h.kinds[kind%Kinds].Add(1)
	h.announce()
}

// Fault reports that the kernel has begun, or ceased, to refuse a worker's transmit calls on a port.
func (h *Shared) Fault(port uint16, refused bool) {
	d := int32(-1)
	if refused {
		d = 1
	}
	h.faults[port].Add(d)
	h.changes.Add(1)
	h.announce()
}

// Open says that a port has been opened, or is about to be closed. That a port is not open is no fault: whether it can
// be used is reported by Keeper.SetCarrier.
func (h *Shared) Open(port int, open bool) {
	h.open[port].Store(open)
	h.changes.Add(1)
	h.announce()
}

func (h *Shared) announce() {
	h.news.Add(1)
	if h.Wake != nil {
		h.Wake()
	}
}
