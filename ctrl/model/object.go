package model

// Object is a resource of one of the Kinds: a struct, by value, with the JSON of the API.
type Object interface {
	Kind() Kind
	Key() string
}

// DescribeJSON implements strict.Described.
func (MAC) DescribeJSON() string { return "a MAC address like \"02:00:00:00:00:01\"" }

// MaxName is the length of the longest name.
const MaxName = 63

// ValidName reports whether s can name an object: 1 … 63 of a–z A–Z 0–9 . _ - and not only dots.
func ValidName(s string) bool {
	if len(s) == 0 || len(s) > MaxName {
		return false
	}
	dots := 0
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '_', c == '-':
		case c == '.':
			dots++
		default:
			return false
		}
	}
	return dots < len(s)
}

const nameHint = "names are 1 to 63 letters, digits, '.', '_' or '-', and not dots only"
