// Package rig is a box without interfaces: real resources, compiled by the real compiler, and the real pipeline, over a
// UMEM that no socket uses. Golden tests and pipeline benchmarks use it; neither needs root.
package rig

import (
	"errors"
	"fmt"
	"time"

	"penstock/ctrl/compile"
	"penstock/ctrl/model"
	"penstock/dataplane"
	"penstock/dataplane/edge"
	"penstock/dataplane/fib"
	"penstock/dataplane/frame"
	"penstock/dataplane/keeper"
	"penstock/dataplane/pathprobe"
	"penstock/dataplane/table"
	"penstock/dataplane/uplink"
	"penstock/dataplane/xsk"
)

// Options of a rig. Zero sizes mean small ones.
type Options struct {
	Ports     []compile.Port
	MTU       []uint16 // by port; 0 = 1500 for access ports, 1600 for others
	MAC       []model.MAC
	Scheme    model.Scheme
	EdgeMAC   model.MAC
	State     *model.State
	Bindings  []model.Binding
	Capacity  int // of the bindings table
	Frames    int
	FrameSize int
	Groups    []compile.Group
	ICMPRate  uint32
	FloodRate uint32

	UDPPort     uint16 // of encapsulated frames
	MessageVLAN uint16 // of binding messages; 0 = none

	Box        string   // the box's name, for directors
	BalanceKey [16]byte // of the hash that chooses servers
	Flows      int      // of the balancer's flow table, without a limit of new ones; 0 = 1024
}

// Rig is a box without interfaces.
type Rig struct {
	*dataplane.Pipeline
	Compiler *compile.Compiler
	Bindings *table.Bindings
	Mem      []byte
	Verify   *frame.Verify
	Keeper   *keeper.Keeper // Tick runs it
	Gateways *uplink.Prober // of the gateway groups
	Echo     *pathprobe.Echo
	// Incoming and Outgoing change frames that Receive takes and Sent returns; nil = as they are.
	Incoming, Outgoing func(port int, f []byte) []byte

	Behind time.Duration // how long ago the turns that receive began
	umem   *xsk.Umem
	ports  int
	now    int64
	batch  frame.Batch
	sent   [][][]byte // by port
}

// New builds a rig with all ports up.
func New(o Options) (*Rig, error) {
	def := func(v *int, d int) {
		if *v == 0 {
			*v = d
		}
	}
	def(&o.Capacity, 1024)
	def(&o.Frames, 1024)
	def(&o.FrameSize, 2048)
	def(&o.Flows, 1024)
	if o.ICMPRate == 0 {
		o.ICMPRate = 1_000_000
	}
	r := &Rig{ports: len(o.Ports), now: 1e6, sent: make([][][]byte, len(o.Ports))}
	var err error
	if r.umem, err = xsk.NewUmem(xsk.UmemConfig{Frames: o.Frames, FrameSize: o.FrameSize,
		HugePages: true}); err != nil {
		return nil, err
	}
	r.Mem = r.umem.Mem()
	if r.Bindings, err = table.NewBindings(table.Config{Capacity: o.Capacity}); err != nil {
		return nil, err
	}
	pool, err := frame.NewPool(o.Frames, o.FrameSize, 1)
	if err != nil {
		return nil, err
	}
	r.Verify = frame.NewVerify(o.Frames, uint32(o.FrameSize))
	r.Pipeline = dataplane.NewPipeline(r.Mem, pool, r.Verify, len(o.Ports), 16, 16)
	r.Flows = dataplane.Flows{Limit: o.Flows}
	r.Edge.FDB = edge.NewFDB(1024)
	r.Flush = r.take
	r.Keeper = keeper.New(len(o.Ports), r.Uplink.Shared)
	r.Gateways = uplink.NewProber(r.Keeper)
	r.Keeper.Send = r.Inject
	r.Uplink.Clock = r.Now
	r.Echo = pathprobe.NewEcho(&r.Env, &pathprobe.Shared{}, r.Now)
	r.Overlay.Probe = r.Echo.Take
	r.Keeper.Room = func(uint16) int { return frame.QueueSize }
	r.Keeper.Stuck = func(uint16, uint32) (bool, uint32) { return false, 0 }
	r.Keeper.Clean = func(int64) bool { return true }
	r.Compiler = compile.New(compile.Config{
		Scheme: o.Scheme, Ports: o.Ports, EdgeMAC: o.EdgeMAC, Bindings: r.Bindings, Capacity: o.Capacity,
		Groups: o.Groups, ICMPRate: o.ICMPRate, ICMPBurst: 1000, FloodRate: o.FloodRate,
		Box: o.Box, BalanceKey: o.BalanceKey, MessageVLAN: o.MessageVLAN, UDPPort: o.UDPPort,
		FloodBurst: max(1, o.FloodRate), Prepare: r.Prepare, Publish: r.direct,
	})
	for i, p := range o.Ports {
		mtu, mac := uint16(1600), model.MAC(0x020000000f00+uint64(i))
		if p.Role == fib.RoleAccess {
			mtu = 1500
		}
		if i < len(o.MTU) && o.MTU[i] != 0 {
			mtu = o.MTU[i]
		}
		if i < len(o.MAC) && o.MAC[i] != 0 {
			mac = o.MAC[i]
		}
		r.Compiler.SetLink(i, true, mtu, uint64(mac))
		r.Uplink.Shared.Open(i, true)
	}
	if o.State == nil {
		o.State = &model.State{}
	}
	if err := r.Apply(o.State, model.BindingChanges{}); err != nil {
		return nil, err
	}
	return r, r.Put(o.Bindings)
}

// direct makes what the pipeline needs to direct virtual addresses, as Engine.Publish does.
func (r *Rig) direct(s *fib.Snapshot) {
	here, v6 := false, false
	for i := range s.VIPs {
		if v := &s.VIPs[i]; v.Ref != 0 && v.Here && !v.Own {
			here, v6 = true, v6 || v.V6
		}
	}
	if here {
		if err := r.Direct(len(s.Servers), v6); err != nil {
			panic(err) // no memory
		}
	}
}

// Apply makes a state and binding changes live in one transaction.
func (r *Rig) Apply(s *model.State, ch model.BindingChanges) error {
	plan, err := r.Compiler.Plan(s, ch)
	if err != nil {
		return fmt.Errorf("plan: %w", err)
	}
	r.Compiler.Apply(plan)
	return r.Compiler.Err()
}

// Close frees what is outside the Go heap.
func (r *Rig) Close() error {
	return errors.Join(r.Balance.Close(), r.Bindings.Close(), r.umem.Close())
}

// Receive takes frames through the pipeline as if they had arrived on port, in batches of at most 64.
func (r *Rig) Receive(port int, frames ...[]byte) error {
	for len(frames) > 0 {
		r.now += 1e6
		r.SetTime(r.now - int64(r.Behind))
		b := &r.batch
		b.N = 0
		for b.N < frame.BatchSize && len(frames) > 0 {
			addr, ok := r.Cache.Get()
			if !ok {
				return fmt.Errorf("no free frame: take what was sent first")
			}
			r.Verify.Move(addr, frame.OwnerPool, frame.OwnerBatch)
			p := &b.Pkt[b.N]
			p.Off, p.Port = addr+frame.Headroom, uint16(port)
			f := frames[0]
			if r.Incoming != nil {
				f = r.Incoming(port, f)
			}
			p.Len = uint16(copy(r.Mem[p.Off:addr+r.Pool.FrameSize()], f))
			b.N++
			frames = frames[1:]
		}
		r.Process(uint16(port), b, r.Compiler.Snapshot())
		for p := range r.ports {
			r.take(uint16(p))
		}
	}
	return nil
}

// Now returns the rig's time in nanoseconds. It advances by a millisecond with every batch received, and with Tick.
func (r *Rig) Now() int64 { return r.now }

// Tick lets time pass, and then the gateway groups' timers run.
func (r *Rig) Tick(d time.Duration) {
	r.now += int64(d)
	r.SetTime(r.now)
	r.Keeper.Turn(r.now, r.Compiler.Snapshot())
	r.Waited(r.Compiler.Snapshot())
	for p := range r.ports {
		r.take(uint16(p))
	}
}

// take copies out what waits for a port and frees the frames.
func (r *Rig) take(port uint16) {
	for _, d := range r.Out(port) {
		f := make([]byte, d.Len)
		copy(f, r.Mem[d.Addr:])
		r.sent[port] = append(r.sent[port], f)
		r.Free(uint32(d.Addr))
	}
}

// Sent returns what was sent from a port since the last call.
func (r *Rig) Sent(port int) [][]byte {
	s := r.sent[port]
	r.sent[port] = nil
	for i := range s {
		if r.Outgoing != nil {
			s[i] = r.Outgoing(port, s[i])
		}
	}
	return s
}
