package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/gstpeer/gstpeer/internal/cli"
	"github.com/gstpeer/gstpeer/pipeline"
	"github.com/gstpeer/gstpeer/signalling"
)

// commands are what the program does besides streaming.
var commands = map[string]cli.Run{
	"devices": runDevices,
	"doctor":  runDoctor,
	"health":  runHealth,
	"version": runVersion,
}

// run is the whole program: it carries out a command, or streams until ctx ends.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	if len(args) > 0 && commands[args[0]] != nil {
		return commands[args[0]](ctx, args[1:], stdout, stderr)
	}
	return runPeer(ctx, args, stdout, stderr)
}

func runPeer(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	s, err := parseFlags(args, stdout, stderr)
	if s == nil || err != nil {
		return err
	}
	logging, stop := context.WithCancel(context.WithoutCancel(ctx))
	var log sync.WaitGroup
	log.Go(func() { pipeline.LogGStreamer(logging, s.log) })
	defer log.Wait()
	defer stop()
	defer boundEnd(ctx, s.log, os.Exit)()
	s.texts, s.say = stdout, stdout
	if s.flags.DataStdout {
		s.say = stderr
	}
	stopWatching, err := s.startWatching()
	if err != nil {
		return err
	}
	defer stopWatching()
	if s.relay != "" {
		return stream(ctx, s, func() { fmt.Fprintf(s.say, "%s at %s\n", s.doing(), s.relay) })
	}
	return streamHere(ctx, s)
}

// doing says what the program does once it is there.
func (s *settings) doing() string {
	switch f := s.flags; {
	case f.Call != "":
		return fmt.Sprintf("Calling %q as %q", f.Call, s.name)
	case f.Answer:
		return fmt.Sprintf("Waiting for calls to %q", s.name)
	case f.ReceiveOnly:
		return fmt.Sprintf("Receiving in room %q as %q", s.room, s.name)
	}
	return fmt.Sprintf("Streaming to room %q as %q", s.room, s.name)
}

// errOver ends the program without an error: there is nothing more to do.
var errOver = errors.New("over")

// stream captures, joins the room or makes the calls, until ctx ends or the calls
// are over.
func stream(ctx context.Context, s *settings, ready func()) error {
	client, err := signalling.Dial(ctx, signalling.ClientConfig{URL: s.relay, UID: s.name, Token: s.token, TLS: s.tls, Log: s.log})
	if errors.Is(err, signalling.ErrURL) {
		return cli.UsageError{Err: fmt.Errorf("--server: %w", err)}
	}
	if err != nil {
		return endedBy(ctx, err)
	}
	defer client.Close()
	if s.ice, err = s.openICEServers(ctx); err != nil {
		return endedBy(ctx, err)
	}
	all, ctx := errgroup.WithContext(ctx)
	if s.authorities != nil {
		all.Go(func() error { return s.authorities.Run(ctx) })
	}
	if s.flags.DataStdout {
		texts := newTextWriter(s.texts, s.log)
		s.media.OnText = texts.take
		all.Go(func() error { return texts.run(ctx) })
	}
	all.Go(func() error {
		err := s.converse(ctx, client, ready)
		if err == nil {
			err = errOver // or the others would go on
		}
		return err
	})
	if err := all.Wait(); err != errOver {
		return err
	}
	return nil
}

// converse captures, and talks to the peers of a room or a call.
func (s *settings) converse(ctx context.Context, client *signalling.Client, ready func()) error {
	talk, signaller := s.conversation(client)
	media, err := pipeline.Open(ctx, s.media, signaller)
	if err != nil {
		return endedBy(ctx, err)
	}
	defer media.Close()
	s.watching.watch(media)
	if s.flags.DataStdin {
		go sendLines(ctx, os.Stdin, media.SendText, s.log) // nothing can end its wait but the program's end
	}
	both, ctx := errgroup.WithContext(ctx)
	both.Go(func() error { return sourceError(media.Wait(ctx)) })
	both.Go(func() error {
		s.ice.run(ctx, media.SetICEServers)
		return nil
	})
	both.Go(func() error {
		err := talk(ctx, media, ready)
		if err == nil {
			err = errOver
		}
		return err
	})
	if err := both.Wait(); err != errOver {
		return err
	}
	return nil
}

// exitSourceLost is the exit code for a source that was lost after it was there.
const exitSourceLost = 3

// sourceError gives the loss of the source an exit code of its own.
func sourceError(err error) error {
	if errors.Is(err, pipeline.ErrSourceLost) {
		return cli.ExitError{Err: err, Code: exitSourceLost}
	}
	return err
}

// conversation is what is to be done with the media, in a room or in calls.
func (s *settings) conversation(client *signalling.Client) (talk func(context.Context, *pipeline.Pipeline, func()) error, to pipeline.Signaller) {
	f := s.flags
	if f.Call == "" && !f.Answer {
		return func(ctx context.Context, media *pipeline.Pipeline, ready func()) error {
			return serveRoom(ctx, client, media, s, ready)
		}, signaller{client}
	}
	ended := make(chan mediaEnd, maxEnds)
	s.media.OnPeerEnd = func(uid string, reason error) {
		select {
		case ended <- mediaEnd{uid, reason}:
		default: // none of so many calls is still there
		}
	}
	s.media.Yields = func(string) bool { return f.Answer }
	s.media.Record.Room = "call"
	return func(ctx context.Context, media *pipeline.Pipeline, ready func()) error {
		c := &calls{
			client: client, media: media, ice: s.ice, log: s.log, ended: ended, ready: &s.watching.ready,
			remote: f.Call, ours: f.Call != "", asks: f.RemoteOffers, once: f.Once,
		}
		return c.serve(ctx, ready)
	}, callSignaller{client}
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
	s.watching.ready.set("")
	ready()
	for _, uid := range members {
		media.Offer(uid)
	}
	for {
		event, err := client.Recv(ctx)
		if err != nil {
			return endedBy(ctx, err)
		}
		s.watching.ready.note(event)
		handle(event, media, s.ice, s.log)
	}
}

// handle takes one event of the room. A peer that comes makes us an offer; to
// those who were there before us we made one. Without a relay media goes on.
func handle(event signalling.Event, media *pipeline.Pipeline, ice *iceServers, log *slog.Logger) {
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
	case signalling.Refused:
		log.Warn("the relay does not take us back: who watches already goes on", "error", e.Cause)
	case signalling.Resumed:
		log.Info("relay back, nothing has changed")
		ice.relayIsBack()
		media.Resume()
	case signalling.Rejoined:
		log.Info("relay back, room joined again", "members", len(e.Members))
		ice.relayIsBack()
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
