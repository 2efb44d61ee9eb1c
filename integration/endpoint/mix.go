package endpoint

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
)

const (
	// MinFrame and MaxFrame are the lengths of an untagged Ethernet frame without FCS (IEEE 802.3, 3.2.7 and 4A.4.2).
	MinFrame = 60
	MaxFrame = 1514

	mixMagic   = 0x50534d58
	mixTrailer = 8 // magic and sequence number, the last octets of every frame
)

// MixOptions describes mixed traffic from one host to another.
type MixOptions struct {
	Seed     uint64
	From, To Host
	VLAN     uint16 // 0 = untagged
	First    uint32 // sequence number of the first frame
	NoIPv6   bool
	NoOther  bool // only IP
	Priority bool // random PCP; else 0
	Probe    bool // no IP at all: frames of an EtherType that no host answers
}

// Mix returns n frames of mixed traffic, the same for the same seed: TCP, UDP and ICMP in IPv4 and IPv6, and frames of
// another EtherType, of all lengths from MinFrame to MaxFrame (plus the tag), with random ports, TTL, DSCP and payload,
// all checksums right. Each ends with its sequence number.
func Mix(o MixOptions, n int) ([][]byte, error) {
	rng := rand.New(rand.NewPCG(o.Seed, 0x70656e73746f636b))
	frames := make([][]byte, n)
	for i := range frames {
		frame, err := o.frame(rng, o.First+uint32(i))
		if err != nil {
			return nil, fmt.Errorf("frame %d of the mix: %w", i, err)
		}
		frames[i] = frame
	}
	return frames, nil
}

func (o *MixOptions) frame(rng *rand.Rand, seq uint32) ([]byte, error) {
	kind := rng.IntN(13)
	for kind >= 6 && kind < 12 && o.NoIPv6 || kind == 12 && o.NoOther {
		kind = rng.IntN(13)
	}
	// A third short, a third long, the rest in between.
	length := MinFrame + rng.IntN(MaxFrame-MinFrame+1)
	switch rng.IntN(6) {
	case 0, 1:
		length = MinFrame + rng.IntN(16)
	case 2:
		length = MaxFrame - rng.IntN(16)
	}
	if kind == 12 || o.Probe {
		return o.other(rng, seq, length)
	}
	var (
		network   gopacket.NetworkLayer
		etherType = layers.EthernetTypeIPv4
		header    = 14 + 20
		proto     = []layers.IPProtocol{layers.IPProtocolTCP, layers.IPProtocolUDP, layers.IPProtocolICMPv4}[kind%3]
		dscp      = uint8(rng.IntN(64)) << 2
		ttl       = uint8(2 + rng.IntN(254))
	)
	if kind < 6 {
		network = &layers.IPv4{Version: 4, TTL: ttl, TOS: dscp, Id: uint16(rng.Uint32()), Protocol: proto,
			SrcIP: o.From.IPv4.AsSlice(), DstIP: o.To.IPv4.AsSlice()}
	} else {
		if kind%3 == 2 {
			proto = layers.IPProtocolICMPv6
		}
		network = &layers.IPv6{Version: 6, HopLimit: ttl, TrafficClass: dscp, FlowLabel: rng.Uint32() >> 12,
			NextHeader: proto, SrcIP: o.From.IPv6.AsSlice(), DstIP: o.To.IPv6.AsSlice()}
		etherType, header = layers.EthernetTypeIPv6, 14+40
	}
	parts := append(o.ethernet(rng, etherType), network.(gopacket.SerializableLayer))
	switch kind % 3 {
	case 0:
		tcp := &layers.TCP{SrcPort: layers.TCPPort(rng.Uint32()), DstPort: layers.TCPPort(rng.Uint32()),
			Seq: rng.Uint32(), Ack: rng.Uint32(), ACK: true, PSH: rng.IntN(2) == 0, Window: uint16(rng.Uint32())}
		if err := tcp.SetNetworkLayerForChecksum(network); err != nil {
			return nil, err
		}
		parts, header = append(parts, tcp), header+20
	case 1:
		udp := &layers.UDP{SrcPort: layers.UDPPort(rng.Uint32()), DstPort: layers.UDPPort(rng.Uint32())}
		if err := udp.SetNetworkLayerForChecksum(network); err != nil {
			return nil, err
		}
		parts, header = append(parts, udp), header+8
	case 2:
		layer, size, err := echo(rng, network)
		if err != nil {
			return nil, err
		}
		parts, header = append(parts, layer...), header+size
	}
	return Serialize(append(parts, payload(rng, seq, max(length-header, mixTrailer)))...)
}

// echo returns an ICMP or ICMPv6 echo request and the size of its header.
func echo(rng *rand.Rand, network gopacket.NetworkLayer) ([]gopacket.SerializableLayer, int, error) {
	id, seq := uint16(rng.Uint32()), uint16(rng.Uint32())
	if network.LayerType() == layers.LayerTypeIPv4 {
		request := layers.CreateICMPv4TypeCode(layers.ICMPv4TypeEchoRequest, 0)
		return []gopacket.SerializableLayer{&layers.ICMPv4{TypeCode: request, Id: id, Seq: seq}}, 8, nil
	}
	icmp := &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(layers.ICMPv6TypeEchoRequest, 0)}
	err := icmp.SetNetworkLayerForChecksum(network)
	return []gopacket.SerializableLayer{icmp, &layers.ICMPv6Echo{Identifier: id, SeqNumber: seq}}, 8, err
}

// other returns a frame of the EtherType for local experiments (IEEE 802, 9.2.4).
func (o *MixOptions) other(rng *rand.Rand, seq uint32, length int) ([]byte, error) {
	return Serialize(append(o.ethernet(rng, 0x88b6), payload(rng, seq, length-14))...)
}

func (o *MixOptions) ethernet(rng *rand.Rand, etherType layers.EthernetType) []gopacket.SerializableLayer {
	parts := Ethernet(o.From.MAC, o.To.MAC, o.VLAN, etherType)
	if o.VLAN != 0 && o.Priority {
		parts[1].(*layers.Dot1Q).Priority = uint8(rng.IntN(8))
	}
	return parts
}

func payload(rng *rand.Rand, seq uint32, n int) gopacket.Payload {
	b := make([]byte, n)
	for i := range b[:n-mixTrailer] {
		b[i] = byte(rng.Uint32())
	}
	binary.BigEndian.PutUint32(b[n-8:], mixMagic)
	binary.BigEndian.PutUint32(b[n-4:], seq)
	return b
}

// MixSequence returns the sequence number of a frame of a mix; false for any other frame.
func MixSequence(frame []byte) (uint32, bool) {
	if len(frame) < MinFrame || binary.BigEndian.Uint32(frame[len(frame)-8:]) != mixMagic {
		return 0, false
	}
	return binary.BigEndian.Uint32(frame[len(frame)-4:]), true
}

// Expectation is a set of frames that have to arrive, each once and unchanged.
type Expectation struct {
	frames   [][]byte
	bySeq    map[uint32]int
	arrivals []int
	left     int
	Altered  []string // what differs, for each frame that arrived with other octets than it was sent with
	Foreign  int      // frames that are none of the mix
	Unknown  int      // frames of a mix with a sequence number that was not sent
}

// Expect returns the expectation of the given frames of a mix.
func Expect(frames [][]byte) *Expectation {
	e := &Expectation{frames: frames, bySeq: make(map[uint32]int, len(frames)), arrivals: make([]int, len(frames)),
		left: len(frames)}
	for i, f := range frames {
		if seq, ok := MixSequence(f); ok {
			e.bySeq[seq] = i
		}
	}
	return e
}

// Arrived records a received frame.
func (e *Expectation) Arrived(frame []byte) {
	seq, ok := MixSequence(frame)
	if !ok {
		e.Foreign++
		return
	}
	i, ok := e.bySeq[seq]
	if !ok {
		e.Unknown++
		return
	}
	if e.arrivals[i]++; e.arrivals[i] == 1 {
		e.left--
	}
	if !bytes.Equal(frame, e.frames[i]) {
		e.Altered = append(e.Altered, fmt.Sprintf("frame %d: %s", seq, Diff(e.frames[i], frame)))
	}
}

// Missing returns how many of the frames have not arrived, and the sequence number of the first.
func (e *Expectation) Missing() (n int, first uint32) {
	for i := len(e.arrivals) - 1; i >= 0; i-- {
		if e.arrivals[i] == 0 {
			n++
			first, _ = MixSequence(e.frames[i])
		}
	}
	return n, first
}

// Duplicates returns how many frames arrived more than once, too often in all.
func (e *Expectation) Duplicates() (n int) {
	for _, a := range e.arrivals {
		n += max(0, a-1)
	}
	return n
}

// Complete reports whether all frames have arrived.
func (e *Expectation) Complete() bool { return e.left == 0 }

// Err returns the faults, nil if every frame has arrived once and unchanged.
func (e *Expectation) Err() error {
	missing, first := e.Missing()
	if missing == 0 && e.Duplicates() == 0 && len(e.Altered) == 0 && e.Unknown == 0 {
		return nil
	}
	msg := fmt.Sprintf("of %d frames %d are missing (first: %d), %d doubled, %d altered, %d unknown", len(e.frames),
		missing, first, e.Duplicates(), len(e.Altered), e.Unknown)
	if len(e.Altered) > 0 {
		msg += ": " + e.Altered[0]
	}
	return fmt.Errorf("%s", msg)
}

// Diff describes the first difference of two frames; "" if they are equal.
func Diff(want, got []byte) string {
	for i := range min(len(want), len(got)) {
		if want[i] != got[i] {
			end := min(i+8, len(want), len(got))
			return fmt.Sprintf("octet %d of %d: want % x, got % x (%d octets)", i, len(want), want[i:end], got[i:end],
				len(got))
		}
	}
	if len(want) != len(got) {
		return fmt.Sprintf("want %d octets, got %d", len(want), len(got))
	}
	return ""
}
