// Package owner is a box that says what it owns, for tests of boxes that learn it. It is made from PROTOCOL.md, and not
// with package ctrl/resolve: the two have to understand each other.
package owner

import (
	"github.com/cespare/xxhash/v2"

	"penstock/ctrl/compile"
	"penstock/dataplane/resolve"
)

// Owner is such a box. Its VIFs have MACs and addresses in a row, in a segment with the ID 7.
type Owner struct {
	At     compile.Place
	Tenant uint32
	First  uint64 // MAC
	IP     uint32 // of the first; the others follow
	Count  int
}

// Here is what the owner says of its VIF i.
func (o *Owner) Here(i int) resolve.Body {
	return resolve.Body{Op: resolve.OpHere, Flags: resolve.FlagStatic, Sequence: 1_700_000_000_000_000_000 + uint64(i),
		Tenant: o.Tenant, Segment: 7, MAC: o.First + uint64(i), IP4: o.IP + uint32(i),
		Switch: uint64(o.At.Switch), Port: uint16(o.At.Port)}
}

// Hello returns the owner's HELLO, at a time in nanoseconds since 1970.
func (o *Owner) Hello(now int64) []byte {
	m := resolve.Body{Op: resolve.OpHello, Sequence: uint64(now), MAC: o.First | 1<<41, Switch: uint64(o.At.Switch),
		Port: uint16(o.At.Port)}
	s := resolve.Summary{Count: uint32(o.Count), Held: 3600}
	for i := range o.Count {
		h := o.Here(i)
		s.Digest += xxhash.Sum64(h.Append(nil)[8:32])
	}
	m.SetSummary(s)
	return m.Append(nil)
}

// Answer returns the messages that answer a PULL: pages of 33 rows.
func (o *Owner) Answer(m *resolve.Body) (messages [][]byte) {
	next := 0
	if m.MAC >= o.First {
		next = int(m.MAC-o.First) + 1
	}
	page := *m
	page.Op, page.IP4, page.Switch, page.Port = resolve.OpPage, 0, uint64(o.At.Switch), uint16(o.At.Port)
	for range m.IP4 {
		body := page
		n := min(33, o.Count-next)
		if next+n == o.Count {
			body.Flags |= resolve.FlagLast
		}
		b := body.Append(nil)
		for i := range n {
			h := o.Here(next + i)
			b = h.Append(b)
			page.Tenant, page.Segment, page.MAC = h.Tenant, h.Segment, h.MAC
		}
		messages = append(messages, b)
		if next += n; next == o.Count {
			break
		}
	}
	return messages
}
