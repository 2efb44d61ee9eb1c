package conf

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
)

// FuzzParse: no input panics; the answer is either errors that name the file, or a configuration that keeps what its
// type promises.
func FuzzParse(f *testing.F) {
	f.Add([]byte(minimal))
	f.Add([]byte(edgeSwitch))
	for _, name := range []string{"penstock.toml", "edge-switch.toml", "gateway.toml"} {
		text, err := os.ReadFile("example/" + name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	for _, s := range []string{
		"", "[", "[[port", "a = [1,\n2", "x = \"\"\"\n\n\"\"\"", "x = '''a'''''", "port = [{name = 'x'}, {}]",
		"a.b.c = {d = [[{}]]}",
		"\"\\u00e9\" = 1", "\"a\\e\\x41\" = 1\n[\"x.y\".z]", `[[port]]
[port.x]
y=1
[[port.z]]
[[port.z]]`, "k = {a = 1,\n # c\n b = 2,\n}", "x = 1 # [a]",
		"mode = \"0o6\"", "a = 2024-01-01T00:00:00Z", "[box]\nname = \"x\"\nname = \"y\"\n[box]",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := Parse("f.toml", data)
		if err != nil {
			errs, ok := errors.AsType[Errors](err)
			if !ok || len(errs) == 0 || c != nil {
				t.Fatalf("Parse = %v, %#v", c, err)
			}
			lines := strings.Count(string(data), "\n") + 1
			for _, e := range errs {
				if e.File != "f.toml" || e.Message == "" || e.Line < 0 || e.Line > lines {
					t.Fatalf("bad error %#v in %d lines", e, lines)
				}
			}
		} else {
			checkPromises(t, c)
		}
		checkIndex(t, string(data))
	})
}

// checkPromises holds a configuration to what the comments of its types say.
func checkPromises(t *testing.T, c *Config) {
	t.Helper()
	d := &c.Dataplane
	if len(c.Ports) == 0 || c.Box.Name == "" || d.Frames < c.FramesNeeded() ||
		int64(d.Frames)*int64(d.FrameSize) > maxUMEM ||
		d.RingSize&(d.RingSize-1) != 0 || len(d.CPUs) != 0 && len(d.CPUs) != d.Workers || c.Control.Mode&^0o775 != 0 {
		t.Fatalf("got an inconsistent configuration, want an error: %+v", c)
	}
	edge := false
	names := map[string]bool{}
	for _, p := range c.Ports {
		edge = edge || p.Role == RoleDownlink || p.Role == RoleTrunk
		if names[p.Name] || p.Queues < 1 || p.Queues > d.Workers || p.MTU+frameExtra > d.FrameSize ||
			(p.SwitchMAC != 0) != (p.Role == RoleFabric) || (p.SwitchPort != 0) != (p.Role == RoleFabric ||
			p.Role == RoleDownlink) ||
			(len(p.VLANs) > 0) != (p.Role == RoleTrunk) || (p.Encap != "") != (p.Role == RoleFabric) {
			t.Fatalf("got an inconsistent port, want an error: %+v", p)
		}
		names[p.Name] = true
		for i := 1; i < len(p.VLANs); i++ {
			if p.VLANs[i-1] >= p.VLANs[i] {
				t.Fatalf("VLANs not ascending: %v", p.VLANs)
			}
		}
	}
	if edge != (c.Edge != nil) {
		t.Fatalf("edge ports %v, Edge %v", edge, c.Edge)
	}
	for _, g := range c.Groups {
		if g.Name == "" || g.MAC == 0 || len(g.Members) == 0 || len(g.Members) > maxMembers || g.ProbeInterval < 10e6 ||
			g.Misses < 1 || g.Answers < 1 || g.HoldMin > g.HoldMax {
			t.Fatalf("got an inconsistent group, want an error: %+v", g)
		}
		for _, m := range g.Members {
			if m.Name == "" || !m.IP.Is4() || !m.Address.Contains(m.IP) || m.Address.Addr() == m.IP || m.MAC == g.MAC ||
				c.port(m.Port) == nil || c.port(m.Port).Role != RoleUplink {
				t.Fatalf("got an inconsistent member, want an error: %+v", m)
			}
		}
	}
	hooks := map[string]bool{}
	for _, w := range c.Alarm.Webhooks {
		if hooks[w.Name] || w.Name == "" || w.URL == "" || w.Timeout <= 0 || w.RetryMax <= 0 || w.FailingAfter <= 0 ||
			w.Severity == "" {
			t.Fatalf("got an inconsistent webhook, want an error: %+v", w)
		}
		hooks[w.Name] = true
	}
	if ch := c.Diff(c); len(ch) != 0 {
		t.Fatalf("differs from itself: %v", ch)
	}
}

// checkIndex: in text that the library accepts, the scanner finds every key and every element.
func checkIndex(t *testing.T, src string) {
	t.Helper()
	tree, idx, errs := parseTree("f.toml", src)
	if len(errs) > 0 || tree == nil {
		return
	}
	var walk func(path string, v any)
	walk = func(path string, v any) {
		if path != "" && idx.lines[path] == 0 {
			t.Fatalf("no line for %q in %q: %v", path, src, idx.lines)
		}
		switch v := v.(type) {
		case map[string]any:
			for k, e := range v {
				walk(join(path, k), e)
			}
		case []map[string]any:
			for i, e := range v {
				walk(fmt.Sprintf("%s[%d]", path, i), e)
			}
		case []any:
			for i, e := range v {
				walk(fmt.Sprintf("%s[%d]", path, i), e)
			}
		}
	}
	walk("", map[string]any(tree))
	for i, s := range idx.stmts {
		if s.broken {
			t.Fatalf("statement %d of valid TOML is called broken: %q", i, src)
		}
	}
}
