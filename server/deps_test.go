package server_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// TestDeps holds that the relay and the protocol need neither GStreamer nor cgo.
func TestDeps(t *testing.T) {
	const module = "github.com/gstpeer/gstpeer"
	packages := []string{module + "/signalling", module + "/server", module + "/cmd/gstpeer-server"}
	list := exec.Command("go", append([]string{"list", "-deps"}, packages...)...)
	list.Env = append(os.Environ(), "CGO_ENABLED=0")
	list.Stderr = os.Stderr
	deps, err := list.Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, dep := range strings.Fields(string(deps)) {
		if strings.Contains(dep, "go-gst") || strings.HasPrefix(dep, module+"/pipeline") || dep == "runtime/cgo" {
			t.Errorf("the relay depends on %s", dep)
		}
	}
	build := exec.Command("go", append([]string{"build", "-trimpath", "-o", os.DevNull}, packages...)...)
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if output, err := build.CombinedOutput(); err != nil {
		t.Errorf("build without cgo: %v\n%s", err, output)
	}
}
