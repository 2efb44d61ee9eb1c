package compile

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"penstock/ctrl/model"
	"penstock/dataplane/fib"
	"penstock/dataplane/table"
)

// answers is everything that the packet path would answer, in names; computed once from a snapshot and once, without
// any index, from the pushed state.
type answers map[string]string

func (a answers) add(value any, format string, args ...any) {
	a[fmt.Sprintf(format, args...)] = fmt.Sprint(value)
}

// want computes the answers from the state alone.
func (w *world) want() answers {
	a := answers{}
	owners := map[model.BindingKey]string{}
	ips := map[string]string{}
	flood := map[string]map[string]bool{}
	at := func(m map[string]map[string]bool, k, v string) {
		if m[k] == nil {
			m[k] = map[string]bool{}
		}
		m[k][v] = true
	}
	put := func(k model.BindingKey, where string, list []netip.Addr) {
		owners[k] = where
		for _, ip := range list {
			ips[fmt.Sprintf("ip %s/%s %s", k.Tenant, k.Segment, ip)] = k.MAC.String() + " " + where
		}
	}
	for _, v := range w.state.VIFs {
		where := fmt.Sprintf("local %s.%d", v.Port, v.VLAN)
		put(model.BindingKey{Tenant: v.Tenant, Segment: v.Segment, MAC: v.MAC}, where, v.Addresses)
		at(flood, v.Tenant+"/"+v.Segment, where)
	}
	for k, b := range w.bindings {
		self := slices.ContainsFunc(w.links, func(p portState) bool {
			return p.Role == fib.RoleFabric && p.SwitchPort != 0 && p.SwitchMAC == b.SwitchMAC &&
				uint16(p.SwitchPort) == b.SwitchPort
		})
		if _, local := owners[k]; local || self {
			continue
		}
		where := fmt.Sprintf("%s:%d", b.SwitchMAC, b.SwitchPort)
		put(k, where, b.Addresses)
		at(flood, b.Tenant+"/"+b.Segment, where)
	}
	for k, r := range w.learned {
		if _, owned := owners[k]; owned || !w.told(k, &r) {
			continue
		}
		where := fmt.Sprintf("%s:%d", r.At.Switch, r.At.Port)
		put(k, where, r.Addresses)
		at(flood, k.Tenant+"/"+k.Segment, where)
	}
	for k, where := range owners {
		a.add(where, "mac %s/%s %s", k.Tenant, k.Segment, k.MAC)
	}
	maps.Copy(a, ips)
	for key, g := range w.state.Segments {
		a.add(fmt.Sprint(g.UnknownUnicast == "flood", slices.Sorted(maps.Keys(flood[key]))), "segment %s", key)
	}
	for name, t := range w.state.Tenants {
		a.add(model.MAC(routerMAC(t)), "tenant %s", name)
	}
	for _, n := range w.state.Subnets {
		a.add(fmt.Sprint(n.Segment, " ", n.Router.IsValid(), n.Router), "subnet %s %s", n.Tenant, n.Prefix)
	}
	w.wantPaths(a)
	return a
}

func (w *world) wantPaths(a answers) {
	for i, p := range w.links {
		if !p.up || p.Role != fib.RoleFabric || p.SwitchMAC == 0 || p.SwitchPort == 0 {
			continue
		}
		for _, egress := range allSwitches {
			vlans := map[uint16]uint16{}
			x, pushed := w.state.Paths[min(p.SwitchMAC, egress).String()+"/"+max(p.SwitchMAC, egress).String()]
			for _, v := range x.VLANs {
				vlans[v.VID] = max(v.Weight, 1)
			}
			if egress == p.SwitchMAC && !pushed {
				for _, x := range w.state.Paths {
					for _, v := range x.VLANs {
						if x.A == egress || x.B == egress {
							vlans[v.VID] = 1
						}
					}
				}
			}
			src := uint64(p.SwitchMAC)
			if egress == p.SwitchMAC {
				src = p.mac
			}
			for vid, weight := range vlans {
				prefix, base, shift := uint32(p.SwitchPort)<<16|10<<24, uint32(10<<24), 16
				if w.cfg.Scheme == model.Scheme24 {
					prefix, base, shift = uint32(p.SwitchPort)<<24, 0, 24
				}
				a.add(fmt.Sprintf("%012x>%012x w%d mtu%d %08x %08x/%d", src, uint64(egress), weight,
					p.mtu, prefix, base, shift),
					"path %d %s %d", i, egress, vid)
			}
		}
	}
}

// got computes the answers from a snapshot, asking only for what exists.
func (w *world) got(s *fib.Snapshot) answers {
	w.t.Helper()
	a := answers{}
	where := func(loc fib.Loc) string {
		if loc&fib.LocLocal != 0 {
			v := s.VIFs[loc&^fib.LocLocal]
			at := s.Attachments[v.Attach]
			return fmt.Sprintf("local %s.%d", w.cfg.Ports[at.Port].Name, at.VID)
		}
		return fmt.Sprintf("%s:%d", model.MAC(s.Switches[switchOf(loc)].MAC), loc&0xff)
	}
	candidates := map[string][]netip.Addr{}
	for _, v := range w.state.VIFs {
		candidates[v.Tenant+"/"+v.Segment] = append(candidates[v.Tenant+"/"+v.Segment], v.Addresses...)
	}
	for k, r := range w.learned {
		candidates[k.Tenant+"/"+k.Segment] = append(candidates[k.Tenant+"/"+k.Segment], r.Addresses...)
	}
	for _, b := range w.bindings {
		candidates[b.Tenant+"/"+b.Segment] = append(candidates[b.Tenant+"/"+b.Segment], b.Addresses...)
	}
	for key, g := range w.state.Segments {
		i, ok := w.segment(s, g.Tenant, g.Name)
		if !ok {
			w.t.Fatalf("segment %s has no index", key)
		}
		e := s.Segments[i]
		for m := range model.MAC(6) {
			m += 0x020000000000
			if loc, ok := table.FindMAC(s.Bindings, s.Delta, i, uint64(m)); ok {
				a.add(where(loc), "mac %s %s", key, m)
				if loc&fib.LocLocal != 0 {
					v := s.VIFs[loc&^fib.LocLocal]
					if j, ok := s.VIFByMAC.Get(fib.VIFKey(v.Attach, v.MAC)); !ok || j != loc&^fib.LocLocal {
						w.t.Fatalf("VIF %s of %s is not found by attachment and MAC", m, key)
					}
				}
			}
		}
		for _, ip := range candidates[key] {
			var mac uint64
			var loc uint32
			if ip.Is4() {
				mac, loc, ok = table.FindIP4(s.Bindings, s.Delta, i, ip4(ip))
			} else {
				mac, loc, ok = table.FindIP6(s.Bindings, s.Delta, i, ip6(ip)[0], ip6(ip)[1])
			}
			if ok {
				a.add(model.MAC(mac).String()+" "+where(loc), "ip %s %s", key, ip)
			}
		}
		flood := map[string]bool{}
		for _, at := range e.Local {
			x := s.Attachments[at]
			flood[fmt.Sprintf("local %s.%d", w.cfg.Ports[x.Port].Name, x.VID)] = true
			f := s.Ports[x.Port]
			if x.VID == 0 && f.Untagged != at || x.VID != 0 && f.Tagged[x.VID] != at {
				w.t.Fatalf("attachment %d is not in the table of port %d", at, x.Port)
			}
		}
		for _, l := range e.Remote {
			flood[where(l)] = true
		}
		if len(flood) != len(e.Local)+len(e.Remote) {
			w.t.Fatalf("segment %s: flood list with duplicates: %v %v", key, e.Local, e.Remote)
		}
		a.add(fmt.Sprint(e.UnknownUnicast, slices.Sorted(maps.Keys(flood))), "segment %s", key)
	}
	for name, t := range w.state.Tenants {
		r, ok := s.Tenants.Get(uint64(t.ID))
		if !ok {
			w.t.Fatalf("tenant %s is not found by ID", name)
		}
		a.add(model.MAC(s.Routers[r].MAC), "tenant %s", name)
		w.gotSubnets(a, s, name, s.Routers[r])
	}
	for _, x := range s.Switches {
		for _, p := range x.Paths {
			k := fmt.Sprintf("path %d %s %d", p.Port, model.MAC(x.MAC), p.VID)
			if a[k] != "" {
				w.t.Fatalf("%s twice", k)
			}
			a[k] = fmt.Sprintf("%012x>%012x w%d mtu%d %08x %08x/%d", p.SrcMAC, p.DstMAC, p.Weight, p.MTU, p.SrcPrefix,
				p.DstBase, p.DstShift)
		}
	}
	return a
}

func (w *world) gotSubnets(a answers, s *fib.Snapshot, tenant string, r fib.Router) {
	if !slices.IsSortedFunc(r.Subnets4, func(a, b fib.Subnet4) int { return cmp.Compare(a.Start, b.Start) }) {
		w.t.Fatalf("subnets of %s are not sorted: %v", tenant, r.Subnets4)
	}
	names := map[uint32]string{}
	for _, g := range w.state.Segments {
		if g.Tenant == tenant {
			i, _ := w.segment(s, tenant, g.Name)
			names[i] = g.Name
		}
	}
	v4 := func(x uint32) netip.Addr {
		return netip.AddrFrom4([4]byte{byte(x >> 24), byte(x >> 16), byte(x >> 8), byte(x)})
	}
	v6 := func(x [2]uint64) netip.Addr {
		var b [16]byte
		for i := range 8 {
			b[i], b[8+i] = byte(x[0]>>(56-8*i)), byte(x[1]>>(56-8*i))
		}
		return netip.AddrFrom16(b)
	}
	for _, n := range r.Subnets4 {
		bits := 32
		for x := n.Start ^ n.End; x != 0; x >>= 1 {
			bits--
		}
		var router netip.Addr
		if n.RouterIP != 0 {
			router = v4(n.RouterIP)
		}
		a.add(fmt.Sprint(names[n.Seg], " ", router.IsValid(), router), "subnet %s %s", tenant,
			netip.PrefixFrom(v4(n.Start), bits))
		if !slices.Contains(s.Segments[n.Seg].Subnets4, n) {
			w.t.Fatalf("subnet %v is not in its segment", n)
		}
	}
	for _, n := range r.Subnets6 {
		var router netip.Addr
		if n.RouterIP != [2]uint64{} {
			router = v6(n.RouterIP)
		}
		a.add(fmt.Sprint(names[n.Seg], " ", router.IsValid(), router), "subnet %s %s", tenant,
			netip.PrefixFrom(v6(n.Start), 65))
		if n.End[1] != n.Start[1]|1<<63-1 || n.End[0] != n.Start[0] {
			w.t.Fatalf("subnet %x ends at %x", n.Start, n.End)
		}
		if !slices.Contains(s.Segments[n.Seg].Subnets6, n) {
			w.t.Fatalf("subnet %v is not in its segment", n)
		}
	}
}
