package golden

import (
	"encoding/binary"
	"testing"

	"penstock/ctrl/compile"
	"penstock/ctrl/model"
	"penstock/dataplane/drop"
	"penstock/dataplane/stats"
	"penstock/integration/endpoint"
	"penstock/integration/rig"
)

// send makes frames, lets them arrive on a port, and returns what left by another.
func send(t *testing.T, r *rig.Rig, cfg *config, from, to string, frames ...func() ([]byte, error)) [][]byte {
	t.Helper()
	for _, f := range frames {
		data, err := f()
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Receive(portIndex(t, cfg, from), data); err != nil {
			t.Fatal(err)
		}
	}
	accounted(t, r, len(cfg.Ports))
	return r.Sent(portIndex(t, cfg, to))
}

func drops(t *testing.T, r *rig.Rig, cfg *config, port string, why drop.Reason) uint64 {
	t.Helper()
	r.Publish()
	return r.Ports.Of(portIndex(t, cfg, port), stats.Drops+int(why))
}

// A tag inside the encapsulation would lead out of an untagged attachment into another tenant's VLAN.
func TestInnerTagsAreRefused(t *testing.T) {
	r, cfg := load(t, "host")
	n := uint64(0)
	for _, etherType := range []uint16{0x8100, 0x88a8, 0x9100} {
		inner := tagged(30, ethernet(vm3.MAC, vm2.MAC, 0x88b7, 60)) // blue's VLAN, to red's vm3 on the same port
		binary.BigEndian.PutUint16(inner[12:], etherType)
		if out := send(t, r, cfg, "fab0", "acc1", outer(model.Scheme16, raw(inner), nil)); len(out) > 0 {
			t.Errorf("type %#x: it left by the access port: % x", etherType, out[0][:20])
		}
		n++
		if got := drops(t, r, cfg, "fab0", drop.FabricInner); got != n {
			t.Errorf("type %#x: %d dropped as fabric_inner, want %d", etherType, got, n)
		}
	}
}

// The sender of a packet that is too big for the fabric gets its answer also when no VIF of the box has its MAC, as
// behind an attachment with anti_spoof = "off", and the packet went through the router.
func TestTooBigForAnUnknownSender(t *testing.T) {
	r, cfg := load(t, "host-mtu")
	stranger := host(0x0200000000dd, "10.9.0.7", "")
	out := send(t, r, cfg, "acc1", "acc1", inLab(changed(udp4(stranger, via(db2), 0, 1000, 1500-28), withDF)))
	if len(out) != 1 {
		t.Fatalf("%d answers, want 1", len(out))
	}
	if got := model.MAC(binary.BigEndian.Uint64(out[0]) >> 16); got != stranger.MAC {
		t.Errorf("the answer goes to %v, want the sender %v", got, stranger.MAC)
	}
	if err := checkSums(out[0]); err != nil {
		t.Error(err)
	}
}

// inLab tags a frame for the attachment without anti-spoofing.
func inLab(f func() ([]byte, error)) func() ([]byte, error) {
	return changed(f, func(b []byte) []byte { return tagged(40, b) })
}

// An answer never has a group as its source: a multicast packet that does not fit is dropped where the segment has no
// router address that could answer (RFC 4443, 2.2).
func TestTooBigIsNeverFromAGroup(t *testing.T) {
	r, cfg := load(t, "host-mtu")
	group := host(0x333300001234, "", "ff02::1234")
	out := send(t, r, cfg, "acc1", "acc1", inLab(udp6(host(lab1.MAC, "", "fe80::1"), group, 1000, 1500-48)))
	for _, f := range out {
		if f[4+14+8] == 0xff {
			t.Errorf("an answer from a multicast address: % x", f[:70])
		}
	}
	if n := drops(t, r, cfg, "acc1", drop.TooBig); n != 1 {
		t.Errorf("%d dropped as too_big, want 1", n)
	}
}

// Packets that must not be answered use no token of the ICMP rate limit.
func TestSuppressedAnswersCostNothing(t *testing.T) {
	r, cfg := load(t, "host-mtu")
	limit(t, r, func(c *compile.Config) { c.ICMPRate, c.ICMPBurst = 1, 1 })
	group := host(0x01005e000001, "224.0.0.1", "")
	for range 5 {
		send(t, r, cfg, "acc0", "acc0", changed(udp4(vm1, group, 0, 1000, 1500-28), withDF))
	}
	if out := send(t, r, cfg, "acc0", "acc0", changed(udp4(vm1, vm2, 0, 1000, 1500-28), withDF)); len(out) != 1 {
		t.Errorf("%d answers to a packet that is due one; icmp_limit %d", len(out),
			drops(t, r, cfg, "acc0", drop.ICMPLimit))
	}
}

func limit(t *testing.T, r *rig.Rig, change func(*compile.Config)) {
	t.Helper()
	if err := r.Compiler.Reconfigure(change); err != nil {
		t.Fatal(err)
	}
}

// Senders that are no VIF have a limit of their own: they cannot take a VIF's broadcasts away, of whatever tenant.
func TestStrangersHaveTheirOwnFloodLimit(t *testing.T) {
	r, cfg := load(t, "host")
	limit(t, r, func(c *compile.Config) { c.FloodRate, c.FloodBurst = 1, 2 })
	for i := range 10 {
		send(t, r, cfg, "acc1", "fab0",
			inLab(raw(ethernet(endpoint.Broadcast, model.MAC(0x0200000000d0+i), 0x88b7, 60))))
	}
	if n := drops(t, r, cfg, "acc1", drop.FloodLimit); n != 8 {
		t.Errorf("%d of 10 broadcasts of strangers were dropped as flood_limit, want 8", n)
	}
	for _, c := range []struct {
		port string
		f    []byte
	}{
		{"acc0", ethernet(endpoint.Broadcast, vm1.MAC, 0x88b7, 60)},
		{"acc1", ethernet(endpoint.Broadcast, vm3.MAC, 0x88b7, 60)},
		{"acc1", tagged(20, ethernet(endpoint.Broadcast, db1.MAC, 0x88b7, 60))},
		{"acc1", tagged(30, ethernet(endpoint.Broadcast, vm1.MAC, 0x88b7, 60))},
		{"acc1", tagged(40, ethernet(endpoint.Broadcast, lab1.MAC, 0x88b7, 60))},
	} {
		if out := send(t, r, cfg, c.port, "fab0", raw(c.f)); len(out) == 0 {
			t.Errorf("a VIF's first broadcast on %s was dropped: % x", c.port, c.f[:18])
		}
	}
}

// The largest MTU that an interface can have is no small one.
func TestLargestMTU(t *testing.T) {
	r, cfg := load(t, "host")
	r.Compiler.SetLink(portIndex(t, cfg, "acc1"), true, 65535, 0x020000000f01)
	if out := send(t, r, cfg, "acc0", "acc1", udp4(vm1, vm3, 0, 1000, 18)); len(out) != 1 {
		t.Errorf("%d frames came out, want 1; access_mtu %d", len(out), drops(t, r, cfg, "acc0", drop.AccessMTU))
	}
}

// A VIF's counters count the frames sent to it, not the frames dropped before.
func TestVIFCountsWhatIsSent(t *testing.T) {
	r, cfg := load(t, "host")
	r.Compiler.SetLink(portIndex(t, cfg, "acc1"), true, 1000, 0x020000000f01)
	out := send(t, r, cfg, "acc0", "acc1", udp4(vm1, vm3, 0, 1000, 18), udp4(vm1, vm3, 0, 1000, 1400))
	r.Publish()
	var sent uint64
	for i := range cfg.VIFs {
		sent += r.VIFs.Load(i*stats.RxTxLen + stats.Tx)
	}
	if len(out) != 1 || sent != 1 {
		t.Errorf("%d frames came out, %d are counted as sent to VIFs, want 1", len(out), sent)
	}
}
