package overlay

import (
	"encoding/binary"

	"penstock/dataplane/frame"
	"penstock/dataplane/parse"
)

// Spread says which worker a flow belongs to. The outer headers of one tenant pair hash to one NIC queue, and a port
// may have fewer queues than there are workers; the flow inside evens that out, and one flow stays on one worker.
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
	return d.Workers > 1 && !p.Has(frame.FlagARP) && d.to(p, p.Hash)
}

func (d *Spread) to(p *frame.Packet, hash uint32) bool {
	t := d.Target(hash)
	if t == d.Self {
		return false
	}
	p.Next, p.Out = frame.NextHandoff, uint16(t)
	return true
}

// outerElsewhere does the same for a parsed frame from the fabric, by what is encapsulated in it.
func (d *Spread) outerElsewhere(mem []byte, p *frame.Packet) bool {
	if d.Workers <= 1 || !p.Has(frame.FlagIPv4) || int(p.Len) < int(p.L3)+ipLen+ethLen {
		return false
	}
	n := p.Len - p.L3 - ipLen
	if total := binary.BigEndian.Uint16(mem[p.Off+uint32(p.L3)+2:]); total >= ipLen+ethLen && total-ipLen <= n {
		n = total - ipLen
	}
	return d.innerElsewhere(mem, p, p.L3+ipLen, n)
}

// innerElsewhere parses the n octets from at on, for their hash alone: what is malformed hashes by what could be read.
func (d *Spread) innerElsewhere(mem []byte, p *frame.Packet, at, n uint16) bool {
	in := frame.Packet{Off: p.Off + uint32(at), Len: n}
	parse.Access(mem, &in)
	return d.to(p, in.Hash)
}
