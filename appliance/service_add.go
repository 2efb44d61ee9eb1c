package main

import (
	"encoding/json"
	"net/netip"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"penstock/ctrl/client"
	"penstock/ctrl/core"
	"penstock/ctrl/ipvs"
	"penstock/ctrl/model"
)

// adding holds the flags of `service add`.
type adding struct {
	writeFlags
	udp       bool
	id        uint32
	scheduler string
	hash      string
	check     string
	set       []string
	servers   []string
	directors []string
}

func serviceAdd() *cobra.Command {
	var a adding
	c := &cobra.Command{
		Use:   "add TENANT/SERVICE [VIP:PORT]",
		Short: "Add a service, or servers to one",
		Long: `VIP is the address or the name of a pushed VIP; a VIP that is missing is made with --director. PORT is
one port, a range (8000-8099), or 0 for all. Without VIP:PORT the servers are added to a service that exists.

--server is NAME=ADDRESS[:PORT] or NAME=vif:VIF[:PORT], with options behind commas: weight=N, backup, via=PORT,
quic_id=HEX, state=draining. Without PORT the server has the service's port.`,
		Example: `  penstock service add red/http 10.10.1.100:80 --server web1=10.10.1.20:8080,weight=2 --check http
  penstock service add red/dns '[fd00:10::100]:53' --udp --scheduler maglev --hash client
  penstock service add red/rtp www:8000-8099 --udp --set one_packet=true
  penstock service add red/http --server web4=10.10.1.23:8080
  penstock service add red/http 10.10.1.100:80 --director box1=10.10.1.101 --director box2=10.10.1.102`,
		Args: cobra.RangeArgs(1, 2),
		RunE: func(c *cobra.Command, args []string) error {
			tenant, name, err := splitKey("service", args[0])
			if err != nil {
				return err
			}
			if len(args) == 2 {
				return a.service(c, tenant, name, args[1])
			}
			return a.members(c, tenant, name)
		},
		ValidArgsFunction: func(c *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
			if len(args) > 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return serviceArguments(&a.socketFlags)(c, args, typed)
		},
	}
	c.Flags().BoolVarP(&a.udp, "udp", "u", false, "UDP; without it TCP")
	c.Flags().Uint32Var(&a.id, "id", 0, "the service's number, unique in the tenant; without it one is derived from "+
		"address and port, the same on every box")
	c.Flags().StringVar(&a.scheduler, "scheduler", "", "maglev (default), rr or lc")
	c.Flags().StringVar(&a.hash, "hash", "", "tuple (default), client or quic")
	c.Flags().StringVar(&a.check, "check", "", "type of the health check: tcp, http, https, udp, icmp, arp or none")
	c.Flags().StringArrayVar(&a.set, "set", nil,
		"KEY=VALUE, a further member of the service (see penstock service set)")
	c.Flags().StringArrayVar(&a.servers, "server", nil, "a server, NAME=ADDRESS[:PORT][,OPTION…]")
	c.Flags().StringArrayVar(&a.directors, "director", nil, "BOX=ADDRESS: a director, for a VIP that is missing")
	complete(c, "scheduler", "maglev", "rr", "lc")
	complete(c, "hash", "tuple", "client", "quic")
	complete(c, "check", model.CheckTCP, model.CheckHTTP, model.CheckHTTPS, model.CheckUDP, model.CheckICMP,
		model.CheckARP, model.CheckNone)
	a.writeFlags.register(c)
	return c
}

// service adds a service with its servers.
func (a *adding) service(c *cobra.Command, tenant, name, at string) error {
	vip, first, last, err := splitPorts(at)
	if err != nil {
		return err
	}
	to := ipvs.Target{Tenant: tenant}
	if to.Directors, err = directorsOf(a.directors); err != nil {
		return err
	}
	value, err := a.value(first, last)
	if err != nil {
		return err
	}
	servers, err := a.serverOps(tenant, name)
	if err != nil {
		return err
	}
	return a.change(c, func(cl *client.Client) ([]core.Op, error) {
		x, err := cl.Balanced(c.Context(), tenant)
		if err != nil {
			return nil, err
		}
		for i := range x.Services {
			if x.Services[i].Name == name {
				return nil, refusal("service "+tenant+"/"+name+" exists",
					"penstock service set changes it; without VIP:PORT servers are added to it")
			}
		}
		var ops []core.Op
		v, isNew, err := findVIP(x, to, vip)
		if err != nil {
			return nil, err
		}
		if isNew {
			if ops, err = client.Puts([]model.Object{v}); err != nil {
				return nil, err
			}
		}
		if value["vip"] = v.Name; a.id == 0 {
			value["id"] = freeID(x, v.Address, a.udp, first)
		}
		text, err := json.Marshal(value)
		if err != nil {
			return nil, err
		}
		ops = append(ops, core.Op{Verb: core.Put, Kind: model.KindService, Key: tenant + "/" + name, Value: text})
		return append(ops, servers...), nil
	})
}

// value makes the members of the new service from the flags.
func (a *adding) value(first, last uint16) (map[string]any, error) {
	value := map[string]any{}
	if len(a.set) > 0 {
		patch, err := mergePatch(reflect.TypeFor[model.Service](), a.set)
		if err != nil {
			return nil, err
		}
		if err := json.Unmarshal(patch, &value); err != nil {
			return nil, err
		}
	}
	value["port"] = first
	if last != first {
		value["port_end"] = last
	}
	if a.udp {
		value["protocol"] = "udp"
	}
	if a.id != 0 {
		value["id"] = a.id
	}
	for key, word := range map[string]string{"scheduler": a.scheduler, "hash": a.hash} {
		if word != "" {
			value[key] = word
		}
	}
	if a.check != "" {
		check, _ := value["check"].(map[string]any)
		if check == nil {
			check = map[string]any{}
		}
		check["type"] = a.check
		value["check"] = check
	}
	return value, nil
}

// members adds servers to a service.
func (a *adding) members(c *cobra.Command, tenant, name string) error {
	for _, flag := range [...]string{"udp", "id", "scheduler", "hash", "check", "set", "director"} {
		if c.Flags().Changed(flag) {
			return usage("--%s is for a new service: VIP:PORT is missing; penstock service set changes one that exists",
				flag)
		}
	}
	ops, err := a.serverOps(tenant, name)
	if err != nil {
		return err
	}
	if len(ops) == 0 {
		return usage("VIP:PORT of a new service is missing, or --server NAME=ADDRESS[:PORT] for one that exists")
	}
	return a.change(c, func(cl *client.Client) ([]core.Op, error) {
		all, err := serversOf(c.Context(), cl, tenant+"/"+name)
		if err != nil {
			return nil, err
		}
		for _, op := range ops {
			if slices.ContainsFunc(all, func(o object) bool { return o.key(model.KindServer) == op.Key }) {
				return nil, refusal("server "+op.Key+" exists", "penstock service set changes it")
			}
		}
		return ops, nil
	})
}

// splitPorts takes VIP:PORT or VIP:FIRST-LAST apart.
func splitPorts(text string) (vip string, first, last uint16, err error) {
	wrong := usage("%q is no VIP and port: want 10.0.0.100:80, [fd00::100]:80, NAME:80, or NAME:8000-8099", text)
	i := strings.LastIndexByte(text, ':')
	if i <= 0 {
		return "", 0, 0, wrong
	}
	vip, from := text[:i], text[i+1:]
	if inner, ok := strings.CutPrefix(vip, "["); ok {
		if vip, ok = strings.CutSuffix(inner, "]"); !ok {
			return "", 0, 0, wrong
		}
	} else if strings.Contains(vip, ":") { // an IPv6 address without brackets
		return "", 0, 0, wrong
	}
	from, to, isRange := strings.Cut(from, "-")
	a, err := strconv.ParseUint(from, 10, 16)
	b := a
	if err == nil && isRange {
		b, err = strconv.ParseUint(to, 10, 16)
	}
	if err != nil || b < a || isRange && a == 0 {
		return "", 0, 0, wrong
	}
	return vip, uint16(a), uint16(b), nil
}

// findVIP finds a VIP by its address or name; isNew says that it has to be pushed, too.
func findVIP(x *ipvs.Existing, to ipvs.Target, text string) (v model.VIP, isNew bool, err error) {
	a, notAddress := netip.ParseAddr(text)
	var there []string
	for _, v := range x.VIPs {
		if v.Name == text || notAddress == nil && v.Address == a {
			return v, false, nil
		}
		there = append(there, v.Name+" ("+v.Address.String()+")")
	}
	if notAddress != nil {
		return v, false, missing("VIP of tenant "+to.Tenant+" of the name", text, there)
	}
	v, hint, err := x.NewVIP(to, a)
	if err != nil {
		return v, false, refusal(err.Error(), hint)
	}
	for slices.ContainsFunc(x.VIPs, func(o model.VIP) bool { return o.Name == v.Name }) {
		v.Name += "-2"
	}
	return v, true, nil
}

// freeID derives a service's number.
func freeID(x *ipvs.Existing, vip netip.Addr, udp bool, port uint16) uint32 {
	e := ipvs.Endpoint{Address: vip, Protocol: "tcp", Port: port}
	if udp {
		e.Protocol = "udp"
	}
	return ipvs.ServiceID(e, func(id uint32) bool {
		return slices.ContainsFunc(x.Services, func(s model.Service) bool { return s.ID == id })
	})
}

// directorsOf reads BOX=ADDRESS.
func directorsOf(list []string) (out []model.Director, err error) {
	for _, text := range list {
		box, address, ok := strings.Cut(text, "=")
		a, err := netip.ParseAddr(address)
		if !ok || err != nil || box == "" {
			return nil, usage("--director %s: want BOX=ADDRESS, as box1=10.0.0.101", text)
		}
		out = append(out, model.Director{Box: box, Address: a})
	}
	return out, nil
}

// serverOps returns the operations for the servers of the command line.
func (a *adding) serverOps(tenant, service string) (ops []core.Op, err error) {
	for _, text := range a.servers {
		name, value, err := serverValue(text)
		if err != nil {
			return nil, err
		}
		ops = append(ops, core.Op{Verb: core.Put, Kind: model.KindServer, Key: tenant + "/" + service + "/" + name,
			Value: value})
	}
	return ops, nil
}

// serverValue reads NAME=ADDRESS[:PORT][,OPTION…] or NAME=vif:VIF[:PORT][,OPTION…].
func serverValue(text string) (name string, value json.RawMessage, err error) {
	const want = "--server %s: want NAME=ADDRESS[:PORT] or NAME=vif:VIF[:PORT], options behind commas, " +
		"as web1=10.0.0.5:8080,weight=2,backup"
	name, rest, ok := strings.Cut(text, "=")
	parts := strings.Split(rest, ",")
	if !ok || !model.ValidName(name) || parts[0] == "" {
		return "", nil, usage(want, text)
	}
	var pairs []string
	if vif, is := strings.CutPrefix(parts[0], "vif:"); is {
		vif, port, _ := strings.Cut(vif, ":")
		pairs = append(pairs, "vif="+vif, "port="+port)
	} else if at, err := netip.ParseAddrPort(parts[0]); err == nil {
		pairs = append(pairs, "address="+at.Addr().String(), "port="+strconv.Itoa(int(at.Port())))
	} else if at, err := netip.ParseAddr(strings.Trim(parts[0], "[]")); err == nil {
		pairs = append(pairs, "address="+at.String())
	} else {
		return "", nil, usage(want, text)
	}
	for _, option := range parts[1:] {
		if option == "backup" {
			option = "backup=true"
		}
		pairs = append(pairs, option)
	}
	value, err = mergePatch(reflect.TypeFor[model.Server](), pairs)
	if err != nil {
		return "", nil, usage("--server %s: %v", text, err)
	}
	var members map[string]any // a member that is set to "" is absent
	if err := json.Unmarshal(value, &members); err != nil {
		return "", nil, err
	}
	for k, v := range members {
		if v == nil {
			delete(members, k)
		}
	}
	value, err = json.Marshal(members)
	return name, value, err
}
