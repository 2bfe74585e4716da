package pipeline

import (
	"log/slog"
)

// planReceivers makes the makers of what takes the media of each remote.
func (p *Pipeline) planReceivers() error {
	c := p.config
	if c.Record.Directory != "" {
		p.receiverMakers = append(p.receiverMakers, func(uid string, log *slog.Logger) receiver {
			return newRecording(c.Record, uid, log)
		})
	}
	for _, sink := range c.Sinks {
		if err := sink.check(append(c.receivable(Video), Opus)); err != nil {
			return err
		}
		p.receiverMakers = append(p.receiverMakers, func(_ string, log *slog.Logger) receiver {
			play := &playback{sink: sink, clock: p.clock, baseTime: p.baseTime, latency: c.Network.latency(), log: log}
			return newTaker(play.play, func() {})
		})
	}
	return nil
}

// newReceivers makes what takes the media of one remote.
func (p *Pipeline) newReceivers(uid string, log *slog.Logger) []receiver {
	var receivers []receiver
	for _, newReceiver := range p.receiverMakers {
		receivers = append(receivers, newReceiver(uid, log))
	}
	return receivers
}
