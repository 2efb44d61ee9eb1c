package strict

// Merge applies a JSON merge patch (RFC 7396) to target, which may be nil and is not changed.
func Merge(target, patch *Node) *Node {
	if patch.Type != Object {
		return patch
	}
	out := &Node{Type: Object}
	if target != nil && target.Type == Object {
		for _, m := range target.Members {
			p := patch.Get(m.Name)
			switch {
			case p == nil:
				out.Members = append(out.Members, m)
			case p.Type != Null:
				out.Members = append(out.Members, Member{m.Name, Merge(m.Value, p)})
			}
		}
	}
	for _, m := range patch.Members {
		if m.Value.Type != Null && (target == nil || target.Type != Object || target.Get(m.Name) == nil) {
			out.Members = append(out.Members, Member{m.Name, Merge(nil, m.Value)})
		}
	}
	return out
}
