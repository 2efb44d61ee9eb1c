package compile_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"

	"penstock/ctrl/core"
	"penstock/ctrl/model"
)

// claimRandom makes the changes of TestClaimsRandom.
type claimRandom struct{ *rand.Rand }

func (r claimRandom) change(s setup) setup {
	switch r.IntN(5) {
	case 0:
		s.group = !s.group
	case 1:
		s.groupIP = claimAddrs[r.IntN(len(claimAddrs)-1)]
	case 2:
		s.port = []uint8{3, 4}[r.IntN(2)]
	case 3:
		s.capacity = 5 + r.IntN(40) // a restart may find more than that
	}
	return s
}

func (r claimRandom) addresses() (out []netip.Addr) {
	for _, i := range r.Perm(len(claimAddrs))[:r.IntN(5)] {
		out = append(out, claimAddrs[i])
	}
	return out
}

func (r claimRandom) binding() model.Binding {
	return model.Binding{Tenant: fmt.Sprint("t", r.IntN(2)), Segment: fmt.Sprint("s", r.IntN(2)),
		MAC:       claimMAC(r.IntN(claimMACs)),
		Addresses: r.addresses(), SwitchMAC: []model.MAC{homeSwitch, farSwitch, farSwitch + 1}[r.IntN(3)],
		SwitchPort: uint16(3 + r.IntN(2))}
}

func line(x model.Binding) string {
	return strings.ReplaceAll(fmt.Sprintf(
		`{"tenant":"%s","segment":"%s","mac":"%s","addresses":[%s],"switch_mac":"%s","switch_port":%d}`+"\n",
		x.Tenant, x.Segment, x.MAC, list(x.Addresses), x.SwitchMAC, x.SwitchPort), `"addresses":[],`, "")
}

func list(addrs []netip.Addr) string {
	var out []string
	for _, a := range addrs {
		out = append(out, `"`+a.String()+`"`)
	}
	return strings.Join(out, ",")
}

func (r claimRandom) bulk(b *claimBox) error {
	if r.IntN(4) == 0 {
		f := core.BindingFilter{Tenant: fmt.Sprint("t", r.IntN(2)), Segment: fmt.Sprint("s", r.IntN(2))}
		res, err := b.core.DeleteBindings(b.t.Context(), f, core.BulkOptions{})
		if err == nil {
			b.took(res.Revision, nil, slices.Collect(func(yield func(model.BindingKey) bool) {
				for k := range b.bindings {
					if k.Tenant == f.Tenant && k.Segment == f.Segment && !yield(k) {
						return
					}
				}
			}))
		}
		return err
	}
	var text strings.Builder
	last := map[model.BindingKey]model.Binding{}
	for range 1 + r.IntN(25) {
		x := r.binding()
		last[x.BindingKey()] = x
		text.WriteString(line(x))
	}
	mode := []core.BulkMode{core.Merge, core.Merge, core.Replace}[r.IntN(3)]
	res, err := b.core.BulkBindings(b.t.Context(), strings.NewReader(text.String()), core.BulkOptions{Mode: mode})
	if err != nil {
		return err
	}
	var gone []model.BindingKey
	for k := range b.bindings {
		if _, stays := last[k]; mode == core.Replace && !stays {
			gone = append(gone, k)
		}
	}
	b.took(res.Revision, slices.Collect(maps.Values(last)), gone)
	return nil
}

func (r claimRandom) transaction(b *claimBox) error {
	var ops []core.Op
	puts, deletes := map[model.BindingKey]model.Binding{}, map[model.BindingKey]bool{}
	add := func(kind model.Kind, key, value string, args ...any) {
		op := core.Op{Verb: core.Put, Kind: kind, Key: key, Value: []byte(fmt.Sprintf(value, args...))}
		if value == "" {
			op.Verb, op.Value = core.Delete, nil
		}
		ops = append(ops, op)
	}
	for range 1 + r.IntN(4) {
		t, s := fmt.Sprint("t", r.IntN(2)), fmt.Sprint("s", r.IntN(2))
		switch r.IntN(14) {
		case 0, 1:
			add(model.KindTenant, t, `{"id":%d,"gateway":"%s"}`, 7+t[1]-'0', []string{"out", "out", "none"}[r.IntN(3)])
		case 2, 3:
			add(model.KindSegment, t+"/"+s, `{"id":%d}`, 1+s[1]-'0')
		case 4:
			add([]model.Kind{model.KindSegment, model.KindSubnet}[r.IntN(2)], t+"/"+s, "")
		case 5:
			add(model.KindSubnet, t+"/v"+s[1:], `{"segment":"%s","prefix":"%s"}`, s,
				[]string{"10.0.0.0/24", "10.0.0.0/30",
					"fd00::/64"}[r.IntN(3)])
		case 6, 7, 8:
			add(model.KindVIF, fmt.Sprintf("%s/vm%d", t, r.IntN(4)),
				`{"segment":"%s","mac":"%s","port":"acc%d","vlan":%d,"addresses":[%s]}`, s,
				claimMAC(r.IntN(claimMACs)), t[1]-'0', 1+s[1]-'0', list(r.addresses()))
		case 9:
			add(model.KindVIF, fmt.Sprintf("%s/vm%d", t, r.IntN(4)), "")
		case 10, 11, 12:
			x := r.binding()
			add(model.KindBinding, x.Key(), `%s`, strings.TrimSpace(line(x)))
			puts[x.BindingKey()] = x
			delete(deletes, x.BindingKey())
		case 13:
			x := r.binding()
			k := x.BindingKey()
			add(model.KindBinding, k.Tenant+"/"+k.Segment+"/"+k.MAC.String(), "")
			delete(puts, k)
			deletes[k] = true
		}
	}
	res, err := b.core.Do(b.t.Context(), core.Transaction{Ops: ops})
	if err == nil {
		b.took(res.Revision, slices.Collect(maps.Values(puts)), slices.Collect(maps.Keys(deletes)))
	}
	return err
}
