package pipeline

import "log/slog"

// newReceivers makes what takes the media of one remote.
func (p *Pipeline) newReceivers(uid string, log *slog.Logger) []receiver {
	var receivers []receiver
	for _, make := range p.receiverMakers {
		receivers = append(receivers, make(uid, log))
	}
	return receivers
}
