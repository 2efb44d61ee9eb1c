package pathprobe

import (
	"encoding/binary"
	"sync/atomic"

	"penstock/dataplane/drop"
	"penstock/dataplane/fib"
	"penstock/dataplane/frame"
	"penstock/dataplane/limit"
	"penstock/dataplane/resolve"
	"penstock/dataplane/stage"
)

// Bounds of the echoes that all workers together make, a second and at once.
const (
	echoRate  = 25_000
	echoBurst = 2_000
)

// lateEcho is the age of a probe from which on its echo is none, in nanoseconds.
const lateEcho = 2 * second

// Shared is what all workers share.
type Shared struct{ echoes limit.Bucket }

// Echo is a worker's receiving side. Its methods are for that worker, but SetKeys.
type Echo struct {
	env    *stage.Env
	shared *Shared
	clock  func() int64
	seal   atomic.Pointer[Seal]
}

// NewEcho returns the receiving side of a worker; clock is that by which probes are sent.
func NewEcho(env *stage.Env, shared *Shared, clock func() int64) *Echo {
	return &Echo{env: env, shared: shared, clock: clock}
}

// SetKeys makes tags necessary, or unnecessary without keys. Any thread may call it.
func (e *Echo) SetKeys(keys []resolve.Key) { e.seal.Store(NewSeal(keys)) }

// Take takes the frame of a PROBE or ECHO that came to the box address: see overlay.State.Probe.
func (e *Echo) Take(p *frame.Packet, payload []byte) {
	m, n, ok := resolve.Parse(payload)
	ip := e.env.Mem[p.Off+uint32(p.L3) : p.Off+uint32(p.Len)]
	from, id := binary.BigEndian.Uint32(ip[12:16]), binary.BigEndian.Uint16(ip[4:6])
	f := &e.env.Snap.Ports[p.Port].Fabric
	tagged := m.Flags&resolve.FlagTag != 0
	size := resolve.BodyLen
	if tagged {
		size += resolve.TagLen
	}
	switch {
	case !ok || n != resolve.BodyLen || len(payload) != size,
		m.Segment != uint32(id), m.Segment == 0, m.Segment > 4094:
		p.DropFor(drop.ProbeInvalid)
		return
	}
	seal := e.seal.Load()
	probe := m.Op == resolve.OpProbe
	switch {
	case probe && !e.mayEcho(&m, from, f):
		p.DropFor(drop.ProbeInvalid)
	case probe && !e.shared.echoes.Take(e.env.Now, echoRate, echoBurst, 1):
		p.DropFor(drop.ProbeLimit)
	case seal != nil && !(tagged && seal.Valid(payload[n:], payload[:n], m.KeyID)):
		p.DropFor(drop.ProbeTag)
	case probe:
		e.echo(p, payload, &m, from, f, seal)
	case e.note(p, &m, from):
		p.Next = frame.NextTaken
	default:
		p.DropFor(drop.ProbeUnasked)
	}
}

// mayEcho reports whether the place in a PROBE is its sender's, by a path that this box has, too.
func (e *Echo) mayEcho(m *resolve.Body, from uint32, f *fib.Fabric) bool {
	number := from >> 24
	if f.HostMask == 0xffff {
		number = from >> 16 & 0xff
	}
	_, known := e.env.Snap.ProbeVLANs.Get(fib.ProbeKey(m.Switch, uint16(m.Segment)))
	return known && uint32(m.Port) == number
}

// echo makes the ECHO of a PROBE in its frame: it goes back by the same VLAN, with the same body.
func (e *Echo) echo(p *frame.Packet, payload []byte, m *resolve.Body, from uint32, f *fib.Fabric, seal *Seal) {
	n := uint32(len(payload))
	body := p.Off + uint32(p.L3) + udpAt - ipAt + (bodyAt - udpAt)
	start := body - bodyAt
	b := e.env.Mem[start : body+n]
	src := f.SwitchMAC
	if m.Switch == f.SwitchMAC {
		src = f.OwnMAC
	}
	head(b, m.Switch, src, uint16(m.Segment), f.BoxIP, from, portBinding, int(n))
	b[bodyAt+3] = resolve.OpEcho
	if end := bodyAt + resolve.BodyLen; seal != nil {
		b[bodyAt+6] = seal.ID()
		seal.Put(b[end:], b[bodyAt:end])
	}
	p.Off, p.Len = start, uint16(bodyAt+n)
	p.SendTo(p.Port)
}

// note notes the ECHO of an own PROBE, and reports whether it is one: of a probe to this box, not older than 2 s, by
// the right path, and its first.
func (e *Echo) note(p *frame.Packet, m *resolve.Body, from uint32) bool {
	s := e.env.Snap
	if uint64(m.IP4) >= uint64(len(s.Probes)) {
		return false
	}
	x := &s.Probes[m.IP4]
	if x.Live == nil || x.Port != p.Port || uint32(x.VID) != m.Segment {
		return false
	}
	seq := int64(m.Sequence)
	for i := range x.Live.Asked {
		a := &x.Live.Asked[i]
		sent := a.Sent.Load()
		if a.Address.Load() != from || seq <= 0 || seq > sent || sent-seq > lateEcho {
			continue
		}
		last := a.Answered.Load()
		if seq <= last || !a.Answered.CompareAndSwap(last, seq) {
			return false
		}
		if rtt := e.clock() - seq; rtt >= 0 {
			at := (x.Live.Trips.Add(1) - 1) % fib.RTTs
			x.Live.RTT[at].Store(uint32(min(max(rtt, 1), 1<<32-1)))
		}
		return true
	}
	return false
}
