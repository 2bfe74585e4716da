package signalling

import (
	"errors"
	"reflect"
	"testing"
)

func TestParseNegotiation(t *testing.T) {
	mid := "video0"
	for _, c := range []struct {
		text string
		want Negotiation
		ok   bool
	}{
		{`{"sdp": {"type": "offer", "sdp": "v=0\r\n"}}`, Negotiation{Description: &Description{Offer, "v=0\r\n"}}, true},
		{`{"sdp": {"type": "answer", "sdp": "v=0"}, "more": [1]}`, Negotiation{Description: &Description{Answer, "v=0"}}, true},
		{`{"ice": {"candidate": "candidate:1", "sdpMLineIndex": 1, "sdpMid": "video0"}}`, Negotiation{Candidate: &Candidate{"candidate:1", 1, &mid}}, true},
		{`{"ice": {"candidate": "candidate:1", "sdpMLineIndex": 0}}`, Negotiation{Candidate: &Candidate{"candidate:1", 0, nil}}, true},
		{`{"ice": {"candidate": "", "sdpMLineIndex": 0, "sdpMid": null, "usernameFragment": "x"}}`, Negotiation{Candidate: &Candidate{}}, true},
		{`{"ice": {"candidate": "candidate:1"}}`, Negotiation{Candidate: &Candidate{Candidate: "candidate:1"}}, true},
		{` {"sdp": null, "ice": {"candidate": ""}} `, Negotiation{Candidate: &Candidate{}}, true},
		{``, Negotiation{}, false},
		{`OFFER_REQUEST`, Negotiation{OfferRequest: true}, true},
		{`OFFER_REQUEST `, Negotiation{}, false},
		{`"OFFER_REQUEST"`, Negotiation{}, false},
		{`{"OfferRequest": true}`, Negotiation{}, false},
		{`null`, Negotiation{}, false},
		{`{}`, Negotiation{}, false},
		{`[]`, Negotiation{}, false},
		{`{"sdp": "v=0"}`, Negotiation{}, false},
		{`{"sdp": {"type": "offer"}}`, Negotiation{}, false},
		{`{"sdp": {"sdp": "v=0"}}`, Negotiation{}, false},
		{`{"sdp": {"type": "pranswer", "sdp": "v=0"}}`, Negotiation{}, false},
		{`{"sdp": {"type": "offer", "sdp": 1}}`, Negotiation{}, false},
		{`{"sdp": {"type": "offer", "sdp": "v=0"}, "ice": {"candidate": ""}}`, Negotiation{}, false},
		{`{"ice": {"candidate": "candidate:1", "sdpMLineIndex": -1}}`, Negotiation{}, false},
		{`{"ice": {"candidate": "candidate:1", "sdpMLineIndex": 65536}}`, Negotiation{}, false},
		{`{"ice": {"candidate": "candidate:1", "sdpMLineIndex": "0"}}`, Negotiation{}, false},
		{`{"sdp": {"type": "offer", "sdp": "v=0"}} trailing`, Negotiation{}, false},
	} {
		got, err := ParseNegotiation(c.text)
		if (err == nil) != c.ok || err != nil && !errors.Is(err, ErrNegotiation) {
			t.Errorf("%s: error %v, want ok %v", c.text, err, c.ok)
		}
		if c.ok && !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: got %v, want %v", c.text, got, c.want)
		}
	}
}

func TestNegotiationText(t *testing.T) {
	mid := "0"
	for want, n := range map[string]Negotiation{
		`OFFER_REQUEST`: {OfferRequest: true},
		`{"sdp":{"type":"offer","sdp":"v=0\r\n"}}`:                                   {Description: &Description{Offer, "v=0\r\n"}},
		`{"ice":{"candidate":"candidate:1","sdpMLineIndex":0}}`:                      {Candidate: &Candidate{Candidate: "candidate:1"}},
		`{"ice":{"candidate":"","sdpMLineIndex":2,"sdpMid":"0"}}`:                    {Candidate: &Candidate{SDPMLineIndex: 2, SDPMid: &mid}},
		`{"sdp":{"type":"answer","sdp":"\u003ctag\u003e \u0026 \"quotes\" \u2028"}}`: {Description: &Description{Answer, "<tag> & \"quotes\" \u2028"}},
	} {
		if got := n.String(); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func FuzzParseNegotiation(f *testing.F) {
	for _, seed := range []string{
		`{"sdp": {"type": "offer", "sdp": "v=0\r\n"}}`,
		`{"ice": {"candidate": "candidate:1", "sdpMLineIndex": 1, "sdpMid": "video0"}}`,
		`{"ice": {"candidate": ""}, "x": {}}`, `OFFER_REQUEST`, `{}`, `null`, `"\ud800"`, `{"sdp":{"type":"answer","sdp":"\u0000"}}`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		n, err := ParseNegotiation(text)
		if err != nil {
			if !errors.Is(err, ErrNegotiation) {
				t.Fatalf("error %v does not wrap ErrNegotiation", err)
			}
			return
		}
		again, err := ParseNegotiation(n.String())
		if err != nil || !reflect.DeepEqual(n, again) {
			t.Errorf("%s read again: %v, %v; want %v", n, again, err, n)
		}
	})
}
