package failover

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestIperfStall(t *testing.T) {
	report := func(octets ...int) string {
		var list []string
		for i, n := range octets {
			seconds := 0.1
			if i == len(octets)-1 {
				seconds = 0.02
			}
			list = append(list,
				fmt.Sprintf(`{"streams": [], "sum": {"seconds": %g, "bytes": %d, "sender": false}}`, seconds, n))
		}
		return `{"start": {}, "intervals": [` + strings.Join(list, ",") +
			`], "end": {}, "error": "the client has terminated"}`
	}
	const step = 100 * time.Millisecond
	for _, tc := range []struct {
		name   string
		octets []int
		stall  time.Duration
		open   bool
	}{
		{"steady", []int{5, 5, 5, 5}, 0, false},
		{"a late start", []int{0, 0, 5, 5}, 0, false},
		{"a hole", []int{5, 5, 0, 0, 5, 5}, 2 * step, false},
		{"two holes", []int{5, 0, 5, 0, 0, 0, 5, 0, 5, 5}, 3 * step, false},
		{"silent to the end", []int{5, 5, 0, 0, 0, 0}, 3 * step, true},
		{"a last step cut short", []int{5, 5, 0}, 0, false},
	} {
		if stall, open, err := iperfStall(report(tc.octets...)); err != nil || stall != tc.stall || open != tc.open {
			t.Errorf("%s: %v, %t, %v; want %v, %t", tc.name, stall, open, err, tc.stall, tc.open)
		}
	}
	for name, text := range map[string]string{
		"nothing": report(0, 0, 0), "no interval": report(),
		"empty": "", "not JSON": "iperf3: error - unable to start",
	} {
		if stall, _, err := iperfStall(text); err == nil {
			t.Errorf("%s: stall %v, want an error", name, stall)
		}
	}
}
