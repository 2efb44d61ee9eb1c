package penstock_test

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

// The repository's rules (ARCHITECTURE.md), as tests. Code that must break one changes the rule here, and says why.

const module = "penstock"

// goFile is one parsed Go file.
type goFile struct {
	path string // "dataplane/xsk/umem.go"
	dir  string // "dataplane/xsk", "." for the root
	ast  *ast.File
	text []byte
	test bool // _test.go
}

func (f *goFile) imports() []string {
	var out []string
	for _, s := range f.ast.Imports {
		if p, err := strconv.Unquote(s.Path.Value); err == nil {
			out = append(out, p)
		}
	}
	return out
}

// notSource are names of folders that hold no source.
var notSource = []string{"bin", "tmp", "testdata", "results"}

// textFiles calls fn for every file of the repository whose name ends in one of ext.
func textFiles(t *testing.T, fn func(name string, text []byte), ext ...string) {
	t.Helper()
	n := 0
	err := filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			base := d.Name()
			if name != "." && (slices.Contains(notSource, base) || base[0] == '.' && base != ".ci") {
				return filepath.SkipDir
			}
			return nil
		}
		if !slices.ContainsFunc(ext, func(e string) bool { return strings.HasSuffix(name, e) }) {
			return nil
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		n++
		fn(filepath.ToSlash(name), text)
		return nil
	})
	if err != nil || n == 0 {
		t.Fatalf("%d files, %v", n, err)
	}
}

func goFiles(t *testing.T) []*goFile {
	t.Helper()
	var out []*goFile
	fset := token.NewFileSet()
	textFiles(t, func(name string, text []byte) {
		f, err := parser.ParseFile(fset, name, text, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			t.Errorf("%v", err)
			return
		}
		out = append(out, &goFile{name, path.Dir(name), f, text, strings.HasSuffix(name, "_test.go")})
	}, ".go")
	return out
}

// within reports whether dir is one of roots or below one of them.
func within(dir string, roots ...string) bool {
	return slices.ContainsFunc(roots, func(r string) bool { return dir == r || strings.HasPrefix(dir, r+"/") })
}

// testSupport: packages that only tests import are held to the rules of tests (TestSupportPackages proves it).
func testSupport(dir string) bool { return strings.HasSuffix(path.Base(dir), "test") }

// noDataplane are packages of the standard library that the dataplane does not import.
var noDataplane = []string{"net/http", "encoding/json", "log", "log/slog", "text/template", "os/exec"}

// kernelLibraries are the libraries that the dataplane imports.
var kernelLibraries = []string{"golang.org/x/sys", "github.com/cilium/ebpf", "github.com/vishvananda/netlink"}

// hashLibrary is SipHash, with which all directors choose the same server.
const hashLibrary = "github.com/dchest/siphash"

// mayImport says whether code outside of tests may import p from dir, and if not, why.
func mayImport(dir, p string) string {
	local, isLocal := strings.CutPrefix(p, module+"/")
	std := !isLocal && !strings.Contains(strings.SplitN(p, "/", 2)[0], ".")
	if within(dir, "dataplane") {
		switch {
		case isLocal && !within(local, "dataplane"):
			return "the dataplane knows nothing of what is above it"
		case std && slices.Contains(noDataplane, p):
			return "the dataplane knows no HTTP, no JSON and no logs"
		case !std && !isLocal && !within(p, kernelLibraries...) && !within(p, hashLibrary):
			return "the dataplane imports no library but golang.org/x/sys, SipHash, and cilium/ebpf where the kernel is"
		}
	}
	if within(dir, "ctrl") && isLocal && within(local, "appliance", "conf") {
		return "imports point one way: appliance → ctrl, conf → dataplane"
	}
	if within(dir, "ctrl/rest") && isLocal && !within(local, "ctrl/rest", "ctrl/model/strict") {
		return "HTTP and JSON know no resource"
	}
	if within(dir, "conf") && isLocal && !within(local, "conf", "ctrl/model", "ctrl/readfile") {
		return "the configuration shares the model's types and the reading of files, and nothing else"
	}
	if top := []string{"appliance", "perf", "integration"}; isLocal && within(local, top...) && !within(dir, top...) {
		return "nothing below depends on it"
	}
	for lib, dirs := range map[string][]string{
		"github.com/cilium/ebpf":                {"dataplane/xsk", "dataplane/steer", "integration", "perf"},
		"github.com/vishvananda/netlink":        {"ctrl/link", "conf", "dataplane/steer", "integration", "perf"},
		"github.com/vishvananda/netns":          {"integration", "perf", "appliance"},
		"github.com/google/gopacket":            {"perf", "integration"},
		"github.com/asavie/xdp":                 {"perf", "integration"},
		"github.com/quic-go/quic-go":            {"integration"},
		"github.com/HdrHistogram":               {"perf"},
		"github.com/BurntSushi/toml":            {"conf", "ctrl/client"}, // the configuration; apply -f
		"go.etcd.io/bbolt":                      {"ctrl/store", "ctrl/alarm/spool"},
		hashLibrary:                             {"dataplane/maglev"},
		"github.com/spf13/cobra":                {"appliance"},
		"github.com/prometheus/client_golang":   {"ctrl/metrics"},
		"github.com/prometheus/client_model/go": {"ctrl/metrics"},
		"gvisor.dev/gvisor":                     {"ctrl/health/station"},
	} {
		if within(p, lib) && !within(dir, dirs...) {
			return "only " + strings.Join(dirs, ", ") + " and tests may"
		}
	}
	return ""
}

func TestImports(t *testing.T) {
	for _, f := range goFiles(t) {
		if f.test || testSupport(f.dir) || f.path == "deps.go" {
			continue
		}
		for _, p := range f.imports() {
			if why := mayImport(f.dir, p); why != "" {
				t.Errorf("%s imports %s: %s", f.path, p, why)
			}
		}
	}
}

// TestMayImport holds the rules themselves: they must forbid what they are there to forbid.
func TestMayImport(t *testing.T) {
	for _, tc := range []struct {
		dir, imports string
		ok           bool
	}{
		{"dataplane", "penstock/dataplane/fib", true},
		{"dataplane/overlay", "penstock/ctrl/model", false},
		{"dataplane", "penstock/conf", false},
		{"dataplane/xsk", "net/http", false},
		{"dataplane/stats", "encoding/json", false},
		{"dataplane", "log", false},
		{"dataplane", "log/slog", false},
		{"dataplane", "golang.org/x/sys/unix", true},
		{"dataplane/xsk", "github.com/BurntSushi/toml", false},
		{"dataplane/xsk", "github.com/prometheus/client_golang/prometheus", false},
		{"dataplane/table", "go.etcd.io/bbolt", false},
		{"dataplane/steer", "github.com/cilium/ebpf/link", true},
		{"dataplane/overlay", "github.com/cilium/ebpf", false},
		{"dataplane/overlay", "github.com/vishvananda/netlink", false},
		{"dataplane/maglev", "github.com/dchest/siphash", true},
		{"dataplane/overlay", "github.com/dchest/siphash", false},
		{"dataplane/wire", "github.com/google/gopacket", false},
		{"dataplane/xsk", "github.com/asavie/xdp", false},
		{"ctrl/link", "github.com/vishvananda/netlink", true},
		{"ctrl/link", "github.com/vishvananda/netlink/nl", true},
		{"ctrl/neighbor", "github.com/vishvananda/netlink", false},
		{"ctrl/core", "penstock/appliance", false},
		{"ctrl/core", "penstock/conf", false},
		{"ctrl/compile", "penstock/dataplane/fib", true},
		{"ctrl/api", "penstock/ctrl/rest", true},
		{"ctrl/rest", "penstock/ctrl/model/strict", true},
		{"ctrl/rest", "penstock/ctrl/model", false},
		{"ctrl/rest", "penstock/ctrl/core", false},
		{"conf", "penstock/ctrl/model", true},
		{"conf", "penstock/dataplane/fib", false},
		{"appliance", "penstock/conf", true},
		{"appliance", "penstock/integration/lab", true},
		{"appliance", "penstock/perf/gen", true},
		{"ctrl/api", "penstock/integration/lab", false},
		{"ctrl/metrics", "github.com/HdrHistogram/hdrhistogram-go", false},
		{"perf/baseline", "github.com/asavie/xdp", true},
	} {
		if why := mayImport(tc.dir, tc.imports); (why == "") != tc.ok {
			t.Errorf("%s imports %s: allowed %v, want %v (%s)", tc.dir, tc.imports, why == "", tc.ok, why)
		}
	}
}

// TestSupportPackages: a package whose name ends in "test" is imported by tests, and by its like, only.
func TestSupportPackages(t *testing.T) {
	for _, f := range goFiles(t) {
		if f.test || testSupport(f.dir) || within(f.dir, "integration", "perf") {
			continue
		}
		for _, p := range f.imports() {
			if local, ok := strings.CutPrefix(p, module+"/"); ok && testSupport(local) {
				t.Errorf("%s imports %s, which is for tests", f.path, p)
			}
		}
	}
}

func TestPackageComments(t *testing.T) {
	docs := map[string][]string{}
	for _, f := range goFiles(t) {
		if f.test {
			continue
		}
		docs[f.dir] = append(docs[f.dir], "")
		if f.ast.Doc == nil {
			continue
		}
		docs[f.dir][len(docs[f.dir])-1] = f.path
		want := "Package " + f.ast.Name.Name + " "
		if f.ast.Name.Name == "main" {
			want = "Command "
		}
		if !strings.HasPrefix(f.ast.Doc.Text(), want) {
			t.Errorf("%s: the package comment does not begin with %q", f.path, want)
		}
	}
	for dir, files := range docs {
		with := slices.DeleteFunc(files, func(s string) bool { return s == "" })
		if len(with) != 1 {
			t.Errorf("package %s: %d files have a package comment, want 1: %v", dir, len(with), with)
		}
	}
}

func TestUnsafe(t *testing.T) {
	for _, f := range goFiles(t) {
		named := strings.HasSuffix(strings.TrimSuffix(strings.TrimSuffix(f.path, ".go"), "_test"), "_unsafe")
		if slices.Contains(f.imports(), "unsafe") && !named {
			t.Errorf("%s imports unsafe: that is for files called *_unsafe.go", f.path)
		}
		if bytes.Contains(f.text, []byte("\n//go:linkname ")) {
			t.Errorf("%s uses go:linkname", f.path)
		}
	}
}

func TestNoInit(t *testing.T) {
	for _, f := range goFiles(t) {
		for _, d := range f.ast.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
				t.Errorf("%s has an init function: do it where it is needed", f.path)
			}
		}
	}
}

func TestNames(t *testing.T) {
	for _, f := range goFiles(t) {
		switch name := strings.TrimSuffix(f.ast.Name.Name, "_test"); name {
		case "util", "utils", "common", "helper", "helpers", "misc":
			t.Errorf("%s is in package %s: name it after what it does", f.path, name)
		}
	}
}

func TestFileSize(t *testing.T) {
	const most = 500
	for _, f := range goFiles(t) {
		if n := bytes.Count(f.text, []byte("\n")); n > most && !f.test {
			t.Errorf("%s has %d lines, more than %d: split it", f.path, n, most)
		}
	}
}

// TestNothingLeftToDo: what is not done is an issue, not a comment.
func TestNothingLeftToDo(t *testing.T) {
	marks := []string{"TO" + "DO", "FIX" + "ME", "XX" + "X"}
	textFiles(t, func(name string, text []byte) {
		for n, line := range strings.Split(string(text), "\n") {
			for _, m := range marks {
				if i := strings.Index(line, m); i >= 0 && !partOfWord(line, i, i+len(m)) {
					t.Errorf("%s:%d: refused: %s", name, n+1, strings.TrimSpace(line))
				}
			}
		}
	}, ".go", ".md", ".toml", ".c", ".h", ".lua", ".py", ".yaml", ".yml", "Makefile", ".service", ".ci/run")
}

func partOfWord(line string, from, to int) bool {
	letter := func(i int) bool {
		return i >= 0 && i < len(line) && (line[i]|0x20 >= 'a' && line[i]|0x20 <= 'z' || line[i] == '_')
	}
	return letter(from-1) || letter(to)
}

// citation is a Markdown file that a text names, with or without a folder and an anchor.
var citation = regexp.MustCompile(`(\.\./)*[A-Za-z0-9_][A-Za-z0-9_./-]*\.md\b(#[a-z0-9-]*)?`)

// outside is what a text may not refer to, since it is no part of the repository.
var outside = regexp.MustCompile(`(?i)\bthe ` + `specification\b|\bseed [0-9]{3}\b|\bspec "`)

// headings returns the anchors of a Markdown file's headings, as GitHub makes them.
func headings(text []byte) map[string]bool {
	out := map[string]bool{}
	for _, line := range strings.Split(string(text), "\n") {
		title := strings.TrimLeft(line, "#")
		if title == line || !strings.HasPrefix(title, " ") {
			continue
		}
		out[strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case unicode.IsLetter(r), unicode.IsDigit(r), r == '-', r == '_':
				return unicode.ToLower(r)
			}
			return -1
		}, strings.TrimSpace(title))] = true
	}
	return out
}

// cited returns the Markdown file that a citation in the file name means: beside it, or from the root on.
func cited(name, file string) (text []byte, ok bool) {
	for _, p := range []string{path.Join(path.Dir(name), file), file} {
		if text, err := os.ReadFile(p); err == nil {
			return text, true
		}
	}
	return nil, false
}

// miscited returns what is wrong with the references of one line to documents.
func miscited(name, line string) (faults []string) {
	for _, at := range citation.FindAllStringIndex(line, -1) {
		before := line[:at[0]]
		if strings.HasSuffix(before, "/") { // a URL, or where a file is installed
			continue
		}
		file, anchor, _ := strings.Cut(line[at[0]:at[1]], "#")
		text, ok := cited(name, file)
		switch {
		case !ok:
			faults = append(faults, file+" is not in the repository: cite PROTOCOL.md#SECTION, an RFC or a clause")
		case anchor != "" && !headings(text)[anchor]:
			faults = append(faults, file+" has no heading for #"+anchor)
		}
	}
	if m := outside.FindString(line); m != "" {
		faults = append(faults, strconv.Quote(m)+
			" is not in the repository: cite PROTOCOL.md#SECTION, an RFC or a clause")
	}
	return faults
}

// TestCitations: what code and documents refer to is in the repository, or is published.
func TestCitations(t *testing.T) {
	textFiles(t, func(name string, text []byte) {
		if name == "policy_test.go" {
			return
		}
		for n, line := range strings.Split(string(text), "\n") {
			for _, fault := range miscited(name, line) {
				t.Errorf("%s:%d: wrong citation: %s", name, n+1, fault)
			}
		}
	}, ".go", ".md", ".toml", ".json", ".c", ".h", ".lua", ".py", ".yaml", ".yml", "Makefile", ".service", ".ci/run")
}

// TestMiscited holds the rule itself.
func TestMiscited(t *testing.T) {
	for _, tc := range []struct {
		name, line string
		faults     int
	}{
		{"dataplane/edge/edge.go", "// (PROTOCOL.md#addressing, PROTOCOL.md#edge-switch)", 0},
		{"dataplane/edge/edge.go", "// (RFC 9568, 8.1.2; IEEE 802.1Q, 8.6.3; conf/README.md)", 0},
		{"perf/e2e/figure.go", "// aim is that of perf/README.md#aims,", 0},
		{"perf/README.md", "see [gen](gen/README.md), [conf](../conf/README.md#keys)", 0},
		{"perf/README.md", "https://example.com/doc/none.md says", 0},
		{"ctrl/alarm/README.md", "[keys](../../conf/README.md)", 0},
		{"ctrl/alarm/README.md", "[keys](../conf/README.md)", 1},
		{"dataplane/edge/edge.go", "// (spec/over" + "lay.md, \"Encapsulation\")", 1},
		{"dataplane/edge/edge.go", "// (PROTOCOL.md#no-such-section)", 1},
		{"dataplane/edge/edge.go", "// as The Speci" + "fication has it", 1},
		{"dataplane/edge/edge.go", "// (seed 0" + "03, paragraph 14; over" + "lay.md)", 2},
		{"dataplane/edge/edge.go", "// with its MAC, spec " + "\"Encapsulation\")", 1},
	} {
		if got := miscited(tc.name, tc.line); len(got) != tc.faults {
			t.Errorf("%s: %s: %d faults %v, want %d", tc.name, tc.line, len(got), got, tc.faults)
		}
	}
}

// rawLines returns the numbers of the lines that continue or end a raw string.
func rawLines(f *goFile) map[int]bool {
	out := map[int]bool{}
	ast.Inspect(f.ast, func(n ast.Node) bool {
		if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING && strings.HasPrefix(lit.Value, "`") {
			first := 1 + bytes.Count(f.text[:int(lit.Pos()-f.ast.FileStart)], []byte("\n"))
			for i := range strings.Count(lit.Value, "\n") {
				out[first+1+i] = true
			}
		}
		return true
	})
	return out
}

// TestLines: no line of code is longer than 120 columns, a tab being four of them. A raw string of a test, such as the
// output that is expected, may be longer.
func TestLines(t *testing.T) {
	const most, tab = 120, 4
	for _, f := range goFiles(t) {
		raw := rawLines(f)
		for n, line := range strings.Split(string(f.text), "\n") {
			if f.test && raw[n+1] {
				continue
			}
			if w := utf8.RuneCountInString(line) + (tab-1)*strings.Count(line, "\t"); w > most {
				t.Errorf("%s:%d: %d columns, want at most %d", f.path, n+1, w, most)
			}
		}
	}
}

// wordless is a format that has verbs alone: such a failure says neither what it is nor what was wanted.
var wordless = regexp.MustCompile("\\.(?:Errorf|Fatalf)\\([\"`](?:[^a-zA-Z\"`%]|%[-+# 0-9.]*[a-zA-Z])*[\"`],")

// TestFailures: the message of a test's failure has words. Errors that a test makes for itself are left out.
func TestFailures(t *testing.T) {
	for _, f := range goFiles(t) {
		if !f.test {
			continue
		}
		for n, line := range strings.Split(string(f.text), "\n") {
			made := strings.HasSuffix(line, "\", err)") || strings.Contains(line, "fmt.Errorf(")
			if wordless.MatchString(line) && !made {
				t.Errorf("%s:%d: %s: want words, of what it is and what was expected",
					f.path, n+1, strings.TrimSpace(line))
			}
		}
	}
}

// TestTestImports: tests of the dataplane import the dataplane alone. Tests that need compiled tables are in
// integration/rig.
func TestTestImports(t *testing.T) {
	for _, f := range goFiles(t) {
		if !f.test || !within(f.dir, "dataplane") {
			continue
		}
		for _, p := range f.imports() {
			local, ok := strings.CutPrefix(p, module+"/")
			if ok && within(local, "ctrl", "conf", "appliance", "integration", "perf") {
				t.Errorf("%s imports %s, want only packages of the dataplane", f.path, p)
			}
		}
	}
}
