package containertest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/gstpeer/gstpeer/internal/doctest"
	"github.com/gstpeer/gstpeer/internal/proctest"
)

// documented says of all commands of the pages for a container engine what tests
// them, the first one that matches: TestDocumentedContainers if it is nothing else.
var documented = []struct{ command, by string }{
	{`^docker build `, "TestImages builds both targets"},
	{`^docker push `, "nothing: it publishes a release"},
	{`docker compose up`, "TestCompose"},
	{`--device /dev/video0 `, "nothing here: there is no camera"},
	{`^docker stop`, "TestDocumentedContainers stops so what has a name"},
	{`^docker (exec gstpeer|run --rm)`, ""},
}

// containerCommands are those of the pages, and of none that nothing tests.
func containerCommands(t *testing.T) (run []string) {
	t.Helper()
	for _, page := range doctest.Pages(t) {
		for _, block := range page.Blocks() {
			for _, command := range block.Commands {
				if !regexp.MustCompile(`^(\w+=.* )?docker `).MatchString(command) {
					continue
				}
				by, known := testOf(command)
				switch {
				case !known:
					t.Errorf("%s:%d: %q: say in the list what tests it", block.Page, block.Line, command)
				case by == "":
					run = append(run, command)
				}
			}
		}
	}
	return run
}

func testOf(command string) (by string, known bool) {
	for _, d := range documented {
		if regexp.MustCompile(d.command).MatchString(command) {
			return d.by, true
		}
	}
	return "", false
}

// ownImage is what docs/containers.md derives.
const ownImage = "localhost/gstpeer-own"

// TestDocumented needs no engine.
func TestDocumented(t *testing.T) { containerCommands(t) }

// engineCommand is podman under the name of the pages. It notes which container
// it runs, on ports that are free.
const engineCommand = `#!/bin/sh
case "$1" in
run) shift; exec podman run --cidfile "$CONTAINER" --health-interval=disable "$@" ;;
*) exec podman "$@" ;;
esac
`

// TestDocumentedContainers runs the containers of the pages, and in those with a
// name what they say to run in it, and stops them.
func TestDocumentedContainers(t *testing.T) {
	commands := containerCommands(t)
	e := newBuiltEngine(t)
	dir := t.TempDir()
	for _, err := range []error{
		os.WriteFile(filepath.Join(dir, "docker"), []byte(engineCommand), 0o755),
		os.Mkdir(filepath.Join(dir, "recordings"), 0o755),
		os.Mkdir(filepath.Join(dir, "tls"), 0o755),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	e.must(t, "openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-subj", "/CN=relay.example",
		"-keyout", filepath.Join(dir, "tls", "key.pem"), "-out", filepath.Join(dir, "tls", "cert.pem"))
	if err := os.Chmod(filepath.Join(dir, "tls", "key.pem"), 0o644); err != nil { // for the user of the container
		t.Fatal(err)
	}
	t.Cleanup(func() { e.podman(t, "volume", "rm", "--force", "gstpeer") })
	var inside []string
	for _, command := range commands {
		if strings.HasPrefix(command, "docker exec ") {
			inside = append(inside, command)
		}
	}
	for i, command := range commands {
		if strings.HasPrefix(command, "docker run ") {
			t.Run(command, func(t *testing.T) {
				d := documentedContainer{t: t, e: e, dir: dir, id: filepath.Join(dir, fmt.Sprint(i))}
				d.run(command, inside)
			})
		}
	}
}

// documentedContainer is one that a command of the pages runs.
type documentedContainer struct {
	t       *testing.T
	e       *engine
	dir, id string // the file with its id
	said    proctest.Output
}

func (d *documentedContainer) shell(command string) *exec.Cmd {
	shell := exec.Command("sh", "-c", command)
	shell.Dir = d.dir
	shell.Env = append(d.e.environment, "PATH="+d.dir+":"+os.Getenv("PATH"), "CONTAINER="+d.id)
	return shell
}

// run runs the container until it has said where its page is, and stops it.
func (d *documentedContainer) run(command string, inside []string) {
	named := strings.Contains(command, "--name gstpeer ")
	if named { // what was killed may have left one
		d.e.podman(d.t, "rm", "--force", "--ignore", "--time", "0", "gstpeer")
	}
	engine := d.start(command)
	await(d.t, func() error {
		if regexp.MustCompile(`(?m)^(Open|The page is at) http`).MatchString(d.said.String()) {
			return nil
		}
		return fmt.Errorf("%s: no page:\n%s", command, d.said.String())
	})
	if named {
		for _, command := range append(inside, "docker stop gstpeer") {
			if out, err := d.shell(command).CombinedOutput(); err != nil {
				d.t.Errorf("%s: %v\n%s", command, err, out)
			}
		}
	} else {
		id, err := os.ReadFile(d.id)
		if err != nil {
			d.t.Fatal(err)
		}
		d.e.podman(d.t, "kill", "--signal", "TERM", strings.TrimSpace(string(id)))
	}
	if code := engine.ExitCode(patience); code != 0 {
		d.t.Errorf("after SIGTERM: exit code %d", code)
	}
}

// start starts the container, which ends with the test at the latest.
func (d *documentedContainer) start(command string) *proctest.Process {
	free := strings.ReplaceAll(command, "-p 8443:8443", "-p 127.0.0.1::8443")
	shell := d.shell("exec " + strings.ReplaceAll(free, "/etc/ssl/relay", filepath.Join(d.dir, "tls")))
	shell.Stdout, shell.Stderr = &d.said, &d.said
	d.t.Cleanup(func() {
		if id, err := os.ReadFile(d.id); err == nil {
			_, _ = d.e.try(patience, "podman", "rm", "--force", "--ignore", "--time", "0", strings.TrimSpace(string(id)))
		}
	})
	return proctest.Start(d.t, shell)
}

// TestDocumentedDockerfile builds the image of one's own that docs/containers.md
// tells to build, which has plugins that gstpeer's has not.
func TestDocumentedDockerfile(t *testing.T) {
	e := newBuiltEngine(t)
	e.make(t, ownImage, t.TempDir(), find(t, "docs/containers.md", "(?ms)^```Dockerfile\n(FROM gstpeer\n.+?)^```$"))
	examine := func(image string) (string, error) {
		return e.try(patience, "podman", "run", "--rm", "--env", "GSTPEER_VIDEO=launch:videotestsrc is-live=true ! coloreffects preset=sepia", image, "doctor")
	}
	if said, err := examine(peerImage); err == nil {
		t.Errorf("coloreffects is in %s: choose what is not:\n%s", peerImage, said)
	}
	if _, err := examine(ownImage); err != nil {
		t.Error(err)
	}
}
