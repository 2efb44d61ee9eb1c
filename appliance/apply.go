package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"penstock/ctrl/client"
	"penstock/ctrl/core"
	"penstock/ctrl/model"
	"penstock/ctrl/printable"
)

func applyCommand() *cobra.Command {
	var s socketFlags
	var a apply
	c := &cobra.Command{
		Use:   "apply -f FILE",
		Short: "Apply tables from a file to the box",
		Long: "Reads tables (" + model.KindList() + ") from a TOML or JSON file and pushes the\n" +
			"difference in one transaction: all of it, or nothing. With --bulk the file is NDJSON of one\n" +
			"collection, of any size. When the command reports success, the change is stored, and every worker\n" +
			"uses it.",
		Example: `  penstock apply -f tables.toml --dry-run
  penstock apply -f tables.toml --prune
  penstock apply --bulk bindings --mode replace -f bindings.ndjson
  generate | penstock apply --bulk paths -f -`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := a.check(c); err != nil {
				return err
			}
			// The file may be a pipe.
			return interruptible(c.Context(), time.Second, func() error { return a.run(c, &s) })
		},
	}
	c.Flags().StringVarP(&a.file, "file", "f", "", "file with the tables, - for standard input")
	c.Flags().BoolVar(&a.prune, "prune", false,
		"delete the objects of the box that are missing from the file, in the collections that the file names")
	c.Flags().BoolVar(&a.dryRun, "dry-run", false, "print the changes, make none")
	c.Flags().BoolVar(&a.exitCode, "exit-code", false, "with --dry-run: exit with 4 if there would be a change")
	c.Flags().StringVar(&a.bulk, "bulk", "", "the file is NDJSON of this collection: bindings or paths")
	c.Flags().StringVar(&a.mode, "mode", string(core.Merge),
		"with --bulk: merge, or replace (objects missing from the file are deleted)")
	c.Flags().StringVarP(&a.output, "output", "o", "text", "text or json")
	complete(c, "bulk", string(model.KindBinding), string(model.KindPath))
	complete(c, "mode", string(core.Merge), string(core.Replace))
	complete(c, "output", "text", "json")
	s.register(c)
	return c
}

// apply holds the flags of the command.
type apply struct {
	file, bulk, mode, output string
	prune, dryRun, exitCode  bool
}

// run opens the file and pushes what is in it.
func (a *apply) run(c *cobra.Command, s *socketFlags) error {
	in := io.NopCloser(c.InOrStdin())
	if a.file != "-" {
		f, err := os.Open(a.file)
		if err != nil {
			return fmt.Errorf("the tables cannot be read: %w", err)
		}
		in = f
	}
	defer in.Close()
	cl := s.client()
	defer cl.Close()
	if a.bulk != "" {
		return a.stream(c, cl, in)
	}
	return a.document(c, cl, in)
}

func (a *apply) check(c *cobra.Command) error {
	k, m := model.Kind(a.bulk), core.BulkMode(a.mode)
	switch {
	case a.file == "":
		return usage("--file is missing: penstock apply -f FILE (- is standard input)")
	case a.output != "text" && a.output != "json":
		return usage("--output %s: want text or json", a.output)
	case a.exitCode && !a.dryRun:
		return usage("--exit-code is for --dry-run")
	case a.bulk == "" && c.Flags().Changed("mode"):
		return usage("--mode is for --bulk; a document is merged, or with --prune replaces the collections that it " +
			"names")
	case a.bulk == "":
		return nil
	case k != model.KindBinding && k != model.KindPath:
		return usage("--bulk %s: want bindings or paths", a.bulk)
	case m != core.Merge && m != core.Replace:
		return usage("--mode %s: want merge or replace", a.mode)
	case a.prune:
		return usage("--prune is for documents; with --bulk use --mode replace")
	}
	return nil
}

// name is the file's name in error messages.
func (a *apply) name() string {
	if a.file == "-" {
		return "standard input"
	}
	return a.file
}

func (a *apply) document(c *cobra.Command, cl *client.Client, in io.Reader) error {
	data, err := io.ReadAll(in)
	if err != nil {
		return fmt.Errorf("the tables cannot be read: %w", err)
	}
	doc, err := client.ParseDocument(a.name(), data)
	if err != nil {
		return &exitError{exitRefused, err}
	}
	r, err := cl.Apply(c.Context(), doc, client.ApplyOptions{Prune: a.prune, DryRun: a.dryRun})
	if err != nil {
		return refusedIn(a.name(), err)
	}
	if a.output == "json" {
		err = writeJSON(c.OutOrStdout(), r)
	} else {
		err = printChanges(c.OutOrStdout(), r)
	}
	return a.answer(len(r.Changes), err)
}

// answer is the command's error after it printed: with --exit-code whether there would be a change.
func (a *apply) answer(changes int, printed error) error {
	if printed == nil && a.exitCode && changes > 0 {
		return &exitError{code: exitNo}
	}
	return printed
}

// printChanges prints what a transaction changed, and the revision.
func printChanges(out io.Writer, r core.Result) (err error) {
	dead := 0
	for _, ch := range r.Changes {
		fmt.Fprintf(out, "%s %s %s", ch.Change, ch.Kind.One(), printable.Line(ch.Key))
		if ch.NotLive != "" {
			dead++
			fmt.Fprintf(out, "; not live: %s", printable.Line(ch.NotLive))
		}
		fmt.Fprintln(out)
	}
	switch end := fmt.Sprintf("revision %d", r.Revision); {
	case r.DryRun:
		_, err = fmt.Fprintf(out, "%s, none made (dry run)\n", count(len(r.Changes), "change"))
	case dead > 0:
		_, err = fmt.Fprintf(out, "%s, %d of them not live, %s\n", count(len(r.Changes), "change"), dead, end)
	default:
		_, err = fmt.Fprintf(out, "%s, %s\n", count(len(r.Changes), "change"), end)
	}
	return err
}

func (a *apply) stream(c *cobra.Command, cl *client.Client, in io.Reader) error {
	stop := func() {}
	if isTerminal(c.ErrOrStderr()) {
		in, stop = progress(in, c.ErrOrStderr(), time.Second)
	}
	r, err := cl.Bulk(c.Context(), model.Kind(a.bulk), in, core.BulkMode(a.mode), client.WriteOptions{DryRun: a.dryRun})
	stop()
	if err != nil {
		return refusedIn(a.name(), err)
	}
	changes := r.Created + r.Updated + r.Deleted
	if a.output == "json" {
		return a.answer(changes, writeJSON(c.OutOrStdout(), r))
	}
	end := fmt.Sprintf("revision %d", r.Revision)
	if a.dryRun {
		end = "none made (dry run)"
	}
	_, err = fmt.Fprintf(c.OutOrStdout(), "%s: %d created, %d updated, %d unchanged, %d deleted; %s\n",
		count(r.Lines, "line"), r.Created, r.Updated, r.Unchanged, r.Deleted, end)
	return a.answer(changes, err)
}

// writeJSON prints v. What a terminal would not show but obey is escaped; the text means the same.
func writeJSON(w io.Writer, v any) error {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "%s\n", printable.JSON(b))
	return err
}
