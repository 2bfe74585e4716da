package main

import (
	"errors"
	"fmt"
	"slices"
	"time"
	"unicode/utf16"

	"github.com/gstpeer/gstpeer/pipeline"
	"github.com/gstpeer/gstpeer/record"
	"github.com/gstpeer/gstpeer/signalling"
)

// peeringFlags say whom to talk to, and in which directions.
type peeringFlags struct {
	Call         string `group:"Call" placeholder:"UID" help:"Call this peer instead of joining a room, and end with the call. Default: none."`
	RemoteOffers bool   `group:"Call" help:"Have the peer that is called make the offer (OFFER_REQUEST). Default: we make it."`
	Answer       bool   `group:"Call" help:"Wait for calls to --name instead of joining a room, one after the other. Default: join --room."`
	Once         bool   `group:"Call" help:"End with the first call. Default: wait for the next one."`

	SendOnly     bool          `group:"Receive" help:"Take no media of the peers. Default: take what they send."`
	ReceiveOnly  bool          `group:"Receive" help:"Send nothing, and open no source. Default: send --video and --audio."`
	Record       string        `group:"Receive" placeholder:"DIR" help:"Write what each peer sends into files here, as it was encoded: ROOM-UID-TIME.mkv. Default: none."`
	RecordFormat string        `group:"Receive" default:"mkv" enum:"mkv,mp4" placeholder:"FORMAT" help:"Form of these files: ${enum}. MP4 cannot hold VP8, which is then left out of --codecs. Default: ${default}."`
	RecordSplit  time.Duration `group:"Receive" default:"0s" placeholder:"DURATION" help:"Begin a new file after that time, such as 10m, at the next keyframe. Default: ${default}, one file."`
	Play         bool          `group:"Receive" help:"Show and sound what the peers send. Default: discard it."`
	Sink         []string      `group:"Receive" sep:"none" placeholder:"launch:FRAGMENT" help:"Hand what each peer sends, decoded, to a pipeline of gst-launch-1.0, where it comes out of video. and audio. Repeatable. Default: none."`

	DataStdin  bool `group:"Texts" help:"Send each line of standard input to all peers, on a data channel. Default: none."`
	DataStdout bool `group:"Texts" help:"Write each text that peers send to standard output, as a line of JSON with peer and text. Other messages go to standard error. Default: log that a text came."`
}

// checkPeering finds flags that do not go together.
func (f *flags) checkPeering() error {
	switch {
	case f.Call != "" && f.Answer:
		return errors.New("--call and --answer exclude each other: make calls or take them")
	case (f.Call != "" || f.Answer) && f.Room != "":
		return errors.New("--room is for rooms: leave it out with --call and --answer")
	case f.RemoteOffers && f.Call == "":
		return errors.New("--remote-offers wants --call")
	case f.Once && !f.Answer:
		return errors.New("--once wants --answer: a call of ours always ends the program")
	case f.Call != "" && f.Server == "":
		return errors.New("--call wants --server: nobody can be at a relay that starts with the call")
	case f.SendOnly && f.ReceiveOnly:
		return errors.New("--send-only and --receive-only exclude each other")
	case f.SendOnly && (f.Record != "" || f.Play || len(f.Sink) > 0):
		return errors.New("--record, --play and --sink want what --send-only declines")
	case f.ReceiveOnly && f.ExitOnSourceLoss:
		return errors.New("--receive-only opens no source that --exit-on-source-loss could tell of: leave one of them out")
	case f.RecordSplit != 0 && f.RecordSplit < time.Second:
		return fmt.Errorf("--record-split wants 1s or more, got %s", f.RecordSplit)
	case f.Record == "" && (f.RecordSplit != 0 || f.RecordFormat != "mkv"):
		return errors.New("--record-split and --record-format want --record")
	}
	switch {
	case f.Call == "":
		return nil
	case f.Call == f.Name:
		return fmt.Errorf("--call wants another peer than this one, which --name calls %q", f.Name)
	}
	return forFlag("call", signalling.CheckUID(f.Call))
}

// readPeering says what becomes of what peers send.
func (f *flags) readPeering(c *pipeline.Config, room string) error {
	c.Receive = !f.SendOnly
	if f.Record != "" {
		if err := record.CheckDirectory(f.Record); err != nil {
			return forFlag("record", err)
		}
		if record.Format(f.RecordFormat) == record.MP4 {
			c.Codecs = slices.DeleteFunc(c.Codecs, func(codec *pipeline.Codec) bool { return codec == pipeline.VP8 })
			if len(c.Codecs) == 0 {
				return errors.New("--record-format mp4 cannot hold VP8: name h264 or vp9 in --codecs, or record mkv")
			}
		}
		c.Record = pipeline.Recording{Directory: f.Record, Room: room, Format: record.Format(f.RecordFormat), Split: f.RecordSplit}
	}
	if f.Play {
		c.Sinks = append(c.Sinks, pipeline.Sink{Play: true})
	}
	for _, text := range f.Sink {
		sink, err := pipeline.ParseSink(text)
		if err != nil {
			return forFlag("sink", err)
		}
		c.Sinks = append(c.Sinks, sink)
	}
	return nil
}

// yieldsTo says whose offer counts when two cross in a room, the same at both
// ends: the smaller name gives way, compared as a browser does.
func yieldsTo(own string) func(uid string) bool {
	units := func(s string) []uint16 { return utf16.Encode([]rune(s)) }
	return func(uid string) bool { return slices.Compare(units(own), units(uid)) < 0 }
}
