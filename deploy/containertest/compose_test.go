package containertest

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/security"
	"github.com/chromedp/chromedp"

	"github.com/gstpeer/gstpeer/internal/browsertest"
)

// TestCompose brings compose.yaml up, watches both peers, and has one of them
// look at the TURN server.
func TestCompose(t *testing.T) {
	e := newBuiltEngine(t)
	host := e.gateway(t)
	compose := *e
	// The port of the host is left out, and the engine takes one that is free.
	compose.environment = append(compose.environment, "PORT=127.0.0.1:", "TURN_HOST="+host, "TURN_SECRET=only for this test")
	project := fmt.Sprintf("gstpeertest%d", os.Getpid())
	run := func(args ...string) (string, error) {
		return compose.try(patience, "podman-compose", append([]string{"--project-name", project}, args...)...)
	}
	name := func(service string) string { return project + "_" + service + "_1" }
	t.Cleanup(func() {
		if t.Failed() {
			for _, service := range []string{"relay", "coturn", "cam1", "cam2"} {
				t.Logf("%s says:\n%s", service, e.logs(name(service)))
			}
		}
		if out, err := run("down", "--volumes", "--timeout", "5"); err != nil {
			t.Error(out, err)
		}
		e.podman(t, "network", "rm", "--force", project+"_default")
	})
	if _, err := run("up", "--detach", "--no-build"); err != nil {
		t.Fatal(err)
	}
	awaitHealthy(t, e, name("relay"))
	b := browsertest.Open(t, "about:blank")
	b.Run(trustAnybody)
	b.Run(chromedp.Navigate("https://" + e.podman(t, "port", name("relay"), "8443") + "/?room=demo"))
	for _, camera := range []string{"cam1", "cam2"} {
		b.AwaitFrames(camera, enoughFrames)
		awaitHealthy(t, e, name(camera))
	}
	if said := e.podman(t, "exec", name("cam1"), "/usr/bin/gstpeer", "doctor"); !strings.Contains(said, "turn:"+host) {
		t.Errorf("doctor does not speak of the TURN server:\n%s", said)
	}
}

// trustAnybody is what a user clicks who meets a self-signed certificate.
func trustAnybody(ctx context.Context, _ *chromedp.Target) (chromedp.Void, error) {
	_, err := chromedp.Call(ctx, security.SetIgnoreCertificateErrors, security.SetIgnoreCertificateErrorsParams{Ignore: true})
	return chromedp.Void{}, err
}

// gateway is the address of this machine that containers reach.
func (e *engine) gateway(t *testing.T) string {
	t.Helper()
	return e.podman(t, "network", "inspect", "podman", "--format", "{{range .Subnets}}{{.Gateway}}{{end}}")
}
