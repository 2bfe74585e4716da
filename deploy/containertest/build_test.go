package containertest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"
)

const (
	debian    = "docker.io/library/debian:bookworm-slim"
	golang    = "docker.io/library/golang:1.26-bookworm"
	coturn    = "docker.io/coturn/coturn:4.6.1"
	peerImage = "localhost/gstpeer"
	relay     = "localhost/gstpeer-server"

	buildLimit = 12 * time.Minute
)

// The largest that the images may be, in bytes.
const (
	maxRelaySize = 25_000_000
	maxPeerSize  = 300_000_000
)

// TestImages builds from nothing and from cache, and holds the sizes. It comes
// first: the others use what it has built, if it runs.
func TestImages(t *testing.T) {
	e := newEngine(t)
	start := time.Now()
	e.standIns(t)
	t.Logf("base images: %s", time.Since(start).Round(time.Second))
	e.forget(t)
	for _, image := range []struct {
		target, name string
		maxSize      int
	}{{"server", relay, maxRelaySize}, {"peer", peerImage, maxPeerSize}} {
		id, cold := e.build(t, image.target, image.name)
		again, warm := e.build(t, image.target, image.name)
		size, err := strconv.Atoi(e.podman(t, "image", "inspect", "--format", "{{.Size}}", image.name))
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%s: built from nothing in %s, from cache in %s; %.1f MB", image.name, cold.Round(time.Second), warm.Round(time.Second), float64(size)/1e6)
		if again != id {
			t.Errorf("%s: the second build made another image: it does not use the cache", image.name)
		}
		if size > image.maxSize {
			t.Errorf("%s has %d bytes, want %d at most", image.name, size, image.maxSize)
		}
	}
}

// newBuiltEngine gives an engine that has the images, as they are built from
// cache.
func newBuiltEngine(t *testing.T) *engine {
	t.Helper()
	e := newEngine(t)
	e.standIns(t)
	for target, name := range map[string]string{"server": relay, "peer": peerImage} {
		e.build(t, target, name)
	}
	return e
}

// standIns makes what Dockerfile and compose.yaml name as a base, and what no
// registry is asked for here. Those that were made before are used again.
func (e *engine) standIns(t *testing.T) {
	t.Helper()
	e.standIn(t, debian, debian, e.makeDebian)
	e.standIn(t, golang, "localhost/golang:"+runtime.Version(), e.makeGolang)
	e.standIn(t, coturn, coturn, e.makeCoturn)
}

// standIn gives an image a name, and makes it if there is none by its own one.
func (e *engine) standIn(t *testing.T, name, own string, make func(t *testing.T, own string)) {
	t.Helper()
	if _, err := e.try(patience, "podman", "image", "exists", own); err != nil {
		make(t, own)
	}
	e.podman(t, "tag", own, name)
}

// makeDebian makes what debian:…-slim is: without documentation and languages.
func (e *engine) makeDebian(t *testing.T, name string) {
	tar := filepath.Join(t.TempDir(), "debian.tar")
	args := []string{"--variant=minbase", "--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr", "--include=usr-is-merged", "--dpkgopt=force-unsafe-io"}
	for _, place := range []string{"man", "doc", "locale", "info"} {
		args = append(args, "--dpkgopt=path-exclude=/usr/share/"+place+"/*")
	}
	args = append(args, "bookworm", tar)
	for _, suite := range []string{"debian bookworm", "debian bookworm-updates", "debian-security bookworm-security"} {
		args = append(args, "deb http://deb.debian.org/"+suite+" main")
	}
	e.must(t, "mmdebstrap", args...)
	e.must(t, "podman", "import", tar, name)
}

// makeGolang adds the Go of this machine, with its settings and authorities.
func (e *engine) makeGolang(t *testing.T, name string) {
	const authorities = "/etc/ssl/certs/ca-certificates.crt"
	e.make(t, name, goEnv(t, "GOROOT"), fmt.Sprintf(`FROM %s
RUN apt-get update -q && apt-get install -qy --no-install-recommends ca-certificates gcc libc6-dev pkg-config git && cp /authorities %s
COPY . /usr/local/go
ENV PATH=/usr/local/go/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin GOPATH=/go GOTOOLCHAIN=local GOPROXY=%s GOSUMDB=%s
`, debian, authorities, goEnv(t, "GOPROXY"), goEnv(t, "GOSUMDB")), "-v", authorities+":/authorities:ro")
}

func (e *engine) makeCoturn(t *testing.T, name string) {
	e.make(t, name, t.TempDir(), fmt.Sprintf(`FROM %s
RUN apt-get update -q && apt-get install -qy --no-install-recommends coturn
USER nobody:nogroup
ENTRYPOINT ["turnserver"]
`, debian))
}

func (e *engine) make(t *testing.T, name, context, file string, options ...string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "Containerfile")
	if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	e.buildah(t, append(append([]string{"-f", path, "-t", name}, options...), context)...)
}

// buildah builds without a registry. Debian's lists of packages are kept between
// builds.
func (e *engine) buildah(t *testing.T, args ...string) {
	t.Helper()
	lists := e.path("apt-lists")
	if err := os.MkdirAll(lists, 0o755); err != nil {
		t.Fatal(err)
	}
	e.must(t, "buildah", append([]string{"build", "--network", "host", "--format", "docker", "--pull-never", "-v", lists + ":/var/lib/apt/lists"}, args...)...)
}

// must runs what may take as long as a build.
func (e *engine) must(t *testing.T, name string, args ...string) {
	t.Helper()
	if _, err := e.try(buildLimit, name, args...); err != nil {
		t.Fatal(err)
	}
}

// build builds a target of the Dockerfile, with the Go modules and the compiled
// packages of this machine at hand, and gives the image.
func (e *engine) build(t *testing.T, target, name string) (id string, took time.Duration) {
	t.Helper()
	start := time.Now()
	e.buildah(t, "--layers",
		"-v", goEnv(t, "GOMODCACHE")+":/go/pkg/mod", "-v", goEnv(t, "GOCACHE")+":/root/.cache/go-build",
		"--build-arg", "COMMIT="+commit, "--target", target, "-t", name, ".")
	return e.podman(t, "image", "inspect", "--format", "{{.Id}}", name), time.Since(start)
}

// commit is what the images are told that they are built from.
const commit = "0123456789ab"

// forget removes all images but the base ones, and with them what a build could
// use again.
func (e *engine) forget(t *testing.T) {
	t.Helper()
	for _, name := range []string{unitsImage, peerImage, relay} {
		_, _ = e.try(patience, "podman", "rmi", "--force", name) // there may be none
	}
	e.podman(t, "image", "prune", "--force")
}

func goEnv(t *testing.T, name string) string {
	t.Helper()
	out, err := exec.Command("go", "env", name).Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}
