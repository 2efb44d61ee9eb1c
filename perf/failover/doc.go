// Package failover measures for how long traffic is blocked when a gateway fails: through the box and its gateway
// group, and through keepalived (VRRPv3), with the same faults, in turns, in the same run. `make bench-failover` is its
// command line, README.md describes the measurements and how to read the results.
//
// Order of reading: fault.go (what happens), bed.go (the network around both devices), box.go and keepalived.go (the
// devices), udp.go, tcp.go and iperf3.go (the traffic), account.go (the figures), measure.go (a run), report.go and
// csv.go, stress.go (no switch without a fault). Sub-package cut makes a gateway silent.
//
// # Traps
//
// The way back from the outside must not be what is measured. The outer sides of both gateways have one MAC and one
// address (an anycast gateway, as switch pairs have), behind a learning bridge: answers go back through the gateway
// that the last frame came from.
//
// A run starts with both gateways up, the first one active and seen to carry the traffic. Datagrams lost before the
// fault are counted apart and must be 0; datagrams that the sender could not send in time are counted apart, too.
package failover
