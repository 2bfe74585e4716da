package certificate

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

const domain = "relay.example"

// authority is as much of an ACME authority (RFC 8555) as one domain needs. It
// checks no signatures, but the domain.
type authority struct {
	t *testing.T
	*httptest.Server
	challenge string                   // the type that it offers
	check     func(token string) error // whether the domain is who asked
	key       *ecdsa.PrivateKey
	root      *x509.Certificate

	mu         sync.Mutex
	authorized bool
	issued     []byte // PEM
	orders     int
}

func newAuthority(t *testing.T, challenge string) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	root, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	a := &authority{t: t, challenge: challenge, key: key, root: root}
	a.Server = httptest.NewServer(http.HandlerFunc(a.serve))
	t.Cleanup(a.Close)
	return a
}

func (a *authority) serve(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	w.Header().Set("Replay-Nonce", "nonce")
	var signed struct{ Payload string }
	_ = json.NewDecoder(r.Body).Decode(&signed) // absent in a GET
	switch r.URL.Path {
	case "/directory":
		a.reply(w, http.StatusOK, map[string]any{"newNonce": a.URL + "/nonce", "newAccount": a.URL + "/account", "newOrder": a.URL + "/new"})
	case "/account":
		w.Header().Set("Location", a.URL+"/account/1")
		a.reply(w, http.StatusCreated, map[string]any{"status": "valid"})
	case "/new":
		a.orders++
		a.authorized = false
		w.Header().Set("Location", a.URL+"/order")
		a.reply(w, http.StatusCreated, a.order())
	case "/order":
		a.reply(w, http.StatusOK, a.order())
	case "/authorization", "/challenge":
		if r.URL.Path == "/challenge" {
			if err := a.check("token"); err != nil {
				a.t.Errorf("%s: %v", a.challenge, err)
			}
			a.authorized = true
		}
		a.reply(w, http.StatusOK, a.authorization(r.URL.Path == "/challenge"))
	case "/finalize":
		if err := a.issue(signed.Payload); err != nil {
			a.t.Errorf("finalize: %v", err)
		}
		w.Header().Set("Location", a.URL+"/order")
		a.reply(w, http.StatusOK, a.order())
	case "/certificate":
		_, _ = w.Write(a.issued)
	}
}

func (a *authority) reply(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	if err := json.NewEncoder(w).Encode(body); err != nil {
		a.t.Error(err)
	}
}

func (a *authority) order() map[string]any {
	status := "pending"
	switch {
	case a.issued != nil:
		status = "valid"
	case a.authorized:
		status = "ready"
	}
	return map[string]any{
		"status": status, "authorizations": []string{a.URL + "/authorization"},
		"finalize": a.URL + "/finalize", "certificate": a.URL + "/certificate",
	}
}

func (a *authority) authorization(ofChallenge bool) map[string]any {
	status := "pending"
	if a.authorized {
		status = "valid"
	}
	challenge := map[string]any{"type": a.challenge, "url": a.URL + "/challenge", "token": "token", "status": status}
	if ofChallenge {
		return challenge
	}
	return map[string]any{
		"status": status, "challenges": []any{challenge},
		"identifier": map[string]any{"type": "dns", "value": domain},
	}
}

func (a *authority) issue(payload string) error {
	request, err := base64.RawURLEncoding.DecodeString(payload)
	if err != nil {
		return err
	}
	var finalize struct{ CSR string }
	if err := json.Unmarshal(request, &finalize); err != nil {
		return err
	}
	der, err := base64.RawURLEncoding.DecodeString(finalize.CSR)
	if err != nil {
		return err
	}
	csr, err := x509.ParseCertificateRequest(der)
	if err != nil || !slices.Contains(csr.DNSNames, domain) {
		return fmt.Errorf("a request for %v, %v; want %s", csr, err, domain)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), DNSNames: csr.DNSNames, NotAfter: time.Now().Add(90 * 24 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	made, err := x509.CreateCertificate(rand.Reader, template, a.root, csr.PublicKey, a.key)
	if err != nil {
		return err
	}
	a.issued = slices.Concat(
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: made}),
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.root.Raw}))
	return nil
}

// trusting is a client of the domain that trusts the authority.
func (a *authority) trusting() *tls.Config {
	roots := x509.NewCertPool()
	roots.AddCert(a.root)
	return &tls.Config{RootCAs: roots, ServerName: domain}
}

// runACME has a listener with certificates of the authority.
func runACME(t *testing.T, a *authority, dir string, plain net.Listener) (address net.Addr) {
	t.Helper()
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	source := ACME{
		Domains: []string{domain}, Dir: dir, Directory: a.URL + "/directory", Email: "operator@relay.example", HTTP: plain,
		Client: &http.Client{Transport: transport}, Log: slog.New(slog.DiscardHandler),
	}.Source()
	ctx, cancel := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- source.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ran; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return listen(t, source.Config())
}

// TestACMEByTLS has the authority ask on the TLS listener (RFC 8737).
func TestACMEByTLS(t *testing.T) {
	a, dir := newAuthority(t, "tls-alpn-01"), t.TempDir()
	address := runACME(t, a, dir, nil)
	a.check = func(string) error {
		conn, err := tls.Dial("tcp", address.String(), &tls.Config{
			ServerName: domain, NextProtos: []string{"acme-tls/1"}, InsecureSkipVerify: true,
		})
		if err != nil {
			return err
		}
		defer conn.Close()
		for _, extension := range conn.ConnectionState().PeerCertificates[0].Extensions {
			if extension.Id.Equal(asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 1, 31}) && extension.Critical {
				return nil
			}
		}
		return fmt.Errorf("no acmeIdentifier in the certificate")
	}
	echo(t, dial(t, address, a.trusting()), "ordered")

	kept := runACME(t, a, dir, nil)
	echo(t, dial(t, kept, a.trusting()), "kept")
	if a.orders != 1 {
		t.Errorf("%d orders, want the certificate to be kept", a.orders)
	}
	foreign := a.trusting()
	foreign.ServerName = "other.example"
	if conn, err := tls.Dial("tcp", address.String(), foreign); err == nil {
		conn.Close()
		t.Error("a domain that is not ours was served")
	}
}

// TestACMEByHTTP has the authority ask on the plain listener, which sends
// browsers to https.
func TestACMEByHTTP(t *testing.T) {
	plain, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	a := newAuthority(t, "http-01")
	transport := &http.Transport{DisableKeepAlives: true}
	ask := func(path string) (*http.Response, string, error) {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+plain.Addr().String()+path, nil)
		if err != nil {
			return nil, "", err
		}
		request.Host = domain
		response, err := transport.RoundTrip(request)
		if err != nil {
			return nil, "", err
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		return response, string(body), err
	}
	a.check = func(token string) error {
		response, body, err := ask("/.well-known/acme-challenge/" + token)
		if err == nil && (response.StatusCode != http.StatusOK || !strings.HasPrefix(body, token+".")) {
			err = fmt.Errorf("%s %q", response.Status, body)
		}
		return err
	}
	address := runACME(t, a, t.TempDir(), plain)
	echo(t, dial(t, address, a.trusting()), "ordered")
	response, _, err := ask("/?room=lab")
	if err != nil || response.Header.Get("Location") != "https://"+domain+"/?room=lab" {
		t.Errorf("a browser gets %v, %v; want it sent to https", response, err)
	}
}

func TestACMEListenerFails(t *testing.T) {
	plain, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	plain.Close()
	source := ACME{Domains: []string{domain}, Dir: t.TempDir(), HTTP: plain, Log: slog.New(slog.DiscardHandler)}.Source()
	if err := source.Run(t.Context()); !errors.Is(err, ErrHTTPListener) {
		t.Errorf("Run: %v, want ErrHTTPListener", err)
	}
}
