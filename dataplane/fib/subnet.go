package fib

// linear is the largest number of subnets for which a scan is faster than a binary search.
const linear = 8

// FindSubnet4 returns the subnet that contains ip, or nil. Subnets are sorted by Start and do not overlap.
func FindSubnet4(subnets []Subnet4, ip uint32) *Subnet4 {
	if len(subnets) <= linear {
		for i := range subnets {
			if n := &subnets[i]; ip-n.Start <= n.End-n.Start {
				return n
			}
		}
		return nil
	}
	lo, hi := 0, len(subnets) // the last subnet that starts at or before ip is in [lo, hi)
	for hi-lo > 1 {
		if mid := int(uint(lo+hi) / 2); subnets[mid].Start <= ip {
			lo = mid
		} else {
			hi = mid
		}
	}
	if n := &subnets[lo]; n.Start <= ip && ip <= n.End {
		return n
	}
	return nil
}

// FindSubnet6 is FindSubnet4 for IPv6.
func FindSubnet6(subnets []Subnet6, ip [2]uint64) *Subnet6 {
	lo, hi := 0, len(subnets)
	for hi-lo > 1 {
		if mid := int(uint(lo+hi) / 2); !less6(ip, subnets[mid].Start) {
			lo = mid
		} else {
			hi = mid
		}
	}
	if lo == hi {
		return nil
	}
	if n := &subnets[lo]; n.Holds(ip) {
		return n
	}
	return nil
}

// Holds reports whether ip is in the subnet.
func (n *Subnet6) Holds(ip [2]uint64) bool { return !less6(ip, n.Start) && !less6(n.End, ip) }

func less6(a, b [2]uint64) bool { return a[0] < b[0] || a[0] == b[0] && a[1] < b[1] }

// RouterIP4 returns the router's address in the subnet of src. Without one there, it returns the router's address in
// the first subnet that has one, or 0.
func RouterIP4(subnets []Subnet4, src uint32) (ip uint32) {
	for i := range subnets {
		n := &subnets[i]
		if n.RouterIP == 0 {
			continue
		}
		if src-n.Start <= n.End-n.Start {
			return n.RouterIP
		}
		if ip == 0 {
			ip = n.RouterIP
		}
	}
	return ip
}

// RouterIP6 is RouterIP4 for IPv6.
func RouterIP6(subnets []Subnet6, src [2]uint64) (ip [2]uint64) {
	for i := range subnets {
		n := &subnets[i]
		if n.RouterIP == [2]uint64{} {
			continue
		}
		if n.Holds(src) {
			return n.RouterIP
		}
		if ip == [2]uint64{} {
			ip = n.RouterIP
		}
	}
	return ip
}
