package neighbor

import (
	"encoding/binary"
	"net/netip"
	"time"

	"penstock/ctrl/model"
	"penstock/dataplane/wire"
)

const (
	broadcastMAC model.MAC = 1<<48 - 1
	minFrame               = 60 // octets without FCS, IEEE 802.3
)

// Counters of a Resolver. What is ignored is counted under the first thing that is wrong with it.
type Counters struct {
	Requests uint64 `json:"requests"`
	NotSent  uint64 `json:"not_sent"` // the port took no frame
	Replies  uint64 `json:"replies"`  // answers that count

	Malformed   uint64 `json:"malformed"`    // cut off, or not ARP for Ethernet and IPv4
	NotReply    uint64 `json:"not_reply"`    // a request
	WrongPort   uint64 `json:"wrong_port"`   // not from a downlink that is up
	Gratuitous  uint64 `json:"gratuitous"`   // not addressed to the switch, or with a target that the switch's questions do not have
	Forged      uint64 `json:"forged"`       // sender MAC differs from the frame's source, or cannot be a box's
	WrongSender uint64 `json:"wrong_sender"` // not the address of the box on this downlink
	Unsolicited uint64 `json:"unsolicited"`  // no question was open
	Conflict    uint64 `json:"conflict"`     // the box is known by another MAC
}

// Counters returns the present values.
func (n *Resolver) Counters() Counters {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.counters
}

// probe builds a question for box: Ethernet frame, untagged, padded.
func probe(switchMAC, dst model.MAC, box netip.Addr) []byte {
	b := make([]byte, minFrame)
	eth := wire.Ethernet(b)
	eth.SetDst(uint64(dst))
	eth.SetSrc(uint64(switchMAC))
	eth.SetType(wire.EtherTypeARP)
	a := box.As4()
	wire.ARP(b[wire.EthernetLen:]).Set(wire.ARPRequest, uint64(switchMAC), 0, 0, binary.BigEndian.Uint32(a[:]))
	return b
}

// Punt takes an ARP frame, without FCS, that the port with the given index has received. The frame is not kept.
func (n *Resolver) Punt(port int, frame []byte) {
	now := time.Now()
	n.mu.Lock()
	defer n.mu.Unlock()
	*n.judge(port, frame, now)++
}

// judge returns the counter under which the frame goes, and learns from it if it is an answer that counts.
func (n *Resolver) judge(port int, frame []byte, now time.Time) *uint64 {
	c := &n.counters
	a, ok := arpOf(frame)
	if !ok {
		return &c.Malformed
	}
	b := n.byPort(port)
	eth := wire.Ethernet(frame)
	sender := model.MAC(a.SenderMAC())
	switch {
	case a.Op() != wire.ARPReply:
		return &c.NotReply
	case b == nil || !b.Up:
		return &c.WrongPort
	case model.MAC(eth.Dst()) != n.switchMAC || model.MAC(a.TargetMAC()) != n.switchMAC || a.TargetIP() != 0:
		return &c.Gratuitous
	case model.MAC(eth.Src()) != sender || sender == 0 || sender.IsGroup() || sender == n.switchMAC:
		return &c.Forged
	case addrOf(a.SenderIP()) != b.Box:
		return &c.WrongSender
	case b.MAC != 0 && b.MAC != sender:
		return &c.Conflict
	case !b.open:
		return &c.Unsolicited
	}
	n.learn(b, sender, now)
	return &c.Replies
}

// arpOf finds the ARP packet for Ethernet and IPv4 in a frame, which may be priority-tagged.
func arpOf(frame []byte) (wire.ARP, bool) {
	if len(frame) < wire.EthernetLen {
		return nil, false
	}
	eth, l3 := wire.Ethernet(frame), wire.EthernetLen
	typ := eth.Type()
	if typ == wire.EtherTypeVLAN && len(frame) >= wire.EthernetLen+wire.VLANTagLen {
		typ, l3 = eth.Tag().Type(), wire.EthernetLen+wire.VLANTagLen
	}
	a := wire.ARP(frame[l3:])
	if typ != wire.EtherTypeARP || len(a) < wire.ARPLen || a.Header() != wire.ARPHeader {
		return nil, false
	}
	return a, true
}

func addrOf(v uint32) netip.Addr {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], v)
	return netip.AddrFrom4(b)
}
