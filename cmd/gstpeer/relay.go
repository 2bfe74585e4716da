package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"

	"golang.org/x/sync/errgroup"

	"github.com/gstpeer/gstpeer/internal/cli"
	"github.com/gstpeer/gstpeer/server"
	"github.com/gstpeer/gstpeer/server/certificate"
)

// streamHere streams to a relay in this process, and ends after it.
func streamHere(ctx context.Context, s *settings) error {
	relay, err := s.watching.newRelay(server.Config{Log: s.log.With("part", "relay"), ICE: s.toldICE()})
	if err != nil {
		return err
	}
	listener, err := server.Listen(s.listen)
	if errors.Is(err, server.ErrAddress) {
		return cli.UsageError{Err: err}
	}
	if err != nil {
		return err
	}
	defer listener.Close()
	serving, stopServing := context.WithCancel(context.Background())
	defer stopServing()
	both, ctx := errgroup.WithContext(ctx)
	listener, err = s.secure(listener, s.say, func(watch func(context.Context) error) {
		both.Go(func() error { return watch(serving) })
	})
	if err != nil {
		return err
	}
	both.Go(func() error {
		if err := relay.Serve(serving, listener); err != nil {
			return fmt.Errorf("built-in relay: %w", err)
		}
		return nil
	})
	both.Go(func() error {
		defer stopServing() // peers hear that we left before the relay ends
		return stream(ctx, s, func() {
			if s.flags.Answer {
				fmt.Fprintf(s.say, "%s at %s\n", s.doing(), s.relay)
				return
			}
			for _, page := range pageURLs(listener.Addr(), s.tlsFlags.Given(), s.room) {
				fmt.Fprintf(s.say, "Open %s\n", page)
			}
		})
	})
	return both.Wait()
}

// secure puts TLS in front of the built-in relay, if that is wanted, and tells
// this process how to reach it. What has to run meanwhile is handed to start.
func (s *settings) secure(listener net.Listener, stdout io.Writer, start func(func(context.Context) error)) (net.Listener, error) {
	address := dialable(listener.Addr())
	source, selfSigned, err := s.tlsFlags.Source(s.log)
	switch {
	case errors.Is(err, certificate.ErrFiles):
		return nil, cli.UsageError{Err: err}
	case err != nil:
		return nil, err
	case source == nil:
		s.relay = "ws://" + address
		return listener, nil
	case selfSigned != nil:
		fmt.Fprintf(stdout, "The certificate's SHA-256 fingerprint is %s\n", certificate.Fingerprint(selfSigned))
	}
	start(source.Run)
	own := trustOnly(source.Config())
	s.relay, s.tls = "wss://"+address, func() *tls.Config { return own }
	return tls.NewListener(listener, source.Config()), nil
}

// trustOnly trusts the certificate that this process serves with, whatever
// names are in it, and no other.
func trustOnly(served *tls.Config) *tls.Config {
	return &tls.Config{
		MinVersion:         tls.VersionTLS12,
		InsecureSkipVerify: true, // VerifyConnection does it
		VerifyConnection: func(state tls.ConnectionState) error {
			own, err := served.GetCertificate(&tls.ClientHelloInfo{ServerName: state.ServerName})
			if err != nil {
				return err
			}
			if !bytes.Equal(own.Certificate[0], state.PeerCertificates[0].Raw) {
				return errors.New("this is not the certificate of the built-in relay")
			}
			return nil
		},
	}
}

// pageURLs is where browsers find the room: on this machine and, if the relay
// listens there, on its networks.
func pageURLs(address net.Addr, secure bool, room string) []string {
	query := "?" + url.Values{"room": {room}}.Encode()
	pages := []string{server.PageURL(address, secure) + query}
	tcp, ok := address.(*net.TCPAddr)
	if !ok || !tcp.IP.IsUnspecified() {
		return pages
	}
	local, err := net.InterfaceAddrs()
	if err != nil {
		return pages
	}
	for _, a := range local {
		ip, ok := a.(*net.IPNet)
		if !ok || ip.IP.IsLoopback() || ip.IP.IsLinkLocalUnicast() {
			continue
		}
		pages = append(pages, server.PageURL(&net.TCPAddr{IP: ip.IP, Port: tcp.Port}, secure)+query)
	}
	return pages
}

// dialable is how this process reaches an address that it listens on.
func dialable(address net.Addr) string {
	host, port, _ := net.SplitHostPort(address.String())
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port)
}
