package box

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"penstock/ctrl/alarm"
	"penstock/dataplane"
	"penstock/dataplane/flow"
)

// noted records alarms.
type noted []string

func (n *noted) Raise(r alarm.Report) { *n = append(*n, fmt.Sprint("raise ", r.Kind, " ", r.Object)) }
func (n *noted) Clear(k alarm.Kind, object string) {
	*n = append(*n, fmt.Sprint("clear ", k, " ", object))
}

// TestFlowAlarms: full, still full, some room, room for long enough, and again.
func TestFlowAlarms(t *testing.T) {
	var got noted
	f := flowAlarms{alarms: &got, tables: map[int]*fullTable{}}
	start := time.Now()
	const raise, clear = "raise flow_table_full worker 0", "clear flow_table_full worker 0"
	for i, step := range []struct {
		at              time.Duration
		half, open      uint64
		evicted, noRoom uint64 // established
		halfOpenEvicted uint64
		want            string
	}{
		{at: 0, open: 10, want: clear}, // one of the run before
		{at: 1, open: 949},
		{at: 2, open: 700, half: 249, halfOpenEvicted: 5000}, // a flood alone is none
		{at: 3, open: 700, half: 250, want: raise},
		{at: 4, open: 1000},
		{at: 10, open: 920}, // not full, but no room either
		{at: 63, open: 899}, // 59 s after it was last full
		{at: 64, open: 899, want: clear},
		{at: 65, open: 500, evicted: 1, want: raise},
		{at: 66, open: 500, evicted: 1},
		{at: 100, open: 500, evicted: 2},
		{at: 159, open: 500, evicted: 2},
		{at: 160, open: 500, evicted: 2, want: clear},
		{at: 161, open: 500, evicted: 12, noRoom: 10}, // their buckets were full
	} {
		got = nil
		r := dataplane.FlowReport{Limit: 1000, NoRoom: step.noRoom}
		r.Flows[flow.HalfOpen], r.Flows[flow.Established] = step.half, step.open
		r.Evicted[flow.Established], r.Evicted[flow.HalfOpen] = step.evicted, step.halfOpenEvicted
		f.look([]dataplane.FlowReport{r}, start.Add(step.at*time.Second))
		var want noted
		if step.want != "" {
			want = noted{step.want}
		}
		if !slices.Equal(got, want) {
			t.Errorf("step %d, at %d s: got %v, want %v", i, step.at, got, want)
		}
	}
	got = nil
	f.look(make([]dataplane.FlowReport, 2), start.Add(time.Hour))
	if want := (noted{"clear flow_table_full worker 1"}); !slices.Equal(got, want) {
		t.Errorf("without tables: got %v, want %v", got, want)
	}
}
