package certificate

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

// pair writes a fresh certificate for a name, and gives it.
func pair(t *testing.T, certFile, keyFile, name string) *x509.Certificate {
	t.Helper()
	certPEM, keyPEM, err := issue(identity{names: []string{name}}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.WriteFile(certFile, certPEM, 0o600), os.WriteFile(keyFile, keyPEM, 0o600)); err != nil {
		t.Fatal(err)
	}
	parsed, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		t.Fatal(err)
	}
	return parsed.Leaf
}

// listen echoes over TLS.
func listen(t *testing.T, config *tls.Config) net.Addr {
	t.Helper()
	listener, err := tls.Listen("tcp", "127.0.0.1:0", config)
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			running.Go(func() {
				defer conn.Close()
				_, _ = io.Copy(conn, conn)
			})
		}
	})
	t.Cleanup(func() {
		listener.Close()
		running.Wait()
	})
	return listener.Addr()
}

func dial(t *testing.T, address net.Addr, config *tls.Config) *tls.Conn {
	t.Helper()
	conn, err := tls.Dial("tcp", address.String(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func echo(t *testing.T, conn net.Conn, text string) {
	t.Helper()
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(text))
	if _, err := io.ReadFull(conn, got); err != nil || string(got) != text {
		t.Fatalf("echo %q, %v; want %q", got, err, text)
	}
}

// TestExchange has a connection outlive its certificate.
func TestExchange(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	pair(t, certFile, keyFile, "old.example")
	source, err := Files(certFile, keyFile, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan error)
	go func() { ran <- source.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-ran; err != nil {
			t.Errorf("Run: %v", err)
		}
	}()
	address := listen(t, source.Config())
	insecure := &tls.Config{InsecureSkipVerify: true}
	before := dial(t, address, insecure)
	echo(t, before, "before")

	pair(t, certFile, keyFile, "new.example")
	for deadline := time.Now().Add(20 * time.Second); ; {
		after := dial(t, address, insecure)
		if after.ConnectionState().PeerCertificates[0].DNSNames[0] == "new.example" {
			echo(t, after, "after")
			break
		}
		after.Close()
		if time.Now().After(deadline) {
			t.Fatal("the new certificate did not come into use")
		}
	}
	echo(t, before, "still there")
}

func TestUnusableFiles(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	if _, err := Files(certFile, keyFile, slog.Default()); !errors.Is(err, ErrFiles) || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no files: %v, want ErrFiles", err)
	}
	pair(t, certFile, filepath.Join(dir, "other.pem"), "a.example")
	pair(t, filepath.Join(dir, "other.pem"), keyFile, "b.example")
	if _, err := Files(certFile, keyFile, slog.Default()); !errors.Is(err, ErrFiles) {
		t.Errorf("a key for another certificate: %v, want ErrFiles", err)
	}
}

func TestVersions(t *testing.T) {
	source, _, err := SelfSigned(t.TempDir(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	address := listen(t, source.Config())
	for _, version := range []uint16{tls.VersionTLS10, tls.VersionTLS11, tls.VersionTLS12, tls.VersionTLS13} {
		conn, err := tls.Dial("tcp", address.String(), &tls.Config{InsecureSkipVerify: true, MinVersion: version, MaxVersion: version})
		if err == nil {
			conn.Close()
		}
		if accepted := err == nil; accepted != (version >= tls.VersionTLS12) {
			t.Errorf("%s: %v", tls.VersionName(version), err)
		}
	}
}

// TestSelfSigned trusts the kept certificate as a client with a file of
// authorities does, by name and by address.
func TestSelfSigned(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	source, made, err := SelfSigned(dir, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	address := listen(t, source.Config())
	pem, err := os.ReadFile(filepath.Join(dir, "self-signed.crt"))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	for _, name := range slices.Concat([]string{"localhost", "127.0.0.1", "::1"}, made.Leaf.DNSNames) {
		echo(t, dial(t, address, &tls.Config{RootCAs: roots, ServerName: name}), name)
	}
	_, kept, err := SelfSigned(dir, slog.New(slog.DiscardHandler))
	if err != nil || Fingerprint(kept) != Fingerprint(made) {
		t.Errorf("the second time: %v and another certificate", err)
	}
	if got := Fingerprint(made); len(got) != 95 || strings.Count(got, ":") != 31 {
		t.Errorf("fingerprint %q, want 32 bytes", got)
	}
	if key, err := os.Stat(filepath.Join(dir, "self-signed.key")); err != nil || key.Mode().Perm() != 0o600 {
		t.Errorf("key file %v, %v; want it private", key, err)
	}
	files, err := os.ReadDir(dir)
	if err != nil || len(files) != 2 {
		t.Errorf("files %v, %v; want certificate and key", files, err)
	}
}

func TestSelfSignedIsRenewed(t *testing.T) {
	dir, now, log := t.TempDir(), time.Now(), slog.New(slog.DiscardHandler)
	home := identity{names: []string{"pi"}, addresses: []net.IP{net.IPv4(192, 168, 0, 7), net.ParseIP("2001:db8::1")}}
	away := identity{names: []string{"pi"}, addresses: []net.IP{net.IPv4(10, 0, 0, 7)}}
	newIPv6 := identity{names: []string{"pi"}, addresses: []net.IP{net.IPv4(192, 168, 0, 7), net.ParseIP("2001:db8::2")}}
	renamed := identity{names: []string{"pi4"}, addresses: home.addresses}
	var last string
	for _, c := range []struct {
		name string
		id   identity
		at   time.Time
		same bool
	}{
		{"made", home, now, false},
		{"reused", home, now, true},
		{"another IPv6 address", newIPv6, now, true},
		{"another network", away, now, false},
		{"back home", home, now, true},
		{"another name", renamed, now, false},
		{"long before its end", renamed, now.Add(lifetime - reserve - time.Hour), true},
		{"shortly before its end", renamed, now.Add(lifetime - reserve + time.Hour), false},
	} {
		certificate, err := selfSigned(dir, c.id, c.at, log)
		if err != nil {
			t.Fatal(err)
		}
		if got := Fingerprint(certificate); (got == last) != c.same {
			t.Errorf("%s: the same certificate: %v, want %v", c.name, got == last, c.same)
		} else {
			last = got
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "self-signed.key"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := selfSigned(dir, home, now, log); err != nil {
		t.Errorf("with a broken key: %v, want a new certificate", err)
	}
	if _, _, err := SelfSigned(filepath.Join(dir, "self-signed.key", "x"), log); !errors.Is(err, ErrState) {
		t.Errorf("no folder: %v, want ErrState", err)
	}
}
