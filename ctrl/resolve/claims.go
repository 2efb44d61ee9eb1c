package resolve

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/netip"
	"slices"

	"penstock/ctrl/compile"
	"penstock/ctrl/model"
	"penstock/ctrl/readfile"
	"penstock/ctrl/store/file"
)

// claim is a VIF's claim: its sequence, and what it was made for.
type claim struct {
	Sequence uint64
	Text     string // see claimText
}

// claimText is what a claim is about: with another one the VIF is claimed anew.
func claimText(r *compile.FabricRow) string {
	text := fmt.Sprintf("%s/%d %v %v", r.At.Switch, r.At.Port, r.Static, r.VTEP)
	sorted := slices.Clone(r.Addresses)
	slices.SortFunc(sorted, netip.Addr.Compare)
	for _, a := range sorted {
		text += " " + a.String()
	}
	return text
}

// savedClaim is a claim in the file.
type savedClaim struct {
	Tenant   uint32    `json:"tenant"`
	Segment  uint32    `json:"segment"`
	MAC      model.MAC `json:"mac"`
	Sequence uint64    `json:"sequence"`
	Text     string    `json:"for"`
}

// maxFile is more octets than the claims of any box take.
const maxFile = 64 << 20

func loadClaims(path string) (map[compile.FabricKey]claim, error) {
	claims := map[compile.FabricKey]claim{}
	text, err := readfile.Regular(path, maxFile)
	if errors.Is(err, fs.ErrNotExist) {
		return claims, nil
	}
	if err != nil {
		return claims, err
	}
	var list []savedClaim
	if err := json.Unmarshal(text, &list); err != nil {
		return claims, fmt.Errorf("%s: %w", path, err)
	}
	for _, c := range list {
		claims[compile.FabricKey{Tenant: c.Tenant, Segment: c.Segment, MAC: c.MAC}] = claim{c.Sequence, c.Text}
	}
	return claims, nil
}

// Save writes the claims, if they have changed.
func (s *Service) Save() error {
	s.mu.Lock()
	if !s.changed {
		s.mu.Unlock()
		return nil
	}
	s.changed = false
	claims := maps.Clone(s.claims)
	s.mu.Unlock()
	list := make([]savedClaim, 0, len(claims))
	for _, k := range slices.SortedFunc(maps.Keys(claims), func(a, b compile.FabricKey) int { return a.Compare(b) }) {
		list = append(list, savedClaim{k.Tenant, k.Segment, k.MAC, claims[k].Sequence, claims[k].Text})
	}
	text, err := json.Marshal(list)
	if err == nil {
		err = file.Replace(s.cfg.File, append(text, '\n'))
	}
	if err != nil {
		s.mu.Lock()
		s.changed = true
		s.mu.Unlock()
	}
	return err
}
