package server

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"syscall"
)

// ErrAddress is wrapped by the error of Listen for an address that is not of
// the form host:port.
var ErrAddress = errors.New("invalid address")

// Listen is ListenFor the --listen flag, which both programs have.
func Listen(address string) (net.Listener, error) {
	return ListenFor("--listen", address)
}

// ListenFor opens a TCP port; port 0 takes a free one. Its errors say what to do
// about them in terms of the flag that the address is from.
func ListenFor(flag, address string) (net.Listener, error) {
	_, port, err := net.SplitHostPort(address)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %s wants host:port or :port with a port from 0 to 65535, got %q", ErrAddress, flag, address)
	}
	listener, err := net.Listen("tcp", address)
	switch {
	case err == nil:
		return listener, nil
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("address %s is in use: end the program that has it, or choose another port with %s", address, flag)
	case errors.Is(err, syscall.EACCES):
		return nil, fmt.Errorf("not allowed to listen on %s: choose a port of 1024 or more with %s, or give the program CAP_NET_BIND_SERVICE", address, flag)
	}
	return nil, fmt.Errorf("cannot listen on %s: choose an address of this machine with %s: %w", address, flag, err)
}

// PageURL is the address of the page of a relay that listens on address, with
// TLS or without, as a browser on the same machine reaches it.
func PageURL(address net.Addr, secure bool) string {
	host, port, err := net.SplitHostPort(address.String())
	if err != nil { // not TCP
		return address.String()
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	if !secure {
		return "http://" + net.JoinHostPort(host, port) + "/"
	}
	return "https://" + strings.TrimSuffix(net.JoinHostPort(host, port), ":443") + "/"
}
