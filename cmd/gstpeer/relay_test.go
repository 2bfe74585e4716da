package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"

	"github.com/gstpeer/gstpeer/server"
	"github.com/gstpeer/gstpeer/server/certificate"
	"github.com/gstpeer/gstpeer/signalling"
)

// authority signs certificates.
type authority struct {
	file        string // its own certificate in PEM form
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{file: filepath.Join(t.TempDir(), "ca.pem")}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "private authority"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	a.certificate, a.key = a.sign(t, template)
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.certificate.Raw})
	if err := os.WriteFile(a.file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return a
}

// sign makes a certificate: the authority's own if that has none yet.
func (a *authority) sign(t *testing.T, template *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	parent, parentKey := a.certificate, a.key
	if parent == nil {
		parent, parentKey = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), parentKey)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return certificate, key
}

// startTLSRelay runs a relay behind TLS, until the test ends, with a certificate
// for 127.0.0.1.
func (a *authority) startTLSRelay(t *testing.T) (address string) {
	t.Helper()
	address, _ = a.startTLSRelayAt(t, "127.0.0.1:0")
	return address
}

// startTLSRelayAt does so at an address, until stop.
func (a *authority) startTLSRelayAt(t *testing.T, wanted string) (address string, stop func()) {
	t.Helper()
	listener, err := net.Listen("tcp", wanted)
	if err != nil {
		t.Fatal(err)
	}
	certificate, key := a.sign(t, &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "relay"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	})
	relay, err := server.New(server.Config{})
	if err != nil {
		t.Fatal(err)
	}
	front := &httptest.Server{Listener: listener, Config: &http.Server{Handler: relay.Handler()}}
	front.Config.ErrorLog = log.New(io.Discard, "", 0)
	front.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{certificate.Raw}, PrivateKey: key}}}
	front.StartTLS()
	stop = sync.OnceFunc(func() { relay.Close(); front.Close() })
	t.Cleanup(stop)
	return listener.Addr().String(), stop
}

func TestTLSRelay(t *testing.T) {
	t.Parallel()
	private := newAuthority(t)
	address := private.startTLSRelay(t)
	insecure := startStreamingTo(t, "wss://"+address, "insecure", "--insecure")
	if !strings.Contains(insecure.stderr.String(), "level=WARN msg=\"--insecure: ") {
		t.Error("--insecure gives no warning")
	}
	secure := startStreamingTo(t, "wss://"+address, "secure", "--ca-file", private.file)
	if strings.Contains(secure.stderr.String(), "level=WARN") {
		t.Error("--ca-file gives a warning")
	}
}

func TestRelayErrors(t *testing.T) {
	private := newAuthority(t)
	tlsAddress := private.startTLSRelay(t)
	plain := startRelay(t)
	noRelay := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(noRelay.Close)
	joinRoom(t, "ws://"+plain, "taken")
	_, port, err := net.SplitHostPort(tlsAddress)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range []failure{
		{args: []string{"--server", "ws://" + freeAddress(t)}, says: `nothing listens at ws://.*is the relay running there\?`},
		{args: []string{"--server", "wss://" + tlsAddress}, says: `signed by an unknown authority: give that with --ca-file`},
		{args: []string{"--server", "wss://" + tlsAddress, "--ca-file", newAuthority(t).file}, says: `signed by an unknown authority: give that with --ca-file`},
		{args: []string{"--server", "wss://localhost:" + port, "--ca-file", private.file}, says: `is not valid for it: use a name that it has`},
		{args: []string{"--server", "wss://" + plain}, says: `does not speak TLS: try ws://`},
		{args: []string{"--server", "ws://" + tlsAddress}, says: `HTTP 400|wss://`},
		{args: []string{"--server", "ws" + strings.TrimPrefix(noRelay.URL, "http")}, says: `HTTP 404 Not Found instead of a WebSocket: is it a relay\?`},
		{args: []string{"--server", "ws://relay.invalid:8443"}, says: `host "relay.invalid" cannot be found`},
		{args: []string{"--server", "ws://" + plain, "--name", "taken"}, says: `"taken" is taken by another peer: choose another --name`},
	} {
		f.code = 1
		t.Run(f.name(), f.check)
	}
}

// TestRelayComesBack shows that the program waits for a relay that is away for a
// while, and then goes on.
func TestRelayComesBack(t *testing.T) {
	t.Parallel()
	relay, stop := startRelayAt(t, "127.0.0.1:0")
	p := startStreamingTo(t, "ws://"+relay, "cam")
	stop()
	await(t, "word of the relay's absence", func() bool { return strings.Contains(p.stderr.String(), "relay is still away") })
	_, stop = startRelayAt(t, relay)
	v := newViewer(t, "ws://"+relay, "viewer")
	v.awaitTrack("cam", webrtc.RTPCodecTypeVideo).awaitFrames(t, enoughFrames)
	v.expectEnd()
	stop()
	p.signal(syscall.SIGTERM)
	if code := p.ExitCode(stopsWithin); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
}

// TestRelayChangesAuthority has the relay come back with a certificate of another
// authority, which --ca-file then has, as with one of the relay's own making.
func TestRelayChangesAuthority(t *testing.T) {
	t.Parallel()
	first, second := newAuthority(t), newAuthority(t)
	address, stop := first.startTLSRelayAt(t, "127.0.0.1:0")
	p := startStreamingTo(t, "wss://"+address, "cam", "--ca-file", first.file)
	says := func(text string) {
		t.Helper()
		await(t, text, func() bool { return strings.Contains(p.stderr.String(), text) })
	}
	stop()
	second.startTLSRelayAt(t, address)
	says(`msg="cannot come back yet" error="signalling: cannot connect to the relay: the certificate of wss://` + address + ` is signed by an unknown authority`)
	if err := os.Rename(second.file, first.file); err != nil {
		t.Fatal(err)
	}
	says(`msg="relay back`)
}

// TestReferenceRelay joins a room of GStreamer's original relay, which
// GSTPEER_SIMPLE_SERVER names.
func TestReferenceRelay(t *testing.T) {
	script := os.Getenv("GSTPEER_SIMPLE_SERVER")
	if script == "" {
		t.Skip("GSTPEER_SIMPLE_SERVER does not name GStreamer's simple_server.py")
	}
	for _, test := range []struct {
		name        string
		viewerFirst bool
	}{{"gstpeer offers", true}, {"gstpeer answers", false}} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			relay := startReference(t, script)
			var v *viewer
			if test.viewerFirst {
				v = newViewer(t, relay, "viewer")
			}
			p := startStreamingTo(t, relay, "cam")
			if !test.viewerFirst {
				v = newViewer(t, relay, "viewer")
			}
			v.awaitTrack("cam", webrtc.RTPCodecTypeVideo).awaitFrames(t, 2*enoughFrames)
			v.awaitTrack("cam", webrtc.RTPCodecTypeAudio).awaitPackets(t, enoughFrames)
			if p.hasExited() {
				t.Error("gstpeer has ended")
			}
			v.expectEnd()
		})
	}
}

// startReference runs the original relay without TLS until the test ends.
func startReference(t *testing.T, script string) string {
	t.Helper()
	address := freeAddress(t)
	startReferenceAt(t, script, address)
	return "ws://" + address
}

func startReferenceAt(t *testing.T, script, address string) *program {
	t.Helper()
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	// Debian's python3-websockets is for Debian's Python.
	p := startProgram(t, exec.Command("/usr/bin/python3", script, "--disable-ssl", "--addr", host, "--port", port))
	await(t, "original relay", func() bool {
		if p.hasExited() {
			t.Fatal("simple_server.py ended at once: does it lack python3-websockets?")
		}
		client, err := signalling.Dial(t.Context(), signalling.ClientConfig{URL: "ws://" + address, UID: "probe"})
		if err != nil {
			return false
		}
		client.Close()
		return true
	})
	return p
}

// TestRelayOfOurOwnWithTLS: the page and peers reach the built-in relay by TLS,
// with the certificate whose fingerprint was printed, and so does gstpeer.
func TestRelayOfOurOwnWithTLS(t *testing.T) {
	t.Parallel()
	p := startGstpeer(t, nil, slices.Concat([]string{"--listen", "127.0.0.1:0", "--name", "cam", "--tls-self-signed", "--state-dir", t.TempDir()}, small)...)
	fingerprint := p.awaitOutput(`fingerprint is (\S+)`)[1]
	page, err := url.Parse(p.awaitOutput(`(?m)^Open (https://\S+)$`)[1])
	if err != nil {
		t.Fatal(err)
	}
	trusted := &tls.Config{
		InsecureSkipVerify: true, // VerifyConnection does it
		VerifyConnection: func(state tls.ConnectionState) error {
			own := &tls.Certificate{Leaf: state.PeerCertificates[0]}
			if got := certificate.Fingerprint(own); got != fingerprint {
				return fmt.Errorf("the fingerprint is %s, printed was %s", got, fingerprint)
			}
			return nil
		},
	}
	client, err := signalling.Dial(t.Context(), signalling.ClientConfig{URL: "wss://" + page.Host, UID: "viewer", TLS: func() *tls.Config { return trusted }})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	members, err := client.Join(t.Context(), page.Query().Get("room"))
	if err != nil || !slices.Equal(members, []string{"cam"}) {
		t.Errorf("the room has %q, %v, want cam", members, err)
	}
	p.signal(syscall.SIGTERM)
	if code := p.ExitCode(startLimit); code != 0 {
		t.Errorf("exit code %d after SIGTERM, want 0", code)
	}
}
