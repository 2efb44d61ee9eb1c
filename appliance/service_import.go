package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"penstock/ctrl/client"
	"penstock/ctrl/core"
	"penstock/ctrl/ipvs"
	"penstock/ctrl/model"
	"penstock/ctrl/printable"
)

// importing holds the flags of `service import`.
type importing struct {
	writeFlags
	tenant       string
	file, format string
	direct       bool
	directors    []string
}

// maxImport is the longest text that is imported, in octets.
const maxImport = 64 << 20

func serviceImport() *cobra.Command {
	var i importing
	c := &cobra.Command{
		Use:   "import [TENANT] [FILE]",
		Short: "Import services from Linux IPVS: the output of ipvsadm -Sn, or keepalived's configuration",
		Long: `Reads the virtual servers from FILE or standard input and pushes them in one transaction: all of it, or
nothing. Services are found by their address, protocol and port, servers by their address and port, so the
same text a second time changes nothing. What is done in another way here is a warning (exit code 0); what
cannot be done is a fault with its line (exit code 3). VIPs are those of the tenant with the address; one
that is missing is made with --director, or gets the directors of the segment's other VIPs. TENANT can be left
out on a box with one tenant, or one that has VIPs.`,
		Example: `  ipvsadm -Sn | penstock service import red
  penstock service import red /etc/keepalived/keepalived.conf --dry-run
  penstock service import red rules.ipvs --director box1=10.10.1.101 --dr`,
		Args: cobra.MaximumNArgs(2),
		RunE: func(c *cobra.Command, args []string) error { return i.check(c, args) },
		ValidArgsFunction: func(c *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
			if len(args) > 0 {
				return nil, cobra.ShellCompDirectiveDefault
			}
			w := kindShow(model.KindTenant)
			return w.names(c, &i.socketFlags, args, typed), cobra.ShellCompDirectiveNoFileComp
		},
	}
	c.Flags().StringVar(&i.tenant, "tenant", "", "the tenant, instead of the argument")
	c.Flags().StringVarP(&i.file, "file", "f", "", "the file, - for standard input (default)")
	c.Flags().StringVar(&i.format, "format", "", "ipvsadm or keepalived; without it the text tells")
	c.Flags().BoolVar(&i.direct, "dr", false, "take servers behind masquerading (NAT), too: they must have the VIP")
	c.Flags().StringArrayVar(&i.directors, "director", nil, "BOX=ADDRESS: a director, for VIPs that are missing")
	complete(c, "format", ipvs.Formats...)
	i.writeFlags.register(c)
	return c
}

// arguments tells the tenant and the file apart: what is no tenant of the box is a file.
func (i *importing) arguments(c *cobra.Command, args []string) (tenant string, err error) {
	cl := i.client()
	defer cl.Close()
	q := &query{Context: c.Context(), c: cl}
	var all, balancing []string // tenants, and those with VIPs
	err = each(q, model.KindTenant, func(o object) { all = append(all, o.text("name")) })
	if err == nil {
		err = each(q, model.KindVIP, func(o object) {
			if t := o.text("tenant"); !slices.Contains(balancing, t) {
				balancing = append(balancing, t)
			}
		})
	}
	if err != nil {
		return "", refused(err)
	}
	tenant = i.tenant
	if tenant == "" && len(args) > 0 && slices.Contains(all, args[0]) {
		tenant, args = args[0], args[1:]
	}
	if tenant == "" && len(args) < 2 {
		for _, only := range [...][]string{balancing, all} {
			if tenant == "" && len(only) == 1 {
				tenant = only[0]
			}
		}
	}
	switch named := i.file != ""; {
	case tenant == "" && len(args) > 0:
		return "", missing("tenant", args[0], all)
	case tenant == "":
		return "", usage("the tenant is missing: penstock service import TENANT [FILE]")
	case !slices.Contains(all, tenant):
		return "", missing("tenant", tenant, all)
	case len(args) > 1 || named && len(args) > 0:
		return "", usage("%s: one file is read, and it is named already", args[len(args)-1])
	case len(args) == 1:
		i.file = args[0]
	}
	return tenant, nil
}

func (i *importing) check(c *cobra.Command, args []string) error {
	if err := i.writeFlags.check(); err != nil {
		return err
	}
	if i.format != "" && i.format != string(ipvs.FormatSave) && i.format != string(ipvs.FormatKeepalived) {
		return usage("--format %s: want %s", i.format, strings.Join(ipvs.Formats, " or "))
	}
	directors, err := directorsOf(i.directors)
	if err != nil {
		return err
	}
	tenant, err := i.arguments(c, args)
	if err != nil {
		return err
	}
	var text []byte
	err = interruptible(c.Context(), time.Second, func() (err error) { // the file may be a pipe
		text, err = i.read(c)
		return err
	})
	if err != nil {
		return err
	}
	t := ipvs.Parse(string(text), ipvs.Options{Format: ipvs.Format(i.format), Direct: i.direct})
	return i.run(c, t, ipvs.Target{Tenant: tenant, Directors: directors})
}

func (i *importing) read(c *cobra.Command) ([]byte, error) {
	in := c.InOrStdin()
	if i.file != "" && i.file != "-" {
		f, err := os.Open(i.file)
		if err != nil {
			return nil, fmt.Errorf("the services cannot be read: %w", err)
		}
		defer f.Close()
		in = f
	}
	text, err := io.ReadAll(io.LimitReader(in, maxImport+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("the services cannot be read: %w", err)
	case len(text) > maxImport:
		return nil, fmt.Errorf("the services cannot be read: the text is longer than %d octets", maxImport)
	}
	return text, nil
}

// errFaulty ends the planning of a transaction; the faults are kept apart.
var errFaulty = errors.New("the text has faults")

// imported is the result of an import in JSON.
type imported struct {
	*core.Result
	Faults   []ipvs.Finding `json:"faults,omitempty"`
	Warnings []ipvs.Finding `json:"warnings,omitempty"`
}

func (i *importing) run(c *cobra.Command, t *ipvs.Table, to ipvs.Target) error {
	name := i.file
	if name == "" || name == "-" {
		name = "standard input"
	}
	if i.output == "text" {
		for _, w := range t.Warnings {
			fmt.Fprintf(c.ErrOrStderr(), "%s: warning: line %s\n", name, printable.Line(w.String()))
		}
	}
	cl := i.client()
	defer cl.Close()
	faults := t.Faults
	r, err := cl.Guarded(c.Context(), client.WriteOptions{DryRun: i.dryRun}, func() ([]core.Op, error) {
		x, err := cl.Balanced(c.Context(), to.Tenant)
		if err != nil {
			return nil, err
		}
		var objects []model.Object
		if objects, faults = t.Objects(to, x); len(faults) > 0 {
			return nil, errFaulty
		}
		return client.Puts(objects)
	})
	switch {
	case err == errFaulty:
		return i.faulty(c, t, name, faults)
	case err != nil:
		return refusedIn(name, err)
	case i.output == "json":
		return writeJSON(c.OutOrStdout(), imported{&r, nil, t.Warnings})
	}
	return printChanges(c.OutOrStdout(), r)
}

// faulty reports the faults of a text.
func (i *importing) faulty(c *cobra.Command, t *ipvs.Table, name string, faults []ipvs.Finding) error {
	if i.output == "json" {
		if err := writeJSON(c.OutOrStdout(), imported{nil, faults, t.Warnings}); err != nil {
			return err
		}
	}
	var lines []string
	for _, f := range faults {
		lines = append(lines, name+": line "+f.String())
	}
	if t.Omitted > 0 {
		lines = append(lines, fmt.Sprintf("%s: and %s more", name, count(uint64(t.Omitted), "finding")))
	}
	lines = append(lines, "nothing was changed")
	return &exitError{exitRefused, errors.New(strings.Join(lines, "\n"))}
}
