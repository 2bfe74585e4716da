package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestNetworkUsageErrors(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, []byte("\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	turn := func(args ...string) []string {
		return append([]string{"--turn", "turn.example", "--turn-user", "cam", "--turn-password", "secret"}, args...)
	}
	for _, f := range []failure{
		{args: []string{"--stun", "stun.example:port"}, says: `--stun: .*want HOST:PORT or stun:HOST:PORT$`},
		{args: []string{"--stun", "stuns:stun.example"}, says: `--stun: .*cannot use TLS`},
		{args: turn("--turn", "turn:cam:secret@turn.example"), says: `--turn: .*want HOST:PORT or turn:HOST:PORT, turn:HOST:PORT\?transport=tcp$`},
		{args: turn("--turn", "turns:turn.example"), says: `--turn: .*cannot use TLS: name the server's port without TLS`},
		{args: []string{"--turn", "turn.example"}, says: `--turn wants --turn-user, and --turn-password or --turn-password-file`},
		{args: []string{"--turn", "turn.example", "--turn-user", "cam"}, says: `--turn wants --turn-user, and --turn-password`},
		{args: []string{"--turn", "turn.example", "--turn-password", "x"}, says: `--turn wants --turn-user`},
		{args: []string{"--turn-user", "cam"}, says: `--turn-user and --turn-password are for the server of --turn`},
		{args: turn("--turn-password-file", empty), says: `--turn-password and --turn-password-file exclude each other`},
		{args: []string{"--turn", "turn.example", "--turn-user", "cam", "--turn-password-file", empty}, says: `--turn-password-file: .*empty is empty`},
		{args: []string{"--turn", "turn.example", "--turn-user", "cam", "--turn-password-file", "/nonexistent"}, says: `--turn-password-file: .*no such file`},
		{args: []string{"--ice-policy", "none"}, says: `--ice-policy.*"all","relay".*"none"`},
		{args: []string{"--ice-policy", "relay"}, says: `--ice-policy relay wants a TURN server: name one with --turn, or with --server a relay that does`},
		{args: []string{"--ice-policy", "relay", "--stun", "stun.example"}, says: `--ice-policy relay wants --turn: the server of --stun cannot relay`},
		{args: turn("--ice-policy", "relay", "--announce-ip", "192.0.2.1"), says: `--announce-ip does nothing with --ice-policy relay`},
		{args: []string{"--udp-ports", "50000"}, says: `--udp-ports: want MIN-MAX .*got "50000"`},
		{args: []string{"--udp-ports", "0-100"}, says: `--udp-ports: want MIN-MAX with ports from 1 to 65535`},
		{args: []string{"--udp-ports", "50000-65536"}, says: `--udp-ports: want MIN-MAX with ports from 1 to 65535`},
		{args: []string{"--udp-ports", "50100-50000"}, says: `--udp-ports: want the smaller port first, got "50100-50000"`},
		{args: []string{"--announce-ip", "camera.example"}, says: `--announce-ip: want an IP address, .*got "camera.example"`},
		{args: []string{"--announce-ip", "0.0.0.0"}, says: `--announce-ip: nobody can be reached at 0.0.0.0`},
		{args: []string{"--announce-ip", "fe80::1%eth0"}, says: `--announce-ip: want an IP address`},
		{args: []string{"--latency=-1s"}, says: `--latency wants 1ms to 10s, got -1s`},
		{args: []string{"--latency", "1h"}, says: `--latency wants 1ms to 10s, got 1h`},
		{args: []string{"--latency", "soon"}, says: `--latency.*"soon"`},
		{environment: []string{"GSTPEER_UDP_PORTS=many"}, says: `--udp-ports: .*got "many"`},
		{args: []string{"--server", "ws://" + startRelay(t), "--ice-policy", "relay"}, says: `--ice-policy relay: the relay names no TURN server that can be used: name one with --turn`},
	} {
		f.code = 2
		t.Run(f.name(), f.check)
	}
}

func TestNetworkErrors(t *testing.T) {
	relay := "ws://" + startRelay(t)
	for _, f := range []failure{
		{args: []string{"--stun", "nobody.invalid", "--server", relay, "--name", "a"}, says: `STUN server stun:nobody.invalid:3478: host cannot be found`},
		{args: []string{"--turn", "nobody.invalid", "--turn-user", "cam", "--turn-password", "secret", "--server", relay, "--name", "b"}, says: `TURN server turn:nobody.invalid:3478: host cannot be found`},
	} {
		f.code = 1
		t.Run(f.name(), f.check)
	}
}

// TestBuiltInRelayTellsSTUN: those who open the page get the STUN server, and
// nobody gets the password of the TURN server.
func TestBuiltInRelayTellsSTUN(t *testing.T) {
	t.Parallel()
	p := startStreaming(t, "--stun", "127.0.0.1:3478", "--turn", "127.0.0.1", "--turn-user", "cam", "--turn-password", "secret")
	status, body := get(t, "http"+strings.TrimPrefix(p.relay(), "ws")+"/api/ice")
	if want := `{"iceServers":[{"urls":["stun:127.0.0.1:3478"]}]}` + "\n"; status != 200 || body != want {
		t.Errorf("got %d %s, want %s", status, body, want)
	}
}
