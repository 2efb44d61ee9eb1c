package gen

import (
	"slices"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"

	"penstock/dataplane/xsk/xsktest"
	"penstock/perf/traffic"
)

// TestLatency: a device that holds every frame for a while and notes for how long. What the generator measures is that
// and a little more.
func TestLatency(t *testing.T) {
	const delay = 20 * time.Millisecond
	dev := newDevice(t, func(n int, f []byte, send func([]byte)) {
		_, stamp, _ := traffic.Signature(f)
		for monotonic() < stamp+int64(delay)+int64(n)*1000 { // each one longer than the one before
			time.Sleep(100 * time.Microsecond)
		}
		send(f)
	})
	for _, c := range []Config{oneWay(t), {Ports: oneWay(t).Ports, noStamp: true}} {
		dev.went = nil
		e, err := Open(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		r := run(t, e, Load{Rates: []float64{500}, Count: 200})
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
		var least, most []int64
		for _, s := range dev.went {
			least, most = append(least, s.before-s.stamp), append(most, s.after-s.stamp)
		}
		slices.Sort(least)
		slices.Sort(most)
		l := &r.Directions[0].Latency
		if l.Frames != 200 || len(least) != 200 {
			t.Fatalf("%+v, the device saw %d", l, len(least))
		}
		// Three digits: the histogram gives the upper end of a range of 0.1 %. The clocks may be out of step by
		// l.Error. The upper limit holds for only half of the values, with a margin: on a busy machine the kernel
		// delays arrivals.
		for _, q := range []struct {
			name string
			got  int64
			rank int
		}{{"min", l.Min, 0}, {"p50", l.P50, 99}, {"p90", l.P90, 179}, {"p99", l.P99, 197}, {"max", l.Max, 199}} {
			low, high := least[q.rank]-least[q.rank]/500-l.Error-2, most[q.rank]+int64(delay)
			if q.got < low || q.rank < 100 && q.got > high {
				t.Errorf("%s (%s): %d ns, the device says %d to %d",
					q.name, l.Clock, q.got, least[q.rank], most[q.rank])
			}
		}
		if l.Min < int64(delay) || l.Mean < float64(l.Min) || l.Mean > float64(l.Max) {
			t.Errorf("latency %+v, want at least %v, and a mean between lowest and highest", l, delay)
		}
	}
}

// dropper is an XDP program on an interface that sends frames on by another one and drops every so many. It counts what
// it drops.
func dropper(t *testing.T, from, to int, every uint32) (dropped func() uint64) {
	t.Helper()
	// Entry 0 counts frames that were seen, entry 1 those dropped.
	m, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.Array, KeySize: 4, ValueSize: 8, MaxEntries: 2})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	add := func(key int64) asm.Instructions {
		return asm.Instructions{
			asm.StoreImm(asm.RFP, -4, key, asm.Word),
			asm.LoadMapPtr(asm.R1, m.FD()),
			asm.Mov.Reg(asm.R2, asm.RFP),
			asm.Add.Imm(asm.R2, -4),
			asm.FnMapLookupElem.Call(),
			asm.JEq.Imm(asm.R0, 0, "drop"),
			asm.Mov.Imm(asm.R6, 1),
			asm.AddAtomic.Mem(asm.R0, asm.R6, asm.DWord, 0),
			asm.LoadMem(asm.R6, asm.R0, 0, asm.DWord),
		}
	}
	ins := add(0)
	ins = append(ins,
		asm.Mod.Imm(asm.R6, int32(every)),
		asm.JEq.Imm(asm.R6, 0, "count"),
		asm.Mov.Imm(asm.R1, int32(to)),
		asm.Mov.Imm(asm.R2, 0),
		asm.FnRedirect.Call(),
		asm.Return(),
	)
	count := add(1)
	count[0] = count[0].WithSymbol("count")
	ins = append(append(ins, count...), asm.Mov.Imm(asm.R0, 1).WithSymbol("drop"), asm.Return())
	p, err := ebpf.NewProgram(&ebpf.ProgramSpec{Type: ebpf.XDP, License: "GPL", Instructions: ins})
	if err != nil {
		t.Fatalf("%+v", err)
	}
	t.Cleanup(func() { p.Close() })
	l, err := link.AttachXDP(link.XDPOptions{Program: p, Interface: from, Flags: link.XDPDriverMode})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return func() uint64 {
		var n uint64
		if err := m.Lookup(uint32(1), &n); err != nil {
			t.Fatal(err)
		}
		return n
	}
}

// TestInducedLoss: a device in the kernel that drops every 97th frame, at a rate at which a packet socket could not
// follow.
func TestInducedLoss(t *testing.T) {
	const count, every = 100_000, 97
	xsktest.Namespace(t)
	_, da := xsktest.Veth(t, "a", "da", xsktest.VethConfig{})
	_, db := xsktest.Veth(t, "b", "db", xsktest.VethConfig{})
	dropped := dropper(t, da.Index, db.Index, every)
	e := open(t, oneWay(t))
	r := run(t, e, Load{Rates: []float64{150_000}, Count: count})
	d, over := &r.Directions[0], r.Ports[1].Overrun
	n := dropped()
	if n != count/every || d.Sent != count || d.Lost != n+over || d.Received+d.Lost != count || d.Reordered != 0 ||
		d.Duplicates != 0 {
		t.Errorf("dropped %d, %d found no room: %+v", n, over, d)
	}
	if k := kernelSays(t, "b"); k.RxFrames != d.Received+over {
		t.Errorf("the kernel says %+v, %d received", k, d.Received)
	}
	if k := kernelSays(t, "da"); k.RxFrames != count {
		t.Errorf("the kernel says %+v", k)
	}
	if want := float64(d.Lost) / count; d.LossRatio != want || d.ByLoss != int64(float64(d.Lost)/d.TxRate*1e9) {
		t.Errorf("loss ratio %v, want %v; %d ns", d.LossRatio, want, d.ByLoss)
	}
}

// TestReflect: one port, and a device that sends frames back by it.
func TestReflect(t *testing.T) {
	xsktest.Namespace(t)
	_, b := xsktest.Veth(t, "a", "b", xsktest.VethConfig{})
	const xdpTX = 3
	p, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Type: ebpf.XDP, License: "GPL",
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, xdpTX), asm.Return()},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	l, err := link.AttachXDP(link.XDPOptions{Program: p, Interface: b.Index, Flags: link.XDPDriverMode})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	e := open(t, Config{Ports: []Port{{Interface: "a", Program: small(t)}}, Reflect: true})
	r := run(t, e, Load{Rates: []float64{20_000}, Count: 3000})
	d := &r.Directions[0]
	if d.Received != 3000 || d.Lost != 0 || d.Reordered != 0 || d.To != "a" || r.Ports[0].Looped != 0 {
		t.Errorf("direction %+v, port %+v, want 3000 frames back at a, in order", d, r.Ports[0])
	}
	if k := kernelSays(t, "a"); k.TxFrames != 3000 || k.RxFrames != 3000 {
		t.Errorf("the kernel of a: %+v, want 3000 frames out and in", k)
	}
}

// TestSendOnly: one port without a receiver behind it. All figures of reception are zero.
func TestSendOnly(t *testing.T) {
	xsktest.Namespace(t)
	xsktest.Veth(t, "a", "b", xsktest.VethConfig{})
	e := open(t, Config{Ports: []Port{{Interface: "a", Program: small(t)}}})
	r := run(t, e, Load{Rates: []float64{20_000}, Count: 1000})
	d := &r.Directions[0]
	if d.Sent != 1000 || d.Received != 0 || d.Lost != 0 || d.LossRatio != 0 || d.To != "" || d.Gap.Length != 0 ||
		d.Latency.Frames != 0 {
		t.Errorf("direction %+v, want 1000 frames sent, and nothing said of reception", d)
	}
	if k := kernelSays(t, "b"); k.RxFrames != 1000 {
		t.Errorf("the kernel of b: %+v, want 1000 frames in", k)
	}
}
