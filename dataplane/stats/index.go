package stats

// Indices is what the next tables use of the counters' indices. Control says so before they are published.
type Indices struct {
	VIFs, Paths, Members Used
}

// Used is the indices of one kind.
type Used struct {
	N      int      // indices below N are in use
	Reused []uint32 // those of them that had another owner before
}

// Empty reports whether no index is given to a new owner.
func (u *Indices) Empty() bool {
	return len(u.VIFs.Reused)+len(u.Paths.Reused)+len(u.Members.Reused) == 0
}

// MaxIndices is for how many objects of a kind there are counters at most: what lies beyond is not counted. A VIF's
// index is below 20,000 (the model's 10,000 VIFs, all replaced in one transaction); this bounds the memory for paths.
const MaxIndices = 1 << 20
