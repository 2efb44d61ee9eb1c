// Package vm boots Debian kernels in QEMU and runs the box in them, on virtio-net interfaces. The tests of zero-copy
// mode use it: no virtual interface of a host (veth, tap) has that mode; virtio-net has it since kernel 7.2.
//
//	host                                                 guest (QEMU, software emulation)
//	┌ namespace Wire ──────────────┐                     ┌────────────────────────────────┐
//	│ frames of the test ─ tap ────┼──── virtio-net ─────┼─ eth1, eth2 …   ports of a box │
//	│ HTTP ─ tap "agent" ──────────┼──── virtio-net ─────┼─ eth0           package inside │
//	└──────────────────────────────┘                     └────────────────────────────────┘
//
// Kernels are packages of Debian, fetched once (FetchKernel) and unpacked, not installed. The guest's root is an
// initramfs, made anew for each boot: busybox for links, MTUs and inspection by hand; the requested modules; the
// programs under test; and package inside as first process. The machine's interfaces and its apt are not changed.
//
//	make test-vm                      fetches what is missing and runs everything
//	PENSTOCK_VM=1 go test ./integration/vm -run TestBox
//
// Without PENSTOCK_VM=1 these tests are skipped. PENSTOCK_VM_CACHE names the directory that kernels are kept in; a
// kernel that is deleted there is fetched again, in its newest version.
//
// Traps. QEMU needs cpu qemu64 without cx16 and one thread for all CPUs: else newer kernels panic now and then under
// emulation. Virtio-net does zero-copy only behind the DMA API (iommu_platform=on, disable-legacy=on). A tap with
// several queues picks the guest's by the frame's flow.
package vm
