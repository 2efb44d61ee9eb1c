package keeper

import "sync/atomic"

// Shared is what the workers report to the first one. Anybody may call its methods at any time.
type Shared struct {
	news    atomic.Uint32 // grows after anything below has changed
	changes atomic.Uint32 // grows after faults or open have changed
	kinds   [Kinds]atomic.Uint32
	faults  []atomic.Int32 // by port: workers whose transmit calls the kernel refuses
	open    []atomic.Bool  // by port: frames can be sent by it, and what it receives is steered to the workers
	Wake    func()         // ends the first worker's nap; nil = it has none
}

// NewShared returns the shared state for a number of ports, none of them open.
func NewShared(ports int) *Shared {
	return &Shared{faults: make([]atomic.Int32, ports), open: make([]atomic.Bool, ports)}
}

// Notify says that there is something for a kind's prober to deal with at once (Prober.News).
func (h *Shared) Notify(kind Kind) {
	h.kinds[kind%Kinds].Add(1)
	h.announce()
}

// Fault says that a worker's transmit calls on a port have begun (or ceased) to be refused.
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
