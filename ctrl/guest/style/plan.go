package style

import (
	"bytes"
	"fmt"
	"maps"
	"net/netip"
	"path"
	"slices"
	"strings"
)

// Plan is what is to be done in a guest.
type Plan struct {
	Style Style // "" if nothing is to last, or no style is known
	State State // afterwards

	Add, Del []netip.Addr   // on lo
	Sysctls  map[string]int // to be set

	Mkdir  []string // the outermost first
	Write  []File
	Remove []string
	Rmdir  []string // the innermost first; those that are empty

	// Lasting is why the addresses will not survive the guest's restart, though all else can be done; mostly an *Error.
	Lasting error
}

// Running reports whether the running kernel is to be changed.
func (p *Plan) Running() bool { return len(p.Add)+len(p.Del)+len(p.Sysctls) > 0 }

// Files reports whether files are to be changed.
func (p *Plan) Files() bool { return len(p.Mkdir)+len(p.Write)+len(p.Remove)+len(p.Rmdir) > 0 }

// Make plans how a guest gets exactly the addresses wanted of those that we give it; none undoes everything. last is
// the state that the box remembers; that in the guest goes before it.
func Make(f *Facts, want []netip.Addr, last State) *Plan {
	p := &Plan{Sysctls: map[string]int{}}
	want = slices.Clone(want)
	slices.SortFunc(want, func(a, b netip.Addr) int {
		if a.Is4() != b.Is4() {
			return map[bool]int{true: -1, false: 1}[a.Is4()]
		}
		return a.Compare(b)
	})
	want = slices.Compact(want)
	p.State = f.before(last)
	p.addresses(f, want)
	p.sysctls(f, len(want) > 0)
	var files []File
	if len(want) > 0 {
		s, err := Detect(f)
		if p.Lasting = err; err == nil {
			p.Style = s
			files, p.Lasting = filesOf(s, f, want)
		}
	}
	p.files(f, files, len(want) > 0)
	if len(want) == 0 {
		p.State = State{}
	}
	return p
}

// before returns the state to start from. What the box remembers does not count in a guest that has nothing of ours: it
// was installed anew.
func (f *Facts) before(last State) State {
	if c := f.files[sysctlPath]; c.ours() {
		if s, ok := stateIn(c.text); ok {
			return s.clone()
		}
	}
	if len(f.own()) > 0 ||
		slices.ContainsFunc(last.Addresses, func(a netip.Addr) bool { return f.Addresses[Prefix(a).String()] }) {
		return last.clone()
	}
	return (&State{}).clone()
}

func (p *Plan) addresses(f *Facts, want []netip.Addr) {
	s := &p.State
	for _, a := range want {
		on := f.Addresses[Prefix(a).String()]
		if !on {
			p.Add = append(p.Add, a)
		}
		if on && !slices.Contains(s.Addresses, a) {
			s.Kept = append(s.Kept, a)
		}
	}
	for _, a := range s.Addresses {
		if !slices.Contains(want, a) && !slices.Contains(s.Kept, a) && f.Addresses[Prefix(a).String()] {
			p.Del = append(p.Del, a)
		}
	}
	s.Kept = slices.DeleteFunc(s.Kept, func(a netip.Addr) bool { return !slices.Contains(want, a) })
	s.Addresses = want
}

func (p *Plan) sysctls(f *Facts, wanted bool) {
	for _, k := range sysctlKeys {
		now, known := f.sysctls[k]
		before, remembered := p.State.Sysctls[k]
		switch {
		case wanted:
			if !remembered && known {
				p.State.Sysctls[k] = now
			}
			if now < need(k) {
				p.Sysctls[k] = need(k)
			}
		case remembered && before < need(k) && now == need(k): // else somebody else has set it since
			p.Sysctls[k] = before
		}
	}
}

// own returns the paths of all files of ours, and of the main file of ifupdown if it has our block.
func (f *Facts) own() (paths []string) {
	for p, c := range f.files {
		if p == interfacesPath {
			if len(without(c.text)) != len(c.text) {
				paths = append(paths, p)
			}
		} else if c.ours() {
			paths = append(paths, p)
		}
	}
	slices.Sort(paths)
	return paths
}

// files plans the difference between the files that are there and those that are wanted.
func (p *Plan) files(f *Facts, files []File, wanted bool) {
	made := slices.Clone(p.State.Made)
	for _, w := range files {
		p.mkdirs(f, w.Path, &made)
	}
	if wanted { // the file that holds the state is the last one written, and knows all that was made
		p.mkdirs(f, sysctlPath, &made)
		p.State.Made = made
		if w, err := sysctlFile(&p.State); err == nil {
			files = append(files, w)
		}
	}
	kept := map[string]bool{}
	for _, w := range files {
		kept[w.Path] = true
		have, there := f.files[w.Path]
		owner := w.Owner
		if owner == "" {
			owner = "0"
		}
		switch {
		case there && w.Edit:
			if !bytes.Equal(have.text, w.Content) {
				p.Write = append(p.Write, f.edit(w.Content))
			}
		case there && !have.ours():
			p.Lasting = &Error{fmt.Sprintf("the guest has a file %s that is not Penstock's", w.Path),
				"rename that file in the guest"}
		case !there || !bytes.Equal(have.text, w.Content) || have.mode != "600" || have.owner != owner:
			p.Write = append(p.Write, w)
		}
	}
	for _, o := range f.own() {
		switch {
		case kept[o]:
		case o == interfacesPath:
			p.Write = append(p.Write, f.edit(without(f.files[o].text)))
		default:
			p.Remove = append(p.Remove, o)
		}
	}
	for _, o := range slices.Sorted(maps.Keys(f.paths)) { // of writes that were broken off
		if base := path.Base(o); strings.HasPrefix(base, tempPrefix) && strings.HasSuffix(base, tempSuffix) {
			p.Remove = append(p.Remove, o)
		}
	}
	if !wanted {
		for _, d := range slices.Backward(p.State.Made) {
			if f.paths[d] {
				p.Rmdir = append(p.Rmdir, d)
			}
		}
	}
}

func (p *Plan) mkdirs(f *Facts, file string, made *[]string) {
	for _, d := range dirs(file) {
		if !f.paths[d] && !slices.Contains(p.Mkdir, d) {
			p.Mkdir = append(p.Mkdir, d)
			if !slices.Contains(*made, d) {
				*made = append(*made, d)
			}
		}
	}
}

// edit returns the main file of ifupdown with other content, behind a symbolic link if it is one.
func (f *Facts) edit(content []byte) File {
	w := File{Path: interfacesPath, Content: content, Edit: true}
	if to := f.links[interfacesPath]; to != "" {
		w.Path = to
	}
	return w
}
