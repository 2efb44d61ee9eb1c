package traffic_test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"penstock/conf"
	"penstock/perf/traffic"
)

const (
	eth = `[stream.ethernet]
src = "02:00:00:00:00:01"
dst = "02:00:00:00:00:02"
`
	ip4 = `[stream.ipv4]
src = "10.0.0.1"
dst = "10.0.0.2"
`
	udp = `[stream.udp]
src_port = 1
dst_port = 2
`
	tcp = `[stream.tcp]
src_port = 1
dst_port = 2
`
	head = `title = "t"
[[stream]]
name = "s"
`
	over = `[stream.overlay]
src_mac = "02:00:00:00:0a:00"
dst_mac = "02:00:00:00:0b:00"
src_port = 1
dst_port = 2
tenant = 2
segment = 1
`
)

// lines is a text of lines, each with its end.
func lines(s ...string) string { return strings.Join(s, "\n") + "\n" }

// TestWrong: every mistake is found, with its line and what to do; several at once, all of them.
func TestWrong(t *testing.T) {
	good := head + eth + ip4 + udp
	// with is the good profile with lines before the stream's name, port that with another source port.
	with := func(keys ...string) string { return strings.Replace(good, "name =", lines(keys...)+"name =", 1) }
	port := func(value string) string { return strings.Replace(good, "src_port = 1", "src_port = "+value, 1) }
	if _, err := traffic.Parse("good.toml", []byte(good)); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name, text string
		want       []string // "LINE: KEY: part of the message"
	}{
		{"empty", "", []string{"0: title: missing", "0: no [[stream]]"}},
		{"syntax", "title = \"t\nx", []string{"1: title: the string does not end"}},
		{"title", strings.Replace(good, `"t"`, "3", 1), []string{"1: title: found 3, want a string"}},
		{
			"unknown", good + "ttl = 3\n[stream.ip4]\n[other]\n",
			[]string{
				"13: stream[0].udp.ttl: unknown key; the keys here are src_port",
				"14: stream[0].ip4: unknown key; did you mean ipv4?", "15: other: unknown key",
			},
		},
		{
			"one table", strings.Replace(good, "[[stream]]", "[stream]", 1),
			[]string{"2: stream: found a table, want an array of tables: write [[stream]]"},
		},
		{
			"name", strings.Replace(good, `"s"`, `"s p"`, 1),
			[]string{`3: stream[0].name: found "s p", want 1 to 32 letters`},
		},
		{"no name", strings.Replace(good, "name", "#", 1), []string{"2: stream[0].name: missing, and required"}},
		{
			"twice", good + strings.TrimPrefix(good, `title = "t"`+"\n"),
			[]string{`14: stream[1].name: "s" is the name of two streams`},
		},
		{"side", with(`side = "c"`), []string{`3: stream[0].side: found the string "c", want one of`}},
		{"weight", with("weight = 0"), []string{"3: stream[0].weight: found 0, want an integer from 1 to 4096"}},
		{"size", with("size = 63"), []string{"3: stream[0].size: found 63, want octets with FCS from 64 to 16384"}},
		{"size text", with(`size = "64:0"`), []string{`3: stream[0].size: found the string "64:0", want octets`}},
		{"size twice", with(`size = "64:1,64:2"`), []string{"3: stream[0].size: 64 is in the list twice"}},
		{"size range", with(`size = "99-64"`), []string{`3: stream[0].size: the range "99-64" ends before it begins`}},
		{"size op", with(`size_op = "inc"`), []string{"3: stream[0].size_op: is for a range"}},
		{
			"fill", with(`size = "70-80"`, "fill = 1"),
			[]string{"4: stream[0].fill: a range of sizes needs a payload of zeros"},
		},
		{
			"no room", head + eth + strings.Replace(ip4, "4", "6", 1) + udp,
			[]string{`8: stream[0].ipv6.src: found the string "10.0.0.1", want an IPv6`},
		},
		{
			"no room for the signature", head + eth + ip4 + tcp,
			[]string{
				"2: stream[0].size: 64 octets leave 6 for the payload, and the signature takes 18: " +
					"want a size of at least 76, or signature = false",
			},
		},
		{
			"no room for headers", head + "size = 90\n" + over + eth + ip4 + udp,
			[]string{
				"4: stream[0].size: 90 octets leave 10 for the payload, and the signature takes 18: " +
					"want a size of at least 98",
			},
		},
		{
			"mac", strings.Replace(good, "00:01", "00", 1),
			[]string{`5: stream[0].ethernet.src: found the string "02:00:00:00:00", want a MAC`},
		},
		{"no ethernet", head + ip4 + udp, []string{"2: stream[0]: no [stream.ethernet]"}},
		{"nothing below", head + eth + udp, []string{"7: stream[0].udp: nothing carries it"}},
		{
			"two networks", good + lines("[stream.ipv6]", `src="::1"`, `dst="::2"`),
			[]string{"13: stream[0].ipv6: a frame has one of ipv4, ipv6, arp"},
		},
		{"two transports", good + "[stream.icmp]\n", []string{"13: stream[0].icmp: a frame has one of udp, tcp, icmp"}},
		{"range", port("{ from = 9, to = 1 }"), []string{"11: stream[0].udp.src_port.to: smaller than from"}},
		{"half a range", port("{ from = 9 }"), []string{"11: stream[0].udp.src_port.to: missing"}},
		{
			"step", port("{ from = 1, to = 9, step = 2 }"),
			[]string{"11: stream[0].udp.src_port.step: 2 steps do not divide the 9 values"},
		},
		{
			"random step", port(`{ from = 0, to = 9, step = 2, op = "random" }`),
			[]string{"step: a random value has no step"},
		},
		{
			"range key", port("{ form = 1, to = 2 }"),
			[]string{"src_port.form: unknown key; did you mean from?", "src_port.from: missing"},
		},
		{"op", port(`{ from = 1, to = 2, op = "up" }`), []string{`op: found the string "up", want one of`}},
		{
			"list", port("{ list = [1, 65536] }"),
			[]string{"src_port.list[1]: found 65536, want an integer from 0 to 65535"},
		},
		{"empty list", port("{ list = [] }"), []string{"src_port.list: found an array, want an array of 1 to 1024"}},
		{"list and range", port("{ list = [1], to = 2 }"), []string{"src_port.to: a list has no to"}},
		{
			"wide range",
			strings.Replace(good, `src = "02:00:00:00:00:01"`,
				`src = { from = "02:00:00:00:00:01", to = "02:01:00:00:00:01" }`, 1),
			[]string{`src.to: differs from "from" in more than the last 32 bits`},
		},
		{
			"wide list",
			strings.Replace(good, `src = "02:00:00:00:00:01"`,
				`src = { list = ["02:00:00:00:00:01", "02:01:00:00:00:01"] }`, 1),
			[]string{"src.list[1]: differs from the first value"},
		},
		{"tags", good + strings.Repeat("[[stream.vlan]]\nid = 1\n", 3), []string{"stream[0].vlan: 3 tags"}},
		{"tag", good + "[[stream.vlan]]\nid = 4095\n", []string{"14: stream[0].vlan[0].id: found 4095"}},
		{
			"tag table", good + "[stream.vlan]\nid = 5\n",
			[]string{"13: stream[0].vlan: found a table, want an array of tables: write [[stream.vlan]]"},
		},
		{
			"flags", head + "size = 100\n" + eth + ip4 + tcp + `flags = "syn,fun"` + "\n",
			[]string{`14: stream[0].tcp.flags: "fun" is no flag of TCP`},
		},
		{
			"protocol", strings.Replace(good, "[stream.udp]", "protocol = 6\n[stream.udp]", 1),
			[]string{"10: stream[0].ipv4.protocol: follows from the header behind it"},
		},
		{
			"checksum",
			head + "size = 100\n" + eth + lines("[stream.ipv6]", `src="::1"`, `dst="::2"`) + udp + "checksum = false\n",
			[]string{"14: stream[0].udp.checksum: IPv6 wants UDP with a checksum"},
		},
		{
			"signature", head + "payload = false\nsignature = true\n" + eth + ip4 + udp,
			[]string{"5: stream[0].signature: a frame without payload carries none"},
		},
		{
			"flows",
			good + lines("[stream.flows]", "count = 100", `address = { from = "10.0.0.1", to = "10.0.0.9" }`,
				"port = { from = 1, to = 10 }"),
			[]string{
				"stream[0].ipv4.src: [stream.flows] has it", "stream[0].udp.src_port: [stream.flows] has it",
				"14: stream[0].flows.count: 100 flows, but only 9 × 10 pairs",
			},
		},
		{
			"flows of nothing",
			head + eth + lines("[stream.flows]", "count = 1", `address = "1.1.1.1"`, "port = 1"),
			[]string{"flows: flows are those of UDP or TCP"},
		},
		{
			"overlay",
			head + "size = 102\n" + strings.Replace(over, "tenant = 2", "tenant = 65535\npcp = 3", 1) + eth + ip4 + udp,
			[]string{
				"10: stream[0].overlay.tenant: found 65535, want an integer from 2 to 65534",
				"11: stream[0].overlay.pcp: stands in a tag",
			},
		},
		{
			"churn", head + eth + ip4 + udp + "[stream.churn]\n",
			[]string{"stream[0].churn.concurrent: missing", "stream[0].churn: connections are those of TCP"},
		},
		{
			"churn flows",
			head + "size = 100\n" + eth + ip4 + tcp + lines(`flags = "syn"`, "[stream.churn]", "concurrent = 10"),
			[]string{
				"14: stream[0].tcp.flags: follows from the step",
				"15: stream[0].churn: connections need addresses and ports",
			},
		},
		{
			"malformed", head + lines("size = 128", `malformed = ["ip4-verson"]`) + eth + ip4,
			[]string{
				`5: stream[0].malformed: found the string "ip4-verson", want kinds of malformed frames; ` +
					"did you mean ip4-version?",
			},
		},
		{
			"malformed overlay", head + lines("size = 128", `malformed = ["overlay-cut"]`) + eth + ip4,
			[]string{`"overlay-cut" needs an outer header`},
		},
		{
			"malformed base", head + `malformed = ["all"]` + "\n" + eth + ip4 + udp,
			[]string{"11: stream[0].udp: malformed frames are made from", "stream[0].size: 64 octets are too few"},
		},
		{
			"malformed varies",
			head + lines("size = 128", `malformed = ["all"]`) + strings.Replace(eth, `"02:00:00:00:00:01"`,
				`{ from = "02:00:00:00:00:01", to = "02:00:00:00:00:09" }`, 1) + ip4,
			[]string{"write one value for each address"},
		},
		{
			"pcap", good + "[stream.pcap]\n",
			[]string{
				"stream[0].ipv4: the frames come from [stream.pcap]",
				"stream[0].udp: the frames come", "stream[0].pcap.file: missing",
			},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := traffic.Parse("p.toml", []byte(tc.text))
			if err == nil {
				t.Fatal("no error")
			}
			var errs conf.Errors
			if !errors.As(err, &errs) {
				t.Fatalf("error of type %T, want conf.Errors: %v", err, err)
			}
			for _, want := range tc.want {
				if !strings.Contains(strings.ReplaceAll("\n"+err.Error(), "p.toml: ", "p.toml:0: "), want) {
					t.Errorf("want %q in:\n%v", want, err)
				}
			}
		})
	}
}

// TestWrongProgram: what only shows when a program is made.
func TestWrongProgram(t *testing.T) {
	good := parse(t, head+eth+ip4+udp)
	big := parse(t, head+"size = 1519\n"+eth+ip4+udp)
	for _, tc := range []struct {
		name string
		p    *traffic.Profile
		o    traffic.Options
		want string
	}{
		{"side", good, traffic.Options{Side: traffic.B}, "no stream has side b"},
		{
			"mtu", big, traffic.Options{MTU: 1500},
			"frames of 1519 octets need an MTU of 1501, and the port has 1500: " +
				"raise it, or make the frames smaller (size=1518)",
		},
		{
			"set key", good, traffic.Options{Set: map[string]string{"sizze": "70"}},
			"sizze=70: no such key; did you mean size?",
		},
		{"set name", good, traffic.Options{Set: map[string]string{"name": "x"}}, "name=x: no such key"},
		{
			"set value", good, traffic.Options{Set: map[string]string{"size": "70000"}},
			"size=70000: stream[0].size: found 70000, want octets",
		},
		{
			"set text", good, traffic.Options{Set: map[string]string{"ipv4.src": "10.0.0"}},
			`ipv4.src=10.0.0: stream[0].ipv4.src: found the string "10.0.0", want an IPv4`,
		},
		{
			"set table", good, traffic.Options{Set: map[string]string{"tcp.seq": "1"}},
			"tcp.seq=1: no stream has a table [stream.tcp]",
		},
		{
			"set stream", good, traffic.Options{Set: map[string]string{"x:size": "70"}},
			`x:size=70: there is no stream "x"`,
		},
		{
			"set tenants", good, traffic.Options{Set: map[string]string{"tenants": "x"}},
			`tenants=x: found "x", want a number`,
		},
		{
			"set flows", good, traffic.Options{Set: map[string]string{"flows": "9"}},
			"flows=9: no stream has a table [stream.flows]",
		},
		{"streams", parse(t, crowd()), traffic.Options{}, "the profile has more than 256 streams"},
		{
			"weights",
			parse(t, head+"weight = 4095\n"+eth+ip4+udp+lines("[[stream]]", `name="b"`, "weight = 4094")+eth+ip4+udp),
			traffic.Options{}, "a turn of 8189 frames",
		},
	} {
		_, err := tc.p.Program(tc.o)
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want %q", tc.name, err, tc.want)
		}
	}
	if _, err := traffic.Builtin("size-46"); err == nil ||
		!strings.Contains(err.Error(), "there are ack-flood, broadcast-storm") {
		t.Errorf("built-in: %v", err)
	}
	if _, err := traffic.Load(filepath.Join(t.TempDir(), "none.toml")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("file: %v", err)
	}
}

// crowd is a profile of 5 streams of 60 sizes each.
func crowd() string {
	var b strings.Builder
	b.WriteString(`title = "t"` + "\n")
	for i := range 5 {
		fmt.Fprintf(&b, "[[stream]]\nname = \"s%d\"\nsize = \"64", i)
		for n := range 59 {
			fmt.Fprintf(&b, ",%d", 65+n)
		}
		b.WriteString(`"` + "\n" + eth + ip4 + udp)
	}
	return b.String()
}

// FuzzParse: no text brings the reader down, and what it accepts makes frames that are whole and the same twice.
func FuzzParse(f *testing.F) {
	for _, name := range traffic.Names() {
		text, err := os.ReadFile(filepath.Join("..", "profiles", name+".toml"))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text, "", "", uint64(1))
	}
	f.Add([]byte(twoWays), "size", "64-128", uint64(1)<<40)
	f.Add([]byte(twoWays), "udp4:ipv4.dst", "10.9.9.9", uint64(77))
	f.Add([]byte(head+over+lines("vlan = 7", `scheme = "p.t"`)+eth+ip4+udp), "tenants", "100", uint64(5))
	f.Fuzz(func(t *testing.T, text []byte, key, value string, seq uint64) {
		p, err := traffic.Parse("fuzz.toml", text)
		if err != nil {
			return
		}
		o := traffic.Options{}
		if key != "" {
			o.Set = map[string]string{key: value}
		}
		g, err := p.Program(o)
		if err != nil {
			return
		}
		for _, k := range traffic.ExportKinds() {
			var no *traffic.InexpressibleError
			if err := p.Export(k.Kind, o, io.Discard); err != nil && !errors.As(err, &no) {
				t.Fatal(err)
			}
		}
		a, b := make([]byte, g.MaxLen()), make([]byte, g.MaxLen())
		seq &= traffic.MaxSeq
		for range 200 {
			n := g.Make(seq, 1, a)
			m := g.Make(seq, 1, b)
			if n != m || string(a[:n]) != string(b[:n]) || n > g.Streams()[g.Stream(seq)].MaxLen {
				t.Fatalf("frame %d: %x, %x", seq, a[:n], b[:m])
			}
			if got, _, ok := traffic.Signature(a[:n]); g.Signed(seq) && (!ok || got != seq) {
				t.Fatalf("frame %d of stream %s: signature %d, %v", seq, g.Streams()[g.Stream(seq)].Name, got, ok)
			}
			seq = (seq*2862933555777941757 + 3037000493) & traffic.MaxSeq
		}
	})
}
