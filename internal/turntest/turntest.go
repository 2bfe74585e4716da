// Package turntest runs coturn, a STUN and TURN server, for tests.
package turntest

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/gstpeer/gstpeer/internal/proctest"
)

// Realm is that of every server.
const Realm = "gstpeer.test"

// Server is a coturn that runs.
type Server struct {
	Address netip.AddrPort // of UDP and TCP

	log proctest.Output
}

// Log is what the server has said.
func (s *Server) Log() string { return s.log.String() }

// WithSecret is for credentials of the TURN REST API.
func WithSecret(secret string) []string {
	return []string{"--use-auth-secret", "--static-auth-secret=" + secret}
}

// WithUser is for one user with a password.
func WithUser(name, password string) []string {
	return []string{"--lt-cred-mech", "--user=" + name + ":" + password}
}

// Credentials are those of the TURN REST API, which end after a time.
func Credentials(secret, uid string, end time.Time) (username, credential string) {
	username = fmt.Sprintf("%d:%s", end.Unix(), uid)
	mac := hmac.New(sha1.New, []byte(secret))
	mac.Write([]byte(username))
	return username, base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// Start runs a server, on an address of this machine, until the test ends.
func Start(t testing.TB, options ...string) *Server {
	t.Helper()
	program, err := exec.LookPath("turnserver")
	if err != nil {
		t.Fatalf("%v: install the Debian package coturn", err)
	}
	s := &Server{Address: freePort(t)}
	dir := t.TempDir()
	command := exec.Command(program, slices.Concat([]string{
		"-n", "--no-cli", "--no-dtls", "--realm=" + Realm, "--fingerprint", "--allow-loopback-peers",
		"--listening-ip=" + s.Address.Addr().String(), "--relay-ip=" + s.Address.Addr().String(), fmt.Sprintf("--listening-port=%d", s.Address.Port()),
		"--log-file=stdout", "--simple-log", "--verbose",
		"--pidfile=" + filepath.Join(dir, "pid"), "--userdb=" + filepath.Join(dir, "db"),
	}, options)...)
	command.Stdout, command.Stderr = &s.log, &s.log
	proctest.Start(t, command).AwaitListener(s.Address.String())
	return s
}

// freePort is one that nobody has, of UDP and of TCP.
func freePort(t testing.TB) netip.AddrPort {
	t.Helper()
	ip := ownAddress(t)
	for range 100 {
		tcp, err := net.Listen("tcp", net.JoinHostPort(ip.String(), "0"))
		if err != nil {
			t.Fatal(err)
		}
		address := tcp.Addr().(*net.TCPAddr).AddrPort()
		udp, err := net.ListenPacket("udp", address.String())
		tcp.Close()
		if err == nil {
			udp.Close()
			return address
		}
	}
	t.Fatal("no port is free")
	return netip.AddrPort{}
}

// ownAddress is this machine's: one of the loopback interface is not reached from
// the others' sockets.
func ownAddress(t testing.TB) netip.Addr {
	t.Helper()
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addresses {
		ip, isIP := a.(*net.IPNet)
		if !isIP {
			continue
		}
		if own, _ := netip.AddrFromSlice(ip.IP); own.Unmap().Is4() && !own.Unmap().IsLoopback() {
			return own.Unmap()
		}
	}
	return netip.AddrFrom4([4]byte{127, 0, 0, 1})
}
