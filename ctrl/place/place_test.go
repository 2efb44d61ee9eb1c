package place

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"penstock/ctrl/alarm"
	"penstock/ctrl/compile"
	"penstock/ctrl/model"
	"penstock/ctrl/neighbor/lldp"
)

const (
	leaf1 = model.MAC(0x02000000000a)
	leaf2 = model.MAC(0x02000000000b)
)

// world is a service with two fabric ports, 0 and 1, and a downlink, 2, and all that it does.
type world struct {
	t      *testing.T
	s      *Service
	cfg    Config
	now    time.Time
	places map[int]compile.Place
	moved  []string
	alarms map[string]string
	sent   map[int][]lldp.Advert
}

func newWorld(t *testing.T, static compile.Place) *world {
	w := &world{t: t, now: time.Unix(1000, 0), places: map[int]compile.Place{}, alarms: map[string]string{},
		sent: map[int][]lldp.Advert{}}
	w.cfg = Config{
		Setting: Setting{Edge: 0x02000000fa0a, Ports: []Port{
			{Index: 0, Name: "fab0", Interface: "eth0", Fabric: true, Static: static},
			{Index: 1, Name: "fab1", Interface: "eth1", Fabric: true},
			{Index: 4, Name: "down17", Interface: "eth4", Number: 17},
		}},
		System: "box1", Version: "1.0", File: filepath.Join(t.TempDir(), "places.json"),
		Inject: func(port int, f []byte) bool {
			a, err := lldp.Parse(f)
			if err != nil {
				t.Errorf("sent by port %d: %v", port, err)
			}
			w.sent[port] = append(w.sent[port], a)
			return true
		},
		SetPlace: func(port int, at compile.Place) error { w.places[port] = at; return nil },
		Moved:    func(port string, s State) { w.moved = append(w.moved, port+" "+s.Origin) },
		Alarms:   w, Log: slog.New(slog.DiscardHandler), Now: func() time.Time { return w.now },
	}
	w.start()
	return w
}

func (w *world) start() {
	w.places = map[int]compile.Place{}
	w.s = New(w.cfg)
	if err := w.s.Apply(); err != nil {
		w.t.Fatal(err)
	}
	for i, index := range []int{0, 1, 4} {
		w.s.Link(index, true, model.MAC(0x020000000f00+i))
	}
	w.s.turn()
}

func (w *world) Raise(r alarm.Report) { w.alarms[string(r.Kind)+" "+r.Object] = r.Text }

func (w *world) Clear(kind alarm.Kind, object string) { delete(w.alarms, string(kind)+" "+object) }

// hear gives port 0 the frame of a switch.
func (w *world) hear(chassis model.MAC, port string, ttl uint16) {
	a := lldp.Advert{Source: chassis, Chassis: lldp.MACID(lldp.ChassisMAC, chassis),
		Port: lldp.ID{Subtype: lldp.PortName, Octets: port}, TTL: ttl}
	w.s.Punt(0, a.Append(nil))
	w.s.turn()
}

func (w *world) pass(d time.Duration) {
	for end := w.now.Add(d); w.now.Before(end); {
		w.now = w.now.Add(min(w.s.turn(), end.Sub(w.now)))
	}
	w.s.turn()
}

func (w *world) place(want string) {
	w.t.Helper()
	st := w.s.States()[0]
	got := fmt.Sprintf("%s/%d %s", st.At.Switch, st.At.Port, st.Origin)
	if st.At == (compile.Place{}) {
		got = "none"
	}
	if got != want || w.places[0] != st.At {
		w.t.Errorf("place of port 0: got %s, live %v, want %s", got, w.places[0], want)
	}
}

func (w *world) raised(want ...string) {
	w.t.Helper()
	var got []string
	for k := range w.alarms {
		if strings.HasSuffix(k, "fab0") {
			got = append(got, strings.TrimSuffix(k, " port fab0"))
		}
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		w.t.Errorf("alarms: got %v, want %v: %v", got, want, w.alarms)
	}
}

// TestFirst: the first advert after a start, or after the link was lost, gives the place; without loss the second one.
func TestFirst(t *testing.T) {
	w := newWorld(t, compile.Place{})
	w.place("none")
	w.hear(leaf1, "swp17", 120)
	w.place("02:00:00:00:00:0a/17 lldp")
	w.hear(leaf1, "swp1", 120)
	w.place("02:00:00:00:00:0a/17 lldp")
	w.hear(leaf1, "swp17", 120)
	w.hear(leaf1, "swp1", 120)
	w.place("02:00:00:00:00:0a/17 lldp")
	w.hear(leaf1, "swp1", 120)
	w.place("02:00:00:00:00:0a/1 lldp")
	w.s.Link(0, false, 1)
	w.s.turn()
	w.place("02:00:00:00:00:0a/1 stored")
	w.s.Link(0, true, 1)
	w.hear(leaf2, "swp9", 120)
	w.place("02:00:00:00:00:0b/9 lldp")
	w.raised()
	want := []string{"fab0 lldp", "fab0 lldp", "fab0 stored", "fab0 lldp"}
	if !slices.Equal(w.moved, want) {
		t.Errorf("told: got %v, want %v", w.moved, want)
	}
}

// TestLost: the place stays when the neighbour leaves or is silent.
func TestLost(t *testing.T) {
	w := newWorld(t, compile.Place{})
	w.hear(leaf1, "swp17", 120)
	w.pass(119 * time.Second)
	w.raised()
	w.pass(2 * time.Second)
	w.raised("lldp_lost")
	w.place("02:00:00:00:00:0a/17 lldp")
	w.hear(leaf1, "swp17", 120)
	w.raised()
	w.hear(leaf1, "swp17", 0)
	w.raised("lldp_lost")
	w.place("02:00:00:00:00:0a/17 lldp")
	w.s.Link(0, false, 1)
	w.s.turn()
	w.raised()
}

// TestAmbiguous: two neighbours at once change nothing.
func TestAmbiguous(t *testing.T) {
	w := newWorld(t, compile.Place{})
	w.hear(leaf1, "swp17", 120)
	for range 3 {
		w.hear(leaf2, "swp9", 120)
	}
	w.place("02:00:00:00:00:0a/17 lldp")
	w.raised("lldp_ambiguous")
	w.hear(leaf1, "swp17", 0)
	w.raised()
	w.hear(leaf2, "swp9", 120)
	w.place("02:00:00:00:00:0a/17 lldp")
	w.hear(leaf2, "swp9", 120)
	w.place("02:00:00:00:00:0b/9 lldp")
	for i := range model.MAC(20) {
		w.hear(0x020000001000+i, "swp1", 120)
	}
	if st := w.s.States()[0]; len(st.Neighbors) != maxNeighbors || st.More != 13 || st.Frames.Crowded != 13 {
		t.Errorf("neighbours: got %d and %d adverts more, want %d and 13", len(st.Neighbors), st.More, maxNeighbors)
	}
	w.place("02:00:00:00:00:0b/9 lldp")
}

// TestNoPlace: the alarm says which text and why; a place that is known stays; and silence is told.
func TestNoPlace(t *testing.T) {
	w := newWorld(t, compile.Place{})
	w.pass(34 * time.Second)
	w.raised()
	w.pass(2 * time.Second)
	w.raised("lldp_no_place")
	w.hear(leaf1, "swp17s2", 120)
	w.place("none")
	w.raised("lldp_no_place")
	if text := w.alarms["lldp_no_place port fab0"]; !strings.Contains(text, `"swp17s2"`) {
		t.Errorf("the alarm says %q, want the port ID", text)
	}
	w.hear(leaf1, "swp17", 120)
	w.raised()
	w.place("02:00:00:00:00:0a/17 lldp")
	w.hear(leaf1, "mgmt", 120)
	w.place("02:00:00:00:00:0a/17 lldp")
	w.raised("lldp_no_place")
}

// TestStatic: each configured half replaces one half of LLDP's, which is told when it contradicts.
func TestStatic(t *testing.T) {
	w := newWorld(t, compile.Place{Switch: leaf2})
	w.hear(leaf1, "swp17", 120)
	w.place("02:00:00:00:00:0b/17 lldp")
	w.raised("lldp_mismatch")
	w.hear(leaf2, "swp17", 120)
	w.raised("lldp_ambiguous", "lldp_mismatch")

	w = newWorld(t, compile.Place{Port: 3})
	w.hear(leaf1, "mgmt", 120)
	w.place("02:00:00:00:00:0a/3 lldp")
	w.raised()

	w = newWorld(t, compile.Place{Switch: leaf2, Port: 3})
	w.place("02:00:00:00:00:0b/3 configured")
	w.pass(2 * time.Minute)
	w.raised()
	w.hear(leaf2, "swp4", 120)
	w.place("02:00:00:00:00:0b/3 configured")
	w.raised("lldp_mismatch")
	w.hear(leaf2, "swp3", 120)
	w.raised()

	set := w.cfg.Setting
	set.Ports = slices.Clone(set.Ports)
	set.Ports[0].Static = compile.Place{}
	w.s.Configure(set)
	w.s.turn()
	w.place("02:00:00:00:00:0b/3 lldp")
	w.s.Configure(w.cfg.Setting)
	w.s.turn()
	w.place("02:00:00:00:00:0b/3 configured")
}

// TestRestart: the place of the last run is used at once, and confirmed by the first advert, or replaced.
func TestRestart(t *testing.T) {
	w := newWorld(t, compile.Place{})
	w.hear(leaf1, "swp17", 120)
	if err := save(w.cfg.File, w.s.known()); err != nil {
		t.Fatal(err)
	}
	w.start()
	w.place("02:00:00:00:00:0a/17 stored")
	if list := w.sent[0]; list[len(list)-2].TTL != 0 || list[len(list)-1].TTL != 121 {
		t.Errorf("first frames after a restart: got %+v, want a good-bye for the former run, and an advert", list)
	}
	if list := w.sent[1]; list[len(list)-2].TTL != 121 {
		t.Errorf("first frames by a port that had no place: got %+v, want adverts", list)
	}
	w.pass(time.Minute)
	w.raised("lldp_no_place")
	w.hear(leaf1, "swp17", 120)
	w.place("02:00:00:00:00:0a/17 lldp")
	w.raised()
	w.start()
	w.hear(leaf1, "swp18", 120)
	w.place("02:00:00:00:00:0a/18 lldp")
	for _, text := range []string{"", "{", `{"ports":{"fab0":{"switch_mac":"01:00:00:00:00:01","switch_port":3}}}`,
		`{"ports":{"fab0":{"switch_mac":"02:00:00:00:00:01","switch_port":300}}}`, `{"ports":{"fab9":{}}}`} {
		if err := os.WriteFile(w.cfg.File, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		w.start()
		w.place("none")
	}
}

// TestSend: four frames a second apart when the link comes up and for a new neighbour, then one in 30 s, and good-bye.
func TestSend(t *testing.T) {
	w := newWorld(t, compile.Place{})
	w.pass(3 * time.Second)
	if n := len(w.sent[4]); n != 4 {
		t.Errorf("frames in the first 3 s: got %d, want 4", n)
	}
	w.pass(62 * time.Second)
	if n := len(w.sent[4]); n != 6 {
		t.Errorf("frames in 65 s: got %d, want 6", n)
	}
	before := len(w.sent[0])
	w.hear(leaf1, "swp17", 120)
	w.hear(leaf1, "swp17", 120)
	w.pass(10 * time.Second)
	if n := len(w.sent[0]) - before; n != 4 {
		t.Errorf("frames for a new neighbour: got %d, want 4", n)
	}
	want := lldp.Advert{Source: 0x020000000f02, Chassis: lldp.MACID(lldp.ChassisMAC, 0x02000000fa0a),
		Port: lldp.ID{Subtype: lldp.PortLocal, Octets: "17"}, TTL: 121, PortDescription: "down17", SystemName: "box1",
		SystemDescription: "Penstock 1.0", Capabilities: 0x14, Enabled: 0x14}
	if got := w.sent[4][0]; got != want {
		t.Errorf("of the edge switch: got %+v, want %+v", got, want)
	}
	want = lldp.Advert{Source: 0x020000000f01, Chassis: lldp.MACID(lldp.ChassisMAC, 0x020000000f00),
		Port: lldp.ID{Subtype: lldp.PortName, Octets: "eth1"}, TTL: 121, PortDescription: "fab1", SystemName: "box1",
		SystemDescription: "Penstock 1.0", Capabilities: 0x84, Enabled: 0x80}
	if got := w.sent[1][0]; got != want {
		t.Errorf("of the second fabric port: got %+v, want %+v", got, want)
	}
	w.s.Link(1, false, 1)
	w.s.turn()
	before = len(w.sent[1])
	w.s.Leave()
	if n := len(w.sent[1]) - before; n != 0 {
		t.Errorf("good-byes of a port that is down: got %d, want 0", n)
	}
	if list := w.sent[4]; list[len(list)-1].TTL != 0 {
		t.Errorf("the last frame: got %+v, want a TTL of 0", list[len(list)-1])
	}
}

// TestRefused: what is no LLDP changes nothing and is counted by its fault and port, logged once a fault; and a port
// that hears nothing else says so.
func TestRefused(t *testing.T) {
	w := newWorld(t, compile.Place{})
	var logged strings.Builder
	w.s.cfg.Log = slog.New(slog.NewTextHandler(&logged, nil))
	a := lldp.Advert{Source: leaf1, Chassis: lldp.MACID(lldp.ChassisMAC, leaf1),
		Port: lldp.ID{Subtype: lldp.PortName, Octets: "swp17"}, TTL: 120}
	good := a.Append(nil)
	order, id, cut := slices.Clone(good), slices.Clone(good), good[:34]
	order[14] = 4 // a port ID first
	id[15] = 1    // a chassis ID without octets
	w.now = w.now.Add(time.Second)
	for range 3 {
		for _, f := range [][]byte{nil, make([]byte, 60), order, id, cut} {
			w.s.Punt(0, f)
		}
	}
	w.s.Punt(9, nil)
	want := Frames{Received: 15, Refused: [lldp.Faults]uint64{lldp.ErrShort: 3, lldp.ErrAddress: 3,
		lldp.ErrOrder: 3, lldp.ErrID: 3, lldp.ErrTruncate: 3}}
	want.Sent = w.s.States()[0].Frames.Sent
	if got := w.s.States()[0].Frames; got != want {
		t.Errorf("frames: got %+v, want %+v", got, want)
	}
	if n := strings.Count(logged.String(), "LLDP frame refused"); n != 5 {
		t.Errorf("lines of the log: got %d, want one a fault:\n%s", n, logged.String())
	}
	if other := w.s.States()[1].Frames; other.Received != 0 || other.Sent == 0 {
		t.Errorf("frames of the other port: got %+v, want none received, some sent", other)
	}
	w.place("none")
	w.pass(silence)
	if text := w.alarms["lldp_no_place port fab0"]; !strings.Contains(text, "refused: a TLV is longer") {
		t.Errorf("the alarm says %q, want the last fault", text)
	}
}
