package certificate

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// ErrState is wrapped by errors about the folder that certificates are kept in.
var ErrState = errors.New("certificate: cannot be kept")

// A self-signed certificate lasts for as long as browsers accept one, and is
// made anew when it would end soon.
const (
	lifetime = 820 * 24 * time.Hour
	reserve  = 30 * 24 * time.Hour
)

// SelfSigned gives a certificate that nobody vouches for, with the names and
// addresses of this machine. It is kept in dir, as self-signed.crt and
// self-signed.key, so that who has accepted it once need not do so again. A new
// one takes its place when it is about to end or when the machine has got a
// name or an IPv4 address that is not in it. An error wraps ErrState.
func SelfSigned(dir string, log *slog.Logger) (*Source, *tls.Certificate, error) {
	certificate, err := selfSigned(dir, machine(), time.Now(), log)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrState, err)
	}
	get := func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return certificate, nil }
	return &Source{config: newConfig(get), run: idle}, certificate, nil
}

// identity is what a certificate is for.
type identity struct {
	names     []string
	addresses []net.IP
}

// machine is the identity of this one.
func machine() identity {
	id := identity{names: []string{"localhost"}, addresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback}}
	if host, err := os.Hostname(); err == nil && host != "" && host != "localhost" {
		id.names = append(id.names, host)
		if !strings.Contains(host, ".") {
			id.names = append(id.names, host+".local") // by multicast DNS
		}
	}
	addresses, _ := net.InterfaceAddrs() // without them, the names remain
	for _, address := range addresses {
		if ip, ok := address.(*net.IPNet); ok && !ip.IP.IsLoopback() && !ip.IP.IsLinkLocalUnicast() {
			id.addresses = append(id.addresses, ip.IP)
		}
	}
	return id
}

func selfSigned(dir string, id identity, now time.Time, log *slog.Logger) (*tls.Certificate, error) {
	certFile, keyFile := filepath.Join(dir, "self-signed.crt"), filepath.Join(dir, "self-signed.key")
	kept, err := tls.LoadX509KeyPair(certFile, keyFile)
	switch {
	case err == nil:
		lacks := missing(kept.Leaf, id, now)
		if lacks == "" {
			return &kept, nil
		}
		log.Warn("making a new self-signed certificate", "because", lacks, "old", Fingerprint(&kept))
		id = id.with(kept.Leaf)
	case !errors.Is(err, fs.ErrNotExist):
		log.Warn("making a new self-signed certificate", "because", err)
	}
	certPEM, keyPEM, err := issue(id, now)
	if err != nil {
		return nil, err
	}
	made, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	return &made, errors.Join(replaceFile(keyFile, keyPEM, 0o600), replaceFile(certFile, certPEM, 0o644))
}

// missing says why a certificate will not do; empty if it will. IPv6 addresses
// do not count: machines change theirs by the day.
func missing(c *x509.Certificate, id identity, now time.Time) string {
	if now.Add(reserve).After(c.NotAfter) || now.Before(c.NotBefore) {
		return fmt.Sprintf("the old one ends at %v", c.NotAfter)
	}
	for _, name := range id.names {
		if !slices.Contains(c.DNSNames, name) {
			return "the old one lacks the name " + name
		}
	}
	for _, address := range id.addresses {
		if address.To4() != nil && !slices.ContainsFunc(c.IPAddresses, address.Equal) {
			return "the old one lacks the address " + address.String()
		}
	}
	return ""
}

// with adds what an old certificate was for, so that a machine that moves
// between two networks needs a new one only once.
func (id identity) with(old *x509.Certificate) identity {
	for _, name := range old.DNSNames {
		if !slices.Contains(id.names, name) {
			id.names = append(id.names, name)
		}
	}
	for _, address := range old.IPAddresses {
		if address.To4() != nil && !slices.ContainsFunc(id.addresses, address.Equal) {
			id.addresses = append(id.addresses, address)
		}
	}
	return id
}

// issue makes a certificate and its key, in PEM form.
func issue(id identity, now time.Time) (certPEM, keyPEM []byte, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	template := &x509.Certificate{
		Subject:               pkix.Name{CommonName: "gstpeer on " + id.names[len(id.names)-1]},
		DNSNames:              id.names,
		IPAddresses:           id.addresses,
		NotBefore:             now.Add(-time.Hour), // for clocks that are late
		NotAfter:              now.Add(lifetime),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, nil, err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), nil
}

// replaceFile writes a file as a whole or not at all.
func replaceFile(path string, content []byte, mode fs.FileMode) error {
	temporary, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*") // readable by its owner only
	if err != nil {
		return err
	}
	defer os.Remove(temporary.Name()) // fails once it has been renamed
	_, err = temporary.Write(content)
	err = errors.Join(err, temporary.Chmod(mode), temporary.Close())
	if err != nil {
		return err
	}
	return os.Rename(temporary.Name(), path)
}
