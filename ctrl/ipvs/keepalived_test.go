package ipvs

import (
	"os/exec"
	"strings"
	"testing"
)

// TestKeepalived: what keepalived's configuration comes to.
func TestKeepalived(t *testing.T) {
	same(t, "keepalived.conf", describe(Parse(read(t, "keepalived.conf"), Options{})),
		`11: tcp 10.10.1.100:80 maglev client check {http 6s 3s 3 /health www.example.com [200-299 404]   }
  18: 10.10.1.29 port 80 weight 1 backup
  20: 10.10.1.20 port 80 weight 2
  32: 10.10.1.21 port 80 weight 1
47: udp 10.10.1.53:53 maglev tuple one_packet check {udp 0s 0s 0   []  ab120f 0f00}
  54: 10.10.1.22 port 53 weight 1
47: udp 10.10.1.60:53 maglev tuple one_packet check {udp 0s 0s 0   []  ab120f 0f00}
  54: 10.10.1.22 port 53 weight 1
47: udp 10.10.1.61:53 maglev tuple one_packet check {udp 0s 0s 0   []  ab120f 0f00}
  54: 10.10.1.22 port 53 weight 1
63: tcp [fd00:10::100]:443 lc check {none 0s 0s 0   []   }
  68: fd00:10::20 port 443 weight 1
  71: fd00:10::21 port 443 weight 0
warning 11: persistence becomes scheduler maglev with hash client: a client's address decides, without a time limit
warning 18: sorry_server 10.10.1.29:80 becomes a backup: it is used once the healthy weight is below the service's panic
warning 42: inhibit_on_failure has no effect: connections of a server that failed are scheduled anew
warning 43: notify_down: no program is called
warning 54: tunnelling to 10.10.1.22:53 becomes direct routing: the overlay carries the requests
warning 59: uthreshold has no effect: a server's connections are not limited
`)
	same(t, "nat.conf", describe(Parse(read(t, "nat.conf"), Options{})),
		`14: tcp 10.10.1.100:80 rr check {none 0s 0s 0   []   }
  22: 10.10.1.21 port 80 weight 1
27: tcp 10.10.1.101:80 lc check {none 0s 0s 0   []   }
fault 2: service of firewall mark 3: packets have no firewall mark here
fault 11: service of firewall mark 7: packets have no firewall mark here
fault 19: server 10.10.1.20:80 is behind masquerading (NAT): replies do not come back through the director here
fault 30: server 10.10.1.20:8080 is behind masquerading (NAT): replies do not come back through the director here
fault 40: protocol "SCTP" is not balanced
fault 42: weight 70000 is above 65535
`)
}

// TestKeepalivedTakes: keepalived itself accepts the configuration that is read without a fault.
func TestKeepalivedTakes(t *testing.T) {
	keepalived, err := exec.LookPath("keepalived")
	if err != nil {
		keepalived = "/usr/sbin/keepalived"
	}
	out, err := exec.Command(keepalived, "--config-test", "-f", "testdata/keepalived.conf").CombinedOutput()
	if _, failed := err.(*exec.ExitError); err != nil && !failed {
		t.Skipf("keepalived is not installed: %v", err)
	}
	if err != nil {
		t.Errorf("keepalived --config-test: %v, want no fault:\n%s", err, out)
	}
}

// TestKeepalivedBlocks: statements, and what is wrong with them.
func TestKeepalivedBlocks(t *testing.T) {
	const server = "virtual_server 10.0.0.1 80 {\nlvs_method DR\nprotocol TCP\n"
	none := " check {none 0s 0s 0   []   }\n"
	for _, tc := range []struct{ text, want string }{
		{server + "lvs_sched sh\nsh-port\npersistence_granularity 32\nreal_server 10.0.0.2 81 { weight 3 } }",
			"1: tcp 10.0.0.1:80 maglev tuple" + none + "  7: 10.0.0.2 port 81 weight 3\n"},
		{"virtual_server 10.0.0.1 80 {\nlvs_method DR\n}", "1: udp 10.0.0.1:80 lc" + none +
			"warning 1: the protocol is missing: it is UDP then\n"},
		{server + "quorum 2\nquorum_up /bin/true\ncolour red\n}", "1: tcp 10.0.0.1:80 lc" + none +
			"warning 4: quorum has no effect\nwarning 5: quorum_up: no program is called\n" +
			"warning 6: colour is unknown and has no effect\n"},
		{server + "real_server 10.0.0.2 80 {\nMISC_CHECK {\nmisc_path /bin/true\n}\n" +
			"TCP_CHECK {\nconnect_port 81\n}\n}\n" +
			"real_server 10.0.0.3 80 {\n}\nreal_server 10.0.0.4 80 {\nSSL_GET {\nurl {\npath /\ndigest 0a\n}\n" +
			"connect_ip 10.0.0.5\n}\n}\n}",
			"1: tcp 10.0.0.1:80 lc check {tcp 0s 0s 0   []   }\n  4: 10.0.0.2 port 80 weight 1\n" +
				"  12: 10.0.0.3 port 80 weight 1\n  14: 10.0.0.4 port 80 weight 1\n" +
				"warning 5: MISC_CHECK becomes a check of type tcp\n" +
				"warning 8: the server has several checks: MISC_CHECK of line 5 is used\n" +
				"warning 12: the server has no check: it gets that of the service\n" +
				"warning 14: a service has one check: that of the server of line 4 is used\n" +
				"warning 18: digest has no effect\n" +
				"warning 20: connect_ip has no effect: checks go the way of a client's packets\n"},
		{"vrrp_instance VI_1 {\n}\n" + server + "}", "3: tcp 10.0.0.1:80 lc" + none +
			"warning 1: vrrp_instance VI_1 is not imported: the directors of a VIP take over from each other\n"},
		{"virtual_server_group G {\nfd00::fffe-ffff 80\n10.0.0.8/31 80\n10.0.0.254-10.0.1.0 80\n}\n" +
			"virtual_server group G {\nlvs_method DR\nprotocol TCP\n}",
			"6: tcp [fd00::fffe]:80 lc" + none + "6: tcp [fd00::ffff]:80 lc" + none + "6: tcp 10.0.0.8:80 lc" + none +
				"6: tcp 10.0.0.9:80 lc" + none + "6: tcp 10.0.0.254:80 lc" + none + "6: tcp 10.0.0.255:80 lc" + none +
				"6: tcp 10.0.1.0:80 lc" + none},

		{"virtual_server_group G {\n10.0.0.9-3 80\n10.0.0.1-x\n10.0.0.0/8 80\n}\nvirtual_server group G {\n" +
			"lvs_method DR\nprotocol TCP\n}\nvirtual_server group H {\n}", "FAULTS\n" +
			"fault 2: \"10.0.0.9-3\" is not a range of addresses\n" +
			"fault 3: \"10.0.0.1-x\" is not a range of addresses\n" +
			"fault 4: the range 10.0.0.0/8 has more than 4096 addresses\n" +
			"fault 10: there is no virtual_server_group H\n"},
		{"global_defs {\n}", "fault 1: there is no virtual_server in the text, and it is no output of ipvsadm -Sn\n"},
		{"include /etc/keepalived/*.conf", "fault 1: include: other files are not read\n"},
		{"@main virtual_server 10.0.0.1 80 {\n}\n$X=1",
			"fault 1: @main: conditional lines and parameters are not evaluated\n" +
				"fault 3: $X=1: conditional lines and parameters are not evaluated\n"},
		{server, "fault 1: virtual_server: the closing } is missing\n"},
		{"}", "fault 1: } without {\n"},
		{"{", "fault 1: { without a statement before it\n"},
		{"a {\na {\na {\na {\na {\na {\na {\na {\n", "fault 8: blocks are nested more than 7 deep\n"},
		{"virtual_server www 80 {\n}", "fault 1: service \"www\" is not an address\n" +
			"warning 1: the protocol is missing: it is UDP then\n"},
		{"virtual_server {\n}", "fault 1: the address is missing\n"},
		{server + "lvs_sched fastest\ndelay_loop x\nretry many\nlb_kind ROUTE\n}",
			"fault 1: unknown scheduler \"fastest\"\nfault 5: delay_loop \"x\" is not a time\n" +
				"fault 6: retry \"many\" is not a number of retries\nfault 7: unknown forwarding method \"ROUTE\"\n"},
	} {
		got := Parse(tc.text, Options{Format: FormatKeepalived})
		text := describe(got)
		if cut, only := strings.CutPrefix(tc.want, "FAULTS\n"); only {
			got.Services = nil
			text, tc.want = describe(got), cut
		}
		same(t, tc.text, text, tc.want)
	}
}

// FuzzKeepalived: no text makes the parser fail.
func FuzzKeepalived(f *testing.F) {
	f.Add(read(f, "keepalived.conf"))
	f.Add(read(f, "nat.conf"))
	f.Fuzz(func(t *testing.T, text string) { sound(t, text, Options{Format: FormatKeepalived}) })
}
