package traffic

// Tenant and segment IDs of the two addressing schemes (PROTOCOL.md#addressing): 0 and 1 are
// reserved, and all ones would be a broadcast address to others.
const (
	firstTenant = 2
	lastNarrow  = 1<<16 - 2
	lastWide    = 1<<24 - 2
)

// overlay reads [stream.overlay].
func (s *section) overlay(out *spec) {
	o := &overlay{wide: s.enum("scheme", "10.p.t", "10.p.t", "p.t") == "p.t"}
	last := uint64(lastNarrow)
	if o.wide {
		last = lastWide
	}
	o.src, o.dst = s.required("src_mac", macKind), s.required("dst_mac", macKind)
	o.vid = uint16(s.integer("vlan", integer(0, 4094), 0))
	o.pcp = uint8(s.integer("pcp", integer(0, 7), 0))
	o.path = uint16(s.integer("path", integer(0, 4094), uint64(o.vid)))
	o.ttl = uint8(s.integer("ttl", octet, 64))
	port := func(name string) uint8 {
		if !s.need(name, wantInt(1, 255)) {
			return 0
		}
		return uint8(s.integer(name, integer(1, 255), 0))
	}
	o.srcPort, o.dstPort = port("src_port"), port("dst_port")
	o.tenant = s.required("tenant", integer(firstTenant, last))
	o.segment = s.required("segment", integer(1, last))
	if s.has("pcp") && o.vid == 0 {
		s.failf(s.at("pcp"), "stands in a tag, and there is none: set vlan, or remove it")
	}
	out.outer = o
}
