// Package integration holds the end-to-end tests: the real binary, in networks of namespaces (package lab), between
// real endpoints (package endpoint, and the kernel's own stacks).
//
// They need root and skip without; with PENSTOCK_REQUIRE_ROOT=1 that is a failure. PENSTOCK_BINARY names a binary to
// test instead of one built from the source; PENSTOCK_SOAK=10m turns on the soak test for that long, and
// PENSTOCK_STRESS=20m makes the test of gateways on a machine without a free core last so long.
// PENSTOCK_FLOOD_SECONDS=60 makes each flood of the balancer's test last so many seconds.
package integration
