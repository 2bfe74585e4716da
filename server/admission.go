package server

import (
	"net/http"

	"github.com/gstpeer/gstpeer/server/token"
)

// httpRefusal is why a request is not served, for the body of the answer.
type httpRefusal struct {
	status int
	why    string
	reason Refused
}

// admit tells what a request may do at the relay, or why nothing at all. It has
// no cookies to protect, so any page may be a peer unless the operator says which.
func (s *Server) admit(r *http.Request) (*token.Grant, *httpRefusal) {
	if !s.origins.allow(r) {
		return nil, &httpRefusal{http.StatusForbidden, "pages of this origin may not use the relay", RefusedOrigin}
	}
	return s.authorize(r)
}

// refuseRequest answers a request that is not served.
func (s *Server) refuseRequest(w http.ResponseWriter, r *http.Request, refused *httpRefusal) {
	s.refusals.count(refused.reason)
	s.log.Debug("request refused", "remote", s.remote(r), "status", refused.status, "why", refused.why)
	switch refused.status {
	case http.StatusUnauthorized:
		w.Header().Set("WWW-Authenticate", "Bearer")
	case http.StatusServiceUnavailable, http.StatusTooManyRequests:
		w.Header().Set("Retry-After", "10")
	}
	http.Error(w, refused.why, refused.status)
}
