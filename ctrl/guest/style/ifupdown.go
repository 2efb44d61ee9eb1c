package style

import (
	"bytes"
	"fmt"
	"net/netip"
	"path"
	"strings"
)

// ifupdown (interfaces(5)). Files of interfaces.d count only if a source line of the main file names them; without one,
// or with one that none of our names fits, a marked block at the end of the main file takes the place of the file.

const (
	interfacesPath = "/etc/network/interfaces"
	interfacesDir  = "/etc/network/interfaces.d"
)

// The first name serves source-directory, which takes names without a dot only; the others older globs.
var interfacesNames = []string{"penstock", "penstock.cfg", "penstock.conf", "penstock.interfaces"}

// maxInterfaces is how much of the main file inspect.sh tells, at most.
const maxInterfaces = 131072

const (
	blockBegin = "# Penstock: begin of the virtual addresses of this guest; removed with the last of them"
	blockEnd   = "# Penstock: end\n"
	// noNewline marks that what stands before the block had no end of line.
	noNewline = " (the line before was not ended)"
)

func ifupdownStanzas(addrs []netip.Addr) string {
	var b strings.Builder
	b.WriteString("auto lo\n")
	for _, a := range addrs {
		family := "inet6"
		if a.Is4() {
			family = "inet"
		}
		fmt.Fprintf(&b, "iface lo %s static\n\taddress %s\n", family, Prefix(a))
	}
	return b.String()
}

func ifupdownFiles(f *Facts, addrs []netip.Addr) ([]File, error) {
	main, ok := f.files[interfacesPath]
	if !ok || len(main.text) >= maxInterfaces {
		return nil, &Error{fmt.Sprintf("the guest's %s cannot be read, or is longer than %d octets", interfacesPath,
			maxInterfaces-1), byHand}
	}
	if p := sourced(without(main.text)); p != "" {
		return []File{{Path: p, Content: []byte(header + ifupdownStanzas(addrs))}}, nil
	}
	rest := without(main.text)
	var b bytes.Buffer
	b.Write(rest)
	begin := blockBegin
	if len(rest) > 0 && rest[len(rest)-1] != '\n' {
		b.WriteByte('\n')
		begin += noNewline
	}
	b.WriteString(begin + "\n" + ifupdownStanzas(addrs) + blockEnd)
	return []File{{Path: interfacesPath, Content: b.Bytes(), Edit: true}}, nil
}

// sourced returns the path in interfaces.d that a main file reads, "" if it reads none.
func sourced(main []byte) string {
	for _, line := range strings.Split(strings.ReplaceAll(string(main), "\\\n", " "), "\n") {
		w := strings.Fields(line)
		if len(w) < 2 {
			continue
		}
		for _, pattern := range w[1:] {
			if !path.IsAbs(pattern) {
				pattern = path.Join("/etc/network", pattern)
			}
			switch w[0] {
			case "source-directory", "source-dir":
				if ok, _ := path.Match(pattern, interfacesDir); ok || path.Clean(pattern) == interfacesDir {
					return interfacesDir + "/" + interfacesNames[0]
				}
			case "source":
				for _, name := range interfacesNames {
					if ok, _ := path.Match(pattern, interfacesDir+"/"+name); ok {
						return interfacesDir + "/" + name
					}
				}
			}
		}
	}
	return ""
}

// without returns the text of the main file without our block, octet for octet what it was before.
func without(main []byte) []byte {
	from := bytes.Index(main, []byte(blockBegin))
	if from < 0 || from > 0 && main[from-1] != '\n' {
		return main
	}
	to := bytes.Index(main[from:], []byte(blockEnd))
	if to < 0 {
		return main
	}
	before, after := main[:from], main[from+to+len(blockEnd):]
	if bytes.HasPrefix(main[from+len(blockBegin):], []byte(noNewline+"\n")) {
		before = before[:len(before)-1]
		if len(after) > 0 { // something was appended, which needs the end of line
			before = main[:from]
		}
	}
	return append(bytes.Clone(before), after...)
}
