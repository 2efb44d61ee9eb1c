package main

import (
	"os"
	"strings"
	"testing"
)

// TestReadmeService: the steps that README.md shows for virtual services are those of a box of the example.
func TestReadmeService(t *testing.T) {
	text, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(text), "\n## Virtual services\n")
	_, block, ok := strings.Cut(section, "```\n")
	block, _, _ = strings.Cut(block, "```")
	if !ok || !strings.HasPrefix(block, "penstock apply") {
		t.Fatalf("README.md has no steps for virtual services, want a block of commands")
	}
	w := newWorld(t, nil)
	steps := 0
	for line := range strings.Lines(strings.ReplaceAll(block, "\\\n", " ")) {
		line, _, _ = strings.Cut(line, " #")
		stdin := ""
		if from, to, piped := strings.Cut(line, " | "); piped {
			if from != "ipvsadm -Sn" {
				t.Errorf("the step %q pipes from something else, want ipvsadm -Sn", line)
			}
			line, stdin = to, "-A -t 10.0.0.80:8080 -s wlc\n-a -t 10.0.0.80:8080 -r 10.0.0.1:80 -g -w 1\n"
		}
		words := strings.Fields(line)
		if len(words) == 0 || words[0] != "penstock" {
			t.Errorf("%q is no command of penstock", line)
			continue
		}
		for i, word := range words { // from the repository's root
			words[i] = strings.Replace(word, "conf/example/", "../conf/example/", 1)
		}
		if a := command(t, stdin, append(words[1:], "--socket", w.socket)...); a.code != exitOK {
			t.Errorf("%s: exit code %d, %s", line, a.code, a.err)
		}
		steps++
	}
	if steps < 8 {
		t.Errorf("%d steps, want the whole block", steps)
	}
}
