package rig

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"testing"
	"time"

	"penstock/ctrl/model"
	"penstock/dataplane/maglev"
)

// TestBalanceOneOfHundred takes one of a hundred servers away, puts it back, doubles its weight, and halves it, under
// 100,000 established flows: none of another server moves, and hardly any new one.
func TestBalanceOneOfHundred(t *testing.T) {
	const servers, one = 100, 50
	flows := 100_000
	if testing.Short() {
		flows = 20_000
	}
	o := balanceWorld(65_537)
	for k := range servers {
		o.State.Servers["red/http/"+serverName(k)] = server(k)
	}
	r := start(t, o)
	list, fresh := make([]int, flows), make([]int, flows)
	for i := range list {
		list[i], fresh[i] = i, 1<<20+i
	}
	at := map[int]int{}
	for part := range slices.Chunk(list, 10_000) { // half-open ones have a quarter of the table
		first := send(t, r, syn, part...)
		for f, k := range send(t, r, ack, part...) {
			if at[f] = k; first[f] != k {
				t.Fatalf("flow %d: got server %d for the ACK, want %d", f, k, first[f])
			}
		}
	}
	if len(at) != flows {
		t.Fatalf("flows that reached a server: got %d of %d", len(at), flows)
	}
	perServer := map[uint16]int{}
	for _, k := range serviceOf(r).Table {
		perServer[k]++
	}
	for k, n := range perServer {
		if n != 655 && n != 656 {
			t.Errorf("entries of server %d: got %d, want 655 or 656", k, n)
		}
	}
	state := o.State
	newAt := r.hashed(fresh)
	for _, change := range []struct {
		name string
		make func(*model.Server)
	}{
		{"disabled", func(s *model.Server) { s.State = model.StateDisabled }},
		{"enabled", func(s *model.Server) { s.State = model.StateEnabled }},
		{"weight 2", func(s *model.Server) { w := uint16(2); s.Weight = &w }},
		{"weight 1", func(s *model.Server) { w := uint16(1); s.Weight = &w }},
	} {
		began := time.Now()
		state = push(t, r, state, func(m map[string]model.Server) {
			s := m["red/http/"+serverName(one)]
			change.make(&s)
			m["red/http/"+serverName(one)] = s
		})
		live := time.Since(began)
		moved, off := 0, 0
		for f, k := range send(t, r, ack, list...) {
			switch was := at[f]; {
			case was == one && change.name == "disabled":
				if off++; k == one || k < 0 {
					t.Fatalf("flow %d of the disabled server: got server %d, want another one", f, k)
				}
			case k != was:
				moved++
			}
			at[f] = k
		}
		if moved != 0 {
			t.Errorf("%s: %d established flows of other servers moved, want 0", change.name, moved)
		}
		now := r.hashed(fresh)
		others := 0
		for i := range fresh {
			if newAt[i] != one && now[i] != one && newAt[i] != now[i] {
				others++
			}
		}
		newAt = now
		if others > flows/100 {
			t.Errorf("%s: %d of %d new flows of other servers moved, want at most 1 %%", change.name, others, flows)
		}
		t.Logf("%s: live in %v; established flows of others moved: %d; new ones: %.2f %%; %d went to another server",
			change.name, live.Round(time.Microsecond), moved, 100*float64(others)/float64(flows), off)
	}
}

// hashed is the server that each of the flows would begin at: what the table says.
func (r *Rig) hashed(flows []int) []int {
	snap := r.Compiler.Snapshot()
	s := serviceOf(r)
	vip := binary.BigEndian.Uint32(netip.MustParseAddr(virtualIP).AsSlice())
	at := make([]int, len(flows))
	for i, n := range flows {
		f := clientFrame(n, syn)
		client, port := binary.BigEndian.Uint32(f[26:]), binary.BigEndian.Uint16(f[34:])
		member := s.Members[maglev.Pick(s.Table, maglev.Hash4(&snap.BalanceKey, client, port, vip, 80, 6))]
		at[i] = int(snap.Servers[member].MAC) - int(serverMAC(0))
	}
	return at
}
