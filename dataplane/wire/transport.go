package wire

import "encoding/binary"

// TCP header (RFC 9293, 3.1):
//
//	 0                   1                   2                   3
//	 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	|          Source Port          |       Destination Port        |
//	|                        Sequence Number                        |
//	|                    Acknowledgment Number                      |
//	|Offset | Rsrvd |     Flags     |            Window             |
//	|           Checksum            |         Urgent Pointer        |
//	|                           [Options]                           |
const (
	tcpSrcPort  = 0
	tcpDstPort  = 2
	tcpSeq      = 4
	tcpAck      = 8
	tcpOffset   = 12
	tcpFlags    = 13
	tcpChecksum = 16

	TCPLen            = 20 // octets of a TCP header without options
	TCPChecksumOffset = tcpChecksum
)

// TCP flags.
const (
	TCPFin = 1 << iota
	TCPSyn
	TCPRst
	TCPPsh
	TCPAck
)

// TCP option kinds (RFC 9293, 3.2).
const (
	TCPOptionEnd = 0
	TCPOptionNop = 1
	TCPOptionMSS = 2
)

// TCP is a TCP segment from its header on.
type TCP []byte

// SrcPort returns the source port.
func (h TCP) SrcPort() uint16 { return binary.BigEndian.Uint16(h[tcpSrcPort:]) }

// DstPort returns the destination port.
func (h TCP) DstPort() uint16 { return binary.BigEndian.Uint16(h[tcpDstPort:]) }

// Seq returns the sequence number.
func (h TCP) Seq() uint32 { return binary.BigEndian.Uint32(h[tcpSeq:]) }

// AckNum returns the acknowledgment number.
func (h TCP) AckNum() uint32 { return binary.BigEndian.Uint32(h[tcpAck:]) }

// HeaderLen returns the length of the header with its options in octets.
func (h TCP) HeaderLen() int { return int(h[tcpOffset]>>4) * 4 }

// Flags returns the flags, see TCPSyn and so on.
func (h TCP) Flags() uint8 { return h[tcpFlags] }

// Checksum returns the checksum as it stands.
func (h TCP) Checksum() uint16 { return binary.BigEndian.Uint16(h[tcpChecksum:]) }

// Options returns the octets of the options; the header must be complete.
func (h TCP) Options() []byte { return h[TCPLen:h.HeaderLen()] }

// SetSrcPort writes the source port.
func (h TCP) SetSrcPort(v uint16) { binary.BigEndian.PutUint16(h[tcpSrcPort:], v) }

// SetDstPort writes the destination port.
func (h TCP) SetDstPort(v uint16) { binary.BigEndian.PutUint16(h[tcpDstPort:], v) }

// SetChecksum writes the checksum.
func (h TCP) SetChecksum(v uint16) { binary.BigEndian.PutUint16(h[tcpChecksum:], v) }

// UDP header (RFC 768):
//
//	octets 0–1 source port | 2–3 destination port | 4–5 length | 6–7 checksum, 0 = none (IPv4 only)
const (
	udpSrcPort  = 0
	udpDstPort  = 2
	udpLength   = 4
	udpChecksum = 6

	UDPLen            = 8 // octets of a UDP header
	UDPChecksumOffset = udpChecksum
)

// UDP is a UDP datagram from its header on.
type UDP []byte

// SrcPort returns the source port.
func (h UDP) SrcPort() uint16 { return binary.BigEndian.Uint16(h[udpSrcPort:]) }

// DstPort returns the destination port.
func (h UDP) DstPort() uint16 { return binary.BigEndian.Uint16(h[udpDstPort:]) }

// Length returns the length of header and data in octets.
func (h UDP) Length() uint16 { return binary.BigEndian.Uint16(h[udpLength:]) }

// Checksum returns the checksum as it stands; 0 means none.
func (h UDP) Checksum() uint16 { return binary.BigEndian.Uint16(h[udpChecksum:]) }

// SetSrcPort writes the source port.
func (h UDP) SetSrcPort(v uint16) { binary.BigEndian.PutUint16(h[udpSrcPort:], v) }

// SetDstPort writes the destination port.
func (h UDP) SetDstPort(v uint16) { binary.BigEndian.PutUint16(h[udpDstPort:], v) }

// SetLength writes the length of header and data in octets.
func (h UDP) SetLength(n uint16) { binary.BigEndian.PutUint16(h[udpLength:], n) }

// SetChecksum writes the checksum.
func (h UDP) SetChecksum(v uint16) { binary.BigEndian.PutUint16(h[udpChecksum:], v) }
