package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/alecthomas/kong"
	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/gorilla/websocket"
	"go.uber.org/goleak"

	"github.com/gstpeer/gstpeer/internal/cli"
	"github.com/gstpeer/gstpeer/server"
	"github.com/gstpeer/gstpeer/signalling"
)

// asProgram makes the test binary behave as the program.
const asProgram = "GSTPEER_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
		return
	}
	goleak.VerifyTestMain(m)
}

const secret = "a secret that only the tests know, of enough bytes"

// outcome runs the program until it ends by itself.
func outcome(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var out, err bytes.Buffer
	code = cli.Report(&err, "gstpeer-server", run(ctx, args, &out, &err))
	if ctx.Err() != nil {
		t.Fatalf("%q: did not end by itself", args)
	}
	return code, out.String(), err.String()
}

func TestUsageErrors(t *testing.T) {
	for _, c := range []struct {
		args []string
		says string
	}{
		{[]string{"--nonsense"}, "unknown flag --nonsense"},
		{[]string{"nonsense"}, "unexpected argument nonsense"},
		{[]string{"--keepalive=0s"}, "--keepalive wants more than 0"},
		{[]string{"--keepalive=often"}, "--keepalive"},
		{[]string{"--log-level=loud"}, "--log-level must be one of"},
		{[]string{"--log-format=xml"}, "--log-format must be one of"},
		{[]string{"--listen=8443"}, "--listen wants host:port"},
		{[]string{"--listen=:http"}, "--listen wants host:port"},
		{[]string{"--listen=localhost:70000"}, "--listen wants host:port"},
		{[]string{"--listen=127.0.0.1:0", "--metrics=9090"}, "--metrics wants host:port"},
		{[]string{"--listen=127.0.0.1:0", "--acme=relay.example", "--acme-http=80"}, "--acme-http wants host:port"},
		{[]string{"--resume-grace=-1s"}, "--resume-grace wants 0 or more"},
		{[]string{"--drain=-1s"}, "--drain wants 0 or more"},
		{[]string{"--allow-origin=app.example"}, "--allow-origin: want https://host"},
		{[]string{"--allow-origin=https://*app.example"}, "--allow-origin: want https://host"},
		{[]string{"--trusted-proxies=10.0.0.0/33"}, "--trusted-proxies: want an address or a network"},
		{[]string{"--trusted-proxies=proxy.example"}, "--trusted-proxies: want an address or a network"},
		{[]string{"--tls-cert=c.pem"}, "--tls-cert and --tls-key want each other"},
		{[]string{"--tls-key=k.pem"}, "--tls-cert and --tls-key want each other"},
		{[]string{"--tls-cert=c.pem", "--tls-key=k.pem", "--tls-self-signed"}, "exclude each other"},
		{[]string{"--listen=127.0.0.1:0", "--tls-cert=/nowhere/c.pem", "--tls-key=/nowhere/k.pem"}, "/nowhere/c.pem: no such file"},
		{[]string{"--acme=relay.example", "--tls-self-signed"}, "--acme excludes"},
		{[]string{"--acme=192.0.2.1"}, "--acme wants a domain"},
		{[]string{"--acme=https://relay.example"}, "--acme wants a domain"},
		{[]string{"--acme-http=:80"}, "want --acme DOMAIN"},
		{[]string{"--auth-secret=short"}, "want 32 or more"},
		{[]string{"--auth-secret=x", "--auth-secret-file=y"}, "exclude each other"},
		{[]string{"--auth-secret-file=/nowhere/secret"}, "/nowhere/secret: no such file"},
		{[]string{"--auth-jwks=/nowhere/keys"}, "/nowhere/keys: no such file"},
		{[]string{"--auth-jwks=run_test.go"}, "want a JSON Web Key Set"},
		{[]string{"--auth-keep-expired"}, "want --auth-secret or --auth-jwks"},
		{[]string{"--stun=stun.example"}, "--stun: invalid ICE server: want stun:HOST"},
		{[]string{"--turn=turn:turn.example"}, "--turn wants --turn-secret or --turn-secret-file"},
		{[]string{"--turn=turn.example", "--turn-secret=x"}, "--turn: invalid ICE server: want turn:HOST"},
		{[]string{"--turn-secret=x"}, "--turn-secret and --turn-secret-file want --turn"},
		{[]string{"--turn-secret-file=run_test.go"}, "--turn-secret and --turn-secret-file want --turn"},
		{[]string{"--turn-ttl=-1s"}, "--turn-ttl wants more than 0"},
		{[]string{"--turn-ttl=0s"}, "--turn-ttl wants more than 0"},
		{[]string{"--max-rooms=0"}, "--max-rooms wants 1 or more"},
		{[]string{"--messages-per-second=NaN"}, "--messages-per-second wants"},
		{[]string{"--bytes-per-second=-1"}, "--bytes-per-second wants"},
		{[]string{"--time-to-hello=0s"}, "--time-to-hello wants more than 0"},
		{[]string{"health", "--listen=8443"}, "want the HOST:PORT"},
		{[]string{"version", "now"}, "takes no arguments"},
		{[]string{"token"}, "--auth-secret or --auth-secret-file is wanted"},
		{[]string{"token", "--auth-secret=short"}, "want 32 or more"},
		{[]string{"token", "--auth-secret=" + secret, "--role=admin"}, "--role must be one of"},
		{[]string{"token", "--auth-secret=" + secret, "--ttl=0s"}, "--ttl wants 1s or more"},
		{[]string{"token", "--auth-secret=" + secret, "--uid=a", "--uid-prefix=b"}, "exclude each other"},
		{[]string{"token", "--auth-secret=" + secret, "--room=two words"}, "white space"},
		{[]string{"token", "--auth-secret=" + secret, "--url=relay.example"}, "--url wants"},
	} {
		code, _, stderr := outcome(t, c.args...)
		if strings.Contains(stderr, secret) {
			t.Errorf("%q: the secret is in %q", c.args, stderr)
		}
		if code != 2 || !strings.Contains(stderr, c.says) || strings.Count(stderr, "\n") != 1 {
			t.Errorf("%q: exit code %d, stderr %q; want 2 and one line that says %q", c.args, code, stderr, c.says)
		}
	}
}

func TestBusyPort(t *testing.T) {
	holder, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer holder.Close()
	address := holder.Addr().String()
	code, _, stderr := outcome(t, "--listen", address)
	want := "gstpeer-server: address " + address + " is in use: end the program that has it, or choose another port with --listen\n"
	if code != 1 || stderr != want {
		t.Errorf("exit code %d, stderr %q; want 1 and %q", code, stderr, want)
	}
}

func TestForeignAddress(t *testing.T) {
	code, _, stderr := outcome(t, "--listen", "192.0.2.1:8443") // documentation only (RFC 5737)
	if code != 1 || !strings.Contains(stderr, "address of this machine") {
		t.Errorf("exit code %d, stderr %q; want 1 and what to do", code, stderr)
	}
}

func TestHelp(t *testing.T) {
	code, stdout, _ := outcome(t, "--help")
	var f flags
	parser, err := kong.New(&f, kong.DefaultEnvars("GSTPEER_SERVER"))
	if err != nil {
		t.Fatal(err)
	}
	said := strings.Join(strings.Fields(stdout), " ")
	for _, flag := range parser.Model.Flags {
		if flag.Name == "help" {
			continue
		}
		if !strings.Contains(said, "--"+flag.Name) || !strings.Contains(said, "$"+flag.Envs[0]) {
			t.Errorf("--help lacks --%s or $%s", flag.Name, flag.Envs[0])
		}
		if flag.HasDefault && !strings.Contains(flag.Help, "Default: "+flag.Default) {
			t.Errorf("--help does not say that --%s is %s by default", flag.Name, flag.Default)
		}
	}
	for _, want := range []string{
		fmt.Sprintf("Recommended on the internet: %d.", server.RecommendedConnectionsPerAddress),
		fmt.Sprintf("Recommended on the internet: %d.", server.RecommendedMessagesPerSecond),
		fmt.Sprintf("Recommended on the internet: %d.", server.RecommendedBytesPerSecond),
		"gstpeer-server token",
	} {
		if !strings.Contains(said, want) {
			t.Errorf("--help lacks %q", want)
		}
	}
	if code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
	if code, stdout, _ := outcome(t, "token", "--help"); code != 0 || !strings.Contains(stdout, "--ttl") {
		t.Errorf("token --help: exit code %d, %q", code, stdout)
	}
}

// TestDefaults holds that the flags' defaults are those of the relay.
func TestDefaults(t *testing.T) {
	f, err := parseFlags(nil, io.Discard, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	config, err := f.config(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := server.Limits{
		MaxConnections:  server.DefaultMaxConnections,
		MaxRooms:        server.DefaultMaxRooms,
		MaxRoomPeers:    server.DefaultMaxRoomPeers,
		MaxMessageBytes: signalling.MaxMessage,
		QueuedMessages:  server.DefaultQueuedMessages,
		QueuedBytes:     server.DefaultQueuedBytes,

		QueuedBytesInAll: server.DefaultQueuedBytesInAll,

		TimeToHeaders: server.DefaultTimeToHeaders,
		TimeToHello:   server.DefaultTimeToHello,
	}
	if config.Limits != want {
		t.Errorf("limits %+v, want %+v", config.Limits, want)
	}
	if config.Keepalive != server.DefaultKeepalive || config.ResumeGrace != server.DefaultResumeGrace ||
		config.ICE.TURNTTL != server.DefaultTURNTTL || config.Tokens != nil {
		t.Errorf("config %+v, want the defaults", config)
	}
}

// program is the program itself in a process of its own.
type program struct {
	page   string // its address
	said   []string
	stderr *bytes.Buffer // complete after stop
	stop   func()        // sends SIGTERM and wants exit code 0
}

// start runs the program, on a free port, up to the line with the page.
func start(t *testing.T, environment ...string) *program {
	t.Helper()
	executable, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second) // beyond the test's end
	t.Cleanup(cancel)
	command := exec.CommandContext(ctx, executable)
	command.Env = append(append(os.Environ(), asProgram+"=1", "GSTPEER_SERVER_LISTEN=127.0.0.1:0"), environment...)
	p := &program{stderr: new(bytes.Buffer)}
	command.Stderr = p.stderr
	stdout, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	p.stop = sync.OnceFunc(func() {
		if err := command.Process.Signal(syscall.SIGTERM); err != nil {
			t.Error(err)
		}
		if err := command.Wait(); err != nil {
			t.Errorf("after SIGTERM: %v, want exit code 0; stderr: %s", err, p.stderr)
		}
	})
	t.Cleanup(p.stop)
	lines := bufio.NewScanner(stdout)
	for lines.Scan() {
		page, ok := strings.CutPrefix(lines.Text(), "The page is at ")
		if ok {
			p.page = page
			return p
		}
		p.said = append(p.said, lines.Text())
	}
	t.Fatalf("said %q, want the page's address", p.said)
	return nil
}

// TestProgram runs the program, configured by the environment, up to a SIGTERM.
func TestProgram(t *testing.T) {
	p := start(t, "GSTPEER_SERVER_LOG_FORMAT=json")
	if body := get(t, http.DefaultClient, p.page+"health"); body != "OK\n" {
		t.Errorf("health says %q", body)
	}
	p.stop()
}

// TestHealth asks it as a container engine does, by a second process.
func TestHealth(t *testing.T) {
	for _, environment := range [][]string{nil, {"GSTPEER_SERVER_TLS_SELF_SIGNED=true", "GSTPEER_SERVER_STATE_DIR=" + t.TempDir()}} {
		p := start(t, environment...)
		_, address, _ := strings.Cut(strings.TrimSuffix(p.page, "/"), "://")
		ask := []string{"health", "--listen=" + address}
		if environment != nil {
			ask = append(ask, "--tls-self-signed")
		}
		if code, stdout, stderr := outcome(t, ask...); code != 0 || stdout != "healthy\n" {
			t.Errorf("%q: exit code %d, %s%s", ask, code, stdout, stderr)
		}
		p.stop()
		if code, stdout, stderr := outcome(t, ask...); code != 1 || stdout != "" || !strings.Contains(stderr, "not healthy: ") {
			t.Errorf("%q, after its end: exit code %d, %s%s", ask, code, stdout, stderr)
		}
	}
}

func TestVersion(t *testing.T) {
	code, stdout, _ := outcome(t, "version")
	if code != 0 || !regexp.MustCompile(`^gstpeer-server \d+\.\d+\.\d+(-dev)?, commit \w+, go1\S* \w+/\w+\n$`).MatchString(stdout) {
		t.Errorf("exit code %d, %q", code, stdout)
	}
}

// TestMetrics asks for them on their own port, where the relay can be asked
// whether it is ready until its end.
func TestMetrics(t *testing.T) {
	p := start(t, "GSTPEER_SERVER_METRICS=127.0.0.1:0", "GSTPEER_SERVER_DRAIN=2s")
	at, ok := strings.CutPrefix(p.said[0], "The metrics are at ")
	if !ok {
		t.Fatalf("said %q, want the address of the metrics", p.said)
	}
	if said := get(t, http.DefaultClient, at); !strings.Contains(said, "\ngstpeer_peers 0\n") {
		t.Errorf("the metrics are %q", said)
	}
	if said := get(t, http.DefaultClient, p.page+"metrics"); strings.Contains(said, "gstpeer_peers") {
		t.Error("the metrics are on the public port")
	}
	ready := strings.TrimSuffix(at, "metrics") + "ready"
	if said := get(t, http.DefaultClient, ready); said != "OK\n" {
		t.Errorf("ready says %q", said)
	}
	ws, _, err := websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(p.page, "http"), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer ws.Close()
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		p.stop()
	}()
	for get(t, http.DefaultClient, ready) == "OK\n" { // until the signal has arrived
	}
	if said := get(t, http.DefaultClient, ready); said != "relay shuts down\n" {
		t.Errorf("ready says %q while draining", said)
	}
	_, _, err = ws.ReadMessage()
	if !websocket.IsCloseError(err, websocket.CloseGoingAway) {
		t.Errorf("the peer is told %v, want 1001", err)
	}
	ws.Close()
	<-stopped
}

// TestTLS has the program make a certificate, show what a user compares, and
// keep it.
func TestTLS(t *testing.T) {
	state := t.TempDir()
	environment := []string{"GSTPEER_SERVER_TLS_SELF_SIGNED=true", "GSTPEER_SERVER_STATE_DIR=" + state}
	first := start(t, environment...)
	pem, err := os.ReadFile(filepath.Join(state, "self-signed.crt"))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	trusting := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, DisableKeepAlives: true}}
	if body := get(t, trusting, first.page+"health"); !strings.HasPrefix(first.page, "https://127.0.0.1:") || body != "OK\n" {
		t.Errorf("%s: health says %q", first.page, body)
	}
	first.stop()
	second := start(t, environment...)
	if !slices.Equal(first.said, second.said) || !strings.Contains(strings.Join(first.said, "\n"), "SHA-256 fingerprint is ") {
		t.Errorf("said %q and then %q, want the same fingerprint", first.said, second.said)
	}
}

// TestToken has one run make a token for another.
func TestToken(t *testing.T) {
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte(secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p := start(t, "GSTPEER_SERVER_AUTH_SECRET="+secret, "GSTPEER_SERVER_LOG_LEVEL=debug")
	code, stdout, stderr := outcome(t, "token", "--auth-secret-file", file, "--room", "lab", "--role=viewer", "--url", p.page)
	lines := strings.Split(stdout, "\n")
	if code != 0 || len(lines) != 3 || lines[1] != p.page+"?room=lab&token="+lines[0] {
		t.Fatalf("exit code %d, %q, %q; want the token and the page's address with it", code, stdout, stderr)
	}
	elsewhere := p.page + "?server=relay.example&token=old"
	if _, stdout, _ := outcome(t, "token", "--auth-secret-file", file, "--room", "lab", "--url", elsewhere); !strings.Contains(stdout, "?room=lab&server=relay.example&token=ey") {
		t.Errorf("%q, want the room and the token beside the query of %s", stdout, elsewhere)
	}
	relay := "ws" + strings.TrimPrefix(p.page, "http")
	if _, _, err := websocket.DefaultDialer.Dial(relay, nil); err == nil {
		t.Error("accepted without a token")
	}
	ws, _, err := websocket.DefaultDialer.Dial(relay+"?role=viewer&token="+lines[0], nil)
	if err != nil {
		t.Fatalf("with the token: %v", err)
	}
	defer ws.Close()
	for _, c := range []struct{ say, want string }{
		{"HELLO guest", "HELLO"}, {"ROOM attic", "ERROR room 'attic' is not allowed by the token"}, {"ROOM lab", "ROOM_OK "},
	} {
		if err := ws.WriteMessage(websocket.TextMessage, []byte(c.say)); err != nil {
			t.Fatal(err)
		}
		if _, got, err := ws.ReadMessage(); err != nil || string(got) != c.want {
			t.Errorf("%s: %q, %v; want %q", c.say, got, err, c.want)
		}
	}
	p.stop()
	if said := p.stderr.String(); strings.Contains(said, lines[0]) || strings.Contains(said, secret) {
		t.Errorf("a secret is in the log:\n%s", said)
	}
}

// TestKeysAreExchanged has an identity provider change its keys.
func TestKeysAreExchanged(t *testing.T) {
	file := filepath.Join(t.TempDir(), "keys.json")
	trust := func() (signed string) {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		set, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public()}}})
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, set, 0o600); err != nil {
			t.Fatal(err)
		}
		signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: key}, nil)
		if err != nil {
			t.Fatal(err)
		}
		signed, err = jwt.Signed(signer).Claims(jwt.Claims{Expiry: jwt.NewNumericDate(time.Now().Add(time.Hour))}).Serialize()
		if err != nil {
			t.Fatal(err)
		}
		return signed
	}
	first := trust()
	p := start(t, "GSTPEER_SERVER_AUTH_JWKS="+file)
	accepted := func(bearer string) bool {
		ws, _, err := websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(p.page, "http")+"?token="+bearer, nil)
		if err == nil {
			ws.Close()
		}
		return err == nil
	}
	if !accepted(first) {
		t.Error("a token of the first key is refused")
	}
	second := trust()
	for deadline := time.Now().Add(20 * time.Second); !accepted(second); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the second key did not come into use")
		}
	}
	if accepted(first) {
		t.Error("a token of the first key is still accepted")
	}
}

func TestTrustedProxies(t *testing.T) {
	f, err := parseFlags([]string{"--trusted-proxies=10.0.0.0/8,192.0.2.1", "--trusted-proxies=2001:db8::1"}, io.Discard, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	want := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("192.0.2.1/32"), netip.MustParsePrefix("2001:db8::1/128")}
	if got := f.trustedProxies(); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestOwnOrigins(t *testing.T) {
	for _, c := range []struct {
		args []string
		want []string
	}{
		{[]string{"--acme=relay.example", "--listen=:443"}, nil},
		{[]string{"--allow-origin=https://app.example"}, []string{"https://app.example"}},
		{[]string{"--allow-origin=https://app.example", "--acme=relay.example", "--listen=:443"}, []string{"https://app.example", "https://relay.example"}},
		{[]string{"--allow-origin=https://app.example", "--acme=relay.example", "--listen=:8443"},
			[]string{"https://app.example", "https://relay.example", "https://relay.example:8443"}},
	} {
		f, err := parseFlags(c.args, io.Discard, io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		if got := f.allowedOrigins(); !slices.Equal(got, c.want) {
			t.Errorf("%q: %q, want %q", c.args, got, c.want)
		}
	}
}

func get(t *testing.T, client *http.Client, url string) string {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Close = true
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}
