package main

import (
	"net/url"
	"regexp"
	"testing"
)

// TestHealth asks it as a container engine does, by a second process that has the
// same variables.
func TestHealth(t *testing.T) {
	t.Parallel()
	p := startStreaming(t, "--metrics", "127.0.0.1:0")
	for _, variable := range []struct{ name, page string }{{"GSTPEER_METRICS", p.monitored()}, {"GSTPEER_LISTEN", p.page()}} {
		at, err := url.Parse(variable.page)
		if err != nil {
			t.Fatal(err)
		}
		health := startGstpeer(t, []string{variable.name + "=" + at.Host}, "health")
		if code := health.ExitCode(startLimit); code != 0 || health.stdout.String() != "healthy\n" {
			t.Errorf("%s: exit code %d, %s", variable.name, code, health.stdout.String())
		}
	}
}

func TestUnhealthy(t *testing.T) {
	t.Parallel()
	health := startGstpeer(t, nil, "health", "--listen", freeAddress(t))
	if code := health.ExitCode(startLimit); code != 1 {
		t.Errorf("exit code %d, want 1", code)
	}
}

func TestVersion(t *testing.T) {
	t.Parallel()
	p := startGstpeer(t, nil, "version")
	want := regexp.MustCompile(`^gstpeer \d+\.\d+\.\d+(-dev)?, commit \w+, go1\S* \w+/\w+, GStreamer 1\.\d+\.\d+\n$`)
	if code := p.ExitCode(startLimit); code != 0 || !want.MatchString(p.stdout.String()) {
		t.Errorf("exit code %d, %q", code, p.stdout.String())
	}
}

// TestListenVariable holds that the default of a container image is none of the
// user's concern.
func TestListenVariable(t *testing.T) {
	t.Parallel()
	relay := startStreaming(t)
	p := startGstpeer(t, []string{"GSTPEER_LISTEN=:8443"}, "--server", relay.relay(), "--name", "second", "--video", "none", "--audio", "test")
	p.awaitOutput(`Streaming to room`)
}
