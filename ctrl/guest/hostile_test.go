package guest

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"penstock/ctrl/guest/qga"
)

// serve answers on a socket: fn has each connection, one at a time.
func serve(t *testing.T, socket string, fn func(c net.Conn)) (stop func()) {
	t.Helper()
	ln, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	var open atomic.Pointer[net.Conn]
	over := make(chan struct{})
	go func() {
		defer close(over)
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			open.Store(&c)
			fn(c)
			c.Close()
		}
	}()
	stop = func() {
		ln.Close()
		if c := open.Load(); c != nil {
			(*c).Close()
		}
		<-over
	}
	t.Cleanup(stop)
	return stop
}

// hold keeps a connection until the client closes it.
func hold(c net.Conn) {
	b := make([]byte, 4096)
	for {
		if _, err := c.Read(b); err != nil {
			return
		}
	}
}

// script is an agent that answers commands with fixed text; other commands are answered with an empty object. It
// synchronises properly.
func script(answers map[string]string) func(c net.Conn) {
	return func(c net.Conn) {
		in := bufio.NewReader(c)
		for {
			line, err := in.ReadString('\n')
			if err != nil {
				return
			}
			var r struct {
				Execute   string
				Arguments struct{ ID int64 }
			}
			if json.Unmarshal([]byte(strings.TrimPrefix(line, "\xff")), &r) != nil {
				return
			}
			answer, ok := answers[r.Execute]
			switch {
			case r.Execute == "guest-sync-delimited" && !ok:
				answer = fmt.Sprintf("\xff{\"return\": %d}", r.Arguments.ID)
			case !ok:
				answer = `{"return": {}}`
			case answer == "":
				hold(c)
				return
			}
			if _, err := c.Write([]byte(answer + "\n")); err != nil {
				return
			}
		}
	}
}

// able is a guest-info of an agent that can do all.
var able = func() string {
	var b strings.Builder
	for _, c := range append(append(append([]string{}, toLook...), toRun...), toFile...) {
		fmt.Fprintf(&b, `,{"name":%q,"enabled":true,"success-response":true}`, c)
	}
	return `{"return":{"version":"7.2.0","supported_commands":[` + b.String()[1:] + `]}}`
}()

const lo4 = `{"return":[{"name":"lo","ip-addresses":[{"ip-address":"127.0.0.1","ip-address-type":"ipv4","prefix":8}]}]}`

func long(n int, c byte) string { return strings.Repeat(string(c), n) }

// hostile are agents that are none. want is the command that the alarm names.
var hostile = []struct {
	name    string
	fn      func(c net.Conn)
	command string
	text    string
}{
	{"absent", nil, "connect", "there is no socket"},
	{"closes at once", func(c net.Conn) {}, "guest-sync-delimited", "closed the connection"},
	{"accepts and is silent", hold, "guest-sync-delimited", "no answer for"},
	{"a brace", func(c net.Conn) { c.Write([]byte("{")); hold(c) }, "guest-sync-delimited", "not an answer"},
	{"a brace after the sentinel", func(c net.Conn) { c.Write([]byte("\xff{")); hold(c) }, "guest-sync-delimited",
		"not complete"},
	{"lines of braces", func(c net.Conn) {
		for {
			if _, err := c.Write([]byte("{\n")); err != nil {
				return
			}
		}
	}, "guest-sync-delimited", "answer"},
	{"garbage", func(c net.Conn) { c.Write([]byte("\x00\x01HTTP/1.1 400\r\n\r\n")); hold(c) }, "guest-sync-delimited",
		"not an answer"},
	{"stale sync", script(map[string]string{"guest-sync-delimited": "\xff{\"return\": 4711}"}), "guest-sync-delimited",
		"ID of another request"},
	{"10 MiB line", func(c net.Conn) { c.Write([]byte(long(10<<20, 'x'))); hold(c) }, "guest-sync-delimited", "octets"},
	{"10 MiB line after the sentinel", func(c net.Conn) { c.Write([]byte("\xff" + long(10<<20, ' ') + "\n")); hold(c) },
		"guest-sync-delimited", "longer than"},
	{"10 MiB of guest-info", script(map[string]string{"guest-info": long(10<<20, '[')}), "guest-info", "longer than"},
	{"deep guest-info", script(map[string]string{"guest-info": long(1<<19, '[')}), "guest-info", "not the JSON"},
	{"guest-info of another form", script(map[string]string{"guest-info": `{"return":[1,2]}`}), "guest-info", "form"},
	{"guest-info without commands", script(map[string]string{"guest-info": `{"return":{}}`}),
		"guest-network-get-interfaces", "does not have it"},
	{"an answer of neither kind", script(map[string]string{"guest-info": `{"ok":true}`}), "guest-info", "neither"},
	{"silent after the sync", script(map[string]string{"guest-info": ""}), "guest-info", "no answer"},
	{"interfaces refused", script(map[string]string{"guest-info": able,
		"guest-network-get-interfaces": `{"error":{"class":"GenericError","desc":"no\nway\u0000"}}`}),
		"guest-network-get-interfaces", "no way."},
	{"exec that does not end", script(map[string]string{"guest-info": able, "guest-network-get-interfaces": lo4,
		"guest-exec": `{"return":{"pid":7}}`, "guest-exec-status": `{"return":{"exited":false}}`}),
		"guest-exec", "has not ended"},
	{"exec that says nothing", script(map[string]string{"guest-info": able, "guest-network-get-interfaces": lo4,
		"guest-exec": `{"return":{"pid":7}}`, "guest-exec-status": `{"return":{"exited":true,"exitcode":0}}`}),
		"guest-exec", "cut off or malformed"},
	{"exec that lies", script(map[string]string{"guest-info": able, "guest-network-get-interfaces": lo4,
		"guest-exec": `{"return":{"pid":7}}`,
		"guest-exec-status": `{"return":{"exited":true,"exitcode":0,` +
			`"out-data":"ZmlsZSA2MDAgcm9vdCA5OTk5OTk5IC9ldGMveAo="}}`}),
		"guest-exec", "cut off or malformed"},
	{"exec that fails", script(map[string]string{"guest-info": able, "guest-network-get-interfaces": lo4,
		"guest-exec":        `{"return":{"pid":7}}`,
		"guest-exec-status": `{"return":{"exited":true,"exitcode":127,"err-data":"bm8gc3VjaA=="}}`}),
		"guest-exec", "no such"},
}

// TestHostileAgents: each agent that hangs or lies raises an alarm that names VIF, command and remedy; all of them
// together hold up no other guest, and cost little memory; when they end, so does the alarm.
func TestHostileAgents(t *testing.T) {
	dir := t.TempDir()
	r := runService(t, Config{Path: filepath.Join(dir, "guests.json"), RetryMin: 200 * time.Millisecond,
		RetryMax: 500 * time.Millisecond, Limits: qga.Limits{Silence: time.Second, Run: time.Second}})
	good := filepath.Join(dir, "good.sock")
	serve(t, good, script(map[string]string{"guest-info": able,
		"guest-network-get-interfaces": strings.ReplaceAll(lo4, "127.0.0.1", "10.10.1.100")}))
	var vifs []VIF
	for i, h := range hostile {
		socket := filepath.Join(dir, fmt.Sprint(i))
		if h.fn != nil {
			serve(t, socket, h.fn)
		}
		vifs = append(vifs, VIF{Key: fmt.Sprint("red/vm", i), Socket: socket, Addresses: addrs("10.10.1.100")})
	}
	r.Set(vifs)
	time.Sleep(100 * time.Millisecond) // they hang now
	begin := time.Now()
	r.Set(append(vifs, VIF{Key: "red/good", Socket: good, Manual: true, Addresses: addrs("10.10.1.100")}))
	r.settled(t, "red/good", StateOK)
	if took := time.Since(begin); took > 5*time.Second {
		t.Errorf("beside guests that hang a guest took %v, want much less than they hang", took)
	}
	for i, h := range hostile {
		key := vifs[i].Key
		text := ""
		for _, want := range []string{key, h.command + ": ", h.text, "To do: ", "ip address replace 10.10.1.100/32"} {
			// On a machine that is busy another limit may be the first that is reached.
			for end := time.Now().Add(10 * time.Second); !strings.Contains(text, want); time.Sleep(time.Millisecond) {
				if text = r.alarms.of(key); time.Now().After(end) {
					t.Errorf("%s: the alarm says %q, want %q in it", h.name, text, want)
					break
				}
			}
		}
		if st := r.Status(key); st.State != StateFailed || strings.ContainsAny(text, "\n\x00") || len(text) > 1500 {
			t.Errorf("%s: the alarm says %q, the status is %+v, want failed, and no control characters", h.name, text,
				st)
		}
	}
	if text := r.alarms.of("red/good"); text != "" {
		t.Errorf("the good guest has the alarm %q, want none", text)
	}
	var m runtime.MemStats
	runtime.GC()
	if runtime.ReadMemStats(&m); m.HeapInuse > 200<<20 {
		t.Errorf("%d octets of memory are in use, want at most 200 MiB", m.HeapInuse)
	}
	r.Set(nil)
	eventually(t, "no alarm is left", func() bool {
		r.alarms.mu.Lock()
		defer r.alarms.mu.Unlock()
		return len(r.alarms.active) == 0
	})
	if r.Status(vifs[0].Key) != nil {
		t.Error("a VIF that asks for nothing has a status, want none")
	}
}

// TestAlarmOnce: an alarm is raised once for a fault that stays, and cleared when the agent is there.
func TestAlarmOnce(t *testing.T) {
	dir := t.TempDir()
	socket := filepath.Join(dir, "qga")
	r := runService(t, Config{Path: filepath.Join(dir, "guests.json"), RetryMin: 10 * time.Millisecond,
		RetryMax: 20 * time.Millisecond})
	vif := VIF{Key: "red/vm", Socket: socket, Manual: true, Addresses: addrs("10.10.1.100", "fd00::1")}
	r.Set([]VIF{vif})
	r.settled(t, vif.Key, StateFailed)
	time.Sleep(200 * time.Millisecond)
	if r.alarms.raised != 1 {
		t.Errorf("the alarm was raised %d times, want once", r.alarms.raised)
	}
	stop := serve(t, socket, script(map[string]string{"guest-info": able, "guest-network-get-interfaces": lo4}))
	eventually(t, "the alarm says what to type", func() bool {
		return strings.Contains(r.alarms.of(vif.Key),
			"ip address replace 10.10.1.100/32 dev lo; ip address replace fd00::1/128 dev lo")
	})
	stop()
	os.Remove(socket)
	serve(t, socket, script(map[string]string{"guest-info": able, "guest-network-get-interfaces": `{"return":[` +
		`{"name":"lo","ip-addresses":[{"ip-address":"10.10.1.100","prefix":32}]},` +
		`{"name":"dummy0","ip-addresses":[{"ip-address":"fd00::1","prefix":64}]}]}`}))
	r.settled(t, vif.Key, StateOK)
	if text := r.alarms.of(vif.Key); text != "" {
		t.Errorf("the alarm says %q, want none", text)
	}
}
