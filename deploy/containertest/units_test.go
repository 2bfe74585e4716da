package containertest

import (
	"crypto/tls"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/gstpeer/gstpeer/internal/browsertest"
)

const unitsImage = "localhost/gstpeer-units"

// TestUnits has systemd, in a container, run both programs as the units say.
func TestUnits(t *testing.T) {
	e := newBuiltEngine(t)
	e.make(t, unitsImage, "deploy", fmt.Sprintf(`FROM %s
USER root
RUN apt-get update -q && apt-get install -qy --no-install-recommends openssl systemd \
	&& userdel gstpeer && rm -r /var/lib/gstpeer && mv /usr/bin/gstpeer /usr/local/bin/
COPY --from=%s /usr/bin/gstpeer-server /usr/local/bin/
COPY gstpeer.service gstpeer-server.service /etc/systemd/system/
RUN mkdir /etc/gstpeer \
	&& printf 'GSTPEER_NAME=cam\nGSTPEER_SERVER=ws://127.0.0.1:8443\n' >/etc/gstpeer/peer.env \
	&& systemctl enable gstpeer gstpeer-server
ENTRYPOINT ["/lib/systemd/systemd"]
`, peerImage, relay))
	c := e.start(t, unitsImage, "--privileged", "--systemd=always")
	t.Cleanup(func() {
		if t.Failed() {
			said, _ := e.try(patience, "podman", "exec", c.name, "journalctl", "--no-pager")
			t.Logf("the journal says:\n%s", said)
		}
	})
	await(t, func() error {
		_, err := e.try(patience, "podman", "exec", c.name, "/usr/local/bin/gstpeer-server", "health")
		return err
	})
	b := browsertest.Open(t, "http://"+c.address()+"/?room=demo")
	b.AwaitFrames("cam", enoughFrames)
	s := service{t, e, c}
	s.checkBacklog()
	e.podman(t, "exec", c.name, "systemctl", "stop", "gstpeer", "gstpeer-server")
	for _, unit := range []string{"gstpeer", "gstpeer-server"} {
		said := e.podman(t, "exec", c.name, "systemctl", "show", "--property", "ExecMainStatus,Result", unit)
		if !strings.Contains(said, "Result=success") || !strings.Contains(said, "ExecMainStatus=0") {
			t.Errorf("%s, when it is stopped: %s", unit, said)
		}
	}
	s.checkKeys()
}

// service is the relay's, in a container with systemd.
type service struct {
	t *testing.T
	e *engine
	c *container
}

// inside runs a script in the container, with arguments from $1 on.
func (s service) inside(script string, args ...string) string {
	s.t.Helper()
	return s.e.podman(s.t, append([]string{"exec", "--workdir", "/root", s.c.name, "sh", "-euc", script, "sh"}, args...)...)
}

// checkBacklog: as many connections may wait for the relay as the kernel allows,
// which Go reads in /proc/sys.
func (s service) checkBacklog() {
	s.t.Helper()
	network := "--net=/proc/" + s.e.podman(s.t, "inspect", "--format", "{{.State.Pid}}", s.c.name) + "/ns/net"
	waiting := s.e.must(s.t, "nsenter", network, "ss", "--listening", "--tcp", "--numeric", "--no-header", "sport", "8443")
	allowed := s.e.must(s.t, "nsenter", network, "cat", "/proc/sys/net/core/somaxconn")
	if columns := strings.Fields(waiting); len(columns) < 3 || columns[2] != allowed {
		s.t.Errorf("the relay listens with %q, want a backlog of %s in the third column", waiting, allowed)
	}
}

// checkKeys has the relay read a secret and a key that are root's, as
// docs/operating.md tells to let it, and a renewed key.
func (s service) checkKeys() {
	s.t.Helper()
	block := func(begins string) string {
		return find(s.t, "docs/operating.md", "(?ms)^```\\w*\n("+begins+".+?)^```$")
	}
	shell := func(begins string) string { return strings.ReplaceAll(block("sudo "+begins), "sudo ", "") }
	write := func(path, text string) {
		s.inside(`mkdir -p "$(dirname "$1")" && printf %s "$2" >"$1"`, path, text)
	}
	certify := func(name string) {
		s.inside(`umask 077
			mkdir -p /etc/letsencrypt/live/relay.example.org
			cd /etc/letsencrypt/live/relay.example.org
			openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj "/CN=$1" -keyout privkey.pem -out fullchain.pem`, name)
		s.inside(shell("RENEWED_LINEAGE="))
	}
	s.inside("(umask 077 && openssl rand -hex 32 >secret)")
	s.inside(shell("groupadd"))
	write("/etc/letsencrypt/renewal-hooks/deploy/gstpeer", block("#!/bin/sh\n"))
	s.inside("chmod 755 /etc/letsencrypt/renewal-hooks/deploy/gstpeer")
	write("/etc/systemd/system/gstpeer-server.service.d/override.conf", block(`\[Service\]\nSupplementaryGroups=gstpeer-keys`))
	write("/etc/gstpeer/server.env", block("GSTPEER_SERVER_TLS_CERT"))
	certify("first")
	s.inside("systemctl daemon-reload; " + shell("systemctl restart gstpeer-server"))
	s.awaitCertificate("first")
	response, err := (&http.Client{Transport: &http.Transport{
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true,
	}}).Get("https://" + s.c.address() + "/api/ice")
	if err != nil {
		s.t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != http.StatusUnauthorized {
		s.t.Errorf("/api/ice without a token: HTTP %s, want 401", response.Status)
	}
	certify("second")
	s.awaitCertificate("second")
}

// awaitCertificate waits until the relay serves that of the name.
func (s service) awaitCertificate(name string) {
	s.t.Helper()
	await(s.t, func() error {
		conn, err := tls.Dial("tcp", s.c.address(), &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			return err
		}
		defer conn.Close()
		if got := conn.ConnectionState().PeerCertificates[0].Subject.CommonName; got != name {
			return fmt.Errorf("the certificate is that of %q, want %q", got, name)
		}
		return nil
	})
}
