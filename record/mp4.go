package record

import (
	"cmp"
	"fmt"
	"math"
	"time"

	"github.com/bluenviron/mediacommon/v2/pkg/formats/fmp4"
	"github.com/bluenviron/mediacommon/v2/pkg/formats/fmp4/seekablebuffer"
	"github.com/bluenviron/mediacommon/v2/pkg/formats/mp4/codecs"
)

const (
	// fragmentTime is how long a fragment gets, and how long a frame may wait in
	// memory.
	fragmentTime = time.Second
	fragmentSize = 16 << 20
	// guessedFrame is how long a picture plays of which nothing is known.
	guessedFrame = time.Second / 30
)

// mp4 writes a fragmented MP4 file (ISO/IEC 14496-12): whatever ends the program,
// the fragments that are written play.
type mp4 struct {
	// Static.
	output   *output
	duration int64 // where in the file it belongs

	tracks   []*mp4Track
	sequence uint32
	length   time.Duration // up to the end of what plays longest
	gathered
}

// gathered is the fragment that is not written yet.
type gathered struct {
	samples int
	bytes   int
	began   time.Duration // its first sample's time in the file
	arrived time.Time     // when that came
}

// mp4Track gathers the samples of one track. A sample's duration is known when
// the next one comes.
type mp4Track struct {
	// Static.
	stream streamHead
	scale  uint32 // ticks per second

	samples  []*fmp4.Sample
	base     uint64        // of the first sample, in ticks
	last     uint64        // of the latest sample, in ticks
	lastAt   time.Duration // the same in the file's time
	arrived  time.Time     // when that came
	known    bool          // its duration is known
	duration uint32        // of the latest sample for which it is known
	cues     cueList       // fragments that begin with a keyframe of it
}

func newMP4(o *output, streams []streamHead) (muxer, error) {
	m := &mp4{output: o}
	var init fmp4.Init
	for i, s := range streams {
		t := &mp4Track{stream: s, scale: 90000}
		if s.codec == Opus {
			t.scale = 48000
		}
		t.duration = uint32(ticks(guessedFrame, t.scale))
		m.tracks = append(m.tracks, t)
		init.Tracks = append(init.Tracks, &fmp4.InitTrack{ID: i + 1, TimeScale: t.scale, Codec: mp4Codec(s)})
	}
	var b seekablebuffer.Buffer
	if err := init.Marshal(&b); err != nil {
		return nil, fmt.Errorf("%w: head of an MP4 file: %w", ErrWrite, err)
	}
	head, duration, err := reserveMehd(b.Bytes())
	if err != nil {
		return nil, err
	}
	m.duration = duration
	return m, o.append(head)
}

func mp4Codec(s streamHead) codecs.Codec {
	switch s.codec {
	case VP9:
		h := s.picture.vp9
		return &codecs.VP9{
			Width: s.picture.width, Height: s.picture.height, Profile: h.Profile,
			BitDepth: h.ColorConfig.BitDepth, ChromaSubsampling: h.ChromaSubsampling(), ColorRange: h.ColorConfig.ColorRange,
		}
	case H264:
		return &codecs.H264{SPS: s.picture.sps, PPS: s.picture.pps}
	default:
		return &codecs.Opus{ChannelCount: 2}
	}
}

func (m *mp4) write(b block) error {
	t := m.tracks[b.number]
	at := ticks(b.at, t.scale)
	if n := len(t.samples); n > 0 {
		t.duration = uint32(min(at-t.last, math.MaxUint32))
		t.samples[n-1].Duration, t.known = t.duration, true
	}
	if m.fragmentEnds(b) {
		if err := m.writeFragment(b.now); err != nil {
			return err
		}
	}
	m.add(t, b, at)
	return nil
}

// fragmentEnds tells whether a block belongs to the next fragment. A player can
// begin with a fragment that begins with a keyframe.
func (m *mp4) fragmentEnds(b block) bool {
	if m.samples == 0 {
		return false
	}
	return b.keyframe || b.at-m.began >= fragmentTime || m.bytes >= fragmentSize
}

func (m *mp4) add(t *mp4Track, b block, at uint64) {
	if len(t.samples) == 0 {
		t.base = at
	}
	sample := &fmp4.Sample{
		Duration:        uint32(ticks(b.duration, t.scale)),
		IsNonSyncSample: t.stream.codec.video() && !b.keyframe,
		Payload:         b.payload,
	}
	if t.stream.codec == H264 {
		sample.Payload = appendLengthPrefixed(nil, b.payload)
	}
	t.known = b.duration > 0
	if !t.known { // as long as the one before, until the next one comes
		sample.Duration = min(t.duration, t.scale)
	}
	t.samples = append(t.samples, sample)
	t.last, t.lastAt, t.arrived = at, b.at, b.now
	m.gather(len(sample.Payload), b.at, b.now)
}

func (g *gathered) gather(bytes int, at time.Duration, arrived time.Time) {
	if g.samples == 0 {
		g.began, g.arrived = at, arrived
	}
	g.samples++
	g.bytes += bytes
}

// flush writes a fragment for which no more blocks come.
func (m *mp4) flush(now time.Time) error {
	if m.samples == 0 || now.Sub(m.arrived) < fragmentTime {
		return nil
	}
	return m.writeFragment(now)
}

func (m *mp4) finish() error {
	for _, t := range m.tracks {
		t.known = true // nothing comes any more that would tell
	}
	return cmp.Or(m.writeFragment(time.Time{}), m.output.patch(mehd(m.length), m.duration), m.writeIndex())
}

func (m *mp4) writeIndex() error {
	b, err := mfra(m.tracks)
	if err != nil {
		return fmt.Errorf("%w: index of an MP4 file: %w", ErrWrite, err)
	}
	return m.output.append(b)
}

// writeFragment writes what is gathered. A picture whose duration is not known
// waits for the next fragment, unless it came a second ago.
func (m *mp4) writeFragment(now time.Time) error {
	part := fmp4.Part{SequenceNumber: m.sequence + 1}
	m.gathered = gathered{}
	for i, t := range m.tracks {
		if samples := m.take(t, now); len(samples) > 0 {
			part.Tracks = append(part.Tracks, &fmp4.PartTrack{ID: i + 1, BaseTime: t.base, Samples: samples})
		}
		t.base = t.last // that of the one that waits, if any
	}
	if len(part.Tracks) == 0 {
		return nil
	}
	var b seekablebuffer.Buffer
	if err := part.Marshal(&b); err != nil {
		return fmt.Errorf("%w: fragment of an MP4 file: %w", ErrWrite, err)
	}
	position := m.output.size
	if err := m.output.append(b.Bytes()); err != nil {
		return err
	}
	m.output.hasMedia = true
	m.sequence++
	for i, p := range part.Tracks {
		m.index(p, i+1, position)
	}
	return nil
}

// take gives the samples of a track that are ready, and gathers the other one anew.
func (m *mp4) take(t *mp4Track, now time.Time) []*fmp4.Sample {
	samples := t.samples
	t.samples = nil
	if n := len(samples) - 1; n >= 0 && !t.known && now.Sub(t.arrived) < fragmentTime {
		t.samples = samples[n:]
		m.gather(len(samples[n].Payload), t.lastAt, t.arrived)
		return samples[:n]
	}
	return samples
}

// index remembers what a fragment that is written has of a track.
func (m *mp4) index(p *fmp4.PartTrack, number int, position int64) {
	t, end := m.tracks[p.ID-1], p.BaseTime
	for _, s := range p.Samples {
		end += uint64(s.Duration)
	}
	m.length = max(m.length, timeOf(end, t.scale))
	if !p.Samples[0].IsNonSyncSample {
		t.cues.add(cue{at: timeOf(p.BaseTime, t.scale), position: position, number: number})
	}
}

// ticks is a time in a track's own unit.
func ticks(d time.Duration, scale uint32) uint64 {
	seconds, rest := uint64(d/time.Second), uint64(d%time.Second)
	return seconds*uint64(scale) + (rest*uint64(scale)+uint64(time.Second)/2)/uint64(time.Second)
}

// timeOf is the time of a track's ticks.
func timeOf(ticks uint64, scale uint32) time.Duration {
	seconds, rest := ticks/uint64(scale), ticks%uint64(scale)
	return time.Duration(seconds)*time.Second + time.Duration(rest)*time.Second/time.Duration(scale)
}
