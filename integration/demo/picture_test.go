package demo

import (
	"bytes"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func moment() *view {
	v := &view{At: 12300 * time.Millisecond, Of: 20 * time.Second, Act: "101 taken away",
		Drops: map[string]uint64{"swa source_mac": 1, "box1 access_vlan": 4}}
	for _, t := range []string{"red", "blue"} {
		v.Tenants = append(v.Tenants, tenantView{Name: t, From: t + "-vm1", To: t + "-vm2", FromIP: "10.0.0.1",
			ToIP:    "10.0.0.2",
			FromBox: "box1", FromSwitch: "swa", ToBox: "box2", ToSwitch: "swb", BitRate: 20e6,
			Ping: pings{123, 122, 0.345, 0}})
	}
	v.Paths = []pathView{{VID: 101}, {VID: 102, Live: true, Rate: 4020}}
	v.Outside = outsideView{From: "red-vm1", Box: "box1", Target: "203.0.113.10",
		Last:     "isp1 lost its link, isp2 took over: blocked for 2 ms",
		Gateways: []gatewayView{{Name: "isp1", State: "down"}, {Name: "isp2", State: "up", Active: true, Rate: 1000}},
		Alarms:   []string{"MAJOR: Gateway isp1 of group out failed.", "MAJOR: Port up0 is down."}}
	v.Service = serviceView{From: "red-vm1", Address: "10.0.0.100:80", Failed: 3, Servers: []serverView{
		{"web1", 8081, "up", 51}, {"web2", 8082, "draining", 0}, {"web3", 8083, "killed", 0}, {"web4", 8084, "up", 49}}}
	return v
}

const picture1 = `
  12.3 of 20 s   101 taken away

  red-vm1  ─┐                ╔╌ 101  taken away                      ╌╗                ┌─ red-vm2
            ├─ box1 ── swa ══╣                                        ╠══ swb ── box2 ─┤
  blue-vm1 ─┘                ╚═ 102  ████████████████████     4020/s ═╝                └─ blue-vm2

  TENANT  FROM                   TO                           TCP       PING
  red     red-vm1  10.0.0.1   →  red-vm2  10.0.0.2     20.0 Mbit/s   0.34 ms, 122/123 answered
  blue    blue-vm1 10.0.0.1   →  blue-vm2 10.0.0.2     20.0 Mbit/s   0.34 ms, 122/123 answered

  red-vm1  ─ box1 ─┬╌╌  isp1  down                 0/s
                   └══▶ isp2  up, active        1000/s → 203.0.113.10
  outside isp1 lost its link, isp2 took over: blocked for 2 ms
  alarm   MAJOR: Gateway isp1 of group out failed.

  red-vm1  → 10.0.0.100:80 → web1:8081 up          51/s  → web2:8082 draining     0/s  failed 3
                           → web3:8083 killed       0/s  → web4:8084 up          49/s

  drops   box1 access_vlan 4, swa source_mac 1
`

func TestPicture(t *testing.T) {
	if got := moment().text(false); got != picture1 {
		t.Errorf("%s\nwant%s", got, picture1)
	}
	painted := moment().text(true)
	if !strings.Contains(painted, "\x1b[31mred-vm1 \x1b[0m ─┐") {
		t.Errorf("no colour:\n%s", painted)
	}
	for _, c := range []string{"\x1b[31m", "\x1b[94m", "\x1b[0m"} {
		painted = strings.ReplaceAll(painted, c, "")
	}
	if painted != picture1 {
		t.Errorf("colours move the picture:\n%s", painted)
	}
}

// TestPictureFits: the picture stays within the terminal's required size, with the largest figures.
func TestPictureFits(t *testing.T) {
	v := moment()
	v.Of, v.At, v.Act = time.Hour, time.Hour, "101 taken away"
	for i := range v.Tenants {
		v.Tenants[i].BitRate, v.Tenants[i].Ping = 9999e6, pings{36000, 36000, 99.99, 0}
	}
	for i := range v.Paths {
		v.Paths[i].Live, v.Paths[i].Rate = true, 9_999_999
	}
	v.Outside.Last, v.Outside.Alarms[0] = strings.Repeat("long ", 40), strings.Repeat("long ", 40)
	for i := range v.Outside.Gateways {
		v.Outside.Gateways[i].Rate = 99_999
	}
	for i := range v.Service.Servers {
		v.Service.Servers[i].Rate = 9999
	}
	v.Service.Failed = 999_999
	for i := range 20 {
		v.Drops["box1 reason"+strings.Repeat("x", i)] = 1_000_000
	}
	text := v.text(false)
	if n := strings.Count(text, "\n"); n > Lines {
		t.Errorf("%d lines, want at most %d", n, Lines)
	}
	for l := range strings.Lines(text + v.heading() + "\n" + moment().line() + "\n") {
		if n := utf8.RuneCountInString(strings.TrimSuffix(l, "\n")); n > Columns {
			t.Errorf("%d columns, want at most %d: %s", n, Columns, l)
		}
	}
	if !strings.Contains(text, ", …\n") {
		t.Errorf("drops are not cut:\n%s", text)
	}
	if h, l := v.heading(), moment().line(); utf8.RuneCountInString(strings.TrimPrefix(h,
		"\n")) != utf8.RuneCountInString(l) {
		t.Errorf("heading and line differ in length:\n%s\n%s", h, l)
	}
}

// TestDraw: a terminal sees one picture, whatever is printed in between, and gets its cursor back; a file sees lines.
func TestDraw(t *testing.T) {
	var out bytes.Buffer
	p := &picture{w: &out, live: true}
	p.draw(moment())
	lines := strings.Count(picture1, "\n")
	out.Reset()
	p.draw(moment())
	if !strings.HasPrefix(out.String(), "\x1b["+string([]byte{byte('0' + lines/10), byte('0' + lines%10)})+"A\x1b[J") {
		t.Errorf("the second picture does not replace the first: %q", out.String()[:20])
	}
	out.Reset()
	p.printf("hello")
	if !strings.HasSuffix(out.String(), "\x1b[?25hhello\n") {
		t.Errorf("printf: %q", out.String())
	}
	p.draw(moment())
	out.Reset()
	p.leave()
	p.printf("bye")
	if out.String() != "\x1b[?25hbye\n" {
		t.Errorf("leave: %q", out.String())
	}
	out.Reset()
	q := &picture{w: &out}
	q.draw(moment())
	q.draw(moment())
	if got := out.String(); strings.Contains(got, "\x1b") || strings.Count(got, "\n") != 4 ||
		strings.Count(got, "TIME") != 1 ||
		!strings.Contains(got, "    away    4020/s  isp2   1000    51/0/0/49      2      5\n") {
		t.Errorf("lines:\n%s", got)
	}
}
