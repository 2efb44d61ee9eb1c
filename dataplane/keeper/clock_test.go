package keeper

import "testing"

// TestClock: the clock goes as the workers' does, and stands still while the worker does.
func TestClock(t *testing.T) {
	for _, tc := range []struct {
		name          string
		due           int64   // on the clock, which begins at 0 as the workers' does
		turns         []int64 // when turns begin
		clock         int64   // after the last
		late          bool
		when          int64 // when due, on the workers' clock
		clockAfterDue int64 // one turn of 1 ms later, when the next probe is due in 100 ms
	}{
		{"nothing to probe", Never, []int64{5 * ms, 900 * ms}, 900 * ms, false, Never, 901 * ms},
		{"turns in time", 100 * ms, []int64{10 * ms, 20 * ms}, 20 * ms, false, 100 * ms, 21 * ms},
		{"due now", 100 * ms, []int64{99 * ms, 100 * ms}, 100 * ms, false, 100 * ms, 101 * ms},
		{"as late as may be", 100 * ms, []int64{99 * ms, 101 * ms}, 101 * ms, false, 100 * ms, 102 * ms},
		{"late", 100 * ms, []int64{99 * ms, 101*ms + 1}, 101 * ms, true, 100*ms + 1, 102 * ms},
		{"the worker stood still", 100 * ms, []int64{50 * ms, 950 * ms}, 101 * ms, true, 949 * ms, 102 * ms},
		{"still late", 100 * ms, []int64{500 * ms, 950 * ms}, 101 * ms, true, 949 * ms, 102 * ms},
		{"long overdue", -50 * ms, []int64{1 * ms}, -49 * ms, true, 0, -48 * ms},
	} {
		var c Clock
		for _, now := range tc.turns {
			c.advance(now, tc.due)
		}
		if c.now != tc.clock || c.late != tc.late || c.when(tc.due) != tc.when {
			t.Errorf("%s: clock %d, late %v, due at %d; want %d, %v, %d",
				tc.name, c.now, c.late, c.when(tc.due), tc.clock, tc.late, tc.when)
		}
		c.advance(tc.turns[len(tc.turns)-1]+ms, max(c.now, 0)+100*ms)
		if c.now != tc.clockAfterDue || c.late {
			t.Errorf("%s, a turn later: clock %d, late %v; want %d, false", tc.name, c.now, c.late, tc.clockAfterDue)
		}
	}
}
