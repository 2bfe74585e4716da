# make run starts gstpeer, make test checks everything; make help lists the rest.
# On Debian and its kin both first install what is missing.

GO  ?= go
# What is said to gstpeer by make run, such as ARGS='--room lab'.
ARGS ?=
# How many inputs each fuzz target gets in make test; for those that read what
# comes from the network first it is about a minute's worth. A number and not a
# time: at the end of its time go test may report its own deadline as a failure.
FUZZ_RUNS ?= 10000x
COMMAND_FUZZ_RUNS ?= $(if $(CI),800000x,$(FUZZ_RUNS))
FRAMES_FUZZ_RUNS ?= $(if $(CI),120000x,$(FUZZ_RUNS))
# The long forms of tests: 10,000 idle peers, a minute of random clients.
export GSTPEER_LONG ?= $(if $(CI),1)

# A checkout that belongs to somebody else must build too: git refuses to
# describe it.
export GOFLAGS += -trimpath -buildvcs=false

# The commit is told to the linker instead.
commit := $(or $(shell git -c safe.directory='*' rev-parse --short=12 HEAD 2>/dev/null),unknown)
version_flags = -X github.com/gstpeer/gstpeer/internal/version.commit=$(commit)

pure = ./signalling ./server ./record ./cmd/gstpeer-server

build_packages = ca-certificates gcc libc6-dev pkg-config \
	libgstreamer1.0-dev libgstreamer-plugins-base1.0-dev
run_packages = gstreamer1.0-plugins-base gstreamer1.0-plugins-good \
	gstreamer1.0-plugins-bad gstreamer1.0-plugins-ugly gstreamer1.0-libav \
	gstreamer1.0-nice gstreamer1.0-x gstreamer1.0-alsa \
	fonts-dejavu-core
test_packages = chromium firefox-esr gstreamer1.0-tools gstreamer1.0-plugins-base-apps \
	python3-websockets coturn xvfb xauth iproute2
# For make test-container, beside those of the tests.
container_packages = buildah podman podman-compose runc mmdebstrap netavark aardvark-dns iptables

# For make test-camera, beside those of the tests.
camera_packages = qemu-system-x86

# install names the packages of a list that are not there, and installs them.
define install
@$(GO) version >/dev/null || { echo 'Go 1.26 or newer is needed: https://go.dev/dl/' >&2; exit 1; }
@command -v dpkg-query >/dev/null || { echo 'Not a Debian: this needs what is there called $(strip $(1))' >&2; exit 0; }; \
missing=; for package in $(1); do \
	[ "$$(dpkg-query -W -f '$${db:Status-Status}' $$package 2>/dev/null)" = installed ] || missing="$$missing $$package"; \
done; \
[ -n "$$missing" ] || exit 0; \
echo "Installing:$$missing"; \
as_root=; [ "$$(id -u)" = 0 ] || as_root=sudo; \
$$as_root apt-get update -q && \
$$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends $$missing </dev/null || \
{ echo "Could not install them. As root: apt-get install$$missing" >&2; exit 1; }
endef

.PHONY: help run build test test-container test-camera bench deps test-deps container-deps camera-deps lint fuzz

help: ## list what make can do
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 18

run: build ## stream a test picture with sound; ARGS='…' says what else, ARGS=--help how
	@./bin/gstpeer $(ARGS)

# The tags make the relay static: they take in Go what it would have of libc.
build: deps ## build bin/gstpeer and bin/gstpeer-server
	$(GO) build -ldflags '$(version_flags)' -o bin/ ./cmd/gstpeer ./cmd/gstpeer-load
	$(GO) build -ldflags '$(version_flags)' -tags netgo,osusergo -o bin/ ./cmd/gstpeer-server

test: deps test-deps lint fuzz ## check and test everything
	GSTPEER_REQUIRE_BROWSER=1 $(GO) test -race -p 1 -timeout 20m ./...

# Skipped, and only then, with GSTPEER_SKIP_CONTAINERS=1.
test-container: deps test-deps ## build the container images and run them
	@[ "$$GSTPEER_SKIP_CONTAINERS" = 1 ] || $(MAKE) container-deps
	GSTPEER_TEST_CONTAINERS=1 GSTPEER_REQUIRE_BROWSER=1 $(GO) test -race -count=1 -v -timeout 60m ./deploy/containertest

# Skipped, and only then, with GSTPEER_SKIP_CAMERA=1.
test-camera: deps test-deps ## stream a V4L2 camera, in a virtual machine
	@[ "$$GSTPEER_SKIP_CAMERA" = 1 ] || $(MAKE) camera-deps
	GSTPEER_TEST_CAMERA=1 GSTPEER_REQUIRE_BROWSER=1 $(GO) test -race -count=1 -v -timeout 10m ./internal/cameratest/...

bench: deps ## measure
	$(GO) test -run '^$$' -bench . ./...

# The flag -race makes all of it do with one build of the packages that need cgo.
lint: deps
	@unformatted="$$("$$($(GO) env GOROOT)/bin/gofmt" -l .)"; [ -z "$$unformatted" ] || { echo "gofmt -w these: $$unformatted" >&2; exit 1; }
	CGO_ENABLED=0 $(GO) build -o /dev/null $(pure)
	$(GO) vet -race ./...
	staticcheck="$$($(GO) tool -n staticcheck)" && GOFLAGS="$$GOFLAGS -race" "$$staticcheck" ./...

# Only what is pure Go: the fuzzer's own build of the rest would take minutes.
fuzz: deps
	@for package in $$(grep -rl --include='*_test.go' '^func Fuzz' signalling server record | xargs -n1 dirname | sort -u); do \
		for target in $$(sed -n 's/^func \(Fuzz[A-Za-z0-9]*\)(.*/\1/p' $$package/*_test.go); do \
			case $$target in FuzzParseCommand) runs=$(COMMAND_FUZZ_RUNS) ;; FuzzFrames) runs=$(FRAMES_FUZZ_RUNS) ;; *) runs=$(FUZZ_RUNS) ;; esac; \
			$(GO) test -run '^$$' -fuzz "^$$target$$" -fuzztime $$runs -fuzzminimizetime 20x ./$$package || exit 1; \
		done; \
	done

deps: ## install what building and running need
	$(call install,$(build_packages) $(run_packages))

test-deps: ## install what the tests need in addition
	$(call install,$(test_packages))

container-deps: ## install what building and running containers needs
	$(call install,$(container_packages))

camera-deps: ## install what running a virtual machine needs
	$(call install,$(camera_packages))
