package dataplane

import (
	"sync"
	"testing"

	"penstock/dataplane/drop"
	"penstock/dataplane/frame"
	"penstock/dataplane/punt"
	"penstock/dataplane/stats"
)

// TestPrepare: while workers count, counters grow without losing any, and those of reused indices are zero when
// Prepare returns, those that were not published yet included; readers meanwhile never see a counter go anywhere but
// up or to zero.
func TestPrepare(t *testing.T) {
	const kept, reused = 3, 5
	cfg := small(2)
	x := newBench(t, 1, cfg)
	count := func(i int, n uint64) {
		for _, w := range x.workers {
			w.do(func(w *worker) { w.VIFs.Add(i*stats.RxTxLen+stats.Rx, n) })
		}
	}
	packets := func(i uint32) uint64 { return x.VIF(i).Rx.Packets }
	x.Prepare(stats.Indices{VIFs: stats.Used{N: 100}}) // before the workers run
	x.start()
	stop := make(chan struct{})
	var readers sync.WaitGroup
	readers.Go(func() {
		last := uint64(0)
		for {
			select {
			case <-stop:
				return
			default:
			}
			if n := packets(kept); n < last {
				t.Errorf("a counter fell from %d to %d", last, n)
				return
			} else {
				last = n
			}
			if n := packets(reused); n > 2*7*15 {
				t.Errorf("the reused index has %d, more than was ever counted", n)
				return
			}
		}
	})
	for round := range 15 {
		count(kept, 1)
		count(reused, 7)
		x.Prepare(stats.Indices{VIFs: stats.Used{N: 100 << round, Reused: []uint32{reused}}})
		if n := packets(reused); n != 0 {
			t.Fatalf("round %d: a reused index has counted %d, want 0", round, n)
		}
		for _, w := range x.workers {
			w.do(func(w *worker) { w.publish() })
		}
		if n := packets(reused); n != 0 {
			t.Fatalf("round %d: a reused index has counted %d after it was published, want 0", round, n)
		}
		if n, want := packets(kept), uint64(2*(round+1)); n != want {
			t.Fatalf("round %d: the other index has counted %d, want %d", round, n, want)
		}
	}
	close(stop)
	readers.Wait()
	x.Prepare(stats.Indices{VIFs: stats.Used{N: 1 << 30}})
	for _, w := range x.workers {
		if n := w.VIFs.Len(); n < stats.MaxIndices*stats.RxTxLen || n > 4*stats.MaxIndices*stats.RxTxLen {
			t.Errorf("%d counters, want some %d: the bound", n, stats.MaxIndices*stats.RxTxLen)
		}
	}
	x.end()
	x.Prepare(stats.Indices{VIFs: stats.Used{N: 1 << 30, Reused: []uint32{1}}}) // after the stop: nobody to wait for
}

// TestWorkersShareLimits: what control hears from a port is limited whatever the number of workers.
func TestWorkersShareLimits(t *testing.T) {
	x := newBench(t, 1, small(2))
	now := int64(1)
	for _, w := range x.workers {
		if why := w.Punts.Put(now, 0, punt.LLDP, nil); why != drop.None {
			t.Errorf("worker %d: the first frame is dropped as %s, want it taken", w.id, why)
		}
	}
	n := 2
	for i := 0; x.workers[i%2].Punts.Put(now, 0, punt.LLDP, nil) == drop.None; i++ {
		n++
	}
	if want := int(punt.LLDP.Info().Burst); n != want {
		t.Errorf("two workers let %d frames of a port to control at once, want %d together", n, want)
	}
	x.start()
	x.end()
}

// TestPrepareBalance: the counters of services and servers grow, and those of a new owner are zero.
func TestPrepareBalance(t *testing.T) {
	pool, err := frame.NewPool(8, 2048, 1)
	if err != nil {
		t.Fatal(err)
	}
	pl := NewPipeline(make([]byte, 8*2048), pool, nil, 1, 1, 1)
	const service, server = 3, 7
	count := func() {
		pl.Services.AddPacket(service*stats.ServiceLen+stats.ServiceIn, 54)
		pl.Services.Add(service*stats.ServiceLen+stats.ServiceConnections, 1)
		pl.Servers.AddPacket(server*stats.ServerLen+stats.ServerOut, 60)
		pl.Servers.Add(server*stats.ServerLen+stats.ServerMoved, 2)
		pl.Publish()
	}
	want := stats.Service{In: stats.Traffic{Packets: 1, Bytes: 54}, Connections: 1}
	wantServer := stats.Server{Out: stats.Traffic{Packets: 1, Bytes: 60}, Moved: 2}
	count()
	pl.Prepare(stats.Indices{Services: stats.Used{N: 1000}, Servers: stats.Used{N: 10000}})
	if got, of := pl.Services.Service(service), pl.Servers.Server(server); got != want || of != wantServer {
		t.Errorf("after growing: service %+v, server %+v, want %+v, %+v", got, of, want, wantServer)
	}
	if n, m := pl.Services.Len(), pl.Servers.Len(); n < 1000*stats.ServiceLen || m < 10000*stats.ServerLen {
		t.Errorf("%d counters of services, %d of servers, want room for 1000 and 10000", n, m)
	}
	pl.Prepare(stats.Indices{
		Services: stats.Used{N: 1000, Reused: []uint32{service}},
		Servers:  stats.Used{N: 10000, Reused: []uint32{server}},
	})
	if got, of := pl.Services.Service(service), pl.Servers.Server(server); got != (stats.Service{}) ||
		of != (stats.Server{}) {
		t.Errorf("after new owners: service %+v, server %+v, want zeros", got, of)
	}
}
