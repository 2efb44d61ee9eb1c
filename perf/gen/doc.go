// Package gen is the load generator: it sends the frames of a traffic program through AF_XDP at a rate kept to the
// frame, receives the frames that come back, and reports on all of them. `penstock gen` is its command line.
//
//	             ┌─ worker ─┐                                ┌─ worker ─┐
//	program ─▶ pace ─▶ tx ring ─▶ port a ═ device ═ port b ─▶ XDP ─▶ rx ring ─▶ signature ─▶ track, histogram
//	                                                          └ stamps the time of arrival
//
// port.go opens a port and puts it back, worker.go is the loop of a thread, send.go and receive.go are its two halves,
// direction.go counts the frames from one port to the other, run.go is one run of all ports, report.go its report.
// Sub-packages: pace (when a frame is due), track (loss, duplicates, order), search (NDR and PDR).
//
// # Threads
//
// Each port has so many workers (Config.Queues, 1 by default). Worker k sends on queue k the frames whose number is k
// modulo the number of workers, and receives from every queue that is k modulo that number. All queues of a receiving
// port are open, so that no frame passes by.
//
// # Time
//
// A frame carries the time at which its burst was made, read once for each burst, just before. The time of arrival is
// when the steering program ran on the frame, in the driver (steer.Options.Stamp): it does not matter when the receiver
// gets round to looking, so it may sleep. Where a driver has no room for that, the receiver reads the clock and does
// not sleep; the report says which.
//
// # Identity
//
// A frame's sequence number is its number in the program, so that the frames do not depend on the number of threads,
// nor on the direction. The lowest bit of the time stamp is the direction. A frame with a stamp or a number from before
// the run belongs to an earlier run (stale).
//
// # Limits
//
// The receiving side's bookkeeping is behind one lock a direction, taken once a batch. Frames are at most 3,840 octets
// (AF_XDP without multi-buffer). With several sending threads the order of frames is judged thread by thread.
package gen
