package main

import (
	"encoding"
	"encoding/json"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"penstock/ctrl/client"
	"penstock/ctrl/core"
	"penstock/ctrl/model"
)

func serviceSet() *cobra.Command {
	var f writeFlags
	c := &cobra.Command{
		Use:   "set TENANT/SERVICE [SERVER] KEY=VALUE…",
		Short: "Change members of a service, or of one of its servers",
		Long: "The keys are the members of the API; those of the health check begin with check. An empty value\n" +
			"takes the default. All is changed, or nothing.\n\n" +
			"Of a service: " + strings.Join(settable(reflect.TypeFor[model.Service](), ""), ", ") + ".\n" +
			"Of a server: " + strings.Join(settable(reflect.TypeFor[model.Server](), ""), ", ") + ".",
		Example: `  penstock service set red/http scheduler=lc slow_start=30s
  penstock service set red/http check.type=http check.path=/health check.interval=2s
  penstock service set red/http web2 weight=3
  penstock service set red/http web2 state=enabled`,
		Args: cobra.MinimumNArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			if _, _, err := splitKey("service", args[0]); err != nil {
				return err
			}
			kind, key, pairs := model.KindService, args[0], args[1:]
			t := reflect.TypeFor[model.Service]()
			if !strings.Contains(args[1], "=") {
				kind, key, pairs = model.KindServer, args[0]+"/"+args[1], args[2:]
				t = reflect.TypeFor[model.Server]()
			}
			patch, err := mergePatch(t, pairs)
			if err != nil {
				return err
			}
			return f.change(c, func(cl *client.Client) ([]core.Op, error) {
				if kind == model.KindService {
					if _, err := readService(c.Context(), cl, key); err != nil {
						return nil, err
					}
				} else if all, err := serversOf(c.Context(), cl, args[0]); err != nil {
					return nil, err
				} else if err := known(args[0], args[1:2], all); err != nil {
					return nil, err
				}
				return []core.Op{{Verb: core.Patch, Kind: kind, Key: key, Value: patch}}, nil
			})
		},
	}
	arguments := serviceArguments(&f.socketFlags)
	c.ValidArgsFunction = func(c *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
		if len(args) == 0 {
			return arguments(c, args, typed)
		}
		t, names := reflect.TypeFor[model.Service](), []string(nil)
		if len(args) > 1 && !strings.Contains(args[1], "=") {
			t = reflect.TypeFor[model.Server]()
		} else if len(args) == 1 {
			names, _ = arguments(c, args, typed)
		}
		for _, k := range settable(t, "") {
			if strings.HasPrefix(k, typed) {
				names = append(names, k+"=")
			}
		}
		return names, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
	}
	f.register(c)
	return c
}

// keyMembers are members that name an object, or its parents, and are not changed.
var keyMembers = []string{"tenant", "service", "name"}

// settable lists the members of a type that can be changed, those of an inner object after a dot.
func settable(t reflect.Type, prefix string) (names []string) {
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		of := t.Field(i).Type
		if of.Kind() == reflect.Pointer {
			of = of.Elem()
		}
		switch {
		case slices.Contains(keyMembers, name):
		case of.Kind() == reflect.Struct && !of.Implements(reflect.TypeFor[encoding.TextMarshaler]()):
			names = append(names, settable(of, prefix+name+".")...)
		default:
			names = append(names, prefix+name)
		}
	}
	return names
}

// mergePatch makes a JSON merge patch of KEY=VALUE pairs for an object of type t.
func mergePatch(t reflect.Type, pairs []string) (json.RawMessage, error) {
	if len(pairs) == 0 {
		return nil, usage("what to set is missing: KEY=VALUE, as weight=3")
	}
	patch := map[string]any{}
	for _, pair := range pairs {
		key, value, ok := strings.Cut(pair, "=")
		of := memberType(t, key)
		switch {
		case !ok:
			return nil, usage("%q is no KEY=VALUE", pair)
		case of == nil:
			return nil, usage("unknown key %q; the keys are %s", key, strings.Join(settable(t, ""), ", "))
		}
		at := patch
		if outer, inner, nested := strings.Cut(key, "."); nested {
			sub, _ := patch[outer].(map[string]any)
			if sub == nil {
				sub = map[string]any{}
				patch[outer] = sub
			}
			at, key = sub, inner
		}
		if _, twice := at[key]; twice {
			return nil, usage("%s is set twice", pair)
		}
		v, err := memberValue(of, value)
		if err != nil {
			return nil, usage("%s: %q is no %s", key, value, err)
		}
		at[key] = v
	}
	return json.Marshal(patch)
}

// memberType returns the type of a member that can be set, nil if there is none of the name.
func memberType(t reflect.Type, key string) reflect.Type {
	if !slices.Contains(settable(t, ""), key) {
		return nil
	}
	for part := range strings.SplitSeq(key, ".") {
		for i := range t.NumField() {
			if name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ","); name == part {
				t = t.Field(i).Type
				break
			}
		}
		if t.Kind() == reflect.Pointer {
			t = t.Elem()
		}
	}
	return t
}

// notA is what a value is not.
type notA string

func (e notA) Error() string { return string(e) }

// memberValue converts text for a member; "" is nil, the default.
func memberValue(t reflect.Type, text string) (any, error) {
	if text == "" {
		return nil, nil
	}
	if t.Implements(reflect.TypeFor[encoding.TextMarshaler]()) {
		return text, nil
	}
	switch t.Kind() {
	case reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			return nil, notA("number")
		}
		return n, nil
	case reflect.Bool:
		b, err := strconv.ParseBool(text)
		if err != nil {
			return nil, notA("truth value: want true or false")
		}
		return b, nil
	}
	return text, nil
}
