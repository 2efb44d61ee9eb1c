package stats

// Traffic is a traffic counter's value: packets, and their octets without FCS.
type Traffic struct{ Packets, Bytes uint64 }

// RxTx is the traffic of an object in both directions: received from it, and sent to it.
type RxTx struct{ Rx, Tx Traffic }

// A traffic counter is two counters of a Block, at an even offset: packets, octets.
//
// A path has one. A local VIF and a member of a gateway group have two, at Rx (received from it and accepted) and Tx.
const (
	TrafficLen = 2

	Rx      = 0
	Tx      = TrafficLen
	RxTxLen = 2 * TrafficLen

	Members = 1024 // members of all groups that have counters at the start
)

// AddTraffic adds t to the traffic counter at i.
func (b *Block) AddTraffic(i int, t Traffic) {
	b.Add(i, t.Packets)
	b.Add(i+1, t.Bytes)
}

// Traffic returns the published value of the traffic counter at i.
func (b *Block) Traffic(i int) Traffic { return Traffic{Packets: b.Load(i), Bytes: b.Load(i + 1)} }

// RxTx returns the published values of the traffic counters of the object with index i.
func (b *Block) RxTx(i int) RxTx {
	return RxTx{Rx: b.Traffic(i*RxTxLen + Rx), Tx: b.Traffic(i*RxTxLen + Tx)}
}

// Plus returns the sum of two values.
func (t Traffic) Plus(u Traffic) Traffic { return Traffic{t.Packets + u.Packets, t.Bytes + u.Bytes} }

// Plus returns the sum of two values.
func (t RxTx) Plus(u RxTx) RxTx { return RxTx{t.Rx.Plus(u.Rx), t.Tx.Plus(u.Tx)} }
