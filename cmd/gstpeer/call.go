package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/gstpeer/gstpeer/pipeline"
	"github.com/gstpeer/gstpeer/signalling"
)

// caller is what we call the other peer of a call that we take: the relay does
// not tell who it is. Each has a number, so that the end of one call is never
// taken for that of another.
const caller = "caller"

// firstRecall and lastRecall are the times between attempts to have a session
// again with a peer that media flows to.
const (
	firstRecall = 500 * time.Millisecond
	lastRecall  = 30 * time.Second
)

// offerPatience is how long the other side of a call may take to offer, or to ask
// for an offer.
const offerPatience = 30 * time.Second

// freshMedia is how long ago the last of a remote's media may have come for it to be
// there for sure. Who notices that the call's media is lost offers anew later.
const freshMedia = 8 * time.Second

// errNoOffer ends a call in which that is in vain.
var errNoOffer = fmt.Errorf("no offer came within %s", offerPatience)

// hangUpLimit is how long the loop waits for the end of a call: without the relay
// that would be until it is back.
const hangUpLimit = 5 * time.Second

// calls are one-to-one sessions: the one that we make, or those that we take,
// one after the other. All is owned by serve.
type calls struct {
	client *signalling.Client
	media  *pipeline.Pipeline
	ice    *iceServers
	log    *slog.Logger
	ours   bool // we call
	asks   bool // and have the other peer offer
	once   bool
	ready  *readiness
	ended  <-chan mediaEnd // that have come about by themselves

	remote    string      // the other peer's name
	taken     int         // calls
	on        bool        // there is a call
	failed    error       // why its media has ended; nil as long as it has not
	detached  bool        // the relay has lost the session, and media goes on
	greeted   bool        // somebody has called, and has not negotiated yet
	refused   bool        // somebody who is not to be heard any more
	patience  *time.Timer // until there has to be an offer
	recall    *time.Timer // until the next attempt to have the session back
	wait      time.Duration
	recalling bool       // an attempt is under way
	recalled  chan error // its outcome

	running sync.WaitGroup // what serve has started
}

// mediaEnd says why there is no media with a peer any more.
type mediaEnd struct {
	uid    string
	reason error
}

// maxEnds is how many of them may wait, of calls that came one after the other.
const maxEnds = 16

// callSignaller says to the other peer of a call what the pipeline has to say.
type callSignaller struct{ client *signalling.Client }

func (s callSignaller) SendDescription(ctx context.Context, _ string, d signalling.Description) error {
	return s.client.Send(ctx, signalling.Negotiation{Description: &d}.String())
}

func (s callSignaller) SendCandidate(ctx context.Context, _ string, c signalling.Candidate) error {
	return s.client.Send(ctx, signalling.Negotiation{Candidate: &c}.String())
}

// serve makes or takes calls until ctx ends, or the last one does.
func (c *calls) serve(ctx context.Context, ready func()) error {
	ctx, cancel := context.WithCancel(ctx)
	defer c.running.Wait()
	defer cancel()
	c.recalled = make(chan error, 1)
	c.recall, c.patience = time.NewTimer(time.Hour), time.NewTimer(time.Hour)
	c.recall.Stop()
	c.patience.Stop()
	defer c.recall.Stop()
	defer c.patience.Stop()
	if c.ours {
		if err := c.call(ctx); err != nil {
			return endedBy(ctx, err)
		}
	}
	c.ready.set("")
	ready()
	events := c.events(ctx)
	for {
		var over bool
		var err error
		select {
		case e := <-events:
			over, err = c.handle(ctx, e)
		case end := <-c.ended:
			over, err = c.mediaEnded(ctx, end)
		case <-c.patience.C:
			over, err = c.offerDue(ctx)
		case <-c.recall.C:
			c.callAgain(ctx)
		case err := <-c.recalled:
			c.calledAgain(err)
		case <-ctx.Done():
			return nil
		}
		if over || err != nil {
			return endedBy(ctx, err)
		}
	}
}

// received is an event, or the error that ended the client.
type received struct {
	event signalling.Event
	err   error
}

// events receives until the client or ctx ends.
func (c *calls) events(ctx context.Context) <-chan received {
	events := make(chan received)
	c.running.Go(func() {
		for {
			event, err := c.client.Recv(ctx)
			select {
			case events <- received{event, err}:
			case <-ctx.Done():
				return
			}
			if err != nil {
				return
			}
		}
	})
	return events
}

// call calls the other peer and begins to negotiate.
func (c *calls) call(ctx context.Context) error {
	calling, cancel := context.WithTimeout(ctx, joinTimeout)
	defer cancel()
	switch err := c.client.Call(calling, c.remote); {
	case errors.Is(err, signalling.ErrPeerNotFound):
		return fmt.Errorf("%w: start that peer first, with --answer or so", err)
	case errors.Is(err, signalling.ErrPeerBusy):
		return fmt.Errorf("%w: it is in a call or a room, try again later", err)
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("the relay did not answer to the call within %s", joinTimeout)
	case err != nil:
		return err
	}
	c.on = true
	if c.asks {
		c.patience.Reset(offerPatience)
		return c.client.Send(ctx, signalling.OfferRequest)
	}
	c.media.Offer(c.remote)
	return nil
}

// handle takes one event. It reports true when there is nothing more to do.
func (c *calls) handle(ctx context.Context, r received) (over bool, err error) {
	c.ready.note(r.event)
	switch e := r.event.(type) {
	case nil:
		return true, r.err
	case signalling.CallMessage:
		return false, c.message(ctx, e.Text)
	case signalling.CallEnded:
		return c.sessionEnded(e.Cause)
	case signalling.Reconnecting:
		c.log.Warn("relay lost: a call goes on as long as its media does", "error", e.Cause)
	case signalling.Refused:
		c.log.Warn("the relay does not take us back: a call goes on as long as its media does", "error", e.Cause)
	case signalling.Resumed:
		c.log.Info("relay back")
		c.ice.relayIsBack()
		c.media.Resume()
	case signalling.RelayError:
		c.log.Debug("relay", "error", e.Text)
	}
	return false, nil
}

// message takes what the other side says.
func (c *calls) message(ctx context.Context, text string) error {
	n, err := signalling.ParseNegotiation(text)
	offers := n.OfferRequest || n.Description != nil && n.Description.Type == signalling.Offer
	detached := c.detached && c.media.Flows(c.remote) && !c.isOfCall(n)
	switch {
	case c.refused:
		return nil
	case detached && offers && c.media.Hears(c.remote, freshMedia):
		return c.refuse(ctx, "media of the call before still flows")
	case detached && !offers:
		c.log.Debug("message ignored: it may be another caller's")
		return nil
	case err != nil:
		c.log.Warn("message ignored", "peer", c.remote, "error", err)
		if !c.on && !c.greeted {
			c.greeted = true
			c.patience.Reset(offerPatience)
		}
		return nil
	}
	c.detached = false
	if !c.on {
		c.on = true
		c.remote = c.nextCaller()
		c.log.Info("call comes in", "peer", c.remote)
		c.patience.Reset(offerPatience)
	}
	c.negotiate(n)
	return nil
}

// refuse hangs up on a caller.
func (c *calls) refuse(ctx context.Context, why string) error {
	c.log.Warn("caller refused: " + why)
	c.refused = true
	err := c.hangUp(ctx)
	if errors.Is(err, signalling.ErrNoCall) || errors.Is(err, context.DeadlineExceeded) {
		return nil // CallEnded follows all the same
	}
	return err
}

// isOfCall tells whether the other peer of the call says that: the relay does not
// tell who called, but the RTCPeerConnection that there is shows it.
func (c *calls) isOfCall(n signalling.Negotiation) bool {
	return n.Description != nil && c.media.Knows(c.remote, *n.Description)
}

func (c *calls) negotiate(n signalling.Negotiation) {
	switch {
	case n.OfferRequest:
		c.media.Offer(c.remote)
	case n.Description != nil:
		c.media.HandleDescription(c.remote, *n.Description)
	default:
		c.media.HandleCandidate(c.remote, *n.Candidate)
	}
}

// offerDue ends a call in which nobody has offered: the next caller finds the
// line busy as long as it lasts.
func (c *calls) offerDue(ctx context.Context) (over bool, err error) {
	switch {
	case !c.on:
		return false, c.refuse(ctx, errNoOffer.Error())
	case c.media.Has(c.remote):
		return false, nil
	}
	return c.mediaEnded(ctx, mediaEnd{c.remote, errNoOffer})
}

// hangUp ends the session. CallEnded follows, though not before the relay is back.
func (c *calls) hangUp(ctx context.Context) error {
	hangingUp, cancel := context.WithTimeout(ctx, hangUpLimit)
	defer cancel()
	return c.client.HangUp(hangingUp)
}

func (c *calls) nextCaller() string {
	c.taken++
	if c.taken == 1 {
		return caller
	}
	return fmt.Sprintf("%s-%d", caller, c.taken)
}

// sessionEnded ends the call, unless only the session was lost and media flows:
// it does not need the relay.
func (c *calls) sessionEnded(cause error) (over bool, err error) {
	c.refused = false
	gaveUp := errors.Is(cause, signalling.ErrHungUp) // an attempt to have it back, or another caller
	lost := gaveUp || c.detached || errors.Is(cause, signalling.ErrDisconnected)
	if !lost || c.failed != nil || !c.media.Flows(c.remote) {
		return c.end(cause)
	}
	if c.detached {
		c.log.Debug("whoever called has gone")
	} else {
		c.log.Warn("the relay has lost the session, media goes on")
		c.detached = true
	}
	if c.ours && !(gaveUp && c.recalling) {
		c.wait = firstRecall
		c.recall.Reset(c.wait)
	}
	return false, nil
}

// end is that of a call.
func (c *calls) end(cause error) (over bool, err error) {
	if !c.on {
		c.log.Info("a caller is gone before there was a call", "reason", cause)
		c.greeted = false
		c.patience.Stop()
		return false, nil
	}
	c.recall.Stop()
	c.patience.Stop()
	if c.failed != nil {
		cause = c.failed
	}
	c.log.Info("call ended", "peer", c.remote, "reason", cause)
	c.media.Remove(c.remote)
	failed := c.failed
	c.on, c.failed, c.detached, c.greeted = false, nil, false, false
	if c.ours || c.once {
		return true, failed
	}
	return false, nil // the next one may go better
}

// mediaEnded hangs up: without media there is no call.
func (c *calls) mediaEnded(ctx context.Context, e mediaEnd) (over bool, err error) {
	if !c.on || c.failed != nil || e.uid != c.remote {
		return false, nil
	}
	c.failed = fmt.Errorf("the call with %s ended: %w", c.remote, e.reason)
	err = c.hangUp(ctx)
	late := errors.Is(err, context.DeadlineExceeded)
	switch {
	case errors.Is(err, signalling.ErrNoCall), late && (c.ours || c.once):
		return c.end(e.reason) // the relay had lost it, or is away
	case late:
		return false, nil // CallEnded follows when the relay is back
	}
	return false, err // CallEnded follows
}

// callAgain tries to have the session back, so that its peers can negotiate.
func (c *calls) callAgain(ctx context.Context) {
	if c.recalling {
		c.recall.Reset(c.wait)
		return
	}
	c.recalling = true
	remote := c.remote
	c.running.Go(func() {
		calling, cancel := context.WithTimeout(ctx, joinTimeout)
		defer cancel()
		c.recalled <- c.client.Call(calling, remote)
	})
}

// calledAgain takes the outcome of callAgain.
func (c *calls) calledAgain(err error) {
	c.recalling = false
	if err == nil {
		c.log.Info("the session is back")
		c.detached = false
		return
	}
	c.log.Debug("the session is not back", "error", err)
	c.wait = min(2*c.wait, lastRecall)
	c.recall.Reset(c.wait)
}
