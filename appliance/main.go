// Command penstock is the appliance: `penstock run` is the box itself, the other subcommands talk to its control socket.
//
// This package only wires: one file per subcommand, and box.go, which builds a box out of conf, ctrl and dataplane.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

// Set by the linker (Makefile).
var (
	version = "dev"
	commit  = "unknown"
)

// Exit codes, for scripts.
const (
	exitOK      = 0
	exitFailure = 1  // it did not work
	exitRefused = 3  // the box refused it: the message says what to change
	exitUsage   = 64 // it was asked for in a way that makes no sense (sysexits.h, EX_USAGE); 2 is a crash of Go
	exitConfig  = 78 // the configuration is wrong (EX_CONFIG)
)

// exitError carries an exit code through cobra.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string { return e.err.Error() }
func (e *exitError) Unwrap() error { return e.err }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	code := execute(ctx, rootCommand(), os.Args[1:])
	stop()
	os.Exit(code)
}

func execute(ctx context.Context, root *cobra.Command, args []string) int {
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	fmt.Fprintf(root.ErrOrStderr(), "penstock: %v\n", err)
	var ee *exitError
	if errors.As(err, &ee) {
		return ee.code
	}
	return exitFailure
}

func rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:           "penstock",
		Short:         "A userspace gateway on AF_XDP",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return &exitError{exitUsage, fmt.Errorf("%w (see %s --help)", err, c.CommandPath())}
	})
	root.AddCommand(runCommand(), checkCommand(), reloadCommand(), showCommand(), applyCommand(), watchCommand(), demoCommand(), versionCommand())
	return root
}

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print version and commit",
		Args:  cobra.NoArgs,
		Run: func(c *cobra.Command, _ []string) {
			fmt.Fprintf(c.OutOrStdout(), "penstock %s (%s)\n", version, commit)
		},
	}
}
