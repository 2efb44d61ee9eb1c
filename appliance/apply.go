package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"penstock/ctrl/client"
	"penstock/ctrl/core"
	"penstock/ctrl/model"
)

func applyCommand() *cobra.Command {
	var s socketFlags
	var file, bulk, mode string
	var o client.ApplyOptions
	c := &cobra.Command{
		Use:   "apply -f FILE",
		Short: "Make the box hold what a file says",
		Long: "Reads tables (tenants, segments, subnets, vifs, paths, bindings) from a TOML or JSON file and pushes the\n" +
			"difference in one transaction: whole or not at all. With --bulk the file is NDJSON of one collection, of any size.",
		Example: "  penstock apply -f tables.toml --dry-run\n  penstock apply -f tables.toml --prune\n" +
			"  penstock apply --bulk bindings --mode replace -f bindings.ndjson\n  generate | penstock apply --bulk paths -f -",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if file == "" {
				return &exitError{exitUsage, errors.New("which file? penstock apply -f FILE (- is standard input)")}
			}
			in, err := open(c, file)
			if err != nil {
				return &exitError{exitUsage, err}
			}
			defer in.Close()
			if bulk != "" {
				return applyBulk(c, s.client(), in, bulk, mode, o.DryRun)
			}
			data, err := io.ReadAll(in)
			if err != nil {
				return err
			}
			doc, err := client.ParseDocument(file, data)
			if err != nil {
				return &exitError{exitUsage, err}
			}
			r, err := s.client().Apply(c.Context(), doc, o)
			if err != nil {
				return refused(err)
			}
			for _, ch := range r.Changes {
				fmt.Fprintf(c.OutOrStdout(), "%s %s %s\n", ch.Change, ch.Kind, ch.Key)
			}
			if r.DryRun {
				fmt.Fprintf(c.OutOrStdout(), "%d changes, none made (dry run)\n", len(r.Changes))
				return nil
			}
			fmt.Fprintf(c.OutOrStdout(), "%d changes, revision %d\n", len(r.Changes), r.Revision)
			return nil
		},
	}
	c.Flags().StringVarP(&file, "file", "f", "", "file with the tables, - for standard input")
	c.Flags().BoolVar(&o.Prune, "prune", false, "delete what the box has and the file has not, in the collections that the file names")
	c.Flags().BoolVar(&o.DryRun, "dry-run", false, "only say what would change")
	c.Flags().StringVar(&bulk, "bulk", "", "the file is NDJSON of this collection: bindings or paths")
	c.Flags().StringVar(&mode, "mode", string(core.Merge), "with --bulk: merge, or replace (what is not in the file goes away)")
	s.register(c)
	return c
}

func open(c *cobra.Command, file string) (io.ReadCloser, error) {
	if file == "-" {
		return io.NopCloser(c.InOrStdin()), nil
	}
	return os.Open(file)
}

func applyBulk(c *cobra.Command, cl *client.Client, in io.Reader, kind, mode string, dryRun bool) error {
	if k := model.Kind(kind); k != model.KindBinding && k != model.KindPath {
		return &exitError{exitUsage, fmt.Errorf("--bulk %s: want bindings or paths", kind)}
	}
	if m := core.BulkMode(mode); m != core.Merge && m != core.Replace {
		return &exitError{exitUsage, fmt.Errorf("--mode %s: want merge or replace", mode)}
	}
	r, err := cl.Bulk(c.Context(), model.Kind(kind), in, core.BulkMode(mode), client.WriteOptions{DryRun: dryRun})
	if err != nil {
		return refused(err)
	}
	fmt.Fprintf(c.OutOrStdout(), "%d lines: %d created, %d updated, %d unchanged, %d deleted; revision %d\n",
		r.Lines, r.Created, r.Updated, r.Unchanged, r.Deleted, r.Revision)
	return nil
}
