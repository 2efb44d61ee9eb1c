package integration

import (
	"strings"
	"testing"
)

// testBalancePing has clients of the director's own box, of another box and behind the gateway ping the virtual
// addresses with echo requests of one fragment, of a few, and of as many as there can be.
func testBalancePing(t *testing.T, b *balancer) {
	b.apply(t, b.document(httpService("v4", 7))+b.document(httpService("v6", 8)))
	b.reachesOutside(t)
	for _, from := range []string{b.VM("near").Namespace, b.VM("client").Namespace, outsideNS} {
		for _, to := range []string{vip4, vip6, own4} {
			if from == outsideNS && to != vip4 {
				continue // the way out is of IPv4, and the director's own address is the segment's
			}
			for _, size := range []string{"56", "4000", "65507"} {
				out, err := b.lab.Run(from, "ping", "-n", "-i", "0.05", "-W", "2", "-c", "3", "-s", size, to)
				if err != nil || !strings.Contains(string(out), " 3 received") {
					t.Errorf("ping of %s from %s with %s octets: got %v, want 3 replies\n%s", to, from, size, err, out)
				}
			}
		}
	}
}
