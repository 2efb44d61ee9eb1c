package golden

import (
	"path/filepath"
	"testing"

	"penstock/dataplane/drop"
	"penstock/dataplane/frame"
	"penstock/dataplane/stats"
	"penstock/integration/rig"
)

// allConfigs are the configurations that arbitrary frames go into. Recorded inputs of FuzzPipeline name them by number.
var allConfigs = []string{"host", "host24", "host-mtu", "edge", "gateway", "balance-director", "balance-one",
	"balance-agent", "balance-client"}

// inputs returns the recorded input frames of all cases of a configuration, by port.
func inputs(t testing.TB, config string) map[int][][]byte {
	t.Helper()
	byPort := map[int][][]byte{}
	for _, c := range cases() {
		if c.config == config {
			for _, p := range read(t, filepath.Join("testdata", c.name, "in.pcapng")) {
				byPort[p.port] = append(byPort[p.port], p.data)
			}
		}
	}
	return byPort
}

// The packet path allocates nothing, whatever comes in: batches that mix everything the golden cases know.
func TestPipelineAllocatesNothing(t *testing.T) {
	for _, config := range allConfigs {
		t.Run(config, func(t *testing.T) {
			r, cfg := load(t, config)
			resolve(r)
			byPort := inputs(t, config)
			var b frame.Batch
			now := int64(1)
			frames := 0
			run := func() {
				for port, in := range byPort {
					for len(in) > 0 {
						now += 1e6
						r.SetTime(now)
						b.N = 0
						for b.N < frame.BatchSize && len(in) > 0 {
							put(r, &b, port, in[0])
							in = in[1:]
						}
						frames += b.N
						r.Process(uint16(port), &b, r.Compiler.Snapshot())
						for p := range cfg.Ports {
							for _, d := range r.Out(uint16(p)) {
								r.Free(uint32(d.Addr))
							}
						}
						for r.Punts.Peek() != nil {
							r.Punts.Drop()
						}
					}
				}
			}
			if n := testing.AllocsPerRun(20, run); n != 0 {
				t.Errorf("%.1f allocations for %d frames", n, frames/21)
			}
			if frames == 0 {
				t.Error("no frames went through")
			}
			accounted(t, r, len(cfg.Ports))
		})
	}
}

func put(r *rig.Rig, b *frame.Batch, port int, data []byte) {
	addr, ok := r.Cache.Get()
	if !ok {
		panic("the pool of the test is empty: a frame was lost")
	}
	r.Verify.Move(addr, frame.OwnerPool, frame.OwnerBatch)
	p := &b.Pkt[b.N]
	b.N++
	p.Off, p.Port = addr+frame.Headroom, uint16(port)
	p.Len = uint16(copy(r.Mem[p.Off:addr+r.Pool.FrameSize()], data))
}

// accounted checks that every frame is back in the pool, that nobody broke the ownership rules, and that what came in
// and was copied equals what went out, was handed to control and was dropped.
func accounted(t testing.TB, r *rig.Rig, ports int) {
	t.Helper()
	if n, first := r.Verify.Violations(); n > 0 {
		t.Fatalf("frame ownership: %d violations: %v", n, first)
	}
	for owner, n := range r.Verify.Count() {
		if owner != frame.OwnerPool.String() && n > 0 {
			t.Fatalf("%d frames are left with %s", n, owner)
		}
	}
	r.Publish()
	for p := range ports {
		if n := r.Ports.Of(p, stats.Drops+int(drop.None)); n > 0 {
			t.Fatalf("port %d: %d frames dropped without a reason", p, n)
		}
	}
}

// FuzzPipeline sends arbitrary frames into every port of every configuration: nothing may crash or lose a frame, and
// what comes in as one frame on a fabric port leaves only by access and uplink ports, and what comes from outside never
// goes back there by another port.
func FuzzPipeline(f *testing.F) {
	configs := allConfigs
	for i, config := range configs {
		for port, frames := range inputs(f, config) {
			for _, data := range frames {
				f.Add(uint8(i), uint8(port), data)
			}
		}
	}
	rigs := make([]*rig.Rig, len(configs))
	cfgs := make([]*config, len(configs))
	for i, c := range configs {
		rigs[i], cfgs[i] = load(f, c)
		resolve(rigs[i])
	}
	f.Fuzz(func(t *testing.T, which, port uint8, data []byte) {
		i := int(which) % len(configs)
		r, cfg := rigs[i], cfgs[i]
		in := int(port) % len(cfg.Ports)
		if len(data) > int(r.Pool.FrameSize())-frame.Headroom {
			return
		}
		if err := r.Receive(in, data); err != nil {
			t.Fatal(err)
		}
		for r.Punts.Peek() != nil {
			r.Punts.Drop()
		}
		for p := range cfg.Ports {
			sent := r.Sent(p)
			if len(sent) > 0 && cfg.Ports[in].Role == "fabric" && p != in && cfg.Ports[p].Role != "access" &&
				cfg.Ports[p].Role != "uplink" {
				t.Fatalf("a frame from the fabric left by %s", cfg.Ports[p].Name)
			}
			if len(sent) > 0 && cfg.Ports[in].Role == "uplink" && p != in && cfg.Ports[p].Role == "uplink" {
				t.Fatalf("a frame from outside left by another uplink")
			}
			if len(sent) > 0 && p == in && (cfg.Ports[p].Role == "trunk" || cfg.Ports[p].Role == "downlink") &&
				len(cfg.Ports) > 0 {
				t.Fatalf("a frame left by the port %s it came from", cfg.Ports[p].Name)
			}
		}
		accounted(t, r, len(cfg.Ports))
	})
}
