package compile

import (
	"testing"

	"penstock/ctrl/model"
	"penstock/dataplane/fib"
)

// TestBalancedNames: the names of what the dataplane knows by references, also after an index has changed hands.
func TestBalancedNames(t *testing.T) {
	b := newBalanced(t, "D")
	b.http(2)
	names := b.c.Balanced()
	if len(names.VIPs) != 1 || len(names.Services) != 1 || len(names.Servers) != 2 || !names.Directing["red/http"] {
		t.Fatalf("names are %+v, want a VIP, a service that this box directs, and 2 servers", names)
	}
	if again := b.c.Balanced(); again != names {
		t.Errorf("the same tables again: other names, want the same")
	}
	var vip, web1 fib.Ref
	for ref := range names.VIPs {
		vip = ref
	}
	for ref, key := range names.Servers {
		if key == "red/http/web1" {
			web1 = ref
		}
	}
	if got := names.ServiceOf(vip, 6, 80); got != "red/http" {
		t.Errorf("TCP port 80 of the VIP is service %q, want red/http", got)
	}
	for _, other := range []string{names.ServiceOf(vip, 17, 80), names.ServiceOf(vip, 6, 81),
		names.ServiceOf(vip+1<<fib.RefBits, 6, 80), names.ServiceOf(fib.RefMask, 6, 80)} {
		if other != "" {
			t.Errorf("another protocol, port or VIP is service %q, want none", other)
		}
	}
	if names.VIPs[vip] != "red/www" || web1 == 0 {
		t.Errorf("names are %+v, want VIP red/www and server red/http/web1", names)
	}
	b.change(func(d *model.Draft) { d.Delete(model.KindServer, "red/http/web1") })
	b.change(func(d *model.Draft) { d.Put(serverAt("web9", 20)) })
	names = b.c.Balanced()
	for ref, key := range names.Servers {
		if key == "red/http/web9" && (ref == web1 || ref&fib.RefMask != web1&fib.RefMask) {
			t.Errorf("web9 has reference %#x and web1 had %#x, want the same index and another owner", ref, web1)
		}
	}
	if names.Servers[web1] != "" || len(names.Servers) != 2 {
		t.Errorf("servers are %v, want web1 gone and web9 there", names.Servers)
	}
}
