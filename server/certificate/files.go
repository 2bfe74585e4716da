package certificate

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync/atomic"
	"time"
)

// ErrFiles is wrapped by errors about certificate and key files that cannot be
// used together.
var ErrFiles = errors.New("certificate: unusable files")

// pollInterval is how soon changed files are noticed. Watching the folders would
// need one way per operating system, and mounted secrets change by symbolic link.
const pollInterval = 2 * time.Second

// files is a pair of PEM files that are read again when they change.
type files struct {
	certFile, keyFile string
	log               *slog.Logger

	current atomic.Pointer[tls.Certificate]

	// Owned by watch.
	seen     contents // what was looked at last
	unusable error    // why what is seen is not in use; nil once that was logged
}

// contents of the two files, or why there are none.
type contents struct {
	cert, key []byte
	err       error
}

func (c contents) equal(d contents) bool {
	return bytes.Equal(c.cert, d.cert) && bytes.Equal(c.key, d.key) && (c.err == nil) == (d.err == nil)
}

// Files takes the certificate, with its chain, and its key from PEM files. While
// Run runs, changed files come into use with the next connection; those that
// cannot be used are logged, and change nothing. An error wraps ErrFiles.
func Files(certFile, keyFile string, log *slog.Logger) (*Source, error) {
	f, err := openFiles(certFile, keyFile, log)
	if err != nil {
		return nil, err
	}
	get := func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return f.current.Load(), nil }
	return &Source{config: newConfig(get), run: f.watch}, nil
}

func openFiles(certFile, keyFile string, log *slog.Logger) (*files, error) {
	f := &files{certFile: certFile, keyFile: keyFile, log: log, seen: readFiles(certFile, keyFile)}
	certificate, err := f.seen.parse()
	if err != nil {
		return nil, err
	}
	f.use(certificate)
	return f, nil
}

func readFiles(certFile, keyFile string) contents {
	cert, certErr := os.ReadFile(certFile)
	key, keyErr := os.ReadFile(keyFile)
	return contents{cert, key, errors.Join(certErr, keyErr)}
}

func (c contents) parse() (*tls.Certificate, error) {
	if c.err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFiles, c.err)
	}
	certificate, err := tls.X509KeyPair(c.cert, c.key)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFiles, err)
	}
	return &certificate, nil
}

func (f *files) use(certificate *tls.Certificate) {
	f.current.Store(certificate)
	leaf := certificate.Leaf
	f.log.Info("certificate in use", "file", f.certFile, "names", leaf.DNSNames, "addresses", leaf.IPAddresses,
		"expires", leaf.NotAfter, "sha256", Fingerprint(certificate))
	if time.Now().After(leaf.NotAfter) {
		f.log.Warn("the certificate has expired", "file", f.certFile, "expired", leaf.NotAfter)
	}
}

func (f *files) watch(ctx context.Context) error {
	ticker := time.NewTicker(pollInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
			f.poll()
		}
	}
}

// poll complains about files only when they are unusable twice in a row: two
// files cannot be exchanged at once, so a pair that does not match may be half
// of a change.
func (f *files) poll() {
	now := readFiles(f.certFile, f.keyFile)
	if now.equal(f.seen) {
		if f.unusable != nil {
			f.log.Error("keeping the old certificate, the new one cannot be used",
				"cert", f.certFile, "key", f.keyFile, "err", f.unusable)
			f.unusable = nil
		}
		return
	}
	f.seen, f.unusable = now, nil
	certificate, err := now.parse()
	if err != nil {
		f.unusable = err
		return
	}
	f.use(certificate)
}
