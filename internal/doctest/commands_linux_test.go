package doctest

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/gstpeer/gstpeer/internal/nettest"
)

// outcome is what becomes of a command.
type outcome struct {
	// unless says why it is not run here, and where it is.
	unless string
	// serves is for what works until SIGTERM ends it, which has to say that it is
	// ready and to end with 0. All others end by themselves, with 0.
	serves bool
	// at is where one of others' programs listens that does not say when it is
	// ready. How it ends is its own concern.
	at string
	// needs is for what wants a device that machines without display, camera and
	// sound card lack: how it says so when it ends with 1 or 2. Where the device is, the
	// command has to do what it is there for.
	needs string
}

// outcomes are those of all commands of the pages, the first one that matches. A
// command that is not here fails the test.
var outcomes = []struct {
	command string
	outcome outcome
}{
	{`^(export |mkdir -p |\(umask 077 && .*\)$)`, outcome{}},
	{`^make run`, outcome{serves: true}},
	{`^make build$`, outcome{}},
	{`^make help$`, outcome{}},
	{`^make [a-z -]+$`, outcome{unless: "it runs tests or measures: TestMake looks for the targets"}},
	{`^go (test|run) `, outcome{unless: "it runs tests or measures: TestGo looks for them"}},
	{`^CGO_ENABLED=0 go build `, outcome{}},
	{`^\./bin/gstpeer(-server)? (devices|doctor|health|token|version|--help)`, outcome{}},
	{`^\./bin/gstpeer .*--video v4l2:`, outcome{serves: true, needs: `no camera /dev/video`}},
	{`^\./bin/gstpeer .*--audio (alsa|pulse)`, outcome{serves: true, needs: `audio source (alsa|pulse)`}},
	{`^\./bin/gstpeer `, outcome{serves: true}},
	{`^tail -f \S+ \| \./bin/gstpeer `, outcome{serves: true}},
	{`^\./bin/gstpeer-server `, outcome{serves: true}},
	{`^turnserver `, outcome{serves: true, at: ownAddress + ":3478"}},
	{`^(\w+=.* )?docker (build|compose|exec|run|stop)\b`, outcome{unless: "deploy/containertest runs it, with podman"}},
	{`^(git|docker) (checkout|push|tag) `, outcome{unless: "it publishes a release"}},
	{`^sudo `, outcome{unless: "it installs on this machine: deploy/containertest has systemd in a container"}},
}

func outcomeOf(command string) (outcome, bool) {
	for _, o := range outcomes {
		if regexp.MustCompile(o.command).MatchString(command) {
			return o.outcome, true
		}
	}
	return outcome{}, false
}

// ready is what programs say that serve.
var ready = regexp.MustCompile(`(?m)^(?:Open|The page is at) (https?://\S+)$|^(?:Streaming to room|Receiving in room|Calling|Waiting for calls to) `)

// TestCommands runs the commands of the pages as they are written.
func TestCommands(t *testing.T) {
	if os.Getenv(inWorld) == "" {
		nettest.Require(t, ownNamespaces)
		text, err := nettest.Test(t, "TestCommands", ownNamespaces, inWorld+"=1").CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		t.Logf("%s", text)
		return
	}
	w := newWorld(t)
	t.Run("flags", w.checkFlags)
	done := map[string]bool{"make build": true}
	for _, page := range Pages(t) {
		for _, block := range page.Blocks() {
			if all := strings.Join(block.Commands, "\n"); !done[all] {
				done[all] = true
				t.Run(fmt.Sprintf("%s:%d", block.Page, block.Line), func(t *testing.T) { w.run(t, block) })
			}
		}
	}
}

// run runs the commands of a block, one after the other, those that serve until
// the end of it.
func (w *world) run(t *testing.T, b Block) {
	type service struct {
		*process
		outcome
	}
	var serving []service
	var before []string
	w.serve(t, b)
	for _, command := range b.Commands {
		o, known := outcomeOf(command)
		switch {
		case !known:
			t.Errorf("%q: say in the list of outcomes what becomes of it", command)
		case o.unless != "":
			t.Logf("not run: %s: %s", command, o.unless)
		case strings.HasPrefix(command, "export "):
			before = append(before, command)
		default:
			began := time.Now()
			p := startProcess(t, w.shell(before, command))
			if o.serves && o.serving(t, p) {
				serving = append(serving, service{p, o})
			} else if code := p.ExitCode(patience); code != 0 && o.needs == "" {
				t.Errorf("%s: exit code %d", command, code)
			}
			t.Logf("%4.1f s: %s", time.Since(began).Seconds(), command)
		}
	}
	for i := len(serving) - 1; i >= 0; i-- {
		serving[i].terminate()
		if code := serving[i].ExitCode(patience); code != 0 && serving[i].at == "" {
			t.Errorf("%s: exit code %d after SIGTERM", serving[i].Command, code)
		}
	}
}

// serving waits until a program is ready, and says whether it is; the device that
// it needs may be missing.
func (o outcome) serving(t *testing.T, p *process) bool {
	t.Helper()
	if o.at != "" {
		p.AwaitListener(o.at)
		return true
	}
	said := p.awaitOutputOrEnd(ready)
	if said == nil {
		code := p.ExitCode(patience)
		if o.needs == "" || code < 1 || code > 2 || !regexp.MustCompile(o.needs).MatchString(p.said.String()) {
			t.Errorf("%s: exit code %d before it was ready, and no word of %q", p.Command, code, o.needs)
		}
		t.Logf("not there: %s", strings.TrimSpace(p.said.String()))
		return false
	}
	if page := said[1]; page != "" && !strings.Contains(p.Command.String(), "--acme") { // nobody certifies it here
		checkHealth(t, page)
	}
	return true
}

// checkHealth asks the relay that has a page.
func checkHealth(t *testing.T, page string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	at := regexp.MustCompile(`^https?://[^/]+`).FindString(page) + "/health"
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	defer transport.CloseIdleConnections()
	response, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if text, err := io.ReadAll(response.Body); err != nil || string(text) != "OK\n" {
		t.Errorf("%s: %s: %q, %v", at, response.Status, text, err)
	}
}
