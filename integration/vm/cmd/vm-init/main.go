// Command vm-init is the first process of a test guest; package inside is what it does.
package main

import (
	"fmt"
	"os"

	"penstock/integration/vm/inside"
)

func main() {
	if os.Getpid() != 1 {
		fmt.Fprintln(os.Stderr, "vm-init is the first process of a guest, and of no use elsewhere: see integration/vm")
		os.Exit(64)
	}
	err := inside.Setup()
	if err == nil {
		err = inside.Serve()
	}
	// The end of the first process is a panic of the kernel, which ends the guest; this is on its console then.
	fmt.Fprintln(os.Stderr, "vm-init:", err)
	os.Exit(1)
}
