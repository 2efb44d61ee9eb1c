package stage

import "penstock/dataplane/frame"

// Spread says which worker a flow belongs to. The outer headers of one tenant pair hash to one NIC queue, and a port
// may have fewer queues than there are workers. The hash of the inner flow evens that out: one flow stays on one worker.
type Spread struct {
	Self    uint32 // this worker
	Workers uint32 // 0 or 1: flows stay where they arrive
}

// Target returns the worker of the flow with this hash.
func (d *Spread) Target(hash uint32) uint32 {
	return uint32(uint64(hash*0x9e3779b1) * uint64(d.Workers) >> 32)
}

// Elsewhere marks a parsed frame from a tenant, or from outside, that belongs to another worker.
func (d *Spread) Elsewhere(p *frame.Packet) bool {
	return d.Workers > 1 && !p.Has(frame.FlagARP) && d.HandOff(p, p.Hash)
}

// HandOff marks p for the worker of the flow with this hash, unless that is the present one.
func (d *Spread) HandOff(p *frame.Packet, hash uint32) bool {
	t := d.Target(hash)
	if t == d.Self {
		return false
	}
	p.Next, p.Out = frame.NextHandoff, uint16(t)
	return true
}
