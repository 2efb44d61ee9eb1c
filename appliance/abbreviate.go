package main

import (
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// shortest is the number of letters that an abbreviation has at least.
const shortest = 2

// abbreviated returns the name that text stands for: the name itself, or the only one that begins with text. If there
// is none, candidates are the names that begin with text.
func abbreviated(text string, names []string) (name string, candidates []string) {
	if slices.Contains(names, text) {
		return text, nil
	}
	for _, n := range names {
		if text != "" && strings.HasPrefix(n, text) {
			candidates = append(candidates, n)
		}
	}
	if len(candidates) == 1 && len(text) >= shortest {
		return candidates[0], nil
	}
	slices.Sort(candidates)
	return "", candidates
}

// unclear is the error for an abbreviation of more than one name, or of one letter.
func unclear(where, text string, candidates []string) error {
	if len(candidates) == 1 {
		return usage("%s: %q is too short for %s: write %d letters or more", where, text, candidates[0], shortest)
	}
	return usage("%s: %q stands for more than one: %s", where, text, strings.Join(candidates, ", "))
}

// expand writes the names of commands out that a command line abbreviates. What is no beginning of a name stays.
func expand(root *cobra.Command, args []string) ([]string, error) {
	if len(args) > 0 && strings.HasPrefix(args[0], "__") { // the shell's completion
		return args, nil
	}
	args = slices.Clone(args)
	at := root
	for i := 0; i < len(args) && at.HasSubCommands(); i++ {
		switch arg := args[i]; {
		case arg == "--":
			return args, nil
		case strings.HasPrefix(arg, "-"):
			if takesValue(at, arg) {
				i++
			}
		default:
			var names []string
			for _, sub := range at.Commands() {
				names = append(names, sub.Name())
			}
			name, candidates := abbreviated(arg, names)
			if name == "" && candidates != nil {
				return nil, unclear(at.CommandPath(), arg, candidates)
			}
			if name == "" {
				return args, nil
			}
			args[i] = name
			at = at.Commands()[slices.Index(names, name)]
		}
	}
	return args, nil
}

// takesValue reports whether the argument behind a flag is the flag's value.
func takesValue(c *cobra.Command, flag string) bool {
	name, long := strings.CutPrefix(flag, "--")
	if long {
		f := c.Flag(name) // nil with =VALUE
		return f != nil && f.NoOptDefVal == ""
	}
	if len(flag) != 2 {
		return false
	}
	for _, set := range []*pflag.FlagSet{c.Flags(), c.PersistentFlags(), c.InheritedFlags()} {
		if f := set.ShorthandLookup(flag[1:]); f != nil {
			return f.NoOptDefVal == ""
		}
	}
	return false
}
