package health

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func many(n int) (list []Target) {
	for i := range n {
		list = append(list, target(fmt.Sprintf("web%03d", i), i))
	}
	return list
}

// TestStorm: ten servers that change within 10 s have one alarm, which stays while one of them is down; what fails
// later has its own.
func TestStorm(t *testing.T) {
	b := newBench(t, States{})
	list := many(40)
	b.Set(list)
	b.run(30 * time.Second)
	if len(b.alarms) != 0 {
		t.Errorf("alarms %v when the service begins, want none", b.alarms)
	}
	for _, x := range list[:15] {
		b.fails[x.Key] = true
	}
	b.run(30 * time.Second)
	if len(b.alarms) != 1 || b.raises > 1 {
		t.Errorf("%d alarms were raised, %v; want one", b.raises, b.alarms)
	}
	text := b.alarms["servers_flapping servers"]
	if !strings.Contains(text, "15 servers") || !strings.Contains(text, "15 of them are down now (red/http/web000, ") {
		t.Errorf("the alarm is %q, want it to say how many and name some", text)
	}
	b.fails = map[string]bool{}
	b.run(30 * time.Second)
	if len(b.alarms) != 0 {
		t.Errorf("%v is left, want no alarm", b.alarms)
	}
	b.fails[list[30].Key] = true
	b.run(30 * time.Second)
	if len(b.alarms) != 1 || b.alarms["server_down server "+list[30].Key] == "" {
		t.Errorf("alarms are %v, want one of the server that failed afterwards", b.alarms)
	}
}

// TestServiceAlarms: too little weight is panic, none up is down; disabled servers and backups do not count.
func TestServiceAlarms(t *testing.T) {
	b := newBench(t, States{})
	list := many(5)
	list[3].Backup = true
	list[4].Enabled = false
	list[0].Weight = 10
	b.Set(list)
	b.run(5 * time.Second)
	is := func(want ...string) {
		t.Helper()
		for _, kind := range []string{"service_down", "service_panic"} {
			if _, got := b.alarms[kind+" service red/http"]; got != (len(want) > 0 && want[0] == kind) {
				t.Errorf("alarm %s: %v, want %v", kind, got, want)
			}
		}
	}
	is()
	b.fails[list[0].Key] = true // 2 of 12
	b.run(10 * time.Second)
	is("service_panic")
	b.fails[list[1].Key], b.fails[list[2].Key] = true, true
	b.run(10 * time.Second)
	is("service_panic") // the backup is up
	b.fails[list[3].Key] = true
	b.run(10 * time.Second)
	is("service_down")
	b.fails = map[string]bool{}
	b.run(10 * time.Second)
	is()
	b.fails[list[0].Key] = true
	b.run(10 * time.Second)
	is("service_panic")
	b.Set(nil)
	if len(b.alarms) != 0 || len(b.services) != 0 {
		t.Errorf("alarms %v and %d services are left without servers, want none", b.alarms, len(b.services))
	}
}

// TestSlowStart: a server that comes back has a tenth of its weight, and a tenth more with each tenth of the time; not
// if nobody else is up, and not when the whole service begins.
func TestSlowStart(t *testing.T) {
	b := newBench(t, States{})
	x, y := target("web1", 1), target("web2", 2)
	x.SlowStart, y.SlowStart = 20*time.Second, 20*time.Second
	b.Set([]Target{x, y})
	b.run(time.Second)
	if b.got[x.Key].Weight != 1000 || b.got[y.Key].Weight != 1000 {
		t.Errorf("weights %v at the start of the service, want all", b.got)
	}
	b.run(time.Minute)
	b.fails[x.Key] = true
	b.run(10 * time.Second)
	b.fails[x.Key] = false
	for b.got[x.Key].Up == false {
		b.run(10 * time.Millisecond)
	}
	b.run(time.Second)
	for i := uint16(1); i <= 10; i++ {
		if w := b.got[x.Key]; w.Weight != i*100 {
			t.Errorf("in step %d the verdict is %+v, want %d", i, w, i*100)
		}
		b.run(2 * time.Second)
	}
	b.fails[x.Key] = true
	b.run(10 * time.Second)
	b.fails[x.Key] = false
	b.run(8 * time.Second)
	if w := b.got[x.Key]; !w.Up || w.Weight >= 500 {
		t.Fatalf("%+v, want the server in its slow start", w)
	}
	b.fails[y.Key] = true
	b.run(8 * time.Second)
	if w := b.got[x.Key]; !w.Up || w.Weight != 1000 {
		t.Errorf("%+v when nobody else is up, want the whole weight", w)
	}
}

// TestStandby: a box that stands by for a VIP checks nothing, takes over the states that it is told, and goes on with
// them.
func TestStandby(t *testing.T) {
	b := newBench(t, States{})
	list := many(3)
	b.Standby("red/www", true)
	b.Set(list)
	b.fails[list[0].Key] = true
	b.Adopt(map[string]string{list[0].Key: Down, list[1].Key: Up, "red/other/web": Up})
	b.run(10 * time.Second)
	if len(b.checks) != 0 || len(b.alarms) != 0 {
		t.Errorf("checks %v, alarms %v of a standby, want none", b.checks, b.alarms)
	}
	b.want(Down, list[0].Key)
	b.want(Up, list[1].Key)
	b.Standby("red/www", false)
	b.Adopt(map[string]string{list[1].Key: Down})
	b.run(10 * time.Second)
	b.want(Down, list[0].Key)
	b.want(Up, list[1].Key, list[2].Key)
	if len(b.checks) != 3 || len(b.alarms) != 1 {
		t.Errorf("checks %v, alarms %v, want three servers and one alarm", b.checks, b.alarms)
	}
}
