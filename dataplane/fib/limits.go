package fib

import "penstock/dataplane/limit"

// Limits are the token buckets for floods, ICMP errors and misses, by dense index. All workers share them. Control
// makes room before an index is used, and fills the bucket when an index has a new owner.
type Limits struct {
	Flood         *limit.Table // by local VIF: copies of broadcasts, multicasts and unknown unicasts
	StrangerFlood *limit.Table // by attachment: the same for all senders that are no VIF together
	ICMP          *limit.Table // by local VIF: ICMP errors about its packets
	StrangerICMP  *limit.Table // by attachment: the same for all senders that are no VIF together
	TenantICMP    *limit.Table // by router: ICMP errors about packets from the fabric and from outside
	Miss          *limit.Table // by local VIF: destinations without binding that control is told of
	StrangerMiss  *limit.Table // by attachment: the same for all senders that are no VIF together
	TenantMiss    *limit.Table // by router: the same for packets from the fabric and from outside
	Learn         *limit.Table // by attachment: stations and addresses that control is told of
	TenantLearn   *limit.Table // by router: the same for stations behind VTEPs
	TenantFlood   *limit.Table // by router: copies of broadcasts, multicasts and unknown unicasts from VTEPs
}

// Room returns l with buckets for the given numbers of local VIFs, attachments and routers. Buckets that l has stay the
// same.
func (l Limits) Room(vifs, attachments, routers int) Limits {
	return Limits{
		Flood: l.Flood.Grown(vifs), StrangerFlood: l.StrangerFlood.Grown(attachments),
		ICMP: l.ICMP.Grown(vifs), StrangerICMP: l.StrangerICMP.Grown(attachments),
		TenantICMP: l.TenantICMP.Grown(routers),
		Miss:       l.Miss.Grown(vifs), StrangerMiss: l.StrangerMiss.Grown(attachments),
		TenantMiss: l.TenantMiss.Grown(routers), Learn: l.Learn.Grown(attachments),
		TenantLearn: l.TenantLearn.Grown(routers), TenantFlood: l.TenantFlood.Grown(routers),
	}
}

// Reset fills the buckets of the given indices, which have new owners.
func (l Limits) Reset(vifs, attachments, routers []uint32) {
	l.Flood.Reset(vifs)
	l.ICMP.Reset(vifs)
	l.StrangerFlood.Reset(attachments)
	l.StrangerICMP.Reset(attachments)
	l.TenantICMP.Reset(routers)
	l.Miss.Reset(vifs)
	l.StrangerMiss.Reset(attachments)
	l.TenantMiss.Reset(routers)
	l.Learn.Reset(attachments)
	l.TenantLearn.Reset(routers)
	l.TenantFlood.Reset(routers)
}
