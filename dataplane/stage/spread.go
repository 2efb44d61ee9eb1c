package stage

import "penstock/dataplane/frame"

// Spread assigns flows to workers by the hash of the inner flow: all packets of one flow go to one worker. The NIC's
// queues alone do not use all workers evenly. Outer addresses stand for a tenant and a segment, so that all frames of a
// segment from one box arrive at one queue, and a port may have fewer queues than there are workers.
type Spread struct {
	Self    uint32 // index of this worker
	Workers uint32 // 0 or 1: flows stay where they arrive
}

// Target returns the worker of the flow with this hash.
func (d *Spread) Target(hash uint32) uint32 {
	return uint32(uint64(hash*0x9e3779b1) * uint64(d.Workers) >> 32)
}

// Elsewhere sets p to NextHandoff if its flow belongs to another worker, and reports whether it does. p is a parsed
// frame from a tenant or from outside.
func (d *Spread) Elsewhere(p *frame.Packet) bool {
	return d.Workers > 1 && !p.Has(frame.FlagARP) && d.HandOff(p, p.Hash)
}

// HandOff sets p to NextHandoff if the flow with this hash belongs to another worker, and reports whether it does.
func (d *Spread) HandOff(p *frame.Packet, hash uint32) bool {
	t := d.Target(hash)
	if t == d.Self {
		return false
	}
	p.Next, p.Out = frame.NextHandoff, uint16(t)
	return true
}
