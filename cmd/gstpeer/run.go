package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/gstpeer/gstpeer/internal/cli"
	"github.com/gstpeer/gstpeer/pipeline"
	"github.com/gstpeer/gstpeer/signalling"
)

// run is the whole program: it streams until ctx ends.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	s, err := parseFlags(args, stdout, stderr)
	if s == nil || err != nil {
		return err
	}
	if s.relay != "" {
		return stream(ctx, s, func() { fmt.Fprintf(stdout, "Streaming to room %q as %q at %s\n", s.room, s.name, s.relay) })
	}
	return streamHere(ctx, s, stdout)
}

// stream captures, joins the room, and serves its members until ctx ends.
func stream(ctx context.Context, s *settings, ready func()) error {
	client, err := signalling.Dial(ctx, signalling.ClientConfig{URL: s.relay, UID: s.name, Token: s.token, TLS: s.tls, Log: s.log})
	if errors.Is(err, signalling.ErrURL) {
		return cli.UsageError{Err: fmt.Errorf("--server: %w", err)}
	}
	if err != nil {
		return endedBy(ctx, err)
	}
	defer client.Close()
	media, err := pipeline.Open(ctx, s.media, signaller{client})
	if err != nil {
		return endedBy(ctx, err)
	}
	defer media.Close()
	both, ctx := errgroup.WithContext(ctx)
	both.Go(func() error { return media.Wait(ctx) })
	both.Go(func() error { return serveRoom(ctx, client, media, s, ready) })
	return both.Wait()
}

// endedBy is err, unless it came about because ctx ended, which is no error.
func endedBy(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// signaller says to remote peers what the pipeline has to say.
type signaller struct{ client *signalling.Client }

func (s signaller) SendDescription(ctx context.Context, uid string, d signalling.Description) error {
	return s.client.SendTo(ctx, uid, signalling.Negotiation{Description: &d}.String())
}

func (s signaller) SendCandidate(ctx context.Context, uid string, c signalling.Candidate) error {
	return s.client.SendTo(ctx, uid, signalling.Negotiation{Candidate: &c}.String())
}

// joinTimeout is how long the relay may take to let us into a room, with a
// reconnection in between.
const joinTimeout = 45 * time.Second

// serveRoom joins the room and takes what happens there.
func serveRoom(ctx context.Context, client *signalling.Client, media *pipeline.Pipeline, s *settings, ready func()) error {
	joining, cancel := context.WithTimeoutCause(ctx, joinTimeout, fmt.Errorf("the relay did not let us into room %q within %s", s.room, joinTimeout))
	members, err := client.Join(joining, s.room)
	cancel()
	if errors.Is(err, context.DeadlineExceeded) {
		err = context.Cause(joining)
	}
	if err != nil {
		return endedBy(ctx, err)
	}
	ready()
	for _, uid := range members {
		media.Offer(uid)
	}
	for {
		event, err := client.Recv(ctx)
		if err != nil {
			return endedBy(ctx, err)
		}
		handle(event, media, s.log)
	}
}

// handle takes one event of the room. A peer that comes makes us an offer; to
// those who were there before us we made one. Without a relay media goes on.
func handle(event signalling.Event, media *pipeline.Pipeline, log *slog.Logger) {
	switch e := event.(type) {
	case signalling.PeerJoined:
		log.Info("peer joined", "peer", e.UID)
	case signalling.PeerLeft:
		log.Info("peer left", "peer", e.UID)
		media.Remove(e.UID)
	case signalling.Message:
		handleMessage(e, media, log)
	case signalling.RelayError:
		log.Debug("relay", "error", e.Text)
	case signalling.Reconnecting:
		log.Warn("relay lost: who watches already goes on", "error", e.Cause)
	case signalling.Resumed:
		log.Info("relay back, nothing has changed")
	case signalling.Rejoined:
		log.Info("relay back, room joined again", "members", len(e.Members))
		media.Rejoin(e.Members)
	}
}

func handleMessage(m signalling.Message, media *pipeline.Pipeline, log *slog.Logger) {
	n, err := signalling.ParseNegotiation(m.Text)
	switch {
	case err != nil:
		log.Warn("message ignored", "peer", m.From, "error", err)
	case n.Description != nil:
		media.HandleDescription(m.From, *n.Description)
	case n.Candidate != nil:
		media.HandleCandidate(m.From, *n.Candidate)
	default:
		log.Warn("message ignored, in a room the newcomer offers", "peer", m.From, "text", m.Text)
	}
}
