package server

import (
	"net/http"
	"strings"
	"time"

	"github.com/gorilla/websocket"

	"github.com/gstpeer/gstpeer/server/token"
	"github.com/gstpeer/gstpeer/signalling"
)

// queryToken is the query parameter for those that cannot set a header, as the
// WebSocket of a browser.
const queryToken = "token"

// authorize checks the token of a request, where the operator asks for one. A
// nil grant restricts nothing.
func (s *Server) authorize(r *http.Request) (*token.Grant, *httpRefusal) {
	if s.config.Tokens == nil {
		return nil, nil
	}
	bearer := bearerToken(r)
	if bearer == "" {
		return nil, &httpRefusal{http.StatusUnauthorized, "a token is required, as ?token=… or as Authorization: Bearer …", RefusedToken}
	}
	grant, err := s.config.Tokens.Verify(bearer, time.Now())
	if err != nil {
		return nil, &httpRefusal{http.StatusUnauthorized, err.Error(), RefusedToken}
	}
	return &grant, nil
}

func bearerToken(r *http.Request) string {
	scheme, bearer, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if strings.EqualFold(scheme, "Bearer") {
		return strings.TrimSpace(bearer)
	}
	return r.URL.Query().Get(queryToken)
}

// requestRole is what a peer asks to be. Words that are not known mean a full
// peer.
func requestRole(r *http.Request) signalling.Role {
	if role := signalling.Role(r.URL.Query().Get(signalling.QueryRole)); role == signalling.RoleViewer {
		return role
	}
	return ""
}

// grantEnds is when a peer has to go because its token ends; zero for never.
func (s *Server) grantEnds(grant *token.Grant) time.Time {
	if grant == nil || s.config.KeepExpired {
		return time.Time{}
	}
	return grant.Expiry.Add(token.Leeway)
}

// endWithGrant closes the connection when its token ends, until stopped.
func (c *conn) endWithGrant() (stop func()) {
	if c.grantEnds.IsZero() {
		return func() {}
	}
	evicted := make(chan struct{})
	timer := time.AfterFunc(time.Until(c.grantEnds), func() {
		defer close(evicted)
		c.refusals.count(RefusedTokenExpired)
		c.registry.evict(c.peer, websocket.ClosePolicyViolation, "token expired")
	})
	return func() {
		if !timer.Stop() {
			<-evicted
		}
	}
}
