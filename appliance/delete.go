package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"penstock/ctrl/client"
	"penstock/ctrl/core"
	"penstock/ctrl/model"
)

func deleteCommand() *cobra.Command {
	var f writeFlags
	var dependents bool
	c := &cobra.Command{
		Use:   "delete KIND KEY",
		Short: "Delete one object from the box's tables",
		Long: "KIND is one of " + model.KindList() + ",\n" +
			"also in the singular or cut short. An object that others refer to is not deleted, and the message\n" +
			"names them; with --with-dependents they go, too, in the same transaction. An object that is not\n" +
			"there is no error.",
		Example: `  penstock delete vif red/vm9
  penstock delete segment red/web --with-dependents --dry-run
  penstock delete path 02:00:00:00:00:0a/02:00:00:00:00:0b`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 2 {
				return usage("want a kind and a key: penstock delete KIND KEY, as in penstock delete vif red/vm9")
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			kind, err := kindNamed(args[0])
			if err != nil {
				return err
			}
			key, err := model.NormalizeKey(kind, args[1])
			if err != nil {
				return usage("%v", err)
			}
			err = f.change(c, func(cl *client.Client) ([]core.Op, error) {
				return deletion(c.Context(), cl, model.Ref{Kind: kind, Key: key}, dependents)
			})
			var e *exitError
			if errors.As(err, &e) && e.code == exitRefused && !dependents {
				e.err = fmt.Errorf("%w\npenstock delete %s %s --with-dependents deletes them, too", e.err,
					strings.ToLower(kind.One()), key)
			}
			return err
		},
		ValidArgsFunction: deleteArguments(&f.socketFlags),
	}
	c.Flags().BoolVar(&dependents, "with-dependents", false, "delete what refers to the object, too")
	f.register(c)
	return c
}

// kindNamed returns the kind that a word of the command line means.
func kindNamed(text string) (model.Kind, error) {
	names := make([]string, len(model.Kinds))
	for i, k := range model.Kinds {
		if names[i] = string(k); strings.EqualFold(text, k.One()) {
			return k, nil
		}
	}
	name, candidates := abbreviated(text, names)
	switch {
	case name != "":
		return model.Kind(name), nil
	case candidates != nil:
		return "", unclear("KIND", text, candidates)
	}
	return "", usage("%q is no kind of objects; want one of %s", text, model.KindList())
}

// deletion returns the operations that delete an object, and what refers to it.
func deletion(ctx context.Context, cl *client.Client, ref model.Ref, dependents bool) ([]core.Op, error) {
	ops := []core.Op{{Verb: core.Delete, Kind: ref.Kind, Key: ref.Key}}
	if !dependents {
		return ops, nil
	}
	more, err := cl.Dependents(ctx, ref)
	if err != nil {
		return nil, err
	}
	for _, d := range more {
		ops = append(ops, core.Op{Verb: core.Delete, Kind: d.Kind, Key: d.Key})
	}
	slices.Reverse(ops) // what refers to others goes first
	return ops, nil
}

// deleteArguments completes a kind, then a key.
func deleteArguments(s *socketFlags) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, typed string) (out []string, _ cobra.ShellCompDirective) {
		if len(args) == 0 {
			for _, k := range model.Kinds {
				if one := strings.ToLower(k.One()); strings.HasPrefix(one, typed) {
					out = append(out, one)
				}
			}
		} else if kind, err := kindNamed(args[0]); err == nil {
			w := kindShow(kind)
			out = w.names(cmd, s, args[1:], typed)
		}
		return out, cobra.ShellCompDirectiveNoFileComp
	}
}
