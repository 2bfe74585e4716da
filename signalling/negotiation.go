package signalling

import (
	"encoding/json"
	"errors"
	"fmt"
)

// ErrNegotiation is wrapped by every error of ParseNegotiation: the text of a
// peer was neither an SDP nor an ICE message of the protocol, nor OFFER_REQUEST.
var ErrNegotiation = errors.New("signalling: not a negotiation message")

// SDPType says which half of an offer/answer exchange a Description is
// (RFC 3264, W3C RTCSdpType). The protocol knows no others.
type SDPType string

// The two types of a Description.
const (
	Offer  SDPType = "offer"
	Answer SDPType = "answer"
)

// Description is a session description (W3C RTCSessionDescriptionInit).
type Description struct {
	Type SDPType `json:"type"`
	SDP  string  `json:"sdp"`
}

// Candidate is an ICE candidate (W3C RTCIceCandidateInit). An empty Candidate
// string means that no more will come.
type Candidate struct {
	Candidate     string  `json:"candidate"`
	SDPMLineIndex uint16  `json:"sdpMLineIndex"`
	SDPMid        *string `json:"sdpMid,omitempty"`
}

// Negotiation is one message between two peers that negotiate: exactly one of
// its fields is set.
type Negotiation struct {
	Description *Description `json:"sdp,omitempty"`
	Candidate   *Candidate   `json:"ice,omitempty"`

	// OfferRequest says that the caller of a session wants the callee to make
	// the offer. A room has other rules for that.
	OfferRequest bool `json:"-"`
}

// String gives the message as the text that goes over the wire: the bare
// OfferRequest, or JSON.
func (n Negotiation) String() string {
	if n.OfferRequest {
		return OfferRequest
	}
	text, err := json.Marshal(n)
	if err != nil { // strings and integers only: cannot fail
		panic(err)
	}
	return string(text)
}

// ParseNegotiation reads a message of another peer: exactly the text
// OfferRequest, or JSON. In that it accepts members that it does not know and an
// absent sdpMid or sdpMLineIndex; anything else that is not one description or
// one candidate is an error that wraps ErrNegotiation.
func ParseNegotiation(text string) (Negotiation, error) {
	if text == OfferRequest {
		return Negotiation{OfferRequest: true}, nil
	}
	var n Negotiation
	if err := json.Unmarshal([]byte(text), &n); err != nil {
		return Negotiation{}, fmt.Errorf("%w: want JSON with a member \"sdp\" or \"ice\": %w", ErrNegotiation, err)
	}
	switch {
	case n.Description != nil && n.Candidate != nil:
		return Negotiation{}, fmt.Errorf("%w: has both \"sdp\" and \"ice\", want one", ErrNegotiation)
	case n.Candidate != nil:
		return n, nil
	case n.Description == nil:
		return Negotiation{}, fmt.Errorf("%w: has neither \"sdp\" nor \"ice\"", ErrNegotiation)
	}
	if t := n.Description.Type; t != Offer && t != Answer {
		return Negotiation{}, fmt.Errorf("%w: sdp type %q, want \"offer\" or \"answer\"", ErrNegotiation, t)
	}
	if n.Description.SDP == "" {
		return Negotiation{}, fmt.Errorf("%w: the %s has no SDP text", ErrNegotiation, n.Description.Type)
	}
	return n, nil
}
