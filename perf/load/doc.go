// Package load is what the end-to-end measurements send with and count with.
//
// A Source sends frames made from a template through an AF_XDP socket, as fast as the kernel takes them or at a given
// rate; the flow of every frame is drawn at random. A Sink is an XDP program that compares every arriving frame with
// what is expected, counts it and drops it, in the driver and hence on the CPU of whoever sent it: it needs no thread
// and takes nothing from the source.
//
// Both count exactly. Sent is the number of frames that the kernel took and gave back (completion ring): each of them
// reached the device under test or was dropped at its door, which the interface's counters tell. Received is the
// number of frames that the program saw. What lies between is the loss.
//
// # Limits
//
// One queue, one source thread, frames of at most 1,792 octets, no sequence numbers: loss is known, reordering and
// duplicates are not (a duplicate hides a loss). On veth the receiving end's NAPI runs inside the source's system
// call, so a source cannot send faster than the other side's kernel part lets it, about 1 µs a frame.
package load
