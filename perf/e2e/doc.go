// Package e2e measures devices that forward frames, end to end on veth pairs: the box while it encapsulates, a plain
// forwarder on github.com/asavie/xdp, and DPDK testpmd. They take turns in one run, and the ratios of the same round
// are what counts.
//
//	namespace gen          namespace dut              namespace sink
//	  source g0 ─────────── a0  device  b0 ─────────── s0 sink
//	  └── the load's CPU ──┘└────── the device's CPU ────────┘
//
// A trial has veth pairs and a process of its own: run.go takes turns, trial.go is one trial, device.go and penstock.go
// are the devices, hold.go and quota.go hold them to their CPU and share of it, report.go and csv.go write it down.
//
// On veth the receiving end's NAPI runs on the sender's CPU. So the source pays for the kernel's reception on a0, and
// the device for that on s0, where the sink's program counts and drops: what a sink costs is the least it can.
package e2e
