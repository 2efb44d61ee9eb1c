package director

import (
	"encoding/binary"
	"errors"
	"net/netip"

	"penstock/ctrl/unicast"
	"penstock/dataplane/resolve"
)

// The UDP ports of the messages (PROTOCOL.md#directors).
const (
	PortBinding = unicast.PortBinding
	PortFlows   = 7473
)

const (
	opHello = 4
	opFlows = 5

	flagTag     = resolve.FlagTag
	flagSolicit = resolve.FlagSolicit // of a hello: the sender asks for claims

	headerLen  = 16
	serviceLen = 16 // and an octet for each server
	flowLen    = 20 // and the client's address
	tagLen     = resolve.TagLen

	// maxPayload is the longest UDP payload that is sent: it fits any fabric that carries frames of 1,500 octets.
	maxPayload = 1400
	// maxServers is the most servers of a service that a hello has: others do not fit a message.
	maxServers = maxPayload - headerLen - serviceLen - tagLen
)

// Why a message is refused.
var (
	errMalformed = errors.New("malformed")
	errForged    = errors.New("no valid tag")
)

// service is what a hello says of a service.
type service struct {
	tenant, id uint32
	digest     uint64
	states     []byte // of its servers in the order of their names
}

// flowNews is a flow as directors tell each other.
type flowNews struct {
	tenant, service        uint32
	state                  uint8
	clientPort, serverPort uint16
	mac                    uint64
	client                 netip.Addr
}

// message is a hello or flows.
type message struct {
	opcode   uint8
	solicit  bool
	sequence uint64
	services []service
	flows    []flowNews
}

func put24(b []byte, v uint32) []byte { return append(b, byte(v>>16), byte(v>>8), byte(v)) }

func get24(b []byte) uint32 { return uint32(b[0])<<16 | uint32(b[1])<<8 | uint32(b[2]) }

func put48(b []byte, v uint64) []byte {
	return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint16(b, uint16(v>>32)), uint32(v))
}

func get48(b []byte) uint64 {
	return uint64(binary.BigEndian.Uint16(b))<<32 | uint64(binary.BigEndian.Uint32(b[2:]))
}

func (s *service) append(b []byte) []byte {
	b = put24(put24(b, s.tenant), s.id)
	b = binary.BigEndian.AppendUint16(b, uint16(len(s.states)))
	return append(binary.BigEndian.AppendUint64(b, s.digest), s.states...)
}

func (f *flowNews) append(b []byte) []byte {
	family := byte(4)
	if f.client.Is6() {
		family = 6
	}
	b = append(put24(put24(b, f.tenant), f.service), family, f.state)
	b = binary.BigEndian.AppendUint16(b, f.clientPort)
	b = binary.BigEndian.AppendUint16(b, f.serverPort)
	return append(append(put48(b, f.mac), 0, 0), f.client.AsSlice()...)
}

func (f *flowNews) size() int { return flowLen + len(f.client.AsSlice()) }

// append writes the message and, with a key, its tag.
func (m *message) append(b []byte, keys []resolve.Key) []byte {
	flags, count := uint16(0), len(m.services)+len(m.flows)
	if len(keys) > 0 {
		flags |= flagTag
	}
	if m.solicit {
		flags |= flagSolicit
	}
	b = append(binary.BigEndian.AppendUint16(b, resolve.Magic), resolve.Version, m.opcode)
	b = binary.BigEndian.AppendUint16(b, flags)
	b = binary.BigEndian.AppendUint16(b, uint16(count))
	b = binary.BigEndian.AppendUint64(b, m.sequence)
	for i := range m.services {
		b = m.services[i].append(b)
	}
	for i := range m.flows {
		b = m.flows[i].append(b)
	}
	if len(keys) > 0 {
		b = append(b, keys[0].Tag(b)...)
	}
	return b
}

// verified returns the message without its tag. Without keys tags are ignored.
func verified(b []byte, flags uint16, keys []resolve.Key) ([]byte, error) {
	if flags&flagTag != 0 {
		if len(b) < tagLen {
			return nil, errMalformed
		}
		body := b[:len(b)-tagLen]
		for i := range keys {
			if keys[i].Made(b[len(b)-tagLen:], body) {
				return body, nil
			}
		}
		b = body
	}
	if len(keys) > 0 {
		return nil, errForged
	}
	return b, nil
}

// parse reads a hello or flows. What it returns does not share memory with b.
func parse(b []byte, keys []resolve.Key) (m message, err error) {
	if len(b) < headerLen || binary.BigEndian.Uint16(b) != resolve.Magic || b[2] != resolve.Version {
		return m, errMalformed
	}
	flags, count := binary.BigEndian.Uint16(b[4:]), int(binary.BigEndian.Uint16(b[6:]))
	m.opcode, m.solicit, m.sequence = b[3], flags&flagSolicit != 0, binary.BigEndian.Uint64(b[8:])
	if m.opcode != opHello && m.opcode != opFlows {
		return m, errMalformed
	}
	if b, err = verified(b, flags, keys); err != nil {
		return m, err
	}
	if len(b) < headerLen {
		return m, errMalformed
	}
	b = b[headerLen:]
	for range count {
		n := 0
		if m.opcode == opHello {
			n, err = m.service(b)
		} else {
			n, err = m.flow(b)
		}
		if err != nil {
			return message{}, err
		}
		b = b[n:]
	}
	if len(b) != 0 {
		return message{}, errMalformed
	}
	return m, nil
}

func (m *message) service(b []byte) (n int, err error) {
	if len(b) < serviceLen {
		return 0, errMalformed
	}
	n = serviceLen + int(binary.BigEndian.Uint16(b[6:]))
	if len(b) < n {
		return 0, errMalformed
	}
	m.services = append(m.services, service{
		tenant: get24(b), id: get24(b[3:]), digest: binary.BigEndian.Uint64(b[8:]),
		states: append([]byte(nil), b[serviceLen:n]...),
	})
	return n, nil
}

func (m *message) flow(b []byte) (n int, err error) {
	if len(b) < flowLen+4 {
		return 0, errMalformed
	}
	switch b[6] {
	case 4:
		n = flowLen + 4
	case 6:
		n = flowLen + 16
	default:
		return 0, errMalformed
	}
	if len(b) < n {
		return 0, errMalformed
	}
	client, _ := netip.AddrFromSlice(b[flowLen:n])
	m.flows = append(m.flows, flowNews{
		tenant: get24(b), service: get24(b[3:]), state: b[7], clientPort: binary.BigEndian.Uint16(b[8:]),
		serverPort: binary.BigEndian.Uint16(b[10:]), mac: get48(b[12:]), client: client,
	})
	return n, nil
}
