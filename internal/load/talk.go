package load

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// Talk is what two members of a room say to one another while eight others join,
// talk and leave, over and over.
type Talk struct {
	// Deaf is set to have one more member, which reads nothing of what the eight
	// tell it. When the relay drops it, another one comes.
	Deaf     bool
	Duration time.Duration
}

const (
	bustlers = 8

	// lastWord is how long a message that is under way at the end is waited for.
	lastWord = 5 * time.Second
)

// Measure tells how long messages between the two are under way. One that has not
// come some seconds after the end counts as if it had come then.
func (t Talk) Measure(ctx context.Context, r *Relay) (Speed, error) {
	deaf, err := joinDeaf(ctx, r)
	if err != nil {
		return Speed{}, err
	}
	defer deaf.disperse()
	two, err := gatherIn(ctx, r, "talk", "talker", 2)
	if err != nil {
		return Speed{}, err
	}
	defer two.disperse()

	over := time.Now().Add(t.Duration)
	var number atomic.Int64
	var all errgroup.Group
	for range bustlers {
		all.Go(func() error { return t.bustle(ctx, r, over, &number) })
	}
	dropped := make(chan struct{}, 1)
	all.Go(func() error { return replaceDropped(ctx, r, dropped, deaf) })
	var latencies []uint32
	s := Speed{Wall: t.Duration}
	all.Go(func() (err error) {
		defer close(dropped)
		latencies, err = two.converse(over, func(notice string) {
			if notice == "ROOM_PEER_LEFT deaf0" {
				s.Dropped++
				dropped <- struct{}{}
			}
		})
		return err
	})
	err = all.Wait()
	s.Messages = len(latencies)
	s.setLatencies(latencies)
	return s, err
}

// gatherIn registers peers in a room, of which nobody reads more yet.
func gatherIn(ctx context.Context, r *Relay, room, name string, peers int) (crowd, error) {
	var c crowd
	for i := range peers {
		p, err := register(ctx, r, name+strconv.Itoa(i))
		if err == nil {
			c = append(c, p)
			err = p.ask("ROOM "+room, "ROOM_OK ")
		}
		if err != nil {
			c.disperse()
			return nil, err
		}
	}
	return c, nil
}

// joinDeaf has the deaf member come. Its kernel reads little for it, so that the
// relay's queue is full soon.
func joinDeaf(ctx context.Context, r *Relay) (crowd, error) {
	deaf, err := gatherIn(ctx, r, "talk", "deaf", 1)
	if err != nil {
		return nil, err
	}
	if err := deaf[0].conn.(*net.TCPConn).SetReadBuffer(4 << 10); err != nil {
		deaf.disperse()
		return nil, err
	}
	return deaf, nil
}

// replaceDropped has a new deaf member come when the relay has dropped the last one.
func replaceDropped(ctx context.Context, r *Relay, dropped <-chan struct{}, deaf crowd) error {
	for range dropped {
		next, err := joinDeaf(ctx, r)
		if err != nil {
			return err
		}
		deaf[0].conn.Close()
		deaf[0] = next[0]
	}
	return nil
}

// bustle joins, tells the deaf one much, and leaves.
func (t Talk) bustle(ctx context.Context, r *Relay, over time.Time, number *atomic.Int64) error {
	filler := strings.Repeat("x", 32<<10)
	for time.Now().Before(over) {
		p, err := register(ctx, r, fmt.Sprintf("bustler%d-%d", os.Getpid(), number.Add(1)))
		if err != nil {
			return err
		}
		err = p.ask("ROOM talk", "ROOM_OK ")
		for i := 0; i < 4 && t.Deaf && err == nil; i++ {
			err = p.say("ROOM_PEER_MSG deaf0 " + filler)
		}
		if err := errors.Join(err, p.leave()); err != nil {
			return err
		}
	}
	return nil
}

// converse has the two say something by turns, until what was said before the end
// has arrived. It tells for how many microseconds each message was under way. The
// first one's notices go to heard.
func (two crowd) converse(over time.Time, heard func(notice string)) (latencies []uint32, err error) {
	for _, p := range two {
		if err := p.conn.SetDeadline(over.Add(lastWord)); err != nil {
			return nil, err
		}
	}
	var both errgroup.Group
	var back []uint32
	both.Go(func() (err error) {
		latencies, err = two[0].converse("talker1", over, heard)
		_ = two[1].conn.SetDeadline(time.Unix(1, 0)) // closed already when that fails
		return err
	})
	both.Go(func() (err error) {
		back, err = two[1].converse("talker0", time.Time{}, func(string) {})
		return err
	})
	err = both.Wait()
	return append(latencies, back...), err
}

// converse answers each message of the other. With a time for the end it begins as
// well, and ends with the first message after that.
func (p *peer) converse(other string, over time.Time, heard func(notice string)) (latencies []uint32, err error) {
	begins := !over.IsZero()
	var said time.Time
	say := func() error {
		said = time.Now()
		return p.say(fmt.Sprintf("ROOM_PEER_MSG %s %d", other, said.UnixNano()))
	}
	arrived := func(sent time.Time) {
		latencies = append(latencies, uint32(time.Since(sent).Microseconds()))
	}
	if begins {
		err = say()
	}
	for err == nil {
		var got []byte
		if got, err = p.next(); err != nil {
			break
		}
		sent, ok := strings.CutPrefix(string(got), "ROOM_PEER_MSG "+other+" ")
		if !ok {
			heard(string(got))
			continue
		}
		var nanoseconds int64
		if nanoseconds, err = strconv.ParseInt(sent, 10, 64); err != nil {
			break
		}
		arrived(time.Unix(0, nanoseconds))
		if begins && time.Now().After(over) {
			return latencies, nil
		}
		err = say()
	}
	if begins && errors.Is(err, os.ErrDeadlineExceeded) {
		arrived(said)
	}
	return latencies, unlessTimeout(err)
}
