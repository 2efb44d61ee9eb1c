package guest

import (
	"net/netip"
	"slices"
	"time"

	"penstock/ctrl/model"
)

// Of returns what the VIFs of a state ask of their guests: the addresses of the services that have an enabled or
// draining server there, and guest_addresses. VIFs without a guest_agent ask for nothing.
func Of(st *model.State) []VIF {
	type place struct {
		tenant, segment string
		addr            netip.Addr
	}
	vifs := map[string]*VIF{}
	at := map[place]string{} // → VIF
	for key, v := range st.VIFs {
		if v.GuestAgent == "" {
			continue
		}
		w := &VIF{Key: key, Socket: v.GuestAgent, Manual: v.Guest == model.GuestManual}
		for _, a := range v.GuestAddresses {
			w.ask(a, time.Duration(model.DefaultDrainTimeout))
		}
		vifs[key] = w
		for _, a := range v.Addresses {
			at[place{v.Tenant, v.Segment, a}] = key
		}
	}
	if len(vifs) == 0 {
		return nil
	}
	for _, r := range st.Servers {
		if r.Via != "" || r.EffectiveState() == model.StateDisabled {
			continue
		}
		service, ok := st.Services[r.ServiceKey()]
		if !ok {
			continue
		}
		vip, ok := st.VIPs[service.VIPKey()]
		if !ok {
			continue
		}
		key := r.Tenant + "/" + r.VIF
		if r.VIF == "" {
			key = at[place{r.Tenant, vip.Segment, r.Address}]
		}
		if w := vifs[key]; w != nil {
			w.ask(vip.Address, time.Duration(service.EffectiveDrainTimeout()))
		}
	}
	out := make([]VIF, 0, len(vifs))
	for _, w := range vifs {
		slices.SortFunc(w.Addresses, netip.Addr.Compare)
		out = append(out, *w)
	}
	return out
}

func (v *VIF) ask(a netip.Addr, linger time.Duration) {
	if !slices.Contains(v.Addresses, a) {
		v.Addresses = append(v.Addresses, a)
	}
	v.Linger = max(v.Linger, linger)
}
