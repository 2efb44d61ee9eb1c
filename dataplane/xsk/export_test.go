package xsk

// SharesWith returns the interface index of the socket whose registration of the UMEM s was bound with, 0 if s
// registered the memory itself.
func (s *Socket) SharesWith() int { return s.shared }
