package balance

// SetLong lets all packets go the long way.
func (st *State) SetLong() { st.long = true }
