package cli

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

// healthTimeout is how long a healthy program may take to say so.
const healthTimeout = 3 * time.Second

// Asked is a program of ours that is asked whether it is healthy, on the same
// machine.
type Asked struct {
	Address string // HOST:PORT that it listens on
	TLS     bool
	Domain  string // of its certificate; empty if that does not matter
}

// Health asks a program whether it is healthy, and says so. It is for the checks
// of container engines, in images that have nothing else to ask with.
func Health(ctx context.Context, a Asked, stdout io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, healthTimeout)
	defer cancel()
	url, err := a.url()
	if err != nil {
		return UsageError{err}
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return UsageError{err}
	}
	// The certificate may be for another name, or for none that is known here:
	// what is asked never leaves the machine.
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true, ServerName: a.Domain}}
	defer transport.CloseIdleConnections()
	response, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		return fmt.Errorf("not healthy: %w", err)
	}
	defer response.Body.Close()
	said, err := io.ReadAll(io.LimitReader(response.Body, 200))
	switch {
	case err != nil:
		return fmt.Errorf("not healthy: %s: %w", url, err)
	case response.StatusCode != http.StatusOK:
		return fmt.Errorf("not healthy: %s answers %s: %s", url, response.Status, strings.TrimSpace(string(said)))
	}
	fmt.Fprintln(stdout, "healthy")
	return nil
}

// url is where to ask. A program that listens on every address listens on the
// loopback one.
func (a Asked) url() (string, error) {
	host, port, err := net.SplitHostPort(a.Address)
	if err != nil {
		return "", fmt.Errorf("want the HOST:PORT that the program listens on, got %q", a.Address)
	}
	if port == "0" {
		return "", errors.New("port 0 is any free one: name the one that the program listens on")
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "localhost" // IPv4 or IPv6, whichever answers
	}
	scheme := "http"
	if a.TLS {
		scheme = "https"
	}
	return scheme + "://" + net.JoinHostPort(host, port) + "/health", nil
}
