package conf

import (
	"maps"
	"slices"
	"testing"
)

func TestScan(t *testing.T) {
	src := `# a comment with [brackets] and = signs
top = 1
a.b . "c d" = 2 # trailing [x]

[t]   # header
s = "with # and \" and ] inside"
m = """
[not.a.header]
x = 1 \
"""
lit = '''
k = [''' 
arr = [ # comment ]
  1, [2,
  3], "]", # 4
  { x = 1,
    y.z = [5] },
]
[ "q.r" . z ]
v = 1
[[p]]
n = 1
[p.sub]
k = 1
[[p.list]]
[[p.list]]
e = 1
[[p]]
n = 2
[p.sub]
k = 2
"\u00e9\t" = 1
`
	want := map[string]int{
		"top": 2, "a": 3, "a.b": 3, `a.b."c d"`: 3,
		"t": 5, "t.s": 6, "t.m": 7, "t.lit": 11, "t.arr": 13,
		"t.arr[0]": 14, "t.arr[1]": 14, "t.arr[1][0]": 14, "t.arr[1][1]": 15, "t.arr[2]": 15,
		"t.arr[3]": 16, "t.arr[3].x": 16, "t.arr[3].y": 17, "t.arr[3].y.z": 17, "t.arr[3].y.z[0]": 17,
		`"q.r"`: 19, `"q.r".z`: 19, `"q.r".z.v`: 20,
		"p": 21, "p[0]": 21, "p[0].n": 22, "p[0].sub": 23, "p[0].sub.k": 24,
		"p[0].list": 25, "p[0].list[0]": 25, "p[0].list[1]": 26, "p[0].list[1].e": 27,
		"p[1]": 28, "p[1].n": 29, "p[1].sub": 30, "p[1].sub.k": 31, "p[1].sub.\"é\\t\"": 32,
	}
	got := scan(src).lines
	for _, k := range slices.Sorted(maps.Keys(want)) {
		if got[k] != want[k] {
			t.Errorf("%s: line %d, want %d", k, got[k], want[k])
		}
		delete(got, k)
	}
	for k, l := range got {
		t.Errorf("too many: %s on line %d", k, l)
	}
	checkIndex(t, src)
}

// TestScanBroken: a mistake ends its statement where the line ends, so that the next statement is seen.
func TestScanBroken(t *testing.T) {
	for _, src := range []string{
		"a = [1, 2\nb = 2", "a = {x = 1\nb = 2", "a = \"open\nb = 2", "a =\nb = 2", "[a\nb = 2", "[[a]\nb = 2",
		"a\nb = 2", "= 1\nb = 2",
		"a = [1, [2\n\n# c\nb = 2", "\"a\nb = 2", "a = ]\nb = 2", "a = [=\nb = 2", "a..c = 1\nb = 2",
		"a = [[[[[[[[[[[[[[[[[[[[\nb = 2",
	} {
		x := scan(src)
		n := len(x.stmts)
		if n != 2 || !x.stmts[0].broken || x.stmts[1].broken || src[x.stmts[1].start:x.stmts[1].end] != "b = 2" {
			t.Errorf("%q: got statements %+v, want a broken one, then b = 2", src, x.stmts)
		}
	}
}

func TestLineOf(t *testing.T) {
	x := scan("[[port]]\nname = 1\n")
	for path, want := range map[string]int{"port[0].name": 2, "port[0].name[3]": 2, "port[0].role": 1, "port[7]": 1,
		"box.name": 0, "": 0} {
		if got := x.line(path); got != want {
			t.Errorf("line(%q) = %d, want %d", path, got, want)
		}
	}
}
