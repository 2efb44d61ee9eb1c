package conflict

import (
	"encoding/hex"
	"net/netip"
	"strings"
	"testing"
	"time"

	"penstock/ctrl/alarm"
	"penstock/ctrl/model"
	"penstock/dataplane/fib"
)

type board struct {
	raised  []alarm.Report
	cleared []string
}

func (b *board) Raise(r alarm.Report)              { b.raised = append(b.raised, r) }
func (b *board) Clear(_ alarm.Kind, object string) { b.cleared = append(b.cleared, object) }

func frame(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// world has two tenants with the same virtual address.
func world(t *testing.T) (*Watch, *board, *time.Time, *model.State) {
	t.Helper()
	s := &model.State{
		Tenants: map[string]model.Tenant{"red": {Name: "red", ID: 100}, "blue": {Name: "blue", ID: 101}},
		Segments: map[string]model.Segment{
			"red/web": {Tenant: "red", Name: "web", ID: 1}, "blue/web": {Tenant: "blue", Name: "web", ID: 1}},
		VIPs: map[string]model.VIP{
			"red/www": {Tenant: "red", Name: "www", Segment: "web", Address: netip.MustParseAddr("10.10.1.100")},
			"red/six": {Tenant: "red", Name: "six", Segment: "web", Address: netip.MustParseAddr("fd00:10::100")},
			"blue/www": {Tenant: "blue", Name: "www", Segment: "web",
				Address: netip.MustParseAddr("10.10.1.100")}},
	}
	b, now := &board{}, time.Unix(1000, 0)
	w := New(Config{Alarms: b, State: func() *model.State { return s }, Now: func() time.Time { return now },
		Port: func(i int) (string, bool) { return []string{"acc0", "fab0"}[i], i == 1 }})
	return w, b, &now, s
}

const (
	gratuitous = "ffffffffffff 020000000130 0806 0001 0800 0604 0001 020000000130 0a0a0164 000000000000 0a0a0164"
	tagged     = "ffffffffffff 020000000130 8100 0005 0806 0001 0800 0604 0001 020000000130 0a0a0164 000000000000 " +
		"0a0a0164"
	advert = "333300000001 020000000130 86dd 60000000 0020 3aff fd001000000000000000000000000001 " +
		"ff020000000000000000000000000001 8800 0000 20000000 fd000010000000000000000000000100 0201 020000000130"
)

func TestConflict(t *testing.T) {
	for _, c := range []struct {
		name, frame, object, says string
		tenant                    uint32
		port                      int
	}{
		{"arp", gratuitous, "vip red/www 02:00:00:00:01:30", "at access port acc0 claims 10.10.1.100", 100, 0},
		{"other tenant", gratuitous, "vip blue/www 02:00:00:00:01:30", "of segment blue/web", 101, 0},
		{"tagged", tagged, "vip red/www 02:00:00:00:01:30", "claims 10.10.1.100", 100, 0},
		{"fabric", gratuitous, "vip red/www 02:00:00:00:01:30", "another box behind port fab0", 100, 1},
		{"ipv6", advert, "vip red/six 02:00:00:00:01:30", "claims fd00:10::100", 100, 0},
	} {
		w, b, now, _ := world(t)
		w.Punt(c.port, fib.SegmentKey(c.tenant, 1), frame(t, c.frame))
		if len(b.raised) != 1 || b.raised[0].Object != c.object || !strings.Contains(b.raised[0].Text, c.says) {
			t.Errorf("%s: raised %+v, want one about %q that says %q", c.name, b.raised, c.object, c.says)
			continue
		}
		*now = now.Add(Quiet - time.Second)
		if w.Expire(); len(b.cleared) != 0 {
			t.Errorf("%s: cleared %v a second early, want nothing", c.name, b.cleared)
		}
		*now = now.Add(time.Second)
		if w.Expire(); len(b.cleared) != 1 || b.cleared[0] != c.object {
			t.Errorf("%s: cleared %v after a quiet minute, want %q", c.name, b.cleared, c.object)
		}
	}
}

// A flood of claims is few reports, and many MACs are a bounded number of alarms.
func TestFlood(t *testing.T) {
	w, b, _, s := world(t)
	f := frame(t, gratuitous)
	for i := range 1000 {
		w.Punt(0, fib.SegmentKey(100, 1), f)
		g := append([]byte(nil), f...)
		g[8], g[9] = byte(i>>8), byte(i)
		w.Punt(0, fib.SegmentKey(100, 1), g)
	}
	if len(b.raised) != maxConflicts {
		t.Errorf("%d reports, want one for each of %d conflicts", len(b.raised), maxConflicts)
	}
	delete(s.VIPs, "red/www")
	if w.Expire(); len(b.cleared) != maxConflicts {
		t.Errorf("%d alarms cleared with the virtual address, want all %d", len(b.cleared), maxConflicts)
	}
}

// Frames that claim nothing, or are cut off anywhere, raise nothing and do not crash.
func TestNoClaim(t *testing.T) {
	w, b, _, _ := world(t)
	for _, s := range []string{gratuitous, tagged, advert} {
		f := frame(t, s)
		for n := range len(f) - 20 {
			w.Punt(0, fib.SegmentKey(100, 1), f[:n])
		}
		w.Punt(0, fib.SegmentKey(7, 1), f)
	}
	if len(b.raised) != 0 {
		t.Errorf("raised %+v, want nothing", b.raised)
	}
}
