package director

import "sort"

// peer is another box that is a director of a VIP which this box directs, too.
type peer struct {
	box    string
	at     Place
	placed bool // at is known

	heard     int64 // when the last hello came, 0 = never
	first     int64 // since when the box is a peer
	hello     uint64
	flows     uint64 // sequences of the last messages
	sent      int64  // when the last hello was sent
	nextHello int    // the service to go on with

	remote map[uint64]remote // what its hellos say, by serviceKey
	differ int64             // since when its digests differ, 0 = they do not
	lost   bool              // alarms
	wrong  bool
}

// remote is what another director says of a service.
type remote struct {
	digest uint64
	states []byte
	at     int64
}

func serviceKey(tenant, id uint32) uint64 { return uint64(tenant)<<32 | uint64(id) }

// takes checks a sequence against replays. The messages of a box come in order, but flows and hellos may pass each
// other. Without keys everybody could send a larger one, so that a box whose clock was set back is believed after a
// second of silence.
func (p *peer) takes(m *message, now int64, keyed bool) bool {
	last := &p.hello
	if m.opcode == opFlows {
		last = &p.flows
		if m.sequence+claimEvery < p.hello {
			return false
		}
	}
	if m.sequence <= *last && (keyed || now-p.heard < claimEvery) {
		return false
	}
	*last = m.sequence
	return true
}

func (p *peer) alive(now int64) bool { return p.heard != 0 && now-p.heard < silence }

func sorted[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}
