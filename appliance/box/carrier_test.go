package box

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"penstock/ctrl/compile"
	"penstock/dataplane/gateway"
	"penstock/dataplane/xsk/xsktest"
)

// A link's loss reaches the gateway groups while the tables are busy, for example with a push of a million bindings.
func TestCarrierPassesBusyTables(t *testing.T) {
	if !xsktest.Alone(t) {
		return
	}
	toml := ""
	for i := range 2 {
		xsktest.Veth(t, fmt.Sprint("u", i), fmt.Sprint("g", i), xsktest.VethConfig{})
		toml += fmt.Sprintf(`[[port]]
name = "up%d"
interface = "u%d"
role = "uplink"
mode = "copy"
`, i, i)
		// The other end's stack is the gateway.
		g, err := netlink.LinkByName(fmt.Sprint("g", i))
		if err != nil {
			t.Fatal(err)
		}
		addr, err := netlink.ParseAddr(fmt.Sprintf("198.51.100.%d/29", 8*i+1))
		if err != nil {
			t.Fatal(err)
		}
		if err := netlink.AddrAdd(g, addr); err != nil {
			t.Fatal(err)
		}
	}
	// Probes that are slow to notice anything: what is fast here is the link.
	toml += `[[gateway_group]]
name = "out"
mac = "02:50:53:01:00:01"
probe_interval = "1s"
misses = 100
answers = 1
flap_count = 0
`
	for i := range 2 {
		toml += fmt.Sprintf(`[[gateway_group.member]]
name = "isp%d"
port = "up%d"
ip = "198.51.100.%d"
address = "198.51.100.%d/29"
`, i, i, 8*i+1, 8*i+2)
	}
	b := startBox(t, toml)
	live := b.compiler.LiveGroups()[0]
	state := func(i int) gateway.State { return gateway.State(live.Members[i].Live.State.Load()) }
	active := func() uint32 { return live.Live.Active.Load() }
	eventually(t, "no gateway becomes active", func() bool {
		return active() == live.Members[0].Slot && state(0) == gateway.Up && state(1) == gateway.Up
	})

	held, free := make(chan struct{}), make(chan struct{})
	release := sync.OnceFunc(func() { close(free) })
	defer release()
	done := make(chan error, 1)
	go func() {
		done <- b.compiler.Reconfigure(func(*compile.Config) { close(held); <-free })
	}()
	<-held // the tables are locked now
	xsktest.Down(t, "g0")
	eventually(t, "the group waits for the tables", func() bool { return active() == live.Members[1].Slot })
	xsktest.Up(t, "g0")
	time.Sleep(50 * time.Millisecond) // the slow followers hang: nothing may switch back, and nothing be lost
	if active() != live.Members[1].Slot {
		t.Error("the group switches back by itself")
	}
	release()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	eventually(t, "the gateway does not come back", func() bool { return state(0) != gateway.Down })
	if active() != live.Members[1].Slot {
		t.Error("a reload switches")
	}
}
