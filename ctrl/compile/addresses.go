package compile

import (
	"encoding/binary"
	"net/netip"
)

// ip4 returns an IPv4 address in host order.
func ip4(a netip.Addr) uint32 {
	b := a.Unmap().As4()
	return binary.BigEndian.Uint32(b[:])
}

// ip6 returns an IPv6 address as high and low half.
func ip6(a netip.Addr) [2]uint64 {
	b := a.As16()
	return [2]uint64{binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])}
}

// range4 returns the first and last address of an IPv4 prefix.
func range4(x netip.Prefix) (start, end uint32, is4 bool) {
	if !x.Addr().Is4() {
		return 0, 0, false
	}
	host := uint32(uint64(1)<<(32-x.Bits()) - 1)
	start = ip4(x.Addr()) &^ host
	return start, start | host, true
}

// range6 returns the first and last address of an IPv6 prefix.
func range6(x netip.Prefix) (start, end [2]uint64) {
	var host [2]uint64
	if n := x.Bits(); n < 64 {
		host = [2]uint64{^uint64(0) >> n, ^uint64(0)}
	} else if n < 128 {
		host[1] = ^uint64(0) >> (n - 64)
	}
	a := ip6(x.Addr())
	start = [2]uint64{a[0] &^ host[0], a[1] &^ host[1]}
	return start, [2]uint64{start[0] | host[0], start[1] | host[1]}
}

// addresses splits a VIF's addresses by family, appending to v4 and v6.
func addresses(list []netip.Addr, v4 []uint32, v6 [][2]uint64) ([]uint32, [][2]uint64) {
	for _, a := range list {
		if a = a.Unmap(); a.Is4() {
			v4 = append(v4, ip4(a))
		} else {
			v6 = append(v6, ip6(a))
		}
	}
	return v4, v6
}
