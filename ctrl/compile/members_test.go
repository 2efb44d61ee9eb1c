package compile

import (
	"fmt"
	"testing"
)

// TestMembersOf holds the choice of members to the rules, a line each. A server is written as weight, then letters:
// d draining or disabled, b backup, l not found (lost), x down, s in a slow start at 10 %.
func TestMembersOf(t *testing.T) {
	for _, tc := range []struct {
		servers string
		percent uint8
		want    string // position:weight
		panics  bool
	}{
		{"", 25, "", false},
		{"1 1 1", 25, "0:1 1:1 2:1", false},
		{"2 4 6", 25, "0:1 1:2 2:3", false},
		{"1 1d 1x 1l", 25, "0:1", false},
		{"1d 1d", 25, "", false},
		{"1d 1b", 25, "1:1", false}, // nobody else is enabled
		{"1 1b", 25, "0:1", false},
		{"1x 1b", 25, "1:1", true},
		{"1x 1b", 0, "1:1", false},
		{"1 1x 1x 1x", 25, "0:1", false}, // 25 % are not below 25 %
		{"1 1x 1x 1x 1x", 25, "0:1 1:1 2:1 3:1 4:1", true},
		{"1 1x 1x 1x 1x", 0, "0:1", false},
		{"1 1x 1x 1x 1x 2b", 25, "0:1 5:2", true}, // the backup joins the healthy
		{"1 1x 1x 1x 1x 2bx", 25, "0:1 1:1 2:1 3:1 4:1 5:2", true},
		{"1 1x 1x 1l 1l", 25, "0:1 1:1 2:1", true}, // what is not found gets nothing
		{"1l 1l", 25, "", false},
		{"1x 1x", 0, "", false},
		{"1x 1x", 100, "0:1 1:1", true},
		{"1 1x", 100, "0:1 1:1", true},
		{"1 1", 100, "0:1 1:1", false},
		{"3 1x 1x", 25, "0:1", false}, // 60 % of the weight
		{"1s 1 1", 25, "0:1 1:10 2:10", false},
		{"1s", 25, "0:1", false}, // nobody else is up
		{"3s 2b 5", 25, "0:3 2:50", false},
		{"1b 1b", 25, "0:1 1:1", false}, // only backups
		{"1bx 1bd", 25, "", false},
		{"65535 1", 25, "0:65535 1:1", false},
		{"65535s 65535 1", 25, "0:6554 1:65535 2:1", false}, // 16 bits
	} {
		var list []candidate
		for i := 0; i < len(tc.servers); {
			c := candidate{enabled: true, found: true, up: true, share: 1000}
			for ; i < len(tc.servers) && tc.servers[i] != ' '; i++ {
				switch ch := tc.servers[i]; ch {
				case 'd':
					c.enabled = false
				case 'b':
					c.backup = true
				case 'l':
					c.found = false
				case 'x':
					c.up = false
				case 's':
					c.share = 100
				default:
					c.weight = c.weight*10 + uint16(ch-'0')
				}
			}
			i++
			list = append(list, c)
		}
		members, panics := membersOf(list, tc.percent)
		got := ""
		for i, m := range members {
			if i > 0 {
				got += " "
			}
			got += fmt.Sprintf("%d:%d", m.at, m.weight)
		}
		if got != tc.want || panics != tc.panics {
			t.Errorf("%q at %d %%: members %q, panic %v; want %q, %v", tc.servers, tc.percent, got, panics, tc.want,
				tc.panics)
		}
	}
}
