package box

import (
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"time"

	"penstock/ctrl/flowfile"
	"penstock/dataplane"
	"penstock/dataplane/fib"
	"penstock/dataplane/flow"
)

// saveLimit is the time after which the box ends without having saved its flows.
const saveLimit = 5 * time.Second

// saveFlows writes the balancer's flows to a file. It waits for saveLimit at most: a disk may hang.
func (b *Box) saveFlows() {
	directs := false
	for _, r := range b.engine.FlowTables() {
		directs = directs || r.Limit > 0
	}
	if !directs {
		return
	}
	done := make(chan error, 1)
	go func() {
		n, err := flowfile.Save(b.flowState(), time.Now(), b.eachFlow)
		if err == nil {
			b.log.Info("saved the balancer's flows", "flows", n)
		}
		done <- err
	}()
	select {
	case err := <-done:
		if err != nil {
			b.log.Warn("the balancer's flows are not saved", "err", err)
		}
	case <-time.After(saveLimit):
		b.log.Warn("the balancer's flows are not saved: the disk or the workers are too slow", "after", saveLimit)
	}
}

// eachFlow calls yield for every flow of a live server, until that returns false.
func (b *Box) eachFlow(yield func(*flowfile.Flow) bool) {
	names := map[fib.Ref]string{}
	b.compiler.ServerRefs(func(key string, ref fib.Ref) { names[ref] = key })
	part := make([]flow.Flow, dataplane.MaxReadFlows)
	for worker := range b.engine.FlowTables() {
		for from := uint32(0); ; {
			next, n := b.engine.ReadFlows(worker, from, part)
			for i := range part[:n] {
				f := &part[i]
				name, ok := names[f.Server]
				if ok && !yield(&flowfile.Flow{
					Server: name, Client: clientOf(f), ClientPort: f.ClientPort, Port: f.Port, Proto: f.Proto,
					State: f.State, OffTable: f.OffTable, Age: time.Duration(f.Age) * time.Millisecond,
				}) {
					return
				}
			}
			if from = next; next == 0 {
				break
			}
		}
	}
}

// loadFlows gives the workers the saved flows of services and servers that still exist. The file is used once: after a
// crash it would tell of what has changed since.
func (b *Box) loadFlows() {
	refs := map[string]fib.Ref{}
	b.compiler.ServerRefs(func(key string, ref fib.Ref) { refs[key] = ref })
	read, added := 0, 0
	var list []flow.Flow
	b.compiler.Read(func(s *fib.Snapshot) {
		err := flowfile.Load(b.flowState(), time.Now(), func(f *flowfile.Flow) {
			read++
			if x, ok := flowOf(s, f, refs[f.Server]); ok {
				list = append(list, x)
			}
			if len(list) == 1<<14 {
				added += b.engine.AddFlows(list)
				list = list[:0]
			}
		})
		if err != nil {
			b.log.Warn("the balancer begins without flows", "err", err)
		}
	})
	added += b.engine.AddFlows(list)
	if read > 0 {
		b.log.Info("the balancer goes on with the flows of before", "flows", added, "saved", read)
	}
	if err := os.Remove(b.flowState()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		b.log.Warn("saved flows", "err", err)
	}
}

// flowOf resolves the names of a flow. It returns false if the server's service is no longer where the client's packets
// go.
func flowOf(s *fib.Snapshot, f *flowfile.Flow, server fib.Ref) (x flow.Flow, ok bool) {
	i := server & fib.RefMask
	if server == 0 || uint(i) >= uint(len(s.Servers)) || s.Servers[i].Ref != server {
		return x, false
	}
	service := s.Servers[i].Service
	if uint(service) >= uint(len(s.Services)) || uint(s.Services[service].VIP) >= uint(len(s.VIPs)) {
		return x, false
	}
	v := &s.VIPs[s.Services[service].VIP]
	now, ok := v.Service(f.Proto, f.Port)
	if !ok || now != service || v.V6 != f.Client.Is6() {
		return x, false
	}
	x = flow.Flow{
		Key:    flow.Key{VIP: v.Ref, ClientPort: f.ClientPort, Port: f.Port, Proto: f.Proto, V6: v.V6},
		Server: server, State: f.State, OffTable: f.OffTable, Age: int32(f.Age.Milliseconds()),
	}
	x.Client = wordsOf(f.Client)
	return x, true
}

// clientOf returns the address of the client of a flow.
func clientOf(f *flow.Flow) netip.Addr {
	var b [16]byte
	for i := range b {
		b[i] = byte(f.Client[i/8] >> (56 - i%8*8))
	}
	if f.V6 {
		return netip.AddrFrom16(b)
	}
	return netip.AddrFrom4([4]byte(b[12:]))
}

// wordsOf returns an address as flow.Key has it.
func wordsOf(a netip.Addr) (w [2]uint64) {
	for _, x := range a.AsSlice() {
		w[0] = w[0]<<8 | w[1]>>56
		w[1] = w[1]<<8 | uint64(x)
	}
	return w
}
