package main

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/gstpeer/gstpeer/internal/cli"
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
	} {
		code, _, stderr := outcome(t, c.args...)
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
	for _, want := range []string{
		"--listen", "127.0.0.1:8443", "$GSTPEER_SERVER_LISTEN", "--keepalive", "30s", "$GSTPEER_SERVER_KEEPALIVE",
		"$GSTPEER_SERVER_LOG_LEVEL", "$GSTPEER_SERVER_LOG_FORMAT",
	} {
		if !strings.Contains(stdout, want) {
			t.Errorf("--help lacks %q", want)
		}
	}
	if code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
}

// TestProgram runs the program itself, configured by the environment, up to a
// SIGTERM.
func TestProgram(t *testing.T) {
	executable, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	program := exec.CommandContext(ctx, executable)
	program.Env = append(os.Environ(), asProgram+"=1", "GSTPEER_SERVER_LISTEN=127.0.0.1:0", "GSTPEER_SERVER_LOG_FORMAT=json")
	var stderr bytes.Buffer
	program.Stderr = &stderr
	stdout, err := program.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := program.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	page, ok := strings.CutPrefix(strings.TrimSpace(line), "The page is at ")
	if err != nil || !ok {
		t.Fatalf("first line %q, %v; want the page's address; stderr: %s", line, err, &stderr)
	}
	if body := get(ctx, t, page+"health"); body != "OK\n" {
		t.Errorf("health says %q", body)
	}
	if err := program.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := program.Wait(); err != nil {
		t.Errorf("after SIGTERM: %v, want exit code 0; stderr: %s", err, &stderr)
	}
}

func get(ctx context.Context, t *testing.T, url string) string {
	t.Helper()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Close = true
	response, err := http.DefaultClient.Do(request)
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
