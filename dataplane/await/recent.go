package await

// Recent remembers what was told lately, by hash: of two with the same place, the later one. The zero value is empty.
type Recent [1024]struct {
	hash uint64
	at   int64
}

// Due reports whether what has this hash was not told within the last every nanoseconds, and notes that it is now.
func (r *Recent) Due(hash uint64, now, every int64) bool {
	e := &r[hash>>32%uint64(len(r))]
	if e.hash == hash && e.at != 0 && now-e.at < every {
		return false
	}
	e.hash, e.at = hash, now
	return true
}
