package neighbor

import (
	"bytes"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/gopacket/layers"

	"penstock/ctrl/model"
)

func TestAnswers(t *testing.T) {
	right := reply{}.frame()
	prio := slices.Concat(right[:12], []byte{0x81, 0, 0xe0, 0}, right[12:])
	hardware := slices.Clone(right)
	hardware[15] = 6
	const (
		asking   = iota // a broadcast is out
		resolved        // answered, no question is open
		refresh         // a unicast is out
		linkDown
	)
	none := Counters{}
	tests := []struct {
		name  string
		state int
		port  int
		frame []byte
		want  Counters
	}{
		{"right", asking, 7, right, Counters{Replies: 1}},
		{"priority-tagged", asking, 7, prio, Counters{Replies: 1}},
		{"padded", asking, 7, append(slices.Clone(right), make([]byte, 18)...), Counters{Replies: 1}},
		{"right, to a refresh", refresh, 7, right, Counters{Replies: 1}},
		{"nothing was asked", resolved, 7, right, Counters{Unsolicited: 1}},
		{"empty", asking, 7, nil, Counters{Malformed: 1}},
		{"cut off", asking, 7, right[:41], Counters{Malformed: 1}},
		{"cut off in the tag", asking, 7, prio[:15], Counters{Malformed: 1}},
		{"not ARP", asking, 7, slices.Concat(right[:12], []byte{8, 0}, right[14:]), Counters{Malformed: 1}},
		{"other hardware", asking, 7, hardware, Counters{Malformed: 1}},
		{"request", asking, 7, reply{op: layers.ARPRequest}.frame(), Counters{NotReply: 1}},
		{"RARP reply", asking, 7, reply{op: 4}.frame(), Counters{NotReply: 1}},
		{"other downlink", asking, 8, right, Counters{WrongSender: 1}},
		{"no downlink", asking, 9, right, Counters{WrongPort: 1}},
		{"link down", linkDown, 7, right, Counters{WrongPort: 1}},
		{"broadcast", asking, 7, reply{dst: broadcastMAC}.frame(), Counters{Gratuitous: 1}},
		{"announcement", asking, 7, reply{targetIP: box1}.frame(), Counters{Gratuitous: 1}},
		{"to another MAC", asking, 7, reply{dst: otherMAC}.frame(), Counters{Gratuitous: 1}},
		{"for another MAC", asking, 7, reply{target: otherMAC}.frame(), Counters{Gratuitous: 1}},
		{"sender is not the source", asking, 7, reply{sender: otherMAC}.frame(), Counters{Forged: 1}},
		{"sender is a group", asking, 7, reply{src: 0x01005e000001}.frame(), Counters{Forged: 1}},
		{"sender is the switch", asking, 7, reply{src: switchMAC}.frame(), Counters{Forged: 1}},
		{"another box's address", asking, 7, reply{ip: box2}.frame(), Counters{WrongSender: 1}},
		{"another MAC", refresh, 7, reply{src: otherMAC}.frame(), Counters{Conflict: 1}},
		{"another MAC, nothing was asked", resolved, 7, reply{src: otherMAC}.frame(), Counters{Conflict: 1}},
	}
	for _, c := range tests {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSite(t)
				if c.state == resolved || c.state == refresh {
					s.answer(7, boxMAC)
				}
				s.set(down1, down2)
				s.pass(time.Second)
				s.answer(7, 0)
				switch c.state {
				case refresh:
					s.pass(9500 * time.Millisecond)
				case linkDown:
					s.r.Link(7, false)
				}
				before := s.r.Status()[0].MAC
				base := s.r.Counters()
				s.r.Punt(c.port, c.frame)
				got := s.r.Counters()
				got.Requests, got.Replies = 0, got.Replies-base.Replies
				if got != c.want || c.want == none {
					t.Errorf("counters %+v, want %+v", got, c.want)
				}
				after := s.r.Status()[0]
				if c.want.Replies != 0 {
					if after.MAC != boxMAC || after.Misses != 0 {
						t.Errorf("after an answer: %+v", after)
					}
				} else if after.MAC != before {
					t.Errorf("learned %s from a frame to be ignored", after.MAC)
				}
			})
		})
	}
}

// FuzzPunt: whatever comes, only the box's own answer teaches, and every frame is counted once.
func FuzzPunt(f *testing.F) {
	f.Add(reply{}.frame())
	f.Add(reply{targetIP: box1}.frame())
	f.Add(reply{}.frame()[:30])
	f.Fuzz(func(t *testing.T, frame []byte) {
		r := New(wireFunc(func(int, []byte) bool { return true }), func(uint8, model.MAC) {})
		if err := r.Set(switchMAC, []Downlink{down1}); err != nil {
			t.Fatal(err)
		}
		r.turn(time.Now())
		r.Punt(7, frame)
		c := r.Counters()
		if sum := c.Replies + c.Malformed + c.NotReply + c.WrongPort + c.Gratuitous + c.Forged + c.WrongSender + c.Unsolicited + c.Conflict; sum != 1 {
			t.Fatalf("counters %+v", c)
		}
		if mac := r.Status()[0].MAC; mac != 0 && (mac.IsGroup() || mac == switchMAC || len(frame) < 42 ||
			!bytes.Contains(frame, append(reply{src: mac}.frame()[22:28:28], box1.AsSlice()...))) {
			t.Fatalf("learned %s from % x", mac, frame)
		}
	})
}

type wireFunc func(port int, frame []byte) bool

func (f wireFunc) Inject(port int, frame []byte) bool { return f(port, frame) }
