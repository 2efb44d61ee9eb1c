// Package conflict raises the alarm vip_conflict about stations that claim virtual addresses. The packet path drops
// their ARP and neighbour discovery and hands samples to control (punt.VIPConflict).
package conflict

import (
	"context"
	"encoding/binary"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"penstock/ctrl/alarm"
	"penstock/ctrl/model"
	"penstock/dataplane/fib"
	"penstock/dataplane/wire"
)

// Quiet is the time without a claim after which an alarm is cleared.
const Quiet = time.Minute

// repeat is the time between two reports of an alarm that stays.
const repeat = 10 * time.Second

// maxConflicts is the number of conflicts that are followed at once. A station that claims addresses from many MACs
// raises as many alarms, and no more.
const maxConflicts = 64

// Alarms is where alarms are raised.
type Alarms interface {
	Raise(r alarm.Report)
	Clear(kind alarm.Kind, object string)
}

// Config of a Watch. All fields are necessary.
type Config struct {
	Alarms Alarms
	State  func() *model.State
	Port   func(index int) (name string, fabric bool)
	Now    func() time.Time
}

// Watch follows the conflicts.
type Watch struct {
	cfg    Config
	mu     sync.Mutex
	active map[string]times // by the alarm's object
}

// times are when a conflict was seen and reported last.
type times struct {
	vip            string // key
	seen, reported time.Time
}

// New returns a watch without conflicts.
func New(cfg Config) *Watch { return &Watch{cfg: cfg, active: map[string]times{}} }

// Punt takes the frame of a station that claims a virtual address of the segment with this key (fib.SegmentKey).
func (w *Watch) Punt(port int, key uint64, frame []byte) {
	mac, claimed := claims(frame)
	vip, ok := w.find(key, claimed)
	if !ok {
		return
	}
	object := "vip " + vip.Key() + " " + mac.String()
	now := w.cfg.Now()
	w.mu.Lock()
	defer w.mu.Unlock()
	c, known := w.active[object]
	if !known && len(w.active) >= maxConflicts {
		return
	}
	report := now.Sub(c.reported) >= repeat
	c.vip, c.seen = vip.Key(), now
	if report {
		c.reported = now
	}
	w.active[object] = c
	if !report {
		return
	}
	name, fabric := w.cfg.Port(port)
	where := fmt.Sprintf("access port %s", name)
	remedy := "find the VIF with `penstock show vifs`; take the address from its guest, or make it a server of the " +
		"service"
	if fabric {
		where, remedy = fmt.Sprintf("another box behind port %s", name), "look for that MAC on the other boxes with "+
			"`penstock show bindings`; all boxes must have the same tables"
	}
	w.cfg.Alarms.Raise(alarm.Report{Kind: alarm.VIPConflict, Object: object, Text: fmt.Sprintf(
		"%s at %s claims %s, the virtual address %s of segment %s/%s. The claim was dropped. Remedy: %s.",
		mac, where, vip.Address, vip.Key(), vip.Tenant, vip.Segment, remedy)})
}

// find returns the virtual address of a segment that is one of the claimed ones.
func (w *Watch) find(key uint64, claimed []netip.Addr) (model.VIP, bool) {
	s := w.cfg.State()
	for _, v := range s.VIPs {
		seg, ok := s.Segments[v.Tenant+"/"+v.Segment]
		if !ok || fib.SegmentKey(s.Tenants[v.Tenant].ID, seg.ID) != key {
			continue
		}
		for _, a := range claimed {
			if a == v.Address {
				return v, true
			}
			for _, d := range v.Directors {
				if a == d.Address {
					return v, true
				}
			}
		}
	}
	return model.VIP{}, false
}

// Run clears alarms about what has ended, until ctx is done.
func (w *Watch) Run(ctx context.Context) {
	t := time.NewTicker(time.Second)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			w.Expire()
		}
	}
}

// Expire clears the alarms about conflicts that have ended.
func (w *Watch) Expire() {
	now, s := w.cfg.Now(), w.cfg.State()
	w.mu.Lock()
	defer w.mu.Unlock()
	for object, c := range w.active {
		if _, exists := s.VIPs[c.vip]; !exists || now.Sub(c.seen) >= Quiet {
			delete(w.active, object)
			w.cfg.Alarms.Clear(alarm.VIPConflict, object)
		}
	}
}

// claims returns the source MAC of an ARP or neighbour discovery frame, and the addresses that it may claim.
func claims(f []byte) (mac model.MAC, list []netip.Addr) {
	if len(f) < wire.EthernetLen {
		return 0, nil
	}
	mac = model.MAC(wire.MAC(f[wire.MACLen:]))
	kind, rest := binary.BigEndian.Uint16(f[2*wire.MACLen:]), f[wire.EthernetLen:]
	if kind == wire.EtherTypeVLAN && len(rest) >= wire.VLANTagLen {
		kind, rest = binary.BigEndian.Uint16(rest[2:]), rest[wire.VLANTagLen:]
	}
	switch {
	case kind == wire.EtherTypeARP && len(rest) >= wire.ARPLen:
		var b [4]byte
		binary.BigEndian.PutUint32(b[:], wire.ARP(rest).SenderIP())
		return mac, []netip.Addr{netip.AddrFrom4(b)}
	case kind == wire.EtherTypeIPv6 && len(rest) >= wire.IPv6Len:
		list = append(list, netip.AddrFrom16([16]byte(rest[8:24])))
		// A solicitation only asks for its target. Extension headers do not occur: the parser drops such messages.
		const targetAt, end = wire.IPv6Len + 8, wire.IPv6Len + wire.NeighborLen
		if len(rest) >= end && rest[wire.IPv6Len] != wire.ICMPv6NeighborSolicit {
			list = append(list, netip.AddrFrom16([16]byte(rest[targetAt:end])))
		}
	}
	return mac, list
}
