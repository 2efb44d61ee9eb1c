// Package search finds the rates that a device forwards without loss (NDR) and with little loss (PDR), after RFC 2544
// section 26.1 and RFC 9971 (MLRsearch). It knows no network: a trial is a function.
//
//	Run ─▶ a trial at the highest rate says where to begin
//	    ─▶ phases: short trials and wide bounds first, full trials and the goal's width last
//	         └─▶ for each goal: bounds.go finds the next load ─▶ trial ─▶ classify.go says what the load is
//
// # What a result means
//
// A load is a lower bound for a goal if most of the trial time spent at it met the goal (up to the goal's exceed
// ratio), and an upper bound if it did not; classify.go is the rule of RFC 9971. The result is the largest lower bound
// below the smallest upper bound, which lies at most the goal's width above it. A trial that was disturbed from outside
// therefore changes a result only if it is not the exception. With one trial a load and no exceedance it is RFC 2544.
//
// A device may lose frames at low rates, or lose none at all: both are results, not errors (Status).
package search
