package stats

// Indices are the counter indices that the next snapshot uses. Control announces them before it publishes the snapshot.
type Indices struct {
	VIFs, Paths, Members, Services, Servers Used
}

// Used are the indices of one kind.
type Used struct {
	N      int      // indices below N are in use
	Reused []uint32 // indices below N whose owner is new: another object had the index before
}

// Empty reports whether no index has a new owner.
func (u *Indices) Empty() bool {
	return len(u.VIFs.Reused)+len(u.Paths.Reused)+len(u.Members.Reused)+
		len(u.Services.Reused)+len(u.Servers.Reused) == 0
}

// MaxIndices is the largest number of objects of a kind that have counters: objects with a larger index are not
// counted. A VIF's index is below 20,000 (the model's 10,000 VIFs, all replaced in one transaction), so that MaxIndices
// bounds the memory for the counters of paths.
const MaxIndices = 1 << 20
