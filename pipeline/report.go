package pipeline

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync/atomic"
	"time"
)

// PeerReport is how the connection to a remote peer is.
type PeerReport struct {
	UID string
	// State is W3C's RTCPeerConnectionState.
	State string
	// LocalCandidate and RemoteCandidate are the types of the selected pair, such
	// as "host" or "relay"; empty before there is one.
	LocalCandidate, RemoteCandidate string
	// Streams are what is sent and received, in the order of the m-lines.
	Streams []StreamReport
}

// StreamReport is how one stream of media is, as it was at the last check, two
// seconds ago at most.
type StreamReport struct {
	// MLine is the index of its m-line: there is one stream each way on it.
	MLine int
	Kind  Kind
	Codec string
	// Sent is false for what is received.
	Sent bool
	// Frames and Keyframes are counted at once, the rest at each check. Frames of
	// what is received are counted only if anybody takes them.
	Frames, Keyframes uint64
	Packets, Bytes    uint64
	// Bitrate is in bits per second, since the check before.
	Bitrate float64
	// Lost packets are those that the receiver missed; retransmissions, and
	// packets that came twice, count against them (RFC 3550).
	Lost int64
	// RoundTrip and Jitter are 0 before the first report about them.
	RoundTrip, Jitter time.Duration
	// NACKs, PLIs and FIRs are those that the receiver has sent.
	NACKs, PLIs, FIRs uint64
}

// frameCount counts the frames of one stream.
type frameCount struct{ frames, keyframes atomic.Uint64 }

// add says whether this is the first one.
func (c *frameCount) add(f Frame) (first bool) {
	if f.Keyframe {
		c.keyframes.Add(1)
	}
	return c.frames.Add(1) == 1
}

// Reports tells how each remote peer is, in the order of their uids.
func (p *Pipeline) Reports() []PeerReport {
	p.mu.Lock()
	peers := slices.Collect(maps.Values(p.peers))
	p.mu.Unlock()
	reports := make([]PeerReport, len(peers))
	for i, peer := range peers {
		reports[i] = peer.currentReport()
	}
	slices.SortFunc(reports, func(a, b PeerReport) int { return cmp.Compare(a.UID, b.UID) })
	return reports
}

// measured is what a check has found, and when.
type measured struct {
	at      time.Time
	report  PeerReport
	streams []*frameCount // of the report's, with what they counted since
}

// currentReport is for any goroutine.
func (p *Peer) currentReport() PeerReport {
	m := p.measured.Load()
	report := m.report
	report.Streams = slices.Clone(report.Streams)
	for i, count := range m.streams {
		report.Streams[i].Frames = count.frames.Load()
		report.Streams[i].Keyframes = count.keyframes.Load()
	}
	return report
}

// reportState makes a new state known before the next check.
func (p *Peer) reportState() {
	m := *p.measured.Load()
	m.report.State = p.state.String()
	p.measured.Store(&m)
}

// report takes the statistics of a check.
func (p *Peer) report(stats statistics, now time.Time) {
	before := p.measured.Load()
	m := &measured{at: now, report: PeerReport{UID: p.uid, State: p.state.String()}}
	m.report.LocalCandidate, m.report.RemoteCandidate = stats.candidateTypes()
	for _, line := range p.mlines {
		if line.sends && line.codec != nil {
			m.add(stats.sent(line, p.receptions.get(line.ssrc)), &line.sent)
		}
		if line.receives {
			m.add(stats.received(line, p.pipeline.config), &line.received)
		}
	}
	for i, count := range m.streams {
		if j := slices.Index(before.streams, count); j >= 0 {
			m.report.Streams[i].rate(before.report.Streams[j], now.Sub(before.at))
		}
	}
	p.measured.Store(m)
}

func (m *measured) add(stream StreamReport, count *frameCount) {
	m.report.Streams = append(m.report.Streams, stream)
	m.streams = append(m.streams, count)
}

// rate finds the bitrate since the check before.
func (s *StreamReport) rate(before StreamReport, elapsed time.Duration) {
	if elapsed > 0 && s.Bytes > before.Bytes {
		s.Bitrate = 8 * float64(s.Bytes-before.Bytes) / elapsed.Seconds()
	}
}

func (s statistics) outbound(m *mline) statsEntry {
	return s[fmt.Sprintf("rtp-outbound-stream-stats_%d", m.ssrc)]
}

// sent is what the statistics and the remote say about what an m-line sends.
func (s statistics) sent(m *mline, theirs reception) StreamReport {
	out := s.outbound(m)
	jitter := time.Duration(0)
	if rate := out.number("gst-rtpsource-stats.clock-rate"); rate > 0 {
		jitter = time.Duration(theirs.jitter) * time.Second / time.Duration(rate)
	}
	return StreamReport{
		MLine: m.index, Kind: m.kind, Codec: m.codec.Name, Sent: true,
		Packets: out.number("packets-sent"), Bytes: out.number("bytes-sent"),
		Lost: int64(theirs.lost), RoundTrip: theirs.roundTrip, Jitter: jitter,
		NACKs: out.number("nack-count"), PLIs: out.number("pli-count"), FIRs: out.number("fir-count"),
	}
}

// received is what they say about what comes in on it, from the source that most
// has come of.
func (s statistics) received(m *mline, c Config) StreamReport {
	codec, ssrcs := codecOf(m.payloads[0], c.receivable(m.kind)), m.ssrcs
	if m.incoming != nil {
		codec, ssrcs = m.incoming.Codec, append(slices.Clone(ssrcs), m.source.ssrc.Load())
	}
	var in statsEntry
	for _, ssrc := range ssrcs {
		entry := s[fmt.Sprintf("rtp-inbound-stream-stats_%d", ssrc)]
		if in == nil || entry.number("packets-received") > in.number("packets-received") {
			in = entry
		}
	}
	return StreamReport{
		MLine: m.index, Kind: m.kind, Codec: codec.Name,
		Packets: in.number("packets-received"), Bytes: in.number("bytes-received"),
		Lost: in.signed("packets-lost"), Jitter: in.seconds("jitter"),
		NACKs: in.number("nack-count"), PLIs: in.number("pli-count"), FIRs: in.number("fir-count"),
	}
}

// candidateTypes are those of the selected pair. Which one is ours is told by the
// pair: webrtcbin 1.22 interchanges the types of the entries.
func (s statistics) candidateTypes() (local, remote string) {
	for _, entry := range s {
		if entry["type"] == "candidate-pair" {
			return s[entry["local-candidate-id"]]["candidate-type"], s[entry["remote-candidate-id"]]["candidate-type"]
		}
	}
	return "", ""
}

// signed gives a count that may be negative; 0 if it is not there.
func (e statsEntry) signed(field string) int64 {
	n, _ := strconv.ParseInt(e[field], 10, 64)
	return n
}

// seconds gives a duration; 0 if it is not there.
func (e statsEntry) seconds(field string) time.Duration {
	s, _ := strconv.ParseFloat(e[field], 64)
	return max(0, time.Duration(s*float64(time.Second)))
}
