package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"penstock/conf"
	"penstock/ctrl/backup"
	"penstock/ctrl/client"
	"penstock/ctrl/printable"
	"penstock/ctrl/store"
	"penstock/ctrl/store/file"
)

func backupCommand() *cobra.Command {
	var s socketFlags
	var check bool
	c := &cobra.Command{
		Use:   "backup FILE",
		Short: "Write what the box has stored into an archive, or check one",
		Long: `Writes a tar file with the tables as of one revision, the alarms, the active gateways, what else the
box keeps over a restart, and its configuration with all that is secret in it; - is standard output.
The box goes on meanwhile. With --check it reads an archive as penstock restore would, to its last octet.`,
		Example: `  penstock backup box1.tar
  penstock backup --check box1.tar`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if check {
				return interruptible(c.Context(), time.Second, func() error { return checkBackup(c, args[0]) })
			}
			cl := s.client()
			defer cl.Close()
			if args[0] == "-" {
				return refused(printBackup(c, cl))
			}
			return refused(writeBackup(c.Context(), cl, args[0]))
		},
	}
	c.Flags().BoolVar(&check, "check", false, "make none: check that FILE is whole, and can be restored")
	s.register(c)
	return c
}

// writeBackup writes an archive to a file, which is there whole or not at all.
func writeBackup(ctx context.Context, cl *client.Client, path string) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // fails after the rename
	if err := errors.Join(cl.Backup(ctx, f), f.Sync(), f.Close()); err != nil {
		return err
	}
	if st, err := os.Stat(path); err == nil && !st.Mode().IsRegular() {
		return refusal(path+" is no regular file", "name another one, or - for standard output")
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	return file.SyncDir(filepath.Dir(path))
}

// printBackup writes an archive to standard output. It reads the archive to its end before: the box does not wait for a
// slow reader.
func printBackup(c *cobra.Command, cl *client.Client) error {
	if isTerminal(c.OutOrStdout()) {
		return usage("an archive is not for a terminal: penstock backup FILE")
	}
	f, err := os.CreateTemp("", "penstock-backup-")
	if err != nil {
		return err
	}
	defer f.Close()
	if err := errors.Join(os.Remove(f.Name()), cl.Backup(c.Context(), f)); err != nil {
		return err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	_, err = io.Copy(c.OutOrStdout(), f)
	return err
}

func checkBackup(c *cobra.Command, path string) error {
	in, err := os.Open(path)
	if err != nil {
		return err
	}
	defer in.Close()
	dir, err := os.MkdirTemp("", "penstock-check-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	m, err := backup.Unpack(in, dir)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	fmt.Fprintf(c.OutOrStdout(), "%s is whole: %s\n", path, describeBackup(m))
	return nil
}

func describeBackup(m *backup.Manifest) string {
	return printable.Line(fmt.Sprintf("box %s at revision %d, made %s by version %s, %s", m.Box, m.Revision,
		m.Made.Local().Format(time.DateTime), m.Version, count(len(m.Files), "file")))
}

func restoreCommand() *cobra.Command {
	var force bool
	c := &cobra.Command{
		Use:   "restore FILE [CONFIG]",
		Short: "Put an archive of penstock backup back; the box must not run",
		Long: `Checks the whole archive, then puts what is in it into the state directory that CONFIG names. What was
there is kept in a directory beside it. The configuration itself stays as it is; the command says
whether the archive has another one.`,
		Example: `  penstock restore box1.tar
  penstock restore box1.tar /etc/penstock/penstock.toml --force`,
		Args: cobra.RangeArgs(1, 2),
		RunE: func(c *cobra.Command, args []string) error {
			path := defaultConfig
			if len(args) == 2 {
				path = args[1]
			}
			return interruptible(c.Context(), time.Minute, func() error { return restore(c, args[0], path, force) })
		},
	}
	c.Flags().BoolVar(&force, "force", false, "take the archive of a box of another name")
	return c
}

func restore(c *cobra.Command, path, config string, force bool) error {
	cfg, err := conf.Load(config)
	if errors.Is(err, os.ErrNotExist) {
		return refusal(err.Error(), fmt.Sprintf("take the archive's: tar -xOf %s %s > %s, and look it through", path,
			backup.Config, config))
	}
	if err != nil {
		return &exitError{exitConfig, err}
	}
	in, err := os.Open(path)
	if err != nil {
		return err
	}
	defer in.Close()
	done, err := backup.Restore(in, backup.Target{State: cfg.Box.StateDir, Box: cfg.Box.Name, Force: force})
	var newer *backup.NewerError
	var other *backup.OtherError
	switch {
	case errors.Is(err, store.ErrLocked):
		return refusal(err.Error(), "stop the box first: systemctl stop penstock")
	case errors.As(err, &newer):
		return &exitError{exitRefused, fmt.Errorf("%s: %w", path, err)}
	case errors.As(err, &other):
		return refusal(path+": "+err.Error(), "with --force it is taken all the same")
	case err != nil:
		return fmt.Errorf("%s: %w; the state is as it was", path, err)
	}
	out := c.OutOrStdout()
	fmt.Fprintf(out, "%s holds %s\nwhat was there before is in %s\n", cfg.Box.StateDir, describeBackup(done.Manifest),
		done.Kept)
	if now, err := os.ReadFile(config); done.Config != nil && (err != nil || !bytes.Equal(now, done.Config)) {
		fmt.Fprintf(out, "%s is not the configuration of the archive: tar -xOf %s %s | diff %s -\n", config, path,
			backup.Config, config)
	}
	return nil
}
