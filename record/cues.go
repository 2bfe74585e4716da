package record

import "time"

const (
	// maxCues bounds what is remembered of a long recording: a day has one every
	// 16 seconds.
	maxCues = 8192
	// cueSpacing is the least between two at first.
	cueSpacing = time.Second
)

// cue is where a player may begin.
type cue struct {
	at       time.Duration
	position int64 // of the cluster or fragment
	number   int   // of the track in the file, or in the fragment, from 1
}

// cueList remembers cues some time apart, which is twice as much each time there
// are too many.
type cueList struct {
	cues    []cue
	spacing time.Duration
}

func (l *cueList) add(c cue) {
	l.spacing = max(l.spacing, cueSpacing)
	if n := len(l.cues); n > 0 && c.at-l.cues[n-1].at < l.spacing {
		return
	}
	if len(l.cues) == maxCues {
		l.spacing *= 2
		for i := range maxCues / 2 {
			l.cues[i] = l.cues[2*i]
		}
		l.cues = l.cues[:maxCues/2]
	}
	l.cues = append(l.cues, c)
}
