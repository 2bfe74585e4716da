package doctest

import (
	"regexp"
	"strings"
	"testing"
)

// helps are the commands that say what flags and variables there are.
var helps = []string{
	"./bin/gstpeer --help", "./bin/gstpeer devices --help", "./bin/gstpeer doctor --help", "./bin/gstpeer health --help",
	"./bin/gstpeer-server --help", "./bin/gstpeer-server token --help", "./bin/gstpeer-server health --help",
	"./bin/gstpeer-load --help",
}

// others are the flags of programs that are not ours, in texts; those within
// commands of theirs need not be here.
var others = map[string]string{
	"--device": "docker", "--format": "podman", "--no-cache": "docker", "--group-add": "docker", "--network": "docker", "--external-ip": "coturn",
}

var (
	flagName     = regexp.MustCompile(`(?:^|[^\w-])(--[a-z][a-z0-9-]+)`)
	variableName = regexp.MustCompile(`\bGSTPEER_[A-Z][A-Z_]*[A-Z]\b`)
	// foreign is code with a command of another program.
	foreign = regexp.MustCompile("(?:^|[\\n`])[^\\n`]*\\b(?:apt-get|docker|git|go (?:build|run|test)|podman|sudo|systemctl|turnserver) (?:[^\\n`\\\\]|\\\\\\n)*")
)

// checkFlags holds that each flag and each variable that the pages name is there.
func (w *world) checkFlags(t *testing.T) {
	var all strings.Builder
	for _, command := range helps {
		help, err := w.shell(nil, command).Output()
		if err != nil {
			t.Fatalf("%s: %v", command, err)
		}
		all.Write(help)
	}
	known := map[string]bool{"--help": true}
	for _, found := range flagName.FindAllStringSubmatch(all.String(), -1) {
		known[found[1]] = true
	}
	for _, name := range variableName.FindAllString(all.String()+tested(t), -1) {
		known[name] = true
	}
	for _, page := range Pages(t) {
		for _, found := range flagName.FindAllStringSubmatch(foreign.ReplaceAllString(page.Text, ""), -1) {
			if !known[found[1]] && others[found[1]] == "" {
				t.Errorf("%s: no program has the flag %s", page.Name, found[1])
			}
		}
		for _, name := range variableName.FindAllString(page.Text, -1) {
			if !known[name] {
				t.Errorf("%s: nothing reads the variable %s", page.Name, name)
			}
		}
	}
}

// tested is what tests read in their environment, as far as the pages may name it.
func tested(t *testing.T) string {
	t.Helper()
	return strings.Join(regexp.MustCompile(`os\.Getenv\("(GSTPEER_\w+)"\)`).FindAllString(
		read(t, "*/*_test.go", true)+read(t, "*/*/*_test.go", true)+read(t, "internal/*test/*.go", false), -1), "\n")
}
