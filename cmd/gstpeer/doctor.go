package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/gstpeer/gstpeer/internal/doctor"
	"github.com/gstpeer/gstpeer/internal/iceconfig"
	"github.com/gstpeer/gstpeer/pipeline"
	"github.com/gstpeer/gstpeer/server"
	"github.com/gstpeer/gstpeer/signalling"
)

// runDoctor finds out whether all is there that the flags of a gstpeer need.
func runDoctor(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	s, err := parseFlagsOf("gstpeer doctor", "Says, in plain words, what is missing to run gstpeer with the same flags. The exit code is 1 if something is.", args, stdout, stderr)
	if s == nil || err != nil {
		return err
	}
	report := doctor.NewReport(stdout)
	for _, r := range pipeline.Examine(ctx, s.media) {
		level := doctor.Missing
		if r.Optional {
			level = doctor.Warning
		}
		report.Check(r.What, r.Err, level)
	}
	s.examineRelay(ctx, report)
	if !s.media.Network.RelayOnly {
		report.Addresses(s.media.Network.Announce)
	}
	s.examineICE(ctx, report)
	if ctx.Err() != nil {
		return nil
	}
	if n := report.Missing(); n > 0 {
		return fmt.Errorf("%d missing, see above", n)
	}
	return nil
}

// examineRelay looks at the relay of --server, or whether there can be one here.
func (s *settings) examineRelay(ctx context.Context, report *doctor.Report) {
	if s.relay != "" {
		report.Relay(ctx, signalling.ClientConfig{URL: s.relay, UID: s.name, Token: s.token, TLS: s.tls})
		return
	}
	listener, err := server.Listen(s.listen)
	switch {
	case err == nil:
		listener.Close()
		report.Add(doctor.OK, "built-in relay: %s is free", s.listen)
	case isTaken(s.listen):
		report.Add(doctor.Warning, "built-in relay: %s; well if that is a gstpeer with these flags", err)
	default:
		report.Add(doctor.Missing, "built-in relay: %s", err)
	}
}

// isTaken says whether somebody listens at an address.
func isTaken(address string) bool {
	conn, err := net.DialTimeout("tcp", address, time.Second)
	if err == nil {
		conn.Close()
	}
	return err == nil
}

// examineICE looks at the STUN and TURN servers of the flags or of the relay.
func (s *settings) examineICE(ctx context.Context, report *doctor.Report) {
	servers, level := s.iceServers, doctor.Missing
	if len(servers) == 0 && s.relay != "" {
		level = doctor.Warning
		servers = s.relayICE(ctx, report)
	}
	relays := false
	for _, server := range servers {
		works := report.ICEServer(ctx, server, level)
		relays = relays || works && server.Kind == iceconfig.TURN
	}
	switch {
	case len(servers) == 0:
		report.Add(doctor.Warning, "no STUN or TURN server: peers in other networks are hardly reached; name one with --stun or --turn")
	case s.media.Network.RelayOnly && !relays && level != doctor.Missing:
		report.Add(doctor.Missing, "--ice-policy relay: no TURN server works")
	}
	if len(servers) == 0 && s.media.Network.RelayOnly {
		report.Add(doctor.Missing, "--ice-policy relay: the relay names no TURN server: name one with --turn")
	}
}

// relayICE asks the relay for servers.
func (s *settings) relayICE(ctx context.Context, report *doctor.Report) []iceconfig.Server {
	source := iceconfig.Source{URL: s.relay, UID: s.name, Token: s.token, TLS: s.tls, Log: s.log}
	c, err := source.Fetch(ctx)
	if err != nil && !errors.Is(err, iceconfig.ErrNone) {
		report.Add(doctor.Warning, "ICE servers of the relay: %s", err)
	}
	return c.Servers
}
