package server_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/gstpeer/gstpeer/internal/proctest"
	"github.com/gstpeer/gstpeer/server"
	"github.com/gstpeer/gstpeer/server/certificate"
)

func startSecureRelay(t *testing.T, source *certificate.Source, client *tls.Config) *relay {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	secure := tls.NewListener(listener, source.Config())
	return &relay{
		url:    "wss://" + listener.Addr().String(),
		server: serve(t, server.Config{}, server.Patience{}, secure),
		tls:    client,
	}
}

// selfSigned makes a certificate in the folder, and what a client that trusts it has.
func selfSigned(t *testing.T, dir string) (*certificate.Source, *tls.Config) {
	t.Helper()
	source, made, err := certificate.SelfSigned(dir, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(made.Leaf)
	return source, &tls.Config{RootCAs: roots}
}

// TestConformanceOverTLS holds the protocol where what is written goes through
// another layer.
func TestConformanceOverTLS(t *testing.T) {
	source, client := selfSigned(t, t.TempDir())
	for _, c := range conformance {
		t.Run(c.name, func(t *testing.T) { c.run(t, startSecureRelay(t, source, client)) })
	}
}

// TestCertificateExchange has a session go on while the certificate changes.
func TestCertificateExchange(t *testing.T) {
	oldDir, newDir, dir := t.TempDir(), t.TempDir(), t.TempDir()
	_, oldClient := selfSigned(t, oldDir)
	_, newClient := selfSigned(t, newDir)
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	install := func(from string) {
		t.Helper()
		for source, target := range map[string]string{"self-signed.crt": certFile, "self-signed.key": keyFile} {
			content, err := os.ReadFile(filepath.Join(from, source))
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(target, content, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	install(oldDir)
	source, err := certificate.Files(certFile, keyFile, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- source.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-ran; err != nil {
			t.Errorf("Run: %v", err)
		}
	}()
	r := startSecureRelay(t, source, oldClient)
	a, b := r.session(t)
	install(newDir)
	r.tls = newClient
	awaitTrust(t, r)
	c, d := r.session(t)
	for _, pair := range [][2]*client{{a, b}, {c, d}} {
		pair[0].send("still there")
		pair[1].want("still there")
	}
}

// awaitTrust waits until the relay's certificate is one that clients trust.
func awaitTrust(t *testing.T, r *relay) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; {
		conn, err := tls.Dial("tcp", r.url[len("wss://"):], r.tls)
		if err == nil {
			conn.Close()
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the new certificate did not come into use: %v", err)
		}
	}
}

// TestHandshakesFailQuietly has what the open internet does all day leave no
// mark in a log of ordinary severity.
func TestHandshakesFailQuietly(t *testing.T) {
	var said proctest.Output
	source, client := selfSigned(t, t.TempDir())
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.NewTextHandler(&said, nil))
	serve(t, server.Config{Log: log}, server.Patience{}, tls.NewListener(listener, source.Config()))
	conn, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("GET / HTTP/1.1\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	answer := make([]byte, 1024)
	if _, err := conn.Read(answer); err != nil || !bytes.Contains(answer, []byte("400 Bad Request")) {
		t.Errorf("plain HTTP is answered %q, %v; want 400", answer, err)
	}
	r := &relay{url: "wss://" + listener.Addr().String(), tls: client}
	r.register(t, "after")
	if got := said.String(); bytes.Contains([]byte(got), []byte("handshake")) {
		t.Errorf("the log says %q", got)
	}
}
