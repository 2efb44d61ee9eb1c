// Package failover measures for how long traffic is blocked when a gateway fails: through the box and its gateway
// group, and through keepalived (VRRPv3), with the same faults, in turns, in the same run. `make bench-failover` is its
// command line, README.md says what is measured and how to read it.
//
// Order of reading: fault.go (what happens), bed.go (the network around both devices), box.go and keepalived.go (the
// devices), udp.go, tcp.go and iperf3.go (the traffic), account.go (what is made of it), measure.go (a run), report.go
// and csv.go, stress.go (no switch without a fault). Sub-package cut makes a gateway silent.
//
// # Traps
//
// The way back from the outside must not be what is measured. The outer sides of both gateways have one MAC and one
// address (an anycast gateway, as switch pairs have), behind a learning bridge: answers go back through the gateway
// that the last frame came from.
//
// A run starts on healthy ground: both gateways up, the first one active, and seen to carry the traffic. What is lost
// before the fault is counted apart and must be 0; what the sender itself could not send in time is, too.
package failover
