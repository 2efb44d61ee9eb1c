package integration

import (
	"encoding/json"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"penstock/ctrl/alarm"
	"penstock/ctrl/status"
	"penstock/integration/lab"
)

// outside is a box with two gateways, isp1 and isp2, for the tenant red.
func outside() options {
	o := options{only: "box1"}
	o.VMs = lab.DemoVMs()[:1]
	o.Tenants = lab.DemoTenants()
	o.Tenants[0].Gateway = lab.GatewayGroup
	o.Gateways = []lab.GatewaySpec{{Box: "box1", Name: "isp1"}, {Box: "box1", Name: "isp2"}}
	o.Group = "probe_interval = \"20ms\"\nflap_count = 0\n"
	return o
}

// group is the gateway group of box1.
func (f *fabric) group() (g status.GatewayGroup) {
	f.t.Helper()
	f.get("box1", "/v1/gateways/"+lab.GatewayGroup, &g)
	return g
}

// isActive waits until a member is active and all members have the given states.
func (f *fabric) isActive(t *testing.T, member string, states ...string) {
	t.Helper()
	var g status.GatewayGroup
	for end := time.Now().Add(15 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		g = f.group()
		right := g.Active == member
		for i, s := range states {
			right = right && g.Members[i].State == s
		}
		if right {
			return
		}
	}
	t.Fatalf("got %+v, want %q active and %v", g, member, states)
}

// expectAlarms waits until exactly these alarms are active, as "kind object".
func (f *fabric) expectAlarms(t *testing.T, want ...string) {
	t.Helper()
	var got map[string]bool
	f.eventually(t, "alarms "+strings.Join(want, ", "), func() bool {
		got = map[string]bool{}
		for _, a := range f.alarms("box1", "") {
			got[string(a.Kind)+" "+a.Object] = true
		}
		right := len(got) == len(want)
		for _, w := range want {
			right = right && got[w]
		}
		return right
	})
}

// command runs penstock against box1 and returns the gateway group that it prints.
func (f *fabric) command(t *testing.T, args ...string) (g status.GatewayGroup) {
	t.Helper()
	out, err := exec.Command(program, append(args, "-s", f.Node("box1").Socket, "-o", "json")...).CombinedOutput()
	if err == nil {
		err = json.Unmarshal(out, &g)
	}
	if err != nil {
		t.Fatalf("penstock %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return g
}

// fails runs penstock against box1, which must refuse with exit code 3 and the reason.
func (f *fabric) fails(t *testing.T, why string, args ...string) {
	t.Helper()
	c := exec.Command(program, append(args, "-s", f.Node("box1").Socket)...)
	out, _ := c.CombinedOutput()
	if c.ProcessState.ExitCode() != 3 || !strings.Contains(string(out), why) {
		t.Errorf("penstock %s: exit code %d, %s; want %q", strings.Join(args, " "), c.ProcessState.ExitCode(), out, why)
	}
}

func (f *fabric) reaches(t *testing.T, what string) {
	t.Helper()
	if out, err := f.ping("red-vm1", lab.OutsideAddress.String(), 3, "-i", "0.02"); err != nil {
		t.Errorf("%s: %v\n%s", what, err, out)
	}
}

// TestGateways covers commands, a pulled cable, a gateway whose stack hangs, the failure of both gateways, a reload and
// a crash, each with the stored state and the alarms.
func TestGateways(t *testing.T) {
	f := startFabric(t, outside())
	f.isActive(t, "isp1", "up", "up")
	f.reaches(t, "at first")
	hang := func(gateway string, hung bool) { // the gateway's kernel runs, and answers no ARP
		value := "0"
		if hung {
			value = "8"
		}
		must(t, f.lab.Sysctl(gateway, "net/ipv4/conf/all/arp_ignore", value))
	}

	if g := f.command(t, "gateway", "switch", "out"); g.Active != "isp2" || g.Why != "operator" {
		t.Errorf("after a switch: got %+v, want isp2 active, by the operator", g)
	}
	f.reaches(t, "after a switch")
	f.fails(t, "another member is active than was expected: isp2", "gateway", "switch", "out", "isp1", "--expect",
		"isp1")
	f.fails(t, "members: isp1, isp2", "gateway", "switch", "out", "isp3")
	f.fails(t, "gateway groups: out", "gateway", "enable", "in", "isp1")
	if g := f.command(t, "gateway", "disable", "out", "isp2"); g.Active != "isp1" || g.Members[1].State != "disabled" {
		t.Errorf("after disabling isp2: got %+v, want isp1 active and isp2 disabled", g)
	}
	f.fails(t, "isp1 is the last one that is fit", "gateway", "disable", "out", "isp1")
	f.reaches(t, "after disabling the other")

	f.procs["box1"].Kill()
	f.start("box1")
	f.waitReady("box1")
	f.isActive(t, "isp1", "up", "disabled")
	f.command(t, "gateway", "enable", "out", "isp2")
	f.isActive(t, "isp1", "up", "up")
	f.expectAlarms(t)

	must(t, f.lab.SetDown("isp1", "eth0"))
	f.isActive(t, "isp2", "down", "up")
	f.expectAlarms(t, "gateway_down gateway out/isp1", "port_down port up0")
	f.reaches(t, "with a cable pulled")
	must(t, f.lab.SetUp("isp1", "eth0"))
	f.isActive(t, "isp2", "up", "up") // no preemption
	f.expectAlarms(t)
	must(t, f.lab.DefaultRoute("isp1", "eth0", f.Gateway("isp1").BoxSide.Addr())) // it went with the link

	before := f.group().Switches
	box := f.Node("box1")
	must(t, box.SetTOML(strings.Replace(box.TOML, "flap_count = 0", "misses = 2", 1)))
	must(t, f.procs["box1"].Signal(unix.SIGHUP))
	f.eventually(t, "the reload", func() bool {
		return strings.Contains(f.procs["box1"].Log(), "msg=reloaded changes=2")
	})
	if g := f.group(); g.Active != "isp2" || g.Switches != before {
		t.Errorf("after a reload: got %+v, want isp2 active and %d switches", g, before)
	}

	f.procs["box1"].Kill()
	f.start("box1")
	f.waitReady("box1")
	f.isActive(t, "isp2", "up", "up")
	if g := f.group(); g.Switches != 1 || g.Why != "start" {
		t.Errorf("after a crash: got %+v, want 1 switch, by the start", g)
	}
	f.reaches(t, "after a crash")

	hang("isp2", true)
	f.isActive(t, "isp1", "up", "down")
	f.expectAlarms(t, "gateway_down gateway out/isp2")
	hang("isp1", true)
	f.isActive(t, "", "down", "down")
	f.expectAlarms(t, "gateway_down gateway out/isp2", "gateway_down gateway out/isp1",
		"gateway_all_down gateway_group out")
	for _, a := range f.alarms("box1", alarm.GatewayAllDown) {
		if a.Severity != alarm.Critical || !strings.Contains(a.Text, "isp1: it does not answer") {
			t.Errorf("got alarm %+v, want it critical, with the reason of isp1", a)
		}
	}
	drops := f.drops("box1")
	f.ping("red-vm1", lab.OutsideAddress.String(), 3, "-i", "0.02", "-W", "0.1")
	if n := f.drops("box1")["uplink_no_active"] - drops["uplink_no_active"]; n != 3 {
		t.Errorf("%d packets dropped for want of a gateway, 3 sent", n)
	}
	hang("isp1", false)
	f.isActive(t, "isp1", "up", "down")
	f.expectAlarms(t, "gateway_down gateway out/isp2")
	f.reaches(t, "with one back")
	hang("isp2", false)
	f.isActive(t, "isp1", "up", "up")
	f.expectAlarms(t)
}
