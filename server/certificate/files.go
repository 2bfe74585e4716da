package certificate

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/gstpeer/gstpeer/internal/reload"
)

// ErrFiles is wrapped by errors about certificate and key files that cannot be
// used together.
var ErrFiles = errors.New("certificate: unusable files")

// Files takes the certificate, with its chain, and its key from PEM files. While
// Run runs, changed files come into use with the next connection; those that
// cannot be used are logged, and change nothing. An error wraps ErrFiles.
func Files(certFile, keyFile string, log *slog.Logger) (*Source, error) {
	var current atomic.Pointer[tls.Certificate]
	files, err := reload.Open(log, func(contents [][]byte) error {
		certificate, err := tls.X509KeyPair(contents[0], contents[1])
		if err != nil {
			return err
		}
		current.Store(&certificate)
		logUse(log, certFile, &certificate)
		return nil
	}, certFile, keyFile)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFiles, err)
	}
	get := func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return current.Load(), nil }
	return &Source{config: newConfig(get), run: files.Run}, nil
}

func logUse(log *slog.Logger, file string, certificate *tls.Certificate) {
	leaf := certificate.Leaf
	log.Info("certificate in use", "file", file, "names", leaf.DNSNames, "addresses", leaf.IPAddresses,
		"expires", leaf.NotAfter, "sha256", Fingerprint(certificate))
	if time.Now().After(leaf.NotAfter) {
		log.Warn("the certificate has expired", "file", file, "expired", leaf.NotAfter)
	}
}
