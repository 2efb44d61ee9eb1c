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
		probing  = iota // a broadcast is open
		resolved        // answered, no probe is open
		refresh         // a unicast is open
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
		{"right", probing, 7, right, Counters{Replies: 1}},
		{"priority-tagged", probing, 7, prio, Counters{Replies: 1}},
		{"padded", probing, 7, append(slices.Clone(right), make([]byte, 18)...), Counters{Replies: 1}},
		{"right, to a refresh", refresh, 7, right, Counters{Replies: 1}},
		{"no probe was open", resolved, 7, right, Counters{Unsolicited: 1}},
		{"empty", probing, 7, nil, Counters{Malformed: 1}},
		{"cut off", probing, 7, right[:41], Counters{Malformed: 1}},
		{"cut off in the tag", probing, 7, prio[:15], Counters{Malformed: 1}},
		{"not ARP", probing, 7, slices.Concat(right[:12], []byte{8, 0}, right[14:]), Counters{Malformed: 1}},
		{"other hardware", probing, 7, hardware, Counters{Malformed: 1}},
		{"request", probing, 7, reply{op: layers.ARPRequest}.frame(), Counters{NotReply: 1}},
		{"RARP reply", probing, 7, reply{op: 4}.frame(), Counters{NotReply: 1}},
		{"other downlink", probing, 8, right, Counters{WrongSender: 1}},
		{"no downlink", probing, 9, right, Counters{WrongPort: 1}},
		{"link down", linkDown, 7, right, Counters{WrongPort: 1}},
		{"broadcast", probing, 7, reply{dst: broadcastMAC}.frame(), Counters{Gratuitous: 1}},
		{"announcement", probing, 7, reply{targetIP: box1}.frame(), Counters{Gratuitous: 1}},
		{"to another MAC", probing, 7, reply{dst: otherMAC}.frame(), Counters{Gratuitous: 1}},
		{"for another MAC", probing, 7, reply{target: otherMAC}.frame(), Counters{Gratuitous: 1}},
		{"sender is not the source", probing, 7, reply{sender: otherMAC}.frame(), Counters{Forged: 1}},
		{"sender is a group", probing, 7, reply{src: 0x01005e000001}.frame(), Counters{Forged: 1}},
		{"sender is the switch", probing, 7, reply{src: switchMAC}.frame(), Counters{Forged: 1}},
		{"another box's address", probing, 7, reply{ip: box2}.frame(), Counters{WrongSender: 1}},
		{"another MAC", refresh, 7, reply{src: otherMAC}.frame(), Counters{Conflict: 1}},
		{"another MAC, no probe was open", resolved, 7, reply{src: otherMAC}.frame(), Counters{Conflict: 1}},
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
						t.Errorf("status after an answer: %+v, want it resolved", after)
					}
				} else if after.MAC != before {
					t.Errorf("learned %s from a frame to be ignored", after.MAC)
				}
			})
		})
	}
}

// FuzzPunt: only the box's own answer sets the MAC, and every frame is counted once.
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
		if sum := c.Replies + c.Malformed + c.NotReply + c.WrongPort + c.Gratuitous + c.Forged + c.WrongSender +
			c.Unsolicited + c.Conflict; sum != 1 {
			t.Fatalf("counters %+v add up to %d, want 1", c, sum)
		}
		if mac := r.Status()[0].MAC; mac != 0 && (mac.IsGroup() || mac == switchMAC || len(frame) < 42 ||
			!bytes.Contains(frame, append(reply{src: mac}.frame()[22:28:28], box1.AsSlice()...))) {
			t.Fatalf("learned %s from % x, want nothing learned", mac, frame)
		}
	})
}

type wireFunc func(port int, frame []byte) bool

func (f wireFunc) Inject(port int, frame []byte) bool { return f(port, frame) }
