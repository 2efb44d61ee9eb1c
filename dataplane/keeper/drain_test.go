package keeper

import "testing"

// TestDrain: a turn in which every ring gave less than a batch has processed all that had arrived by its beginning; so
// have more turns than a ring holds batches, by the beginning of the first of them.
func TestDrain(t *testing.T) {
	const rounds = 3
	var d Drain
	for i, tc := range []struct {
		now   int64
		empty bool
		want  int64
	}{
		{10, true, 10}, {20, false, 10}, {30, false, 10}, {40, false, 10}, {50, false, 10}, // since 10: four turns
		{60, false, 10}, {70, false, 10}, {80, false, 10}, {90, false, 50},
		{100, false, 50}, {110, true, 110}, {120, false, 110},
		{130, false, 110}, {140, false, 110}, {150, false, 110}, {160, false, 110}, {170, false, 110},
		{180, false, 110}, {190, false, 150},
	} {
		if d.Note(tc.now, tc.empty, rounds); d.Time() != tc.want {
			t.Errorf("turn %d at %d: drained by %d, want %d", i, tc.now, d.Time(), tc.want)
		}
	}
}
