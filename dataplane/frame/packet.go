// Package frame holds what the packet path hands from stage to stage: the packet with its metadata, the batch,
// and the ownership of the frame buffers behind them.
//
// A frame buffer ("frame") is one chunk of the UMEM. It has exactly one owner at any time: the pool, a fill ring,
// a receive ring, a batch, a hand-off ring, a transmit ring or a completion ring. A stage never keeps a frame:
// it sets Next, and the worker moves the frame on.
package frame

import "penstock/dataplane/drop"

const (
	// BatchSize is the largest number of packets that pass through the stages together.
	BatchSize = 64
	// Headroom is the number of octets in front of every received frame (XDP_PACKET_HEADROOM);
	// headers are pushed in place there.
	Headroom = 256
)

// Next says what happens to a packet after the stage that set it. Stages run in a fixed order and only look at
// packets whose Next is theirs; the final ones (Drop, Tx, Punt) are carried out by the worker.
type Next uint8

// Bit is how sets of Next are written.
func (n Next) Bit() uint32 { return 1 << (n & 31) }

// The values of Next.
const (
	// NextParsed: the parser is done, the first stage of the port's role takes the packet.
	NextParsed Next = iota
	// NextNeigh: an ARP or neighbour discovery message, to be answered in place.
	NextNeigh
	// NextRoute: addressed to the virtual router's MAC; Seg is the segment it came from.
	NextRoute
	// NextLookup: look up the binding of (Seg, DstMAC); the result goes to Loc.
	NextLookup
	// NextFlood: broadcast, multicast or unknown unicast of Seg; copies are made.
	NextFlood
	// NextDeliver: send the packet to the attachment of the local VIF in Loc or, with FlagGenerated, back to Attach.
	NextDeliver
	// NextEncap: Loc is a remote location: encapsulate.
	NextEncap
	// NextBalance: Loc is a virtual address of this box: the director's stage schedules the packet.
	NextBalance
	// NextUplink: Loc is a gateway group: send it to the outside.
	NextUplink
	// NextRefuse: from outside, and too big for the fabric or a VIF's port, whose MTU is in Loc: answer by the uplink.
	NextRefuse
	// NextInward: from outside, and has waited for the binding of its destination in Seg; Loc is its group's index.
	NextInward
	// NextTx: send out of port Out. Final.
	NextTx
	// NextDrop: discard for the reason in Drop. Final.
	NextDrop
	// NextPunt: hand a copy to the control plane. Final.
	NextPunt
	// NextHandoff: let a worker carry on with it (see HandOver). Final for this worker.
	NextHandoff
	// NextTaken: read by the box itself (a gateway's answer); counts as punted. Final.
	NextTaken
	// NextSent: in the out queue of port Out already. Final, nothing is left to do.
	NextSent
	// NextHeld: a fragment that waits for the first one of its packet, or a packet that waits for a binding. Final,
	// nothing is left to do.
	NextHeld
)

// Flags of a packet, set by the parser.
const (
	FlagIPv4       uint16 = 1 << iota // L3 is a valid IPv4 header
	FlagIPv6                          // L3 is a valid IPv6 header
	FlagARP                           // L3 is a valid ARP packet for Ethernet/IPv4
	FlagND                            // a message of neighbour discovery (ICMPv6 133–137)
	FlagFragment                      // an IP fragment (first or later)
	FlagL4                            // L4: complete TCP, UDP, ICMP or ICMPv6 header; never set for a later fragment
	FlagTagged                        // the frame has an 802.1Q tag, noted in VID and PCP, until a stage strips it
	FlagGroup                         // the destination MAC is a broadcast or multicast address
	FlagFromFabric                    // decapsulated here: never encapsulated again
	FlagGenerated                     // made by the box in place of the received frame (ICMP, ARP and ND answers)
	FlagFromUplink                    // from outside, by a gateway
	FlagFlooded                       // one copy of a broadcast, multicast or unknown unicast; Kind says which
	FlagBalanced                      // rewritten by the director: to the server's port, from the mark
	FlagInjected                      // made by control, as if a station of the segment had sent it
	FlagReply                         // rewritten by the agent: from the service's port
	FlagWaited                        // has waited for a binding: it does not wait again
)

// NoIndex is the "none" value of dense indices.
const NoIndex = ^uint32(0)

// Packet is one frame in a batch. 64 octets: one cache line. Offsets are relative to the first octet of the frame.
type Packet struct {
	Off       uint32      // position of the frame's first octet in the UMEM
	Len       uint16      // length of the frame in octets, without FCS
	Port      uint16      // port of receipt, dense index
	Out       uint16      // port to send from (NextTx), worker (NextHandoff)
	L3        uint16      // offset of the network header
	L4        uint16      // offset of the transport header, valid with FlagL4
	EtherType uint16      // of the network header, behind the tag if there is one
	Flags     uint16      // Flag…
	VID       uint16      // VLAN ID of the tag, 0 if untagged
	PCP       uint8       // priority of the tag, 0 if untagged
	Proto     uint8       // IPv4 protocol or last IPv6 next header
	TOS       uint8       // DSCP (6 bits) and ECN (2 bits) of the IP packet, 0 for non-IP
	Next      Next        // what happens next
	Drop      drop.Reason // with NextDrop; with NextRefuse for when there can be no answer
	Kind      uint8       // with NextPunt: punt.Kind; with FlagFlooded: index of the original; at NextBalance: hops
	OldPort   uint16      // with FlagReply or FlagBalanced: the port that was rewritten, as its sender wrote it
	Hash      uint32      // of the flow: 5-tuple; address pair if a fragment or other protocol; MAC pair if non-IP
	Seg       uint32      // segment, dense index
	VIF       uint32      // local VIF the frame came from, dense index, or NoIndex
	Attach    uint32      // attachment the frame came from, dense index, or NoIndex
	Loc       uint32      // location of the destination, see fib.Loc
	DstMAC    uint64      // destination MAC in the low 48 bits, big-endian order: aa:bb:cc:dd:ee:ff = 0xaabbccddeeff
	SrcMAC    uint64      // source MAC, likewise; of a routed packet still the sender's, not the router's
}

// DropFor discards the packet for reason r.
func (p *Packet) DropFor(r drop.Reason) {
	p.Next = NextDrop
	p.Drop = r
}

// SendTo sends the packet out of port out.
func (p *Packet) SendTo(out uint16) {
	p.Next = NextTx
	p.Out = out
}

// hopShift is where Out has the hop of a packet at NextHandoff, above the worker.
const hopShift = 14

// HandOver hands the packet over to a worker (below 16,384). hop 0 lets that worker begin again with the parser;
// otherwise (1 to 3) it goes on with the balancer's stage, and hop says which time the packet is handed over there.
func (p *Packet) HandOver(worker uint16, hop uint8) {
	p.Next, p.Out = NextHandoff, uint16(hop)<<hopShift|worker
}

// Worker returns what HandOver has set.
func (p *Packet) Worker() (worker uint16, hop uint8) {
	return p.Out &^ (3 << hopShift), uint8(p.Out >> hopShift)
}

// Has reports whether all the given flags are set.
func (p *Packet) Has(flags uint16) bool { return p.Flags&flags == flags }

// Batch is what one worker carries through the stages at a time.
type Batch struct {
	N   int // packets in use
	Pkt [BatchSize]Packet
}

// Bytes returns the frame of p within mem, the UMEM. The slice's capacity ends with the frame.
func (p *Packet) Bytes(mem []byte) []byte {
	end := p.Off + uint32(p.Len)
	return mem[p.Off:end:end]
}

// Push makes room for n octets in front of the frame. The caller must know that the headroom suffices:
// a received frame has Headroom octets, and no chain of stages pushes more than 64.
func (p *Packet) Push(n uint16) {
	p.Off -= uint32(n)
	p.Len += n
	p.L3 += n
	p.L4 += n
}

// Pull removes n octets from the front of the frame; n must not exceed Len.
func (p *Packet) Pull(n uint16) {
	p.Off += uint32(n)
	p.Len -= n
	p.L3 -= n
	p.L4 -= n
}
