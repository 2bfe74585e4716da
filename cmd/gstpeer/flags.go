package main

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync/atomic"
	"time"
	"unicode"

	"github.com/gstpeer/gstpeer/internal/cli"
	"github.com/gstpeer/gstpeer/internal/iceconfig"
	"github.com/gstpeer/gstpeer/internal/reload"
	"github.com/gstpeer/gstpeer/pipeline"
	"github.com/gstpeer/gstpeer/signalling"
)

// flags are the options of the program, from the command line or from the
// environment.
type flags struct {
	Video string `group:"Source" default:"test" placeholder:"SOURCE" help:"Picture: test, v4l2:/dev/videoN (a camera), rtsp://USER:PASSWORD@HOST/PATH, file:PATH (played in a loop), screen (X11), launch:FRAGMENT (of gst-launch-1.0, up to the picture), or none. Default: ${default}."`
	Audio string `group:"Source" default:"auto" placeholder:"SOURCE" help:"Sound: test, pulse or pulse:DEVICE (pulse:@DEFAULT_MONITOR@ is what this machine plays), alsa:DEVICE, source (that of the RTSP camera or the file), launch:FRAGMENT, none, or auto: test with the test picture, source with rtsp and file, else none. Default: ${default}."`

	Width        int      `group:"Source" default:"0" placeholder:"PIXELS" help:"Width of the picture, an even number. Default: the source's own; 1280 for test, and at most that for cameras."`
	Height       int      `group:"Source" default:"0" placeholder:"PIXELS" help:"Height of the picture, an even number. Default: the source's own; 720 for test, and at most that for cameras."`
	FrameRate    int      `group:"Source" default:"30" placeholder:"FPS" help:"Frames per second, at most. Default: ${default}."`
	VideoBitrate int      `group:"Source" default:"2000" placeholder:"KBIT/S" help:"Bitrate of the picture, per codec. Default: ${default}."`
	AudioBitrate int      `group:"Source" default:"64" placeholder:"KBIT/S" help:"Bitrate of the sound. Default: ${default}."`
	Codecs       []string `group:"Source" default:"vp8,h264,vp9" placeholder:"CODEC" help:"Codecs for the picture in the order of preference, separated by commas: vp8, h264 and vp9. Each remote peer gets the first one that it can decode. Default: ${default}."`

	SourceTimeout    time.Duration `group:"Source" default:"5s" placeholder:"DURATION" help:"A source that delivers nothing for so long is lost: it is opened again until it is back, and peers see a slate meanwhile. One of few frames a second has three times their interval. Default: ${default}."`
	ExitOnSourceLoss bool          `group:"Source" help:"End with exit code 3 when the source is lost. Default: open it again."`

	Room   string `group:"Room" placeholder:"NAME" help:"Room to join. Default: demo."`
	Name   string `group:"Room" placeholder:"UID" help:"Name to have there: unique at the relay, no white space. Default: this machine's name."`
	Listen string `group:"Room" placeholder:"HOST:PORT" help:"Address of the built-in relay and page, unless --server is given; :8443 serves the whole network. Default: 127.0.0.1:8443."`

	cli.TLSFlags `group:"Room"`

	peeringFlags
	networkFlags

	Server   string `group:"Relay elsewhere" placeholder:"URL" help:"Relay to join instead of the built-in one: ws://HOST:PORT or wss://HOST:PORT."`
	Token    string `group:"Relay elsewhere" placeholder:"TOKEN" help:"Token for a relay that wants one; better given in the environment, which others on this machine cannot read. Default: none."`
	CAFile   string `group:"Relay elsewhere" name:"ca-file" placeholder:"FILE" help:"PEM file of the authority that signed the relay's certificate, beside the system's. A changed file comes into use within seconds, for the connections from then on."`
	Insecure bool   `group:"Relay elsewhere" help:"Do not check the relay's certificate: anybody on the way can then watch and replace the stream."`

	monitorFlags
	cli.LogFlags `group:"Log"`
}

// defaultListen is the address of the built-in relay.
const defaultListen = "127.0.0.1:8443"

// settings is what flags mean.
type settings struct {
	media  pipeline.Config
	flags  *flags
	room   string
	name   string
	listen string
	relay  string // URL; empty for the built-in one
	token  string
	tls    func() *tls.Config // for the next connection to the relay; nil for the system's authorities
	// authorities is the file of --ca-file, which may change; nil without it.
	authorities *reload.Files
	// iceServers are those that flags name.
	iceServers []iceconfig.Server
	ice        *iceServers // in use; set by stream
	say        io.Writer   // for what users are told
	watching   watching
	texts      io.Writer // for --data-stdout
	// tlsFlags are the built-in relay's.
	tlsFlags cli.TLSFlags
	log      *slog.Logger
}

// parseFlags reads the command line. It returns nil when that asked for help.
func parseFlags(args []string, stdout, stderr io.Writer) (*settings, error) {
	return parseFlagsOf("gstpeer", "Puts a GStreamer source into browsers. Without --server it is its own relay, and serves the page to watch on. "+
		"gstpeer devices lists what can be captured, gstpeer doctor says what is missing.", args, stdout, stderr)
}

// parseFlagsOf does so for a command that has the same flags.
func parseFlagsOf(command, description string, args []string, stdout, stderr io.Writer) (*settings, error) {
	var f flags
	ok, err := cli.Parse(&f, command, description, "GSTPEER", args, stdout, stderr)
	if !ok || err != nil {
		return nil, err
	}
	s := &settings{flags: &f, room: cmp.Or(f.Room, "demo"), name: f.Name, listen: cmp.Or(f.Listen, defaultListen), relay: f.Server, token: f.Token, tlsFlags: f.TLSFlags, log: f.Logger(stderr)}
	if s.name == "" {
		s.name = hostName()
	}
	err = cmp.Or(
		f.checkRelay(),
		f.checkMedia(),
		f.checkPeering(),
		f.checkNetwork(),
		forFlag("room", signalling.CheckRoomID(s.room)),
		forFlag("name", signalling.CheckUID(s.name)),
		f.readMedia(&s.media),
		f.readPeering(&s.media, s.room),
		f.readNetwork(s),
	)
	if err != nil {
		return nil, cli.UsageError{Err: err}
	}
	s.media.Log, s.media.Yields = s.log, yieldsTo(s.name)
	if err = f.readTrust(s); err != nil {
		return nil, cli.UsageError{Err: err}
	}
	return s, nil
}

// checkRelay finds flags that would do nothing.
func (f *flags) checkRelay() error {
	// A variable for all runs, such as a container image's, does no harm.
	listen := f.Listen != "" && f.Listen != os.Getenv("GSTPEER_LISTEN")
	switch {
	case f.Server != "" && (listen || f.TLSFlags.Given()):
		return errors.New("--listen and --tls-… are for the built-in relay, and --server for another one: give one of them")
	case f.Server == "" && (f.CAFile != "" || f.Insecure || f.Token != ""):
		return errors.New("--ca-file, --insecure and --token are about a relay elsewhere: give it with --server")
	case f.CAFile != "" && f.Insecure:
		return errors.New("--ca-file does nothing with --insecure: give one of them")
	}
	return f.TLSFlags.Check()
}

// checkMedia finds numbers that make no picture.
func (f *flags) checkMedia() error {
	limits := []struct {
		flag            string
		value, min, max int
	}{
		{"width", f.Width, 16, 7680}, {"height", f.Height, 16, 4320}, {"frame-rate", f.FrameRate, 1, 240},
		{"video-bitrate", f.VideoBitrate, 50, 100_000}, {"audio-bitrate", f.AudioBitrate, 6, 510},
	}
	for _, l := range limits {
		ownSize := l.value == 0 && (l.flag == "width" || l.flag == "height")
		if !ownSize && (l.value < l.min || l.value > l.max) {
			return fmt.Errorf("--%s wants %d to %d, got %d", l.flag, l.min, l.max, l.value)
		}
	}
	if f.Width%2 != 0 || f.Height%2 != 0 {
		return fmt.Errorf("--width and --height want even numbers, got %d and %d", f.Width, f.Height)
	}
	if f.SourceTimeout < time.Second {
		return fmt.Errorf("--source-timeout wants 1s or more, got %s", f.SourceTimeout)
	}
	return nil
}

// forFlag says which flag an error is about.
func forFlag(name string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("--%s: %w", name, err)
}

func (f *flags) readMedia(c *pipeline.Config) error {
	if f.ReceiveOnly {
		if f.Video != "test" || f.Audio != "auto" {
			return errors.New("--receive-only opens no source: leave --video and --audio out")
		}
		f.Video, f.Audio = "none", "none"
	}
	video, err := pipeline.ParseVideo(f.Video)
	if err != nil {
		return forFlag("video", err)
	}
	audio, err := pipeline.ParseAudio(f.Audio)
	if err != nil {
		return forFlag("audio", err)
	}
	codecs, err := pipeline.ParseVideoCodecs(f.Codecs)
	if err != nil {
		return forFlag("codecs", err)
	}
	*c = pipeline.Config{
		Video: video, Audio: audio, Width: f.Width, Height: f.Height, FrameRate: f.FrameRate,
		VideoBitrate: f.VideoBitrate, AudioBitrate: f.AudioBitrate, Codecs: codecs, Receive: f.ReceiveOnly,
		StallTimeout: f.SourceTimeout, ExitOnSourceLoss: f.ExitOnSourceLoss,
	}
	if err := c.Check(); err != nil {
		return fmt.Errorf("--video and --audio: %w", err)
	}
	return nil
}

// readTrust says which certificate of the relay to trust.
func (f *flags) readTrust(s *settings) error {
	if f.Insecure {
		s.log.Warn("--insecure: the relay's certificate is not checked, anybody on the way can watch and replace the stream")
		unchecked := &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12}
		s.tls = func() *tls.Config { return unchecked }
		return nil
	}
	if f.CAFile == "" {
		return nil
	}
	var current atomic.Pointer[tls.Config]
	var err error
	s.authorities, err = reload.Open(s.log, func(contents [][]byte) error {
		pool, err := x509.SystemCertPool()
		if err != nil {
			pool = x509.NewCertPool()
		}
		if !pool.AppendCertsFromPEM(contents[0]) {
			return fmt.Errorf("%s has no certificate in PEM form", f.CAFile)
		}
		current.Store(&tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12})
		return nil
	}, f.CAFile)
	s.tls = current.Load
	return forFlag("ca-file", err)
}

// hostName is this machine's name as a uid.
func hostName() string {
	name, _ := os.Hostname()
	name = strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) {
			return -1
		}
		return r
	}, name)
	if name == "" {
		return "gstpeer"
	}
	return name
}
