package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/url"
	"path/filepath"
	"strings"

	"github.com/gstpeer/gstpeer/internal/cli"
	"github.com/gstpeer/gstpeer/server"
	"github.com/gstpeer/gstpeer/server/certificate"
)

// acmeFlags are about certificates that are ordered from an authority.
type acmeFlags struct {
	ACME          []string `name:"acme" placeholder:"DOMAIN" help:"Serve with TLS and a certificate for this domain from Let's Encrypt, whose terms of service that accepts. The domain has to lead here, at port 443 or with --acme-http. Repeatable."`
	ACMEEmail     string   `name:"acme-email" placeholder:"ADDRESS" help:"Where the authority may write to about the certificates."`
	ACMEHTTP      string   `name:"acme-http" placeholder:"HOST:PORT" help:"Address to answer the authority by plain HTTP at, which it must reach as port 80; sends browsers to https. Recommended: :80."`
	ACMEDirectory string   `name:"acme-directory" placeholder:"URL" help:"Another ACME authority than Let's Encrypt."`
}

func (f *acmeFlags) check(other *cli.TLSFlags) error {
	switch {
	case len(f.ACME) > 0 && (other.TLSCert != "" || other.TLSSelfSigned):
		return errors.New("--acme excludes --tls-cert and --tls-self-signed: choose one certificate")
	case len(f.ACME) == 0 && f.ACMEEmail+f.ACMEHTTP+f.ACMEDirectory != "":
		return errors.New("--acme-email, --acme-http and --acme-directory want --acme DOMAIN")
	}
	for _, domain := range f.ACME {
		if !strings.Contains(domain, ".") || strings.ContainsAny(domain, "*:/ ") || net.ParseIP(domain) != nil {
			return fmt.Errorf("--acme wants a domain such as relay.example.org, got %q", domain)
		}
	}
	return nil
}

// source orders certificates as the flags say.
func (f *acmeFlags) source(state string, log *slog.Logger) (*certificate.Source, error) {
	acme := certificate.ACME{
		Domains:   f.ACME,
		Dir:       filepath.Join(state, "acme"),
		Email:     f.ACMEEmail,
		Directory: f.ACMEDirectory,
		Log:       log,
	}
	if f.ACMEHTTP != "" {
		listener, err := server.ListenFor("--acme-http", f.ACMEHTTP)
		if err != nil {
			return nil, err
		}
		acme.HTTP = listener
	}
	return acme.Source(), nil
}

// openTLS gives the source of the certificate; nil without TLS.
func (f *flags) openTLS(stdout io.Writer, log *slog.Logger) (*certificate.Source, error) {
	if len(f.ACME) > 0 {
		state, err := f.State()
		if err != nil {
			return nil, err
		}
		return f.acmeFlags.source(state, log)
	}
	source, selfSigned, err := f.Source(log)
	if selfSigned != nil {
		fmt.Fprintf(stdout, "The certificate's SHA-256 fingerprint is %s\n", certificate.Fingerprint(selfSigned))
	}
	return source, err
}

// pageURL is where the page is, as far as the relay knows.
func (f *flags) pageURL(address net.Addr) string {
	page := server.PageURL(address, f.secure())
	secure, err := url.Parse(page)
	if err != nil || len(f.ACME) == 0 {
		return page
	}
	secure.Host = strings.TrimSuffix(net.JoinHostPort(f.ACME[0], cmp.Or(secure.Port(), "443")), ":443")
	return secure.String()
}

func (f *flags) secure() bool { return len(f.ACME) > 0 || f.TLSFlags.Given() }
