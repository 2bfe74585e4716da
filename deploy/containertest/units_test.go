package containertest

import (
	"fmt"
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
RUN apt-get update -q && apt-get install -qy --no-install-recommends systemd \
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
}

// service is the relay's, in a container with systemd.
type service struct {
	t *testing.T
	e *engine
	c *container
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
