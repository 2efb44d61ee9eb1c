package strict

import (
	"encoding"
	"fmt"
	"reflect"
	"strconv"
	"strings"
)

// Problem is one fault of a value.
type Problem struct {
	Field   string // path of the member; "" = the whole value
	Code    string // "type", "unknown_field", "range", "invalid"
	Message string
	Hint    string
}

// Described is implemented by values with a text form; DescribeJSON names the expected form for errors.
type Described interface{ DescribeJSON() string }

// MaxProblems is the most faults that are reported for one value or request.
const MaxProblems = 100

// Bind fills *dst, a struct with json tags, from n and returns the first MaxProblems faults. path is prefixed to the
// fields.
// Absent members leave dst as it is; null is allowed where the zero value means "absent" (pointers, lists, maps, and
// fields tagged omitempty or omitzero).
func Bind(n *Node, dst any, path string) []Problem {
	var b binder
	b.bind(n, reflect.ValueOf(dst).Elem(), path, false)
	return b.problems
}

type binder struct{ problems []Problem }

func (b *binder) add(field, code, message, hint string) {
	if len(b.problems) < MaxProblems {
		b.problems = append(b.problems, Problem{field, code, message, hint})
	}
}

func (b *binder) wrong(n *Node, path, want string) {
	got := n.Type.String()
	switch n.Type {
	case Number, Bool:
		got += " (" + clip(n.Text) + ")"
	case String:
		got += " (" + strconv.Quote(clip(n.Text)) + ")"
	}
	hint := ""
	if n.Type == String && strings.Contains(want, "number") {
		hint = "write the number without quotes"
	}
	b.add(path, "type", fmt.Sprintf("found %s where %s is expected", got, want), hint)
}

// join appends a member name to a path.
func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

func (b *binder) bind(n *Node, v reflect.Value, path string, optional bool) {
	if len(b.problems) >= MaxProblems {
		return
	}
	if n.Type == Null {
		switch v.Kind() {
		case reflect.Pointer, reflect.Slice, reflect.Map:
			optional = true
		}
		if !optional {
			b.add(path, "type", "null is not allowed here", "give a value, or leave the member out")
		}
		return
	}
	if v.Kind() == reflect.Pointer {
		e := reflect.New(v.Type().Elem())
		b.bind(n, e.Elem(), path, false)
		v.Set(e)
		return
	}
	if v.Type() == reflect.TypeFor[*Node]().Elem() {
		v.Set(reflect.ValueOf(*n))
		return
	}
	if t, ok := v.Addr().Interface().(encoding.TextUnmarshaler); ok {
		b.text(n, t, v, path)
		return
	}
	switch v.Kind() {
	case reflect.String:
		if n.Type != String {
			b.wrong(n, path, "a string")
			return
		}
		v.SetString(n.Text)
	case reflect.Bool:
		if n.Type != Bool {
			b.wrong(n, path, "true or false")
			return
		}
		v.SetBool(n.Text == "true")
	case reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		most := ^uint64(0) >> (64 - v.Type().Bits())
		if n.Type != Number {
			b.wrong(n, path, "a whole number")
			return
		}
		u, err := strconv.ParseUint(n.Text, 10, 64)
		if err != nil || u > most {
			b.add(path, "range", fmt.Sprintf("%s is not a whole number from 0 to %d", clip(n.Text), most), "")
			return
		}
		v.SetUint(u)
	case reflect.Slice:
		if n.Type != Array {
			b.wrong(n, path, "a list")
			return
		}
		if len(n.Items) == 0 {
			v.SetZero() // like an absent list: a value that is written and read back stays equal
			return
		}
		s := reflect.MakeSlice(v.Type(), len(n.Items), len(n.Items))
		for i, it := range n.Items {
			b.bind(it, s.Index(i), path+"["+strconv.Itoa(i)+"]", false)
		}
		v.Set(s)
	case reflect.Map:
		if n.Type != Object {
			b.wrong(n, path, "an object")
			return
		}
		if len(n.Members) == 0 {
			v.SetZero()
			return
		}
		m := reflect.MakeMapWithSize(v.Type(), len(n.Members))
		for _, mem := range n.Members {
			e := reflect.New(v.Type().Elem()).Elem()
			b.bind(mem.Value, e, join(path, clip(mem.Name)), false)
			m.SetMapIndex(reflect.ValueOf(mem.Name), e)
		}
		v.Set(m)
	case reflect.Struct:
		b.object(n, v, path)
	default:
		panic("strict: cannot bind " + v.Type().String())
	}
}

func (b *binder) text(n *Node, t encoding.TextUnmarshaler, v reflect.Value, path string) {
	want := "a string"
	switch v.Type().String() {
	case "netip.Addr":
		want = "an IP address like \"10.1.0.5\""
	case "netip.Prefix":
		want = "a prefix like \"10.1.0.0/24\""
	default:
		if d, ok := t.(Described); ok {
			want = d.DescribeJSON()
		}
	}
	if n.Type != String {
		b.wrong(n, path, want)
		return
	}
	if err := t.UnmarshalText([]byte(n.Text)); err != nil || n.Text == "" {
		b.add(path, "invalid", fmt.Sprintf("%q is not %s", clip(n.Text), want), "")
	}
}

func (b *binder) object(n *Node, v reflect.Value, path string) {
	if n.Type != Object {
		b.wrong(n, path, "an object")
		return
	}
	t := v.Type()
members:
	for _, m := range n.Members {
		for i := range t.NumField() {
			name, opts, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
			if name == m.Name && name != "-" && name != "" {
				b.bind(m.Value, v.Field(i), join(path, name), strings.HasPrefix(opts, "omit"))
				continue members
			}
		}
		b.unknown(m.Name, t, path)
	}
}

func (b *binder) unknown(name string, t reflect.Type, path string) {
	var known []string
	for i := range t.NumField() {
		if k, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ","); k != "" && k != "-" {
			known = append(known, k)
		}
	}
	p := Unknown(name, known)
	b.add(join(path, p.Field), p.Code, p.Message, p.Hint)
}

// Unknown is the problem of a member that is none of the known ones.
func Unknown(name string, known []string) Problem {
	hint, best := "", 3
	for _, k := range known {
		if d := distance(strings.ToLower(name), k); d < best {
			best, hint = d, "did you mean "+strconv.Quote(k)+"?"
		}
	}
	if hint == "" {
		hint = "allowed here: " + strings.Join(known, ", ")
	}
	return Problem{clip(name), "unknown_field", fmt.Sprintf("unknown member %q", clip(name)), hint}
}

// distance is the number of octets to insert, delete or change to make b of a (Levenshtein), for short words.
func distance(a, b string) int {
	if len(a) > 32 {
		return 32
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diag := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			next := min(diag+cost, row[j]+1, row[j+1]+1)
			diag, row[j+1] = row[j+1], next
		}
	}
	return row[len(b)]
}
