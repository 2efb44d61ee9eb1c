package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"penstock/ctrl/client"
	"penstock/ctrl/model"
)

// mostInline is how many bindings or paths one file may have; more take part in no single transaction.
const mostInline = 10_000

func exportCommand() *cobra.Command {
	var s socketFlags
	var e export
	c := &cobra.Command{
		Use:   "export [TENANT]",
		Short: "Print the box's tables as a file for penstock apply",
		Long: `Prints what was pushed to the box, whole or of one tenant, sorted: the same revision gives the same
octets. penstock apply takes the output; on the same box it changes nothing. More than 10,000 bindings
or paths are written to a directory, with the commands that apply them.`,
		Example: `  penstock export
  penstock export red -o json
  penstock export -d tables`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if e.output != "toml" && e.output != "json" {
				return usage("--output %s: want toml or json", e.output)
			}
			e.tenant = strings.Join(args, "")
			e.cl = s.client()
			defer e.cl.Close()
			return refused(e.run(c))
		},
		ValidArgsFunction: func(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
			w := kindShow(model.KindTenant)
			return w.names(cmd, &s, args, typed), cobra.ShellCompDirectiveNoFileComp
		},
	}
	c.Flags().StringVarP(&e.output, "output", "o", "toml", "toml or json")
	c.Flags().StringVarP(&e.dir, "directory", "d", "",
		"write to this new or empty directory: bindings and paths as NDJSON, and how to apply them")
	complete(c, "output", "toml", "json")
	s.register(c)
	return c
}

// export holds the flags of the command, and what it has read.
type export struct {
	tenant, output, dir string
	cl                  *client.Client
	header              string
	objects             client.Listing
	rows                map[model.Kind]*os.File // with dir: NDJSON of bindings and paths
}

func (e *export) run(c *cobra.Command) error {
	if e.tenant != "" {
		if err := e.cl.Object(c.Context(), model.KindTenant, e.tenant, nil); client.Is(err, model.CodeNotFound) {
			return absent(&query{Context: c.Context(), c: e.cl}, model.KindTenant, []string{e.tenant})
		} else if err != nil {
			return err
		}
	}
	if e.dir == "" {
		if err := e.read(c.Context()); err != nil {
			return err
		}
		return e.write(c.OutOrStdout())
	}
	if err := e.openDir(); err != nil {
		return err
	}
	err := e.read(c.Context())
	for _, f := range e.rows {
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		return err
	}
	var text bytes.Buffer
	if err := e.write(&text); err != nil {
		return err
	}
	name := "tables." + e.output
	return errors.Join(os.WriteFile(filepath.Join(e.dir, name), text.Bytes(), 0o644),
		os.WriteFile(filepath.Join(e.dir, "README"), []byte(e.readme(name)), 0o644))
}

// kinds are the kinds of objects that are exported.
func (e *export) kinds() []model.Kind {
	return slices.DeleteFunc(slices.Clone(model.Kinds), func(k model.Kind) bool {
		return e.tenant != "" && k != model.KindTenant && !slices.Contains(k.Info().FilterNames(), "tenant")
	})
}

// read reads all objects as of one revision.
func (e *export) read(ctx context.Context) error {
	const tries = 10
	for range tries {
		var before, after struct {
			Name     string `json:"name"`
			Revision uint64 `json:"revision"`
		}
		if err := e.cl.Get(ctx, "/v1/box", &before); err != nil {
			return err
		}
		e.objects = client.Listing{}
		for _, kind := range e.kinds() {
			if err := e.readKind(ctx, kind); err != nil {
				return err
			}
		}
		if err := e.cl.Get(ctx, "/v1/box", &after); err != nil {
			return err
		}
		if before == after {
			what := "the tables"
			if e.tenant != "" {
				what = "tenant " + e.tenant
			}
			e.header = fmt.Sprintf("%s of box %s at revision %d", what, before.Name, before.Revision)
			return nil
		}
	}
	return refusal(fmt.Sprintf("the tables changed during each of %d attempts to read them", tries),
		"stop what pushes to the box, and repeat the command")
}

func (e *export) readKind(ctx context.Context, kind model.Kind) error {
	rows := e.rows[kind]
	if rows != nil {
		if _, err := rows.Seek(0, io.SeekStart); err != nil {
			return err
		}
		if err := rows.Truncate(0); err != nil {
			return err
		}
	} else if e.tenant == "" {
		e.objects[kind] = nil // apply --prune is to delete what is not there
	}
	large := kind == model.KindBinding || kind == model.KindPath
	return e.cl.Each(ctx, kind, client.Pushed(kind, e.tenant), func(raw json.RawMessage) error {
		if kind == model.KindTenant && e.tenant != "" {
			if o, err := readObject(raw); err != nil || o.key(kind) != e.tenant {
				return err
			}
		}
		if rows != nil {
			_, err := rows.Write(append(raw, '\n'))
			return err
		}
		if e.objects[kind] = append(e.objects[kind], raw); large && len(e.objects[kind]) > mostInline {
			return refusal(fmt.Sprintf("there are more than %d %s, too many for one file", mostInline, kind),
				"write them to a directory: penstock export -d DIRECTORY")
		}
		return nil
	})
}

// openDir makes the directory and the files of rows.
func (e *export) openDir() error {
	if err := os.MkdirAll(e.dir, 0o755); err != nil {
		return err
	}
	if there, err := os.ReadDir(e.dir); err != nil {
		return err
	} else if len(there) > 0 {
		return refusal(fmt.Sprintf("the directory %s is not empty", e.dir), "name a new one")
	}
	e.rows = map[model.Kind]*os.File{}
	for _, kind := range e.kinds() {
		if kind != model.KindBinding && kind != model.KindPath {
			continue
		}
		f, err := os.Create(filepath.Join(e.dir, string(kind)+".ndjson"))
		if err != nil {
			return err
		}
		e.rows[kind] = f
	}
	return nil
}

// write prints the objects as one document.
func (e *export) write(w io.Writer) error {
	if e.output == "json" {
		return e.objects.WriteJSON(w)
	}
	return e.objects.WriteTOML(w, e.header)
}

// readme tells how a directory is applied.
func (e *export) readme(tables string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "These files hold %s. Apply them in this order:\n\n", e.header)
	prune, mode := " --prune", "replace"
	if e.tenant != "" {
		prune, mode = "", "merge"
	}
	if e.rows[model.KindPath] != nil {
		fmt.Fprintf(&b, "  penstock apply --bulk paths --mode %s -f paths.ndjson\n", mode)
	}
	fmt.Fprintf(&b, "  penstock apply%s -f %s\n", prune, tables)
	fmt.Fprintf(&b, "  penstock apply --bulk bindings --mode %s -f bindings.ndjson\n", mode)
	return b.String()
}
