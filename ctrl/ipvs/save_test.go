package ipvs

import (
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"
)

// describe lists what a table holds, a line for each service, server, fault and warning.
func describe(t *Table) string {
	var b strings.Builder
	for i := range t.Services {
		s := &t.Services[i]
		fmt.Fprintf(&b, "%d: %s %s", s.Line, s.At, s.Scheduler)
		if s.Hash != "" {
			fmt.Fprintf(&b, " %s", s.Hash)
		}
		if s.OnePacket {
			b.WriteString(" one_packet")
		}
		if s.Check != nil {
			fmt.Fprintf(&b, " check %v", *s.Check)
		}
		b.WriteByte('\n')
		for _, r := range s.Servers {
			fmt.Fprintf(&b, "  %d: %s port %d weight %d", r.Line, r.Address, r.Port, r.Weight)
			if r.Backup {
				b.WriteString(" backup")
			}
			b.WriteByte('\n')
		}
	}
	for _, f := range t.Faults {
		fmt.Fprintf(&b, "fault %d: %s\n", f.Line, f.Message)
	}
	for _, f := range t.Warnings {
		fmt.Fprintf(&b, "warning %d: %s\n", f.Line, f.Message)
	}
	return b.String()
}

// same compares two texts and prints both.
func same(t *testing.T, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got\n%s\nwant\n%s", what, got, want)
	}
}

const saved = `-A -t 10.10.1.100:80 -s wrr -p 300
-a -t 10.10.1.100:80 -r 10.10.1.20:8080 -g -w 2
-A -u [fd00:10::100]:53 -s mh -b mh-port
-a -u [fd00:10::100]:53 -r [fd00:10::20]:5300 -i -w 1
-A -f 1 -s rr
-a -t 10.10.1.100:80 -r 10.10.1.21:80 -m -w 1
-a -t 10.10.1.99:80 -r 10.10.1.21:80 -g
`

// TestSaved: all that is wrong is reported with its line, and what is right is read.
func TestSaved(t *testing.T) {
	got := Parse(saved, Options{})
	same(t, "the whole table", describe(got), `1: tcp 10.10.1.100:80 maglev client
  2: 10.10.1.20 port 8080 weight 2
3: udp [fd00:10::100]:53 maglev tuple
  4: fd00:10::20 port 5300 weight 1
fault 5: service of firewall mark 1: packets have no firewall mark here
fault 6: server 10.10.1.21:80 is behind masquerading (NAT): replies do not come back through the director here
fault 7: there is no service tcp 10.10.1.99:80
warning 1: persistence becomes scheduler maglev with hash client: a client's address decides, without a time limit
warning 4: tunnelling to [fd00:10::20]:5300 becomes direct routing: the overlay carries the requests
`)
	right := strings.Join(strings.SplitAfter(saved, "\n")[:4], "")
	if got := Parse(right, Options{}); len(got.Faults) != 0 || len(got.Services) != 2 || len(got.Warnings) != 2 {
		t.Errorf("lines 1 to 4: got\n%swant 2 services, 2 warnings, no fault", describe(got))
	}
	direct := Parse(saved, Options{Direct: true})
	if n := len(direct.Services[0].Servers); n != 2 || len(direct.Faults) != 2 || len(direct.Warnings) != 3 {
		t.Errorf("with Direct: got\n%swant server 10.10.1.21 with a warning, and 2 faults", describe(direct))
	}
}

// TestSaveLines: what single lines come to. The first line of each adds a service.
func TestSaveLines(t *testing.T) {
	for _, tc := range []struct{ lines, want string }{
		{"-A -t 10.0.0.1:80", "1: tcp 10.0.0.1:80 lc\n"},
		{"ipvsadm --add-service --tcp-service=10.0.0.1:80 --scheduler rr", "1: tcp 10.0.0.1:80 rr\n"},
		{"# comment\n\n-A -u 10.0.0.1:53 -s rr -o", "3: udp 10.0.0.1:53 rr one_packet\n"},
		{"-A -u 10.0.0.1:53 -s sh -b sh-fallback,sh-port", "1: udp 10.0.0.1:53 maglev tuple\n"},
		{"-A -t10.0.0.1:443 -s sh -p -M 255.255.255.0", "1: tcp 10.0.0.1:443 maglev client\n" +
			"warning 1: persistence becomes scheduler maglev with hash client: a client's address decides, without a " +
			"time limit\n" +
			"warning 1: netmask 255.255.255.0 has no effect: clients are told apart by their whole address\n"},
		{"-A -t [fd00::1]:443 -s mh -M 128", "1: tcp [fd00::1]:443 maglev client\n"},
		{"-A -t 10.0.0.1:0 -s wlc -p 60", "1: tcp 10.0.0.1:0 maglev client\n" +
			"warning 1: persistence becomes scheduler maglev with hash client: a client's address decides, without a " +
			"time limit\n"},
		{"-A -t 10.0.0.1:80 -s fo\n-a -t 10.0.0.1:80 -r 10.0.0.2 -w 9\n-a -t 10.0.0.1:80 -r 10.0.0.3:81 -w 5\n" +
			"-a -t 10.0.0.1:80 -r 10.0.0.4 -w 0",
			"1: tcp 10.0.0.1:80 maglev tuple\n  2: 10.0.0.2 port 80 weight 1\n  3: 10.0.0.3 port 81 weight 1 backup\n" +
				"  4: 10.0.0.4 port 80 weight 0\nwarning 1: scheduler fo becomes maglev: the servers of the highest " +
				"weight, all others being backups\n"},
		{"-A -t 10.0.0.1:80 -s rr\n-a -t 10.0.0.1:80 -r 10.0.0.2:80 -g -w 7 -x 100 -y 0",
			"1: tcp 10.0.0.1:80 rr\n  2: 10.0.0.2 port 80 weight 1\n" +
				"warning 2: threshold -x 100 has no effect: a server's connections are not limited\n"},
		{"-A -t 10.0.0.1:80 -s wrr\n-a -t 10.0.0.1:80 -r 10.0.0.2:80 -i --tun-type gue --tun-port 6000 --tun-nocsum",
			"1: tcp 10.0.0.1:80 rr\n  2: 10.0.0.2 port 80 weight 1\n" +
				"warning 2: tunnelling to 10.0.0.2:80 becomes direct routing: the overlay carries the requests\n"},

		{"-A -t 10.0.0.1:80 -s best", "1: tcp 10.0.0.1:80 \nfault 1: unknown scheduler \"best\"\n"},
		{"-A -t 10.0.0.1:80\n-A -t 10.0.0.1:80 -s rr",
			"1: tcp 10.0.0.1:80 lc\nfault 2: tcp 10.0.0.1:80 occurs a second time, after line 1\n"},
		{"-A -t 10.0.0.1:80\n-a -t 10.0.0.1:80 -r 10.0.0.2\n-a -t 10.0.0.1:80 -r 10.0.0.2:80",
			"1: tcp 10.0.0.1:80 lc\n  2: 10.0.0.2 port 80 weight 1\n" +
				"fault 3: server 10.0.0.2:80 of tcp 10.0.0.1:80 occurs a second time, after line 2\n"},
		{"-A -t 10.0.0.1:80\n-a -t 10.0.0.1:80 -r 10.0.0.2 -w 65536",
			"1: tcp 10.0.0.1:80 lc\nfault 2: weight 65536 is above 65535\n"},
		{"-A -t 10.0.0.1:0 -p\n-a -t 10.0.0.1:0 -r 10.0.0.2:8080", "1: tcp 10.0.0.1:0 maglev client\n" +
			"fault 2: a service of all ports cannot translate to port 8080\nwarning 1: persistence becomes scheduler " +
			"maglev with hash client: a client's address decides, without a time limit\n"},
		{"-A -t 10.0.0.1:80 -o", "1: tcp 10.0.0.1:80 lc one_packet\nfault 1: one-packet scheduling is for UDP\n"},
		{"-A -t 10.0.0.1", "1: tcp 10.0.0.1:0 lc\nfault 1: a port is missing\n"},
		{"-A -t www:http", "fault 1: service \"www\" is not an address\n"},
		{"-A -t 10.0.0.1:http", "fault 1: service: \"http\" is not a port\n"},
		{"-A -t [fd00::1]80", "fault 1: service \"[fd00::1]80\" is not an address and a port\n"},
		{"-A -t 224.0.0.1:80", "fault 1: service \"224.0.0.1\" is not the address of a host\n"},
		{"-A -t [fe80::1%eth0]:80", "fault 1: service \"fe80::1%eth0\" has a zone\n"},
		{"-A --sctp-service 10.0.0.1:80", "fault 1: SCTP is not balanced\n"},
		{"-A -t 10.0.0.1:80 -u 10.0.0.1:80", "fault 1: 2 services are named, not one\n"},
		{"-A -t", "fault 1: option -t needs a value\n"},
		{"-A -t 10.0.0.1:80 -t 10.0.0.2:80", "fault 1: option -t occurs twice\n"},
		{"-A -t 10.0.0.1:80 -w 3", "fault 1: option -w does not go with -A\n"},
		{"-A -t 10.0.0.1:80 -p zero", "1: tcp 10.0.0.1:80 maglev client\n" +
			"fault 1: persistence of \"zero\" is not a time\n" +
			"warning 1: persistence becomes scheduler maglev with hash client: a client's address decides, without a " +
			"time limit\n"},
		{"-t 10.0.0.1:80", "fault 1: a command is missing\n"},
		{"-D -t 10.0.0.1:80", "fault 1: command -D is no part of a saved table\n"},
		{"-A -a -t 10.0.0.1:80", "fault 1: two commands, -A and -a\n"},
		{"-A -t 10.0.0.1:80 --weight-less", "fault 1: unknown option \"--weight-less\"\n"},
		{"-A -t 10.0.0.1:80\n-a -t 10.0.0.1:80 -r 10.0.0.2 -g -m",
			"1: tcp 10.0.0.1:80 lc\nfault 2: 2 forwarding methods\n"},
		{"-A -t 10.0.0.1:80\n-a -t 10.0.0.1:80", "1: tcp 10.0.0.1:80 lc\nfault 2: the server is missing\n"},
		{"-A -t 10.0.0.1:80\n-a -t 10.0.0.1:80 -r 10.0.0.2 -w -1",
			"1: tcp 10.0.0.1:80 lc\nfault 2: weight \"-1\" is not a number\n"},
		// A service that is refused has servers, which are no further faults.
		{"-A -t 10.0.0.1:80 -s best\n-a -t 10.0.0.1:80 -r 10.0.0.2:80 -g",
			"1: tcp 10.0.0.1:80 \n  2: 10.0.0.2 port 80 weight 1\nfault 1: unknown scheduler \"best\"\n"},
	} {
		same(t, tc.lines, describe(Parse(tc.lines, Options{Format: FormatSave})), tc.want)
	}
}

// TestSchedulers: every scheduler that IPVS has (ipvsadm(8)) is known.
func TestSchedulers(t *testing.T) {
	for _, name := range strings.Fields("rr wrr lc wlc lblc lblcr dh sh sed nq fo ovf mh twos") {
		got := Parse("-A -t 10.0.0.1:80 -s "+name, Options{})
		if len(got.Faults) > 0 || len(got.Services) != 1 || got.Services[0].Scheduler == "" {
			t.Errorf("scheduler %s: got\n%swant a service without fault", name, describe(got))
		}
	}
}

// TestManyFindings: a text that is wrong throughout is reported up to a limit.
func TestManyFindings(t *testing.T) {
	got := Parse(strings.Repeat("-A -f 1\n", 3*maxFindings), Options{})
	if len(got.Faults) != maxFindings || got.Omitted != 2*maxFindings {
		t.Errorf("%d faulty lines: got %d faults and %d omitted, want %d and %d", 3*maxFindings, len(got.Faults),
			got.Omitted, maxFindings, 2*maxFindings)
	}
}

// FuzzSave: no text makes the parser fail, and what is without fault is read the same again.
func FuzzSave(f *testing.F) {
	f.Add(saved)
	f.Add("-A -t 10.0.0.1:80 -s fo -b flag-1,x -M 24 --pe sip -o\n-a -t 10.0.0.1:80 -r [::1] -i -x 1 -w 0")
	f.Fuzz(func(t *testing.T, text string) {
		for _, direct := range []bool{false, true} {
			sound(t, text, Options{Format: FormatSave, Direct: direct})
		}
	})
}

// sound parses a text and holds the result to what its users rely on.
func sound(t *testing.T, text string, o Options) {
	got := Parse(text, o)
	lines := strings.Count(text, "\n") + 1
	for _, f := range append(got.Faults, got.Warnings...) {
		if f.Line < 1 || f.Line > lines || f.Message == "" {
			t.Errorf("finding %+v, want one with a message in line 1 to %d", f, lines)
		}
	}
	seen := map[Endpoint]bool{}
	for i := range got.Services {
		s := &got.Services[i]
		if seen[s.At] || !s.At.Address.IsValid() {
			t.Errorf("service %+v is invalid or occurs twice", s.At)
		}
		seen[s.At] = true
		for _, r := range s.Servers {
			if !r.Address.IsValid() || r.Weight < 0 || r.Weight > maxWeight || r.Port == 0 && s.At.Port != 0 {
				t.Errorf("server %+v of %s is invalid", r, s.At)
			}
		}
		if len(got.Faults) == 0 && (s.Scheduler == "" || s.Hash == "" == (s.Scheduler == "maglev")) {
			t.Errorf("service %s has scheduler %q and hash %q", s.At, s.Scheduler, s.Hash)
		}
	}
	if again := Parse(text, o); !reflect.DeepEqual(got, again) {
		t.Errorf("the same text twice: got\n%sand\n%s", describe(got), describe(again))
	}
}

// read returns a file of testdata.
func read(t testing.TB, name string) string {
	t.Helper()
	text, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
