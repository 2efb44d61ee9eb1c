package metrics

import (
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"

	"penstock/dataplane/drop"
)

// scrapeLabels are added by Prometheus, le by histograms.
var scrapeLabels = []string{"instance", "job", "le"}

var (
	metricUse = regexp.MustCompile(`\b(penstock_[a-z_]+)(\{[^}]*\})?`)
	matcher   = regexp.MustCompile(`^\s*([a-z_]+)\s*(=~|!~|!=|=)\s*"([^"]*)"\s*$`)
	grouping  = regexp.MustCompile(`\b(?:by|without)\s*\(([^)]*)\)`)
	template  = regexp.MustCompile(`\$labels\.([a-z_]+)|\{\{\s*([a-z]+)\s*\}\}`)
)

// checkExpr makes sure that an expression uses metrics and labels that exist. It returns the labels of its metrics.
func checkExpr(t *testing.T, where, expr string, all map[string]*dto.MetricFamily) []string {
	t.Helper()
	balanced(t, where, expr)
	known := slices.Clone(scrapeLabels)
	uses := metricUse.FindAllStringSubmatch(expr, -1)
	for _, m := range uses {
		name := m[1]
		f := all[name]
		for _, suffix := range []string{"_bucket", "_sum", "_count"} {
			base, cut := strings.CutSuffix(name, suffix)
			if g := all[base]; f == nil && cut && g != nil && g.GetType() == dto.MetricType_HISTOGRAM {
				f = g
			}
		}
		if f == nil {
			t.Errorf("%s: there is no metric %s", where, name)
			continue
		}
		if f.GetType() == dto.MetricType_HISTOGRAM && f.GetName() == name {
			t.Errorf("%s: %s is a histogram and has no value of its own", where, name)
		}
		counts := f.GetType() == dto.MetricType_COUNTER || f.GetType() == dto.MetricType_HISTOGRAM
		if rated := regexp.MustCompile(`(?:rate|increase)\(` +
			regexp.QuoteMeta(m[0])).MatchString(expr); rated != counts {
			t.Errorf("%s: %s is a %s, rate or increase: %t", where, name, f.GetType(), rated)
		}
		labels := append(labelNames(f), scrapeLabels...)
		known = append(known, labels...)
		for _, part := range strings.Split(strings.Trim(m[2], "{}"), ",") {
			if part == "" {
				continue
			}
			x := matcher.FindStringSubmatch(part)
			if x == nil {
				t.Errorf("%s: cannot read the matcher %s", where, part)
				continue
			}
			if !slices.Contains(labels, x[1]) {
				t.Errorf("%s: %s has no label %s", where, name, x[1])
			}
			checkValue(t, where, name, x[1], x[3])
		}
	}
	for _, g := range grouping.FindAllStringSubmatch(expr, -1) {
		for _, l := range strings.Split(g[1], ",") {
			if l = strings.TrimSpace(l); !slices.Contains(known, l) {
				t.Errorf("%s: grouped by %s, which no metric of it has", where, l)
			}
		}
	}
	return known
}

// checkValue makes sure that the drop reasons an expression names are reasons.
func checkValue(t *testing.T, where, name, label, value string) {
	t.Helper()
	if label != "reason" {
		return
	}
	reasons := []string{"rx_dropped", "rx_ring_full", "fill_ring_empty", "rx_invalid", "tx_invalid"}
	if name == "penstock_port_drops_total" {
		reasons = nil
		for r := drop.None + 1; r < drop.Count; r++ {
			reasons = append(reasons, r.String())
		}
	}
	for _, v := range strings.Split(value, "|") {
		if !slices.Contains(reasons, v) {
			t.Errorf("%s: %s never has the reason %q", where, name, v)
		}
	}
}

func balanced(t *testing.T, where, expr string) {
	t.Helper()
	var open []rune
	closes := map[rune]rune{')': '(', ']': '[', '}': '{'}
	quoted := false
	for _, c := range expr {
		switch {
		case c == '"':
			quoted = !quoted
		case quoted:
		case strings.ContainsRune("([{", c):
			open = append(open, c)
		case closes[c] != 0:
			if len(open) == 0 || open[len(open)-1] != closes[c] {
				t.Errorf("%s: brackets do not match: %s", where, expr)
				return
			}
			open = open[:len(open)-1]
		}
	}
	if len(open) != 0 || quoted {
		t.Errorf("%s: an unclosed bracket or quote: %s", where, expr)
	}
}

// checkTemplate makes sure that a text uses labels that its expression has.
func checkTemplate(t *testing.T, where, text string, labels []string) {
	t.Helper()
	for _, m := range template.FindAllStringSubmatch(text, -1) {
		if l := m[1] + m[2]; !slices.Contains(labels, l) {
			t.Errorf("%s: %q uses the label %s, want a label of its expression", where, text, l)
		}
	}
}

// rule is one alert. The file is read line by line, in the one shape it is written in; anything else is an error.
type rule struct{ name, expr, wait, severity, summary, description string }

func readRules(t *testing.T) []rule {
	t.Helper()
	text, err := os.ReadFile("alerts.yml")
	if err != nil {
		t.Fatal(err)
	}
	var rules []rule
	for i, line := range strings.Split(string(text), "\n") {
		trimmed := strings.TrimLeft(line, " ")
		indent := len(line) - len(trimmed)
		if trimmed == "" || trimmed[0] == '#' {
			continue
		}
		if name, ok := strings.CutPrefix(line, "      - alert: "); ok {
			rules = append(rules, rule{name: name})
			continue
		}
		key, value, ok := strings.Cut(trimmed, ":")
		value = strings.TrimSpace(value)
		at := strings.Repeat(" ", indent) + key
		if len(rules) == 0 {
			if !slices.Contains([]string{"groups", "  - name", "    rules"}, at) {
				t.Fatalf("alerts.yml:%d: unexpected %q", i+1, line)
			}
			continue
		}
		r := &rules[len(rules)-1]
		field := map[string]*string{"        expr": &r.expr, "        for": &r.wait, "          severity": &r.severity,
			"          summary": &r.summary, "          description": &r.description}[at]
		switch {
		case ok && field != nil && *field == "":
			*field = value
		case slices.Contains([]string{"        labels", "        annotations"}, at) && value == "":
		default:
			t.Fatalf("alerts.yml:%d: unexpected %q", i+1, line)
		}
	}
	return rules
}

// TestAlerts holds the alert rules to the metrics.
func TestAlerts(t *testing.T) {
	all := gather(t, sample())
	seen := map[string]bool{}
	rules := readRules(t)
	for _, r := range rules {
		if seen[r.name] || !regexp.MustCompile(`^Penstock[A-Z][A-Za-z]+$`).MatchString(r.name) {
			t.Errorf("alert %q: twice, or not a name", r.name)
		}
		seen[r.name] = true
		labels := checkExpr(t, r.name, r.expr, all)
		if !strings.Contains(r.expr, "penstock") {
			t.Errorf("%s uses no metric of Penstock, want one", r.name)
		}
		if r.wait != "" && !regexp.MustCompile(`^[0-9]+m$`).MatchString(r.wait) {
			t.Errorf("%s waits for %q, want a duration", r.name, r.wait)
		}
		if r.severity != "critical" && r.severity != "warning" {
			t.Errorf("%s has severity %q, want a known one", r.name, r.severity)
		}
		for _, text := range []string{r.summary, r.description} {
			if len(text) < 10 || text[0] != '"' || !strings.HasSuffix(text, `"`) || strings.Count(text, `"`) != 2 {
				t.Errorf("%s: text %s must be one quoted string", r.name, text)
			}
			checkTemplate(t, r.name, text, labels)
		}
	}
	if len(rules) < 10 {
		t.Errorf("%d alerts were read, want more", len(rules))
	}
}

// panel is what the test reads of a Grafana panel.
type panel struct {
	ID      int
	Type    string
	Title   string
	GridPos struct{ H, W, X, Y int }
	Targets []struct{ RefID, Expr, LegendFormat string }
}

// TestDashboard holds the dashboard to the metrics: every name it uses exists, and every metric is to be seen.
func TestDashboard(t *testing.T) {
	text, err := os.ReadFile("dashboard/penstock.json")
	if err != nil {
		t.Fatal(err)
	}
	var d struct {
		Title      string
		Panels     []panel
		Templating struct {
			List []struct{ Name, Definition string }
		}
		Annotations struct {
			List []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatal(err)
	}
	all := gather(t, sample())
	shown := map[string]bool{}
	use := func(expr string) {
		for _, m := range metricUse.FindAllStringSubmatch(expr, -1) {
			shown[m[1]] = true
			shown[strings.TrimSuffix(m[1], "_bucket")] = true
		}
	}
	ids := map[int]bool{}
	variables := []string{"$__rate_interval"}
	for _, v := range d.Templating.List {
		variables = append(variables, "$"+v.Name)
		if strings.Contains(v.Definition, "penstock_") {
			use(v.Definition)
			for _, m := range metricUse.FindAllStringSubmatch(v.Definition, -1) {
				if all[m[1]] == nil {
					t.Errorf("variable %s: there is no metric %s", v.Name, m[1])
				}
			}
		}
	}
	for _, a := range d.Annotations.List {
		use(a.Expr)
		checkExpr(t, "annotation", a.Expr, all)
	}
	for i, p := range d.Panels {
		if ids[p.ID] || p.Title == "" || p.GridPos.X+p.GridPos.W > 24 {
			t.Errorf("panel %q: ID %d twice, no title, or outside the grid", p.Title, p.ID)
		}
		ids[p.ID] = true
		for _, o := range d.Panels[:i] {
			a, b := p.GridPos, o.GridPos
			if a.X < b.X+b.W && b.X < a.X+a.W && a.Y < b.Y+b.H && b.Y < a.Y+a.H {
				t.Errorf("panels %q and %q overlap", p.Title, o.Title)
			}
		}
		if p.Type == "row" {
			continue
		}
		if len(p.Targets) == 0 {
			t.Errorf("panel %q has no query, want one", p.Title)
		}
		for _, x := range p.Targets {
			use(x.Expr)
			labels := checkExpr(t, p.Title, x.Expr, all)
			checkTemplate(t, p.Title, x.LegendFormat, labels)
			for _, v := range regexp.MustCompile(`\$[a-z_]+`).FindAllString(x.Expr, -1) {
				if !slices.Contains(variables, v) {
					t.Errorf("panel %q: there is no variable %s", p.Title, v)
				}
			}
		}
	}
	for name := range all {
		if !shown[name] &&
			!slices.Contains([]string{"penstock_port_mtu_bytes", "penstock_frame_violations_total"}, name) {
			t.Errorf("the dashboard does not show %s, want every metric on it", name)
		}
	}
}
