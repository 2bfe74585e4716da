// Package certificate gives a TLS listener its certificate: from PEM files,
// which may change at any time; from an ACME authority such as Let's Encrypt;
// or self-signed, for a network without names.
package certificate

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"fmt"
	"strings"
)

// Source is where a listener's certificate comes from.
type Source struct {
	config *tls.Config
	run    func(ctx context.Context) error
}

// Config is for a listener that speaks HTTP/1.1, which WebSockets need, over
// TLS 1.2 or later.
func (s *Source) Config() *tls.Config {
	return s.config.Clone()
}

// Run does what keeps the certificate fresh until ctx ends, which is no error.
func (s *Source) Run(ctx context.Context) error {
	return s.run(ctx)
}

func newConfig(get func(*tls.ClientHelloInfo) (*tls.Certificate, error)) *tls.Config {
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		NextProtos:     []string{"http/1.1"},
		GetCertificate: get,
	}
}

func idle(ctx context.Context) error {
	<-ctx.Done()
	return nil
}

// Fingerprint is the SHA-256 of a certificate, in the form that browsers show.
func Fingerprint(certificate *tls.Certificate) string {
	sum := sha256.Sum256(certificate.Leaf.Raw)
	pairs := make([]string, len(sum))
	for i, b := range sum {
		pairs[i] = fmt.Sprintf("%02X", b)
	}
	return strings.Join(pairs, ":")
}
