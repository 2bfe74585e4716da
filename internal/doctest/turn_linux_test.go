package doctest

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pion/logging"
	"github.com/pion/turn/v5"

	"github.com/gstpeer/gstpeer/internal/nettest"
	"github.com/gstpeer/gstpeer/internal/turntest"
)

// inInternet marks the process of this test that has public addresses.
const inInternet = "TEST_RUNS_IN_INTERNET"

// TestTURNConfiguration asks coturn, with the configuration of deploy, what it
// relays to.
func TestTURNConfiguration(t *testing.T) {
	if os.Getenv(inInternet) == "" {
		nettest.Require(t, 0)
		if text, err := nettest.Test(t, "TestTURNConfiguration", 0, inInternet+"=1").CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		return
	}
	for _, arguments := range []string{
		"link set lo up", "link add eth0 type veth peer name wire", "address add 203.0.113.5/24 dev eth0",
		"address add 2001:db8::5/64 dev eth0 nodad", "link set eth0 up", "link set wire up",
	} {
		nettest.IP(t, arguments)
	}
	const secret = "only for this test"
	text, err := os.ReadFile(filepath.Join(Root, "deploy", "turnserver.conf"))
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, "turnserver.conf"), []byte(string(text)+"static-auth-secret="+secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	server := exec.Command("turnserver", "-c", "turnserver.conf", "--log-file=stdout", "--pidfile=pid", "--userdb=db")
	server.Dir = folder
	startProcess(t, server).AwaitListener("203.0.113.5:3478")
	username, credential := turntest.Credentials(secret, "cam", time.Now().Add(time.Hour))
	for family, peers := range map[turn.RequestedAddressFamily]string{
		turn.RequestedAddressFamilyIPv4: "198.51.100.7 203.0.113.5 !10.0.0.1 !100.64.0.1 !127.0.0.1 !169.254.169.254 !172.17.0.1 !192.168.1.20 !224.0.0.1",
		turn.RequestedAddressFamilyIPv6: "2001:db8::7 2001:db8::5 !::1 !fd00::1 !fe80::1 !64:ff9b::a00:1 !ff02::1",
	} {
		conn, err := net.ListenPacket("udp", "203.0.113.5:0")
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		quiet := logging.NewDefaultLoggerFactory()
		quiet.DefaultLogLevel = logging.LogLevelDisabled
		client, err := turn.NewClient(&turn.ClientConfig{
			TURNServerAddr: "203.0.113.5:3478", Conn: conn, LoggerFactory: quiet,
			Username: username, Password: credential, RequestedAddressFamily: family,
		})
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		if err := client.Listen(); err != nil {
			t.Fatal(err)
		}
		if _, err := client.Allocate(); err != nil {
			t.Fatal(err)
		}
		for peer := range strings.FieldsSeq(peers) {
			ip, denied := strings.CutPrefix(peer, "!")
			err := client.CreatePermission(&net.UDPAddr{IP: net.ParseIP(ip), Port: 9})
			if forbidden := err != nil && strings.Contains(err.Error(), "403"); forbidden != denied || (err != nil && !forbidden) {
				t.Errorf("%s: %v, want it denied: %v", ip, err, denied)
			}
		}
	}
}
