package box

import (
	"context"
	"fmt"
	"time"

	"penstock/ctrl/alarm"
	"penstock/dataplane"
	"penstock/dataplane/flow"
)

// A flow table counts as full from fullShare on, or when it forgets connections that were more than half-open, and no
// longer as full after fullQuiet below roomShare.
const (
	fullShare = 95 // percent of the limit
	roomShare = 90
	fullQuiet = time.Minute
)

// flowAlarms raises and clears the alarms of full flow tables.
type flowAlarms struct {
	alarms interface {
		Raise(alarm.Report)
		Clear(kind alarm.Kind, object string)
	}
	tables map[int]*fullTable // by worker
}

// fullTable is what is remembered of a worker's table.
type fullTable struct {
	evicted uint64    // connections forgotten, at the last look
	full    time.Time // when it was last full
	raised  bool
	asked   bool // an alarm of the run before was cleared, if need be
}

func flowObject(worker int) string { return fmt.Sprintf("worker %d", worker) }

// look judges the tables by their reports.
func (f *flowAlarms) look(reports []dataplane.FlowReport, now time.Time) {
	for worker := range reports {
		r := &reports[worker]
		t := f.tables[worker]
		if t == nil {
			t = &fullTable{}
			f.tables[worker] = t
		}
		var flows, evicted uint64
		for state := flow.HalfOpen; state < flow.States; state++ {
			flows += r.Flows[state]
			if state != flow.HalfOpen { // those give way at a quarter of the table already
				evicted += r.Evicted[state]
			}
		}
		evicted -= min(evicted, r.NoRoom) // the table was not full, only their buckets
		lost := evicted - min(evicted, t.evicted)
		t.evicted = max(t.evicted, evicted)
		switch full := r.Limit > 0 && (lost > 0 || flows*100 >= uint64(r.Limit)*fullShare); {
		case full && !t.raised:
			t.full, t.raised = now, true
			f.alarms.Raise(alarm.Report{Kind: alarm.FlowTableFull, Object: flowObject(worker), Text: fmt.Sprintf(
				"The flow table of worker %d is full: it has %d connections of %d. The oldest are forgotten, and the "+
					"hash alone selects the server of what they send. Raise balancer.flows and restart, or spread the "+
					"VIPs over more directors.", worker, flows, r.Limit)})
		case full:
			t.full = now
		case flows*100 >= uint64(r.Limit)*roomShare && r.Limit > 0:
		case t.raised && now.Sub(t.full) >= fullQuiet, !t.raised && !t.asked:
			t.raised = false
			f.alarms.Clear(alarm.FlowTableFull, flowObject(worker))
		}
		t.asked = true
	}
}

// watchFlows looks at the flow tables every second until ctx is done.
func (b *Box) watchFlows(ctx context.Context) {
	f := flowAlarms{alarms: b.alarms, tables: map[int]*fullTable{}}
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			f.look(b.engine.FlowTables(), now)
		}
	}
}
