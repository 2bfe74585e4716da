package server

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/gstpeer/gstpeer/internal/iceconfig"
	"github.com/gstpeer/gstpeer/server/token"
	"github.com/gstpeer/gstpeer/signalling"
)

// DefaultTURNTTL is how long TURN credentials are good for by default.
const DefaultTURNTTL = 24 * time.Hour

// queryUID is the query parameter of /api/ice for the uid that TURN credentials
// are made out to.
const queryUID = "uid"

// maxTURNUser keeps usernames below the 513 bytes that STUN has for them
// (RFC 5389, section 15.3).
const maxTURNUser = 480

// ICE is what the relay tells its peers about reaching one another.
type ICE struct {
	STUN []string // URLs as in RFC 7064: stun:host, stuns:host:port
	TURN []string // URLs as in RFC 7065: turn:host, turns:host:port?transport=tcp

	// TURNSecret is what the TURN servers share with the relay. It is wanted as
	// soon as there is one.
	TURNSecret string
	// TURNTTL is how long credentials are good for, which end with the token of
	// the peer at the latest. 0 means DefaultTURNTTL.
	TURNTTL time.Duration
}

// complete fills in what is left out. A URL that a browser refuses would cost
// its peer every connection, so it is refused here.
func (i ICE) complete() (ICE, error) {
	for kind, urls := range map[iceconfig.Kind][]string{iceconfig.STUN: i.STUN, iceconfig.TURN: i.TURN} {
		for n, url := range urls {
			if _, err := iceconfig.ParseURL(kind, url); err != nil {
				return i, fmt.Errorf("%w: %s server %d: %w", ErrConfig, strings.ToUpper(string(kind)), n+1, err)
			}
		}
	}
	switch {
	case len(i.TURN) > 0 && i.TURNSecret == "":
		return i, fmt.Errorf("%w: a TURN server needs the secret that it shares with the relay", ErrConfig)
	case len(i.TURN) == 0 && i.TURNSecret != "":
		return i, fmt.Errorf("%w: a TURN secret needs the URL of a TURN server", ErrConfig)
	case i.TURNTTL < 0:
		return i, fmt.Errorf("%w: TURN credentials cannot be good for %v", ErrConfig, i.TURNTTL)
	case i.TURNTTL == 0:
		i.TURNTTL = DefaultTURNTTL
	}
	return i, nil
}

// rtcConfiguration is the W3C's RTCConfiguration, as far as a relay can tell.
type rtcConfiguration struct {
	ICEServers []rtcICEServer `json:"iceServers"`
	TTL        int64          `json:"ttl,omitempty"` // seconds that the credentials are good for
}

type rtcICEServer struct {
	URLs       []string `json:"urls"`
	Username   string   `json:"username,omitempty"`
	Credential string   `json:"credential,omitempty"`
}

// configuration is for one peer, until the token ends that it came with.
func (i ICE) configuration(uid string, grant *token.Grant, now time.Time) rtcConfiguration {
	c := rtcConfiguration{ICEServers: []rtcICEServer{}}
	if len(i.STUN) > 0 {
		c.ICEServers = append(c.ICEServers, rtcICEServer{URLs: i.STUN})
	}
	if len(i.TURN) > 0 {
		expiry := now.Add(i.TURNTTL)
		if grant != nil && grant.Expiry.Add(token.Leeway).Before(expiry) {
			expiry = grant.Expiry.Add(token.Leeway) // when the relay, too, takes it for ended
		}
		username, credential := turnCredential(i.TURNSecret, uid, expiry)
		c.ICEServers = append(c.ICEServers, rtcICEServer{i.TURN, username, credential})
		c.TTL = max(0, int64(expiry.Sub(now)/time.Second))
	}
	return c
}

// turnCredential is that of the TURN REST API, draft-uberti-behave-turn-rest-00.
func turnCredential(secret, uid string, expiry time.Time) (username, credential string) {
	username = strconv.FormatInt(expiry.Unix(), 10) + ":" + uid
	mac := hmac.New(sha1.New, []byte(secret))
	mac.Write([]byte(username))
	return username, base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// handleICE answers with an RTCConfiguration.
func (s *Server) handleICE(w http.ResponseWriter, r *http.Request) {
	header := w.Header()
	header.Set("Cache-Control", "no-store")
	if origin := r.Header.Get("Origin"); origin != "" && s.origins.allow(r) {
		header.Add("Vary", "Origin")
		header.Set("Access-Control-Allow-Origin", origin)
	}
	uid, grant, refused := s.admitICE(r)
	if refused != nil {
		s.refuseRequest(w, r, refused)
		return
	}
	header.Set("Content-Type", "application/json")
	// A client that is gone needs no answer; there is no other error.
	_ = json.NewEncoder(w).Encode(s.config.ICE.configuration(uid, grant, time.Now()))
}

// admitICE gives the uid that TURN credentials are made out to, for the logs of
// TURN servers: the one that is asked for or that of the token, else "peer".
func (s *Server) admitICE(r *http.Request) (uid string, grant *token.Grant, refused *httpRefusal) {
	grant, refused = s.admit(r)
	if refused != nil {
		return "", nil, refused
	}
	asked := r.URL.Query().Get(queryUID)
	switch {
	case asked != "" && signalling.CheckUID(asked) != nil:
		return "", nil, &httpRefusal{http.StatusBadRequest, "the uid is not one that can be registered", RefusedUID}
	case asked != "" && !grant.AllowsUID(asked):
		return "", nil, &httpRefusal{http.StatusForbidden, "the uid is not allowed by the token", RefusedToken}
	case asked != "":
		uid = asked
	case grant != nil:
		uid = grant.UID
	}
	if uid == "" || len(uid) > maxTURNUser {
		uid = "peer"
	}
	return uid, grant, nil
}
