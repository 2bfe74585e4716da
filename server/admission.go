package server

import "net/http"

// httpRefusal is why a request is not served, for the body of the answer.
type httpRefusal struct {
	status int
	why    string
}

// admit refuses a request that may not use the relay at all. A relay has no
// cookies to protect, so any page may be a peer unless the operator says which.
func (s *Server) admit(r *http.Request) *httpRefusal {
	if !s.origins.allow(r) {
		return &httpRefusal{http.StatusForbidden, "pages of this origin may not use the relay"}
	}
	return nil
}

// refuseRequest answers a request that is not served.
func (s *Server) refuseRequest(w http.ResponseWriter, r *http.Request, refused *httpRefusal) {
	s.log.Debug("request refused", "remote", s.remote(r), "status", refused.status, "why", refused.why)
	http.Error(w, refused.why, refused.status)
}
