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

// Counters of a Resolver. An ignored frame is counted once, under the first check that it fails.
type Counters struct {
	Requests uint64 `json:"requests"`
	NotSent  uint64 `json:"not_sent"` // the port took no frame
	Replies  uint64 `json:"replies"`  // accepted answers

	Malformed uint64 `json:"malformed"`  // cut off, or not ARP for Ethernet and IPv4
	NotReply  uint64 `json:"not_reply"`  // a request
	WrongPort uint64 `json:"wrong_port"` // not from a downlink that is up
	// not addressed to the switch, or with a target that the switch's probes do not have
	Gratuitous  uint64 `json:"gratuitous"`
	Forged      uint64 `json:"forged"`       // sender MAC differs from the frame's source, or cannot be a box's
	WrongSender uint64 `json:"wrong_sender"` // not the address of the box on this downlink
	Unsolicited uint64 `json:"unsolicited"`  // no probe was open
	Conflict    uint64 `json:"conflict"`     // another MAC than the one that is resolved
}

// Counters returns the current values.
func (n *Resolver) Counters() Counters {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.counters
}

// probeFrame builds an ARP probe for box: Ethernet frame, untagged, padded.
func probeFrame(switchMAC, dst model.MAC, box netip.Addr) []byte {
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
	*n.classify(port, frame, now)++
}

// classify returns the counter of the frame, and learns the MAC if the frame is an accepted answer.
func (n *Resolver) classify(port int, frame []byte, now time.Time) *uint64 {
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
