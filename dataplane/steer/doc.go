// Package steer attaches the XDP program that gives a port's frames to its AF_XDP sockets.
//
// The program is a few instructions: frames whose EtherType is to stay with the kernel pass; every other frame is
// redirected to the socket registered for the queue it arrived on, and passes to the kernel (or is dropped, if the port
// is to be nobody else's) if there is none. It is attached by a bpf_link, which the kernel removes with the process
// that holds it, however that ends; and which it grants only if nothing else is attached, so that no other program is
// ever pushed aside.
//
// Native mode runs in the driver; generic mode runs in the kernel's stack for any interface, at a fraction of the
// speed. The two cannot be mixed on one interface.
package steer
