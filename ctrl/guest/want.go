package guest

import (
	"cmp"
	"net/netip"
	"slices"
	"time"
)

// want is what the VIFs of one guest ask of it together.
type want struct {
	vifs   []VIF
	agent  []netip.Addr // to be set up
	manual []netip.Addr // to be looked for
	linger time.Duration
}

func (w *want) add(v VIF) {
	w.vifs = append(w.vifs, v)
	if v.Manual {
		w.manual = append(w.manual, v.Addresses...)
		return
	}
	w.agent = append(w.agent, v.Addresses...)
	w.linger = max(w.linger, v.Linger)
}

// tidy brings everything into an order.
func (w *want) tidy() {
	slices.SortFunc(w.vifs, func(a, b VIF) int { return cmp.Compare(a.Key, b.Key) })
	for _, list := range []*[]netip.Addr{&w.agent, &w.manual} {
		slices.SortFunc(*list, netip.Addr.Compare)
		*list = slices.Compact(*list)
	}
}

// handsOff reports whether the guest must not be touched: all its VIFs say so.
func (w *want) handsOff() bool {
	return len(w.vifs) > 0 && !slices.ContainsFunc(w.vifs, func(v VIF) bool { return !v.Manual })
}

func (w *want) equal(o *want) bool {
	return slices.EqualFunc(w.vifs, o.vifs, func(a, b VIF) bool {
		return a.Key == b.Key && a.Manual == b.Manual && a.Linger == b.Linger && slices.Equal(a.Addresses, b.Addresses)
	})
}
