package containertest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gstpeer/gstpeer/internal/browsertest"
)

// patience is how long anything but a build may take.
const patience = browsertest.Patience

// tools are what make test-container installs.
var tools = []string{"buildah", "podman", "podman-compose", "runc", "mmdebstrap"}

// engine builds images and runs containers with buildah and podman, which need no
// service, with a storage and settings of its own.
type engine struct {
	dir         string
	environment []string
}

// settings are what works without systemd and without cgroups of one's own.
const settings = `[containers]
default_ulimits = ["nofile=20000:20000", "nproc=32768:32768"]
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime = "runc"
[network]
network_backend = "netavark"
`

// newEngine ends the test where no containers can be run: that is a failure,
// unless it is said to be known.
func newEngine(t *testing.T) *engine {
	t.Helper()
	switch {
	case os.Getenv("GSTPEER_SKIP_CONTAINERS") == "1":
		t.Skip("GSTPEER_SKIP_CONTAINERS=1: no container is built or run")
	case os.Getenv("GSTPEER_TEST_CONTAINERS") != "1":
		t.Skip("make test-container builds and runs containers")
	}
	for _, tool := range tools {
		if _, err := exec.LookPath(tool); err != nil {
			t.Fatalf("no containers can be run here: %v; GSTPEER_SKIP_CONTAINERS=1 goes without", err)
		}
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	e := &engine{dir: filepath.Join(cache, "gstpeer", "container")} // outside of the sources, of which Go's are no part
	storage := fmt.Sprintf("[storage]\ndriver = \"overlay\"\ngraphroot = %q\nrunroot = %q\n", e.path("storage"), e.path("run"))
	if err := errors.Join(
		os.MkdirAll(e.dir, 0o700),
		os.WriteFile(e.path("containers.conf"), []byte(settings), 0o600),
		os.WriteFile(e.path("storage.conf"), []byte(storage), 0o600),
	); err != nil {
		t.Fatal(err)
	}
	e.environment = append(os.Environ(),
		"CONTAINERS_CONF="+e.path("containers.conf"), "CONTAINERS_STORAGE_CONF="+e.path("storage.conf"), "BUILDAH_ISOLATION=chroot")
	return e
}

func (e *engine) path(name string) string { return filepath.Join(e.dir, name) }

// repository is its root.
func repository() string {
	return filepath.Join("..", "..") // tests run in the folder of their package
}

// try runs a command, and gives its standard output.
func (e *engine) try(limit time.Duration, name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	command := exec.CommandContext(ctx, name, args...)
	command.Env, command.Dir = e.environment, repository()
	var stdout, stderr bytes.Buffer
	command.Stdout, command.Stderr = &stdout, &stderr
	command.WaitDelay = time.Second // conmon may hold on to the pipes
	if err := command.Run(); err != nil && !errors.Is(err, exec.ErrWaitDelay) {
		said := stdout.String() + stderr.String()
		return stdout.String(), fmt.Errorf("%s %s: %w:\n%s", name, strings.Join(args, " "), err, said[max(0, len(said)-4000):])
	}
	return strings.TrimSpace(stdout.String()), nil
}

// logs is all that a container has written.
func (e *engine) logs(name string) string {
	command := exec.Command("podman", "logs", name)
	command.Env = e.environment
	out, _ := command.CombinedOutput() // an error says so
	return string(out)
}

// podman has to succeed.
func (e *engine) podman(t testing.TB, args ...string) string {
	t.Helper()
	out, err := e.try(patience, "podman", args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}
