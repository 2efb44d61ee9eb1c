package style

import (
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
)

// Inspect is the shell program that tells what a guest is like.
//
//go:embed inspect.sh
var Inspect string

// Facts are what a guest is like. Everything in it comes from the guest.
type Facts struct {
	tools     map[string]bool
	paths     map[string]bool
	users     map[string]string // name → number
	files     map[string]content
	sysctls   map[string]int    // "all.arp_ignore" → value
	links     map[string]string // of paths that are symbolic links
	lo        []string          // files of networkd and NetworkManager that configure lo
	nm        []string          // what NetworkManager says of its version
	nmByPlan  bool              // netplan's renderer is NetworkManager
	Addresses map[string]bool   // on lo, as "10.1.1.1/32"; of guest-network-get-interfaces
}

type content struct {
	mode  string // octal, "600"
	owner string // number
	text  []byte
}

var errFacts = errors.New("the guest's answer about its network configuration is cut off or malformed")

// Parse reads what Inspect has printed.
func Parse(out []byte) (*Facts, error) {
	f := &Facts{tools: map[string]bool{}, paths: map[string]bool{}, users: map[string]string{},
		files: map[string]content{}, sysctls: map[string]int{}, links: map[string]string{}}
	for {
		line, rest, ok := bytes.Cut(out, []byte{'\n'})
		if !ok {
			return nil, errFacts
		}
		out = rest
		word, value, _ := strings.Cut(string(line), " ")
		switch word {
		case "end":
			return f, nil
		case "tool":
			f.tools[value] = true
		case "path":
			f.paths[value] = true
		case "user":
			if name, uid, ok := strings.Cut(value, " "); ok && uid != "" {
				f.users[name] = uid
			}
		case "lo":
			f.lo = append(f.lo, value)
		case "nm":
			f.nm = append(f.nm, value)
		case "renderer":
			f.nmByPlan = true
		case "link":
			if from, to, ok := strings.Cut(value, " "); ok && path.IsAbs(to) {
				f.links[from] = to
			}
		case "sysctl":
			if k, v, ok := strings.Cut(value, " "); ok && slices.Contains(sysctlKeys, k) {
				if n, err := strconv.Atoi(v); err == nil && n >= 0 && n < 256 {
					f.sysctls[k] = n
				}
			}
		case "file":
			var err error
			if out, err = f.file(value, out); err != nil {
				return nil, err
			}
		default:
			return nil, fmt.Errorf("%w: %.40q", errFacts, line)
		}
	}
}

// file reads "MODE UID SIZE PATH" and the content, and returns what follows.
func (f *Facts) file(value string, out []byte) ([]byte, error) {
	p := strings.SplitN(value, " ", 4)
	if len(p) < 4 {
		return nil, errFacts
	}
	n, err := strconv.Atoi(p[2])
	if err != nil || n < 0 || n >= len(out) || out[n] != '\n' {
		return nil, errFacts
	}
	f.files[p[3]] = content{mode: p[0], owner: p[1], text: out[:n]}
	return out[n+1:], nil
}

// ours reports whether a file with a name of ours was written by us.
func (c content) ours() bool { return bytes.HasPrefix(c.text, []byte(header)) }

// any reports whether one of the paths that exist matches a pattern and is not left out.
func (f *Facts) any(pattern string, except ...string) bool {
	for p := range f.paths {
		if ok, _ := path.Match(pattern, p); ok && !slices.Contains(except, p) {
			return true
		}
	}
	return false
}
