package containertest

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gstpeer/gstpeer/internal/version"
)

const (
	peerImage = "localhost/gstpeer"
	relay     = "localhost/gstpeer-server"

	buildLimit = 12 * time.Minute
)

// The largest that the images may be, in bytes.
const (
	maxRelaySize = 25_000_000
	maxPeerSize  = 300_000_000
)

// images are the targets of the Dockerfile.
var images = []struct {
	target, name string
	maxSize      int
}{{"peer", peerImage, maxPeerSize}, {"server", relay, maxRelaySize}}

// othersWork matches the steps of the Dockerfile that a change of the project's
// own code must not cost: installing packages, loading modules, building them.
var othersWork = regexp.MustCompile(`RUN .*(apt-get install|go mod download|go build net/http|go build github\.com/go-gst)`)

// TestImages builds each image from nothing, and again with what that has left
// when the code of the project has changed; and holds the sizes. It comes first:
// the others use what it has built, if it runs.
func TestImages(t *testing.T) {
	e := newEngine(t)
	start := time.Now()
	e.standIns(t)
	t.Logf("base images: %s", time.Since(start).Round(time.Second))
	e.forget(t)
	changed := e.changedSources(t)
	for _, image := range images {
		start := time.Now()
		for _, s := range e.build(t, ".", image.target, image.name, inParallel) {
			if s.cached && othersWork.MatchString(s.text) {
				t.Errorf("%s: not from nothing: %s", image.name, s.text)
			}
		}
		cold := time.Since(start)
		start = time.Now()
		name := image.name + "-changed"
		steps := e.build(t, changed, image.target, name)
		warm := time.Since(start)
		holdCached(t, image.name, steps)
		if said := e.podman(t, "run", "--rm", name, "version"); !strings.Contains(said, changedVersion) {
			t.Errorf("%s: when its version has changed, it says %q", image.name, said)
		}
		e.podman(t, "rmi", name)
		size, err := strconv.Atoi(e.podman(t, "image", "inspect", "--format", "{{.Size}}", image.name))
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%s: built from nothing in %s, with other sources from cache in %s; %.1f MB", image.name, cold.Round(time.Second), warm.Round(time.Second), float64(size)/1e6)
		if size > image.maxSize {
			t.Errorf("%s has %d bytes, want %d at most", image.name, size, image.maxSize)
		}
	}
	built = true
}

// holdCached holds that a build took all that is others' work from the cache, and
// built the project itself.
func holdCached(t *testing.T, image string, steps []step) {
	t.Helper()
	others, own := 0, 0
	for _, s := range steps {
		switch {
		case othersWork.MatchString(s.text):
			others++
			if !s.cached {
				t.Errorf("%s: a change of the sources builds this anew: %s", image, s.text)
			}
		case strings.Contains(s.text, "RUN") && strings.Contains(s.text, "./cmd/"):
			own++
			if s.cached {
				t.Errorf("%s: with other sources this comes from the cache: %s", image, s.text)
			}
		}
	}
	if others == 0 || own != 1 {
		t.Errorf("%s: %d steps do the work of others and %d build the program: %v", image, others, own, steps)
	}
}

// changedVersion is the one of changedSources.
const changedVersion = version.Number + "+changed"

// changedSources is a copy of what the images are built from, with another version.
func (e *engine) changedSources(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	ignored, err := os.ReadFile(filepath.Join(repository(), ".dockerignore"))
	if err != nil {
		t.Fatal(err)
	}
	args := []string{"--archive", "--parents", "Dockerfile", ".dockerignore"}
	for _, kept := range regexp.MustCompile(`(?m)^!(.+)$`).FindAllStringSubmatch(string(ignored), -1) {
		args = append(args, kept[1])
	}
	e.must(t, "cp", append(args, dir)...)
	path := filepath.Join(dir, "internal", "version", "version.go")
	source, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	source = bytes.Replace(source, []byte(strconv.Quote(version.Number)), []byte(strconv.Quote(changedVersion)), 1)
	if err := os.WriteFile(path, source, 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestVersion needs no engine.
func TestVersion(t *testing.T) {
	if inFile := find(t, "Dockerfile", `(?m)^ARG VERSION=(.+)$`); inFile != version.Number {
		t.Errorf("the Dockerfile names version %s, the program %s", inFile, version.Number)
	}
}

// TestParseSteps has a stage wait for another before it says that its step comes
// from the cache.
func TestParseSteps(t *testing.T) {
	const said = `[2/3] STEP 1/3: FROM debian AS gstreamer
[2/3] STEP 2/3: RUN apt-get install
--> Using cache 1c1c1c
--> 1c1c1c
[2/3] STEP 3/3: COPY --from=build-peer /usr/bin/gstpeer /usr/bin/
[1/3] STEP 1/2: FROM golang AS build-peer
[1/3] STEP 2/2: RUN go build ./cmd/gstpeer
--> 2d2d2d
--> Using cache 3e3e3e
--> 3e3e3e
`
	want := []step{
		{"1/3: FROM debian AS gstreamer", false},
		{"2/3: RUN apt-get install", true},
		{"3/3: COPY --from=build-peer /usr/bin/gstpeer /usr/bin/", false},
		{"1/2: FROM golang AS build-peer", false},
		{"2/2: RUN go build ./cmd/gstpeer", false},
	}
	if steps := parseSteps(said); !slices.Equal(steps, want) {
		t.Errorf("found %v, want %v", steps, want)
	}
}

// built says that this process has built the images. Tests run one at a time.
var built bool

// newBuiltEngine gives an engine that has the images. The first one builds them,
// from cache where there is one.
func newBuiltEngine(t *testing.T) *engine {
	t.Helper()
	e := newEngine(t)
	if built {
		return e
	}
	e.standIns(t)
	for _, image := range images {
		e.build(t, ".", image.target, image.name)
	}
	built = true
	return e
}

// standIns makes what Dockerfile and compose.yaml name as a base, and what no
// registry is asked for here. Those that were made before are used again.
func (e *engine) standIns(t *testing.T) {
	t.Helper()
	for _, image := range []struct {
		own, page, name string
		make            func(t *testing.T, own string)
	}{
		{ownDebian, "Dockerfile", `(?m)^FROM (debian:\S+)`, e.makeDebian},
		{"localhost/own-golang:" + runtime.Version(), "Dockerfile", `(?m)^FROM (golang:\S+)`, e.makeGolang},
		{"localhost/own-coturn:with-capability", "compose.yaml", `(?m)^ +image: (coturn/\S+)$`, e.makeCoturn},
	} {
		if _, err := e.try(patience, "podman", "image", "exists", image.own); err != nil {
			image.make(t, image.own)
		}
		e.podman(t, "tag", image.own, inRegistry(find(t, image.page, image.name)))
	}
}

// ownDebian is what the other images here are made of.
const ownDebian = "localhost/own-debian:bookworm"

// find looks for a part of a file of the repository.
func find(t *testing.T, path, expression string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(repository(), path))
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(expression).FindSubmatch(text)
	if found == nil {
		t.Fatalf("nothing in %s matches %s", path, expression)
	}
	return string(found[1])
}

// inRegistry is the whole name of an image that is named in short.
func inRegistry(name string) string {
	if strings.Contains(name, "/") {
		return "docker.io/" + name
	}
	return "docker.io/library/" + name
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
RUN apt-get update -q && apt-get install -qy --no-install-recommends ca-certificates && cp /authorities %s
COPY . /usr/local/go
ENV PATH=/usr/local/go/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin GOPATH=/go GOTOOLCHAIN=local GOPROXY=%s GOSUMDB=%s
`, ownDebian, authorities, goEnv(t, "GOPROXY"), goEnv(t, "GOSUMDB")), "-v", authorities+":/authorities:ro")
}

// makeCoturn makes a coturn whose program asks for a capability, as that of the
// registry does.
func (e *engine) makeCoturn(t *testing.T, name string) {
	e.make(t, name, t.TempDir(), fmt.Sprintf(`FROM %s
RUN apt-get update -q && apt-get install -qy --no-install-recommends coturn libcap2-bin \
	&& setcap cap_net_bind_service+ep /usr/bin/turnserver
USER nobody:nogroup
ENTRYPOINT ["turnserver"]
`, ownDebian))
}

// make makes an image that the tests need. Debian's lists of packages are kept
// between them.
func (e *engine) make(t *testing.T, name, context, file string, options ...string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "Containerfile")
	if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	lists := e.path("apt-lists")
	if err := os.MkdirAll(lists, 0o755); err != nil {
		t.Fatal(err)
	}
	e.buildah(t, append(append([]string{"-f", path, "-t", name, "-v", lists + ":/var/lib/apt/lists"}, options...), context)...)
}

// buildah builds without a registry, and gives what it says.
func (e *engine) buildah(t *testing.T, args ...string) string {
	t.Helper()
	return e.must(t, "buildah", append([]string{"build", "--network", "host", "--format", "docker", "--pull-never"}, args...)...)
}

// must runs what may take as long as a build, and gives its standard output.
func (e *engine) must(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := e.try(buildLimit, name, args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// step is one of a build.
type step struct {
	text   string // as in the Dockerfile
	cached bool   // made by an earlier build
}

// inParallel has stages built at the same time, as Docker does. Where several are,
// it is not said which step comes from the cache; the first build has none.
const inParallel = "--jobs=2"

// build builds a target of the Dockerfile, as anybody would, and gives the steps.
func (e *engine) build(t *testing.T, context, target, name string, options ...string) []step {
	t.Helper()
	return parseSteps(e.buildah(t, append(options, "--layers", "--build-arg", "COMMIT="+commit, "--target", target, "-t", name, context)...))
}

// parseSteps finds the steps in what buildah says of a build. It says nothing
// between a step and that this comes from the cache, unless the step takes a file
// from another stage and has to wait for it: such a step counts as built.
func parseSteps(said string) (steps []step) {
	fresh := false // the line before began a step
	for line := range strings.Lines(said) {
		_, text, begins := strings.Cut(line, "STEP ")
		switch {
		case begins:
			steps = append(steps, step{text: strings.TrimSpace(text)})
		case fresh && strings.HasPrefix(line, "--> Using cache"):
			steps[len(steps)-1].cached = true
		}
		fresh = begins
	}
	return steps
}

// commit is what the images are told that they are built from.
const commit = "0123456789ab"

// forget removes all images but the base ones, and with them what a build could
// use again; and what a build has left that was killed.
func (e *engine) forget(t *testing.T) {
	t.Helper()
	e.must(t, "buildah", "rm", "--all")
	for _, name := range []string{unitsImage, ownImage, peerImage, relay} {
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
