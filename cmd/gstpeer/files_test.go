package main

import (
	"os/exec"
	"strings"
	"testing"
)

// gstLaunch is a gst-launch-1.0 that has yet to be started.
func gstLaunch(pipeline string) *exec.Cmd {
	return exec.Command("gst-launch-1.0", append([]string{"-q"}, strings.Fields(pipeline)...)...)
}

// makeFile makes a media file of a gst-launch-1.0 pipeline that ends.
func makeFile(t *testing.T, path, pipeline string) {
	t.Helper()
	command := gstLaunch(pipeline + " filesink location=" + path)
	if text, err := command.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", command, err, text)
	}
}
