package resolve

import (
	"encoding/binary"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"penstock/ctrl/alarm"
	"penstock/ctrl/compile"
	"penstock/ctrl/model"
	"penstock/ctrl/resolve/owner"
	"penstock/dataplane/fib"
	"penstock/dataplane/resolve"
	"penstock/dataplane/table"
)

// join is a box that begins among owners; messages take a millisecond.
type join struct {
	now      int64
	rng      *rand.Rand
	loss     float64
	owners   map[compile.Place]*owner.Owner
	to       [][]byte // on their way to the box, with the sender in front: see send
	solicits []int64
	wheres   int
	answers  map[int64][]*owner.Owner // HELLOs that are due, by time in ticks
}

func (j *join) Broadcast(b []byte) bool {
	m, _, _ := resolve.Parse(b)
	switch {
	case m.Op == resolve.OpWhere:
		j.wheres++
	case m.Op == resolve.OpHello && m.Flags&resolve.FlagSolicit != 0:
		j.solicits = append(j.solicits, j.now)
		for _, o := range j.owners {
			if j.rng.Float64() >= j.loss {
				due := j.now/tick + 1 + j.rng.Int64N(second/tick)
				j.answers[due] = append(j.answers[due], o)
			}
		}
	}
	return true
}

func (j *join) Unicast(to compile.Place, b []byte) bool {
	m, _, _ := resolve.Parse(b)
	if o := j.owners[to]; o != nil && m.Op == resolve.OpPull && j.rng.Float64() >= j.loss {
		for _, f := range o.Answer(&m) {
			j.send(o, f)
		}
	}
	return true
}

func (j *join) Paths() []uint16 { return nil }

func (j *join) Chirp(uint16, []byte) bool { return false }

func (j *join) send(o *owner.Owner, b []byte) {
	if j.rng.Float64() >= j.loss {
		j.to = append(j.to, append(binary.BigEndian.AppendUint32(nil, address(o.At)), b...))
	}
}

// newTable returns a box's tables with tenants 100 to 109, each with the segment 7.
func newTable(t *testing.T, rows int) *compile.Compiler {
	mem, err := table.NewBindings(table.Config{Capacity: rows})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = mem.Close() })
	c := compile.New(compile.Config{Bindings: mem, Capacity: rows, Ports: []compile.Port{{Name: "fab0",
		Role: fib.RoleFabric, SwitchMAC: 0x02000000000a, SwitchPort: 200}}})
	s := &model.State{Tenants: map[string]model.Tenant{}, Segments: map[string]model.Segment{}}
	for i := range 10 {
		name := fmt.Sprint("t", i)
		s.Tenants[name] = model.Tenant{Name: name, ID: uint32(100 + i)}
		s.Segments[name+"/net"] = model.Segment{Tenant: name, Name: "net", ID: 7}
	}
	p, err := c.Plan(s, model.BindingChanges{})
	if err == nil {
		err = c.Apply(p)
	}
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestJoin: a box that begins gets all bindings of 100 owners, with 2 % of the messages lost, in 15 s, without in 10 s.
// Time is the simulation's. PENSTOCK_JOIN is the number of an owner's VIFs: 1,000, or 10,000 for a million in all.
func TestJoin(t *testing.T) {
	each := 1000
	if s := os.Getenv("PENSTOCK_JOIN"); s != "" {
		var err error
		if each, err = strconv.Atoi(s); err != nil {
			t.Fatal(err)
		}
	} else if testing.Short() {
		each = 100
	}
	for _, c := range []struct {
		loss  float64
		limit time.Duration
	}{{0, 10 * time.Second}, {0.02, 15 * time.Second}} {
		t.Run(fmt.Sprint("loss ", c.loss), func(t *testing.T) { joins(t, each, c.loss, c.limit) })
	}
}

func joins(t *testing.T, each int, loss float64, limit time.Duration) {
	const owners = 100
	tables := newTable(t, owners*each+100)
	j := &join{now: 1_800_000_000_000_000_000, rng: rand.New(rand.NewPCG(1, 2)), loss: loss,
		owners: map[compile.Place]*owner.Owner{}, answers: map[int64][]*owner.Owner{}}
	for i := range owners {
		at := compile.Place{Switch: 0x02000000000a + model.MAC(i%2), Port: uint8(1 + i)}
		j.owners[at] = &owner.Owner{At: at, Tenant: 100 + uint32(i%10), First: 0x020000000000 + uint64(i)<<20,
			IP: uint32(10<<24 + i*each), Count: each}
	}
	s := New(Config{Heard: func(Box) {},
		Table: tables, Wire: j, Keys: func() []resolve.Key { return nil }, Alarms: quietAlarms{t},
		Log: slog.New(slog.DiscardHandler), Now: func() int64 { return j.now },
		File: filepath.Join(t.TempDir(), "claims.json"), Directors: func([]byte) {}, SyncRate: 200_000})
	at := compile.Place{Switch: 0x02000000000a, Port: 200}
	s.SetSelf(Self{At: at, MAC: 0x02000000fb00, Since: time.Unix(0, j.now)})
	begin, most, held := j.now, 0, 0
	cpu := time.Now()
	for held < owners*each && j.now-begin < int64(2*limit) {
		if j.now%tick == 0 {
			for _, o := range j.answers[j.now/tick] {
				j.send(o, o.Hello(j.now))
			}
			delete(j.answers, j.now/tick)
			s.Tick()
			most = max(most, len(s.pulls))
		}
		j.now += millisecond
		air := j.to
		j.to = nil
		for _, b := range air {
			s.Message(resolve.Arrival{From: binary.BigEndian.Uint32(b), Payload: b[4:]})
			most = max(most, len(s.pulls))
		}
		held = 0
		digests, _ := tables.Digests()
		for _, d := range digests {
			held += d.Count
		}
	}
	took := time.Duration(j.now - begin)
	t.Logf("%d bindings of %d boxes, %.0f %% lost: %s, the test took %s; %+v", held, owners, 100*loss, took,
		time.Since(cpu), s.Counters())
	if held != owners*each || took > limit {
		t.Errorf("bindings: got %d after %s, want %d after %s at most", held, took, owners*each, limit)
	}
	if most > 8 {
		t.Errorf("owners pulled from at once: got %d, want 8 at most", most)
	}
	if j.wheres != 0 {
		t.Errorf("questions: got %d, want none", j.wheres)
	}
	for j.now-begin < 4*second {
		s.Tick()
		j.now += tick
	}
	for i, at := range j.solicits {
		if late := at - begin - int64(i)*second; late < 0 || late > int64(i+1)*tick {
			t.Errorf("HELLO %d that asks for others: got it %s late, want it after %d s", i+1, time.Duration(late), i)
		}
	}
	if n := len(j.solicits); n != 3 {
		t.Errorf("HELLOs that ask for others: got %d, want 3", n)
	}
	for at, d := range first(tables.Digests()) {
		if o := j.owners[at]; d.Count != o.Count {
			t.Errorf("bindings of %v: got %d, want %d", at, d.Count, o.Count)
		}
	}
}

func first[A, B any](a A, _ B) A { return a }

// quietAlarms fails the test at any alarm.
type quietAlarms struct{ t *testing.T }

func (q quietAlarms) Raise(r alarm.Report) { q.t.Errorf("alarm %s: %s, want none", r.Kind, r.Text) }

func (quietAlarms) Clear(alarm.Kind, string) {}
