package director

import (
	"crypto/sha256"
	"encoding/binary"

	"penstock/dataplane/fib"
)

// digests has the digests of services' tables. A table that has not changed is not read again.
type digests struct {
	known map[uint32]digest // by index of the service
}

type digest struct {
	first *uint16 // the table
	sum   [sha256.Size]byte
}

// of returns the digest of a service: of the key, the scheduler, the members with what packets become for them, and the
// table. So two directors with one digest send each packet to one server.
func (d *digests) of(s *fib.Snapshot, i uint32) uint64 {
	svc := &s.Services[i]
	b := binary.BigEndian.AppendUint64(nil, s.BalanceKey[0])
	b = binary.BigEndian.AppendUint64(b, s.BalanceKey[1])
	b = append(b, byte(svc.Scheduler), byte(svc.Hash))
	for n, m := range svc.Members {
		if uint(m) >= uint(len(s.Servers)) || n >= len(svc.Weights) {
			continue
		}
		b = put48(b, s.Servers[m].MAC)
		b = binary.BigEndian.AppendUint16(b, s.Servers[m].Port)
		b = binary.BigEndian.AppendUint16(b, svc.Weights[n])
	}
	if len(svc.Table) > 0 {
		k := d.known[i]
		if k.first != &svc.Table[0] {
			entries := make([]byte, 0, 2*len(svc.Table))
			for _, e := range svc.Table {
				entries = binary.BigEndian.AppendUint16(entries, e)
			}
			if k = (digest{&svc.Table[0], sha256.Sum256(entries)}); d.known == nil {
				d.known = map[uint32]digest{}
			}
			d.known[i] = k
		}
		b = append(b, k.sum[:]...)
	}
	sum := sha256.Sum256(b)
	return binary.BigEndian.Uint64(sum[:])
}
