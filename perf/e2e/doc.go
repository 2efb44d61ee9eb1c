// Package e2e measures devices that forward frames, end to end on veth pairs: the box while it encapsulates, a plain
// forwarder on github.com/asavie/xdp, DPDK testpmd, Open vSwitch, and the kernel's own router, bridge and XDP. They
// take turns in one run, and only ratios within one round count.
//
//	namespace gen          namespace dut              namespace sink
//	  source g0 ─────────── a0  device  b0 ─────────── s0 sink
//	  └── the load's CPU ──┘└────── the device's CPU ────────┘
//
// A trial has veth pairs and a process of its own: run.go takes turns, trial.go is one trial, wire.go brings it up;
// measure.go, pdr.go and latency.go are the measurements; device.go, penstock.go, ovs.go and kernel.go are the devices;
// placement.go, hold.go, quota.go and napi.go assign CPUs to the devices and to the kernel's part of the work;
// groups.go, report.go, results.go and csv.go write the results. gaps.go measures the box's loop gaps.
//
// On veth the receiving end's NAPI runs inside the sender's system call unless it has a thread, so that who pays for a
// reception is a choice: Placement makes it for a0, SinkNAPI for s0. The sink's program counts and drops: what a sink
// costs is the least it can.
package e2e
