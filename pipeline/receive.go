package pipeline

import (
	"slices"
	"sync/atomic"
	"time"
)

// codecInterval is the shortest time between two changes of codec on an m-line,
// each of which begins a file of a recording: a remote can alternate with each frame.
const codecInterval = 2 * time.Second

// receiver does something with what one remote sends.
type receiver interface {
	// take gets the tracks that come in from now on, again whenever these
	// change. It does not block.
	take(tracks []*Track)
	// close returns after the last goroutine of the receiver has ended.
	close()
}

// remoteSource is what stands behind a Track that comes in.
type remoteSource struct {
	peer    *Peer
	settled time.Time     // the remote may change its codec from then on
	changes atomic.Bool   // it has, which is about to be followed
	ssrc    atomic.Uint32 // of the last frame
}

func (s *remoteSource) setDemand(bool) {}

// forceKeyframe asks the remote for one (RTCP PLI).
func (s *remoteSource) forceKeyframe() {
	ssrc := s.ssrc.Load()
	if ssrc != 0 {
		s.peer.post(func() error { s.peer.bin.wantKeyframe(ssrc); return nil })
	}
}

// routes say where frames go that come in.
type routes struct {
	bySSRC    map[uint32]*route
	byPayload map[int]*route // for remotes that do not name their sources
}

type route struct {
	mline  int
	track  *Track
	source *remoteSource
	count  *frameCount
	since  time.Time
	codecs map[int]*Codec // by payload type
}

func (r *routes) find(ssrc uint32, payload int) *route {
	if found := r.bySSRC[ssrc]; found != nil && found.codecs[payload] != nil {
		return found
	}
	return r.byPayload[payload]
}

// receive lets in what was agreed on, and nothing else.
func (p *Peer) receive() {
	p.bin.acceptNothing()
	wanted := len(p.receivers) > 0
	for _, m := range p.mlines {
		if !m.receives {
			m.stopReceiving()
			continue
		}
		for _, payload := range m.payloads {
			depay := ""
			if wanted {
				depay = codecOf(payload, p.pipeline.config.receivable(m.kind)).depayLaunch()
			}
			p.bin.accept(payload.number, depay)
		}
		for _, number := range m.repairs {
			p.bin.accept(number, "")
		}
		if wanted && m.incoming == nil {
			p.listen(m, codecOf(m.payloads[0], p.pipeline.config.receivable(m.kind)))
		}
	}
	p.acceptSources()
	p.route()
}

// acceptSources lets in the sources that the remote names, or all of them where
// webrtcbin can take them: it puts one that is unknown on the first m-line, and
// crashes if that is a data channel's.
func (p *Peer) acceptSources() {
	if p.mlines[0].kind != "" {
		p.bin.acceptAnySource()
		return
	}
	for _, m := range p.mlines {
		for _, ssrc := range m.ssrcs {
			p.bin.acceptSource(ssrc)
		}
	}
}

// listen makes the track for what comes in on an m-line.
func (p *Peer) listen(m *mline, codec *Codec) {
	m.stopReceiving()
	m.source = &remoteSource{peer: p}
	m.incoming = newTrack(codec, m.source)
	p.log.Debug("will receive", "kind", m.kind, "codec", codec.Name)
}

func (m *mline) stopReceiving() {
	if m.incoming != nil {
		m.incoming.close()
		m.incoming, m.source = nil, nil
	}
}

// route makes the routes of the tracks that come in, and hands these on.
func (p *Peer) route() {
	var tracks []*Track
	r := &routes{bySSRC: make(map[uint32]*route), byPayload: make(map[int]*route)}
	for _, m := range p.mlines {
		if m.incoming == nil {
			continue
		}
		tracks = append(tracks, m.incoming)
		to := &route{mline: m.index, track: m.incoming, source: m.source, count: &m.received, since: m.since, codecs: make(map[int]*Codec)}
		for _, payload := range m.payloads {
			to.codecs[payload.number] = codecOf(payload, p.pipeline.config.receivable(m.kind))
			if r.byPayload[payload.number] == nil {
				r.byPayload[payload.number] = to
			}
		}
		for _, ssrc := range m.ssrcs {
			r.bySSRC[ssrc] = to
		}
	}
	before := p.routes.Swap(r)
	if before == nil && len(tracks) == 0 || before != nil && before.leadTo(tracks) {
		return
	}
	for _, receiver := range p.receivers {
		receiver.take(tracks)
	}
}

// leadTo says whether the routes lead to these tracks.
func (r *routes) leadTo(tracks []*Track) bool {
	var all []*Track
	for _, to := range r.byPayload {
		if !slices.Contains(all, to.track) {
			all = append(all, to.track)
		}
	}
	return len(all) == len(tracks) && !slices.ContainsFunc(tracks, func(t *Track) bool { return !slices.Contains(all, t) })
}

// onFrame takes a frame that came in.
func (p *Peer) onFrame(ssrc uint32, payload int, frame Frame) {
	r := p.routes.Load()
	if r == nil {
		return
	}
	to := r.find(ssrc, payload)
	if to == nil {
		return
	}
	if codec := to.codecs[payload]; codec != to.track.Codec {
		if to.source.mayChange() {
			p.post(func() error { p.change(to, codec); return nil })
		}
		return
	}
	first := to.source.ssrc.Swap(ssrc) == 0
	to.track.publish(frame)
	if to.count.add(frame) {
		p.pipeline.config.Observer.FirstFrame(to.track.Codec.Kind, false, time.Since(to.since))
	}
	if first && !frame.Keyframe { // whoever has subscribed waits for one
		to.track.RequestKeyframe()
	}
}

// mayChange says once, and not too soon after the last time, that another codec
// is to be followed. Its frames are dropped until then.
func (s *remoteSource) mayChange() bool {
	return time.Now().After(s.settled) && s.changes.CompareAndSwap(false, true)
}

// change follows a remote that sends with another codec of those agreed on.
func (p *Peer) change(from *route, codec *Codec) {
	m := p.mlines[from.mline]
	if m.incoming != from.track {
		return // negotiation was faster
	}
	p.listen(m, codec)
	m.source.settled = time.Now().Add(codecInterval)
	p.route()
}
