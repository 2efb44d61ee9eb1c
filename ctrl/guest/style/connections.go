package style

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// ConnectionsStep prints something if an address has connections of TCP that are not over.
func ConnectionsStep(addrs []netip.Addr) *Step {
	var args []string
	for _, a := range addrs {
		args = append(args, kernelForms(a)...)
	}
	return step("look for connections", connections, args)
}

// kernelForms returns an address as /proc/net/tcp and tcp6 show it: words of 32 bits in the machine's order of octets,
// of either order.
func kernelForms(a netip.Addr) []string {
	form := func(words []byte, little bool) string {
		var b strings.Builder
		for w := range slices.Chunk(words, 4) {
			if w = slices.Clone(w); little {
				slices.Reverse(w)
			}
			fmt.Fprintf(&b, "%X", w)
		}
		return b.String()
	}
	var out []string
	for _, little := range []bool{true, false} {
		if a.Is4() {
			out = append(out, form(a.AsSlice(), little))
		}
		six := a.As16()
		out = append(out, form(six[:], little))
	}
	return out
}
