package containertest

import (
	"context"
	"fmt"
	"net"
	"os"
	"regexp"
	"testing"

	"github.com/chromedp/cdproto/security"
	"github.com/chromedp/chromedp"

	"github.com/gstpeer/gstpeer/internal/browsertest"
)

// TestCompose brings compose.yaml up, watches both peers, and has one of them
// look at the TURN server.
func TestCompose(t *testing.T) {
	e := newBuiltEngine(t)
	host := ownAddress(t)
	compose := *e
	// The port of the host is left out, and the engine takes one that is free.
	compose.environment = append(compose.environment, "PORT=127.0.0.1:", "TURN_HOST="+host, "TURN_SECRET=only for this test")
	project := fmt.Sprintf("gstpeertest%d", os.Getpid())
	run := func(args ...string) (string, error) {
		return compose.try(patience, "/usr/bin/python3", append([]string{"-c", podmanCompose, "--project-name", project}, args...)...)
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
	said := e.podman(t, "exec", name("cam1"), "/usr/bin/gstpeer", "doctor")
	if !regexp.MustCompile(`turn:` + regexp.QuoteMeta(host) + `.* takes the credentials, and relays at`).MatchString(said) {
		t.Errorf("the TURN server does not relay:\n%s", said)
	}
}

// podmanCompose is podman-compose, whose version in Debian 12 gives a service in
// the network of the host a second network, which podman refuses.
const podmanCompose = `
import podman_compose
networks = podman_compose.get_net_args
podman_compose.get_net_args = lambda compose, service: [] if service.get("network_mode") else networks(compose, service)
podman_compose.main()
`

// trustAnybody is what a user clicks who meets a self-signed certificate.
func trustAnybody(ctx context.Context, _ *chromedp.Target) (chromedp.Void, error) {
	_, err := chromedp.Call(ctx, security.SetIgnoreCertificateErrors, security.SetIgnoreCertificateErrorsParams{Ignore: true})
	return chromedp.Void{}, err
}

// ownAddress is one of this machine that containers of every network reach: the
// one that it would speak to others from, to whom nothing is sent.
func ownAddress(t *testing.T) string {
	t.Helper()
	conn, err := net.Dial("udp4", "192.0.2.1:9")
	if err != nil {
		t.Fatalf("compose.yaml wants an address that others reach this machine at, which is that of its default route: %v", err)
	}
	defer conn.Close()
	return conn.LocalAddr().(*net.UDPAddr).IP.String()
}
