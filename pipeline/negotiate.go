package pipeline

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/pion/sdp/v3"

	"github.com/gstpeer/gstpeer/signalling"
)

// channelLabel is that of the data channel that we open to each remote.
const channelLabel = "gstpeer"

// offer proposes to the remote every track that there is, and to receive its own.
func (p *Peer) offer() error {
	if !p.claimTurn(turnOurs) {
		return errRemoved // by what takes the remote's offer
	}
	ctx, cancel := p.operation()
	defer cancel()
	// Sound comes first: everybody has Opus, and Firefox gives up on the bundle
	// when it rejects the m-line that this is on.
	for _, kind := range []Kind{Audio, Video} {
		p.propose(kind)
	}
	if p.bin.openChannel(channelLabel) {
		p.mlines = append(p.mlines, &mline{index: len(p.mlines)})
	}
	d, err := p.bin.create(ctx, signalling.Offer)
	if err != nil {
		return err
	}
	p.local = new(sdp.SessionDescription)
	if err := p.local.UnmarshalString(d.SDP); err != nil {
		return fmt.Errorf("offer by webrtcbin: %w", err)
	}
	if err := p.bin.setLocal(ctx, d); err != nil {
		return err
	}
	p.offered.Store(time.Now().UnixMilli())
	return p.tell(d)
}

// propose adds an m-line to our offer, if there is anything to be agreed on.
func (p *Peer) propose(kind Kind) {
	codecs := p.pipeline.codecs(kind)
	m := &mline{index: len(p.mlines), kind: kind, ours: len(codecs) > 0, receives: p.pipeline.config.Receive, ssrc: newSSRC(), since: time.Now()}
	m.sends = m.ours
	if !m.ours && m.receives { // else the remote might choose one that we cannot send
		codecs = p.pipeline.config.receivable(kind)
	}
	if len(codecs) == 0 {
		return
	}
	p.mlines = append(p.mlines, m)
	p.bin.addTransceiver(sendRecv, kind, offerCaps(codecs, m.ssrc))
}

// tell sends a description of ours to the remote.
func (p *Peer) tell(d signalling.Description) error {
	ctx, cancel := p.operation()
	defer cancel()
	text, err := forRemote(d.SDP, p.mlines, p.pipeline.config.Network)
	if err != nil {
		return err
	}
	p.described = time.Now()
	return p.signaller.SendDescription(ctx, p.uid, signalling.Description{Type: d.Type, SDP: text})
}

// acceptAnswer takes the remote's answer to our offer.
func (p *Peer) acceptAnswer(r remoteDescription) error {
	switch {
	case p.answered.Load() && !p.playing && r.session != *p.session.Load():
		return fmt.Errorf("%w: what was taken for the answer was one to an earlier offer", ErrConnectionFailed)
	case !p.offers || p.offered.Load() == 0 || p.answered.Load():
		p.log.Debug("answer ignored: there was no offer, or an answer before")
		return nil
	case len(r.sections) != len(p.mlines):
		return fmt.Errorf("%w: the answer has %d m-lines, our offer has %d", ErrDescription, len(r.sections), len(p.mlines))
	}
	p.answered.Store(true)
	p.connected.Reset(p.pipeline.connectTimeout)
	p.session.Store(&r.session)
	for i, s := range r.sections {
		if s.kind != p.mlines[i].kind {
			return fmt.Errorf("%w: m-line %d of the answer is of another kind than that of our offer", ErrDescription, i)
		}
	}
	if missed := p.agree(r); missed != nil {
		return missed
	}
	if err := p.setRemote(r, p.local); err != nil {
		return err
	}
	return p.apply()
}

// agree takes what the remote wants of each m-line. The error says why nothing
// at all comes of it.
func (p *Peer) agree(r remoteDescription) error {
	missed, used := ErrNothingWanted, r.isChannelAlone()
	var hints []error
	for i, s := range r.sections {
		m := p.mlines[i]
		m.rejected = s.rejected
		if m.kind == "" {
			continue
		}
		if err := p.agreeOn(m, s); err != nil {
			missed = err
			hints = append(hints, err)
		}
		used = used || m.sends || m.receives
	}
	if !used && !p.playing {
		return missed // which says so when the peer ends
	}
	for _, err := range hints {
		p.log.Warn("nothing to send", "error", err)
	}
	return nil
}

// agreeOn takes what the remote wants of one m-line. The error says why nothing
// is sent on it that the remote would receive.
func (p *Peer) agreeOn(m *mline, s section) (missed error) {
	if m.hopeless { // as webrtcbin was told for good
		m.sends, m.receives, m.payloads, m.repairs = false, false, nil, nil
		if s.wants {
			missed = noCommonCodec(m.kind, p.pipeline.codecs(m.kind), s.payloads)
		}
		return missed
	}
	ours := p.pipeline.codecs(m.kind)
	elsewhere := slices.ContainsFunc(p.mlines, func(other *mline) bool { return other != m && other.kind == m.kind && other.ours })
	m.ours = m.ours || s.wants && !elsewhere && len(ours) > 0
	if m.ours && m.codec == nil {
		codec, payload, common := choose(ours, s)
		if common {
			m.codec, m.payload = codec, payload.number
		}
	}
	m.sends = m.ours && s.wants && slices.Contains(ours, m.codec)
	if !m.sends && len(ours) > 0 && !elsewhere && (s.wants || s.rejected) {
		missed = noCommonCodec(m.kind, ours, s.payloads)
	}
	codecs := p.pipeline.config.receivable(m.kind)
	if m.codec != nil && !p.offers { // our answer names no other one
		codecs = []*Codec{m.codec}
	}
	m.payloads = received(s.payloads, codecs)
	m.repairs = repairs(s.payloads, m.payloads)
	m.ssrcs = s.ssrcs
	m.receives = p.pipeline.config.Receive && s.sends && len(m.payloads) > 0
	return missed
}

// noCommonCodec says what each side can do, and what to do.
func noCommonCodec(kind Kind, ours []*Codec, theirs []payload) error {
	var names, taken []string
	for _, codec := range ours {
		names = append(names, codec.EncodingName)
	}
	for _, p := range theirs {
		name := strings.ToUpper(p.encoding)
		repair := slices.Contains([]string{"RTX", "RED", "ULPFEC", "FLEXFEC-03"}, name)
		if name != "" && !repair && !slices.Contains(taken, name) {
			taken = append(taken, name)
		}
	}
	hint := ""
	if kind == Video {
		hint = "; name one of the remote's in --codecs"
	}
	return fmt.Errorf("%w for %s: we send %s, the remote takes %s%s", ErrNoCommonCodec, kind,
		strings.Join(names, ", "), cmp.Or(strings.Join(taken, ", "), "none of them"), hint)
}

// setRemote gives webrtcbin a description of the remote, and the candidates
// that came with it.
func (p *Peer) setRemote(r remoteDescription, earlier *sdp.SessionDescription) error {
	ctx, cancel := p.operation()
	defer cancel()
	text, err := forWebrtcbin(r, earlier)
	if err != nil {
		return err
	}
	if err := p.bin.setRemote(ctx, signalling.Description{Type: r.kind, SDP: text}); err != nil {
		return err
	}
	p.ufrag, p.remote, p.longestText = r.ufrag, r.parsed, longestText(r.parsed)
	for _, c := range r.candidates {
		if err := p.addCandidate(c); err != nil {
			return err
		}
	}
	return nil
}

// answer answers an offer of the remote: its first one, or one that changes what
// was agreed on before.
func (p *Peer) answer(r remoteDescription) error {
	if p.ufrag != "" && p.ufrag != r.ufrag {
		// An answer would end the media that still flows.
		p.log.Warn("offer ignored: it restarts ICE, which webrtcbin cannot; a new RTCPeerConnection would do")
		return nil
	}
	if err := p.follow(r); err != nil {
		p.log.Warn("offer ignored: a new RTCPeerConnection would do", "error", err)
		return nil
	}
	if err := p.setRemote(r, p.remote); err != nil {
		return err
	}
	p.addMLines(r)
	missed := p.agree(r)
	if err := p.reply(); err != nil {
		return err
	}
	if missed != nil { // the answer was sent all the same: the remote then knows, and can say so
		return missed
	}
	return p.apply()
}

// follow makes sure that an offer goes on from what was agreed on before.
// webrtcbin aborts when it does not.
func (p *Peer) follow(r remoteDescription) error {
	if len(r.sections) < len(p.mlines) {
		return fmt.Errorf("%w: %d m-lines, %d before", ErrDescription, len(r.sections), len(p.mlines))
	}
	for i := range p.mlines {
		mid, _ := p.remote.MediaDescriptions[i].Attribute("mid")
		if r.sections[i].mid != mid || r.sections[i].kind != p.mlines[i].kind {
			return fmt.Errorf("%w: m-line %d is another one than before", ErrDescription, i)
		}
		if !keepsCodec(p.mlines[i], r.sections[i]) {
			return fmt.Errorf("%w: m-line %d has no %s with payload type %d any more", ErrDescription, i, p.mlines[i].codec.EncodingName, p.mlines[i].payload)
		}
	}
	return nil
}

// keepsCodec says whether what was agreed on for an m-line is still there, if that
// is to be used: webrtcbin takes nothing else.
func keepsCodec(m *mline, s section) bool {
	if m.codec == nil || s.rejected || !s.wants && !s.sends {
		return true
	}
	return slices.ContainsFunc(s.payloads, func(p payload) bool { return p.number == m.payload && m.codec.score(p) > 0 })
}

// addMLines takes the m-lines of an offer that are new.
func (p *Peer) addMLines(r remoteDescription) {
	for i := len(p.mlines); i < len(r.sections); i++ {
		s := r.sections[i]
		m := &mline{index: i, kind: s.kind, ssrc: newSSRC(), since: time.Now()}
		p.mlines = append(p.mlines, m)
		switch {
		case s.kind != "":
			p.addMedia(m, s)
		case !s.rejected:
			p.bin.openChannel(channelLabel)
		}
	}
}

// addMedia gives webrtcbin a transceiver for an m-line of an offer, with the one
// codec for both directions that our answer will name.
func (p *Peer) addMedia(m *mline, s section) {
	codec, payload, common := choose(p.pipeline.codecs(m.kind), s)
	if !common {
		codec, payload, common = choose(p.pipeline.config.receivable(m.kind), s)
	}
	if !common {
		m.hopeless = true
		p.bin.addTransceiver(inactive, m.kind, inactiveCaps(s))
		return
	}
	m.codec, m.payload = codec, payload.number
	p.bin.addTransceiver(sendRecv, m.kind, codec.caps(payload.number, m.ssrc))
}

// reply makes our answer and sends it.
func (p *Peer) reply() error {
	ctx, cancel := p.operation()
	defer cancel()
	d, err := p.bin.create(ctx, signalling.Answer)
	if err != nil {
		return err
	}
	if err := p.checkAnswer(d); err != nil {
		return err
	}
	if err := p.bin.setLocal(ctx, d); err != nil {
		return err
	}
	return p.tell(d)
}

// checkAnswer makes sure that webrtcbin agreed to all that we do: it says
// nothing when it does not.
func (p *Peer) checkAnswer(d signalling.Description) error {
	var parsed sdp.SessionDescription
	if err := parsed.UnmarshalString(d.SDP); err != nil {
		return fmt.Errorf("answer by webrtcbin: %w", err)
	}
	for _, m := range p.mlines {
		if !m.sends && !m.receives {
			continue
		}
		media := parsed.MediaDescriptions[m.index]
		if _, both := media.Attribute("sendrecv"); !both || media.MediaName.Port.Value == 0 {
			return fmt.Errorf("%w: webrtcbin declines m-line %d for %s", ErrDescription, m.index, m.kind)
		}
	}
	return nil
}

// apply carries out what was agreed on.
func (p *Peer) apply() error {
	p.negotiated = true
	p.receive()
	return p.play()
}

// sendCandidate tells the remote where we can be reached.
func (p *Peer) sendCandidate(c signalling.Candidate) error {
	told, tell := p.pipeline.config.Network.candidate(c.Candidate)
	if !tell {
		return nil
	}
	c.Candidate = told
	if i := int(c.SDPMLineIndex); i < len(p.mlines) && p.mlines[i].rejected {
		// The transport is that of the first m-line that is used.
		c.SDPMLineIndex = uint16(max(0, slices.IndexFunc(p.mlines, func(m *mline) bool { return !m.rejected })))
	}
	p.gathered.add(c.Candidate)
	err := p.signaller.SendCandidate(p.ctx, p.uid, c)
	if err != nil && p.playing { // then it does without
		p.log.Debug("candidate not sent", "error", err)
		return nil
	}
	return err
}

// addCandidate hands a candidate of the remote to ICE, unless it has done so:
// each description of a browser repeats them.
func (p *Peer) addCandidate(c signalling.Candidate) error {
	if _, known := p.known[c.Candidate]; known {
		return nil
	}
	p.known[c.Candidate] = struct{}{}
	p.candidates++
	switch {
	case c.Candidate == "": // the end of candidates, which ICE does not need
		return nil
	case p.candidates > maxCandidates:
		return fmt.Errorf("%w: more than %d candidates", ErrFlooded, maxCandidates)
	case !fitForICE(c.Candidate):
		p.log.Debug("remote candidate ignored: not one for UDP")
		return nil
	case isLocalName(c.Candidate):
		if p.localNames++; p.localNames > maxLocalNames {
			return nil
		}
	}
	p.found.add(c.Candidate)
	if p.remote != nil && bundledMids(p.remote) != nil {
		c.SDPMLineIndex = 0 // which the bundle is on here, wherever the remote has it
	}
	p.bin.addCandidate(c) // which keeps it until the description is there
	return nil
}
