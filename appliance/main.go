// Command penstock is the appliance: `penstock run` runs the box, the other subcommands talk to its control socket.
//
// A file is a subcommand. Package box builds and runs the box.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"penstock/ctrl/printable"
)

// Set by the linker (Makefile).
var (
	version = "dev"
	commit  = "unknown"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	code := execute(ctx, rootCommand(), os.Args[1:])
	stop()
	os.Exit(code)
}

// execute runs a command line and returns the exit code. An error before the command begins is an error of the command
// line.
func execute(ctx context.Context, root *cobra.Command, args []string) int {
	begun := false
	root.PersistentPreRun = func(*cobra.Command, []string) { begun = true }
	args, err := expand(root, args)
	if err == nil {
		root.SetArgs(args)
		err = root.ExecuteContext(ctx)
	}
	if err == nil {
		return exitOK
	}
	code := exitFailure
	if !begun {
		code = exitUsage
	}
	var ee *exitError
	if errors.As(err, &ee) {
		code = ee.code
		if ee.err == nil {
			return code
		}
	}
	prefix := "penstock: "
	if code == exitConfig { // every line of these errors names the file
		prefix = ""
	}
	printed := make(chan struct{})
	text := prefix + printable.Text(err.Error()) + "\n" // it may quote a file, or a server's answer
	go func() { fmt.Fprint(root.ErrOrStderr(), text); close(printed) }()
	select { // standard error may be a pipe that nobody reads
	case <-printed:
	case <-time.After(printLimit):
	}
	return code
}

func rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "penstock",
		Short: "A userspace gateway on AF_XDP",
		Long: "Penstock carries tenants' Ethernet over a plain switched fabric. `penstock run` runs the box; the\n" +
			"other commands talk to its control socket.\n" +
			"\n" +
			"A command's name may be cut short to two letters or more, as long as one name alone begins with\n" +
			"them. PENSTOCK_SOCKET names the control socket where --socket does not.\n" +
			"\n" +
			"Exit codes: 0 done; 1 failed; 3 refused, the message names the remedy; 4 done, and the answer is no\n" +
			"(with --exit-code); 64 the command line is invalid; 78 the configuration is wrong.",
		Example: `  penstock check /etc/penstock/penstock.toml
  penstock show ports --rate 1s
  penstock apply -f tables.toml --dry-run
  penstock watch`,
		Version:       version + " (" + commit + ")",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.SetVersionTemplate("penstock {{.Version}}\n")
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return &exitError{exitUsage, fmt.Errorf("%w (see %s --help)", err, c.CommandPath())}
	})
	root.AddCommand(runCommand(), checkCommand(), reloadCommand(), showCommand(), applyCommand(), exportCommand(),
		deleteCommand(), gatewayCommand(), serviceCommand(), pathsCommand(), alarmCommand(), bindingCommand(),
		backupCommand(), restoreCommand(), compactCommand(), watchCommand(), genCommand(), demoCommand(),
		versionCommand())
	return root
}

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print version and commit",
		Example: "  penstock version",
		Args:    cobra.NoArgs,
		Run: func(c *cobra.Command, _ []string) {
			fmt.Fprintf(c.OutOrStdout(), "penstock %s\n", c.Root().Version)
		},
	}
}
