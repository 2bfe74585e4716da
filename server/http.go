package server

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"github.com/gstpeer/gstpeer/server/web"
	"github.com/gstpeer/gstpeer/signalling"
)

// contentPolicy lets the page load and run only its own files and the script in
// its HTML, reach any relay, and show the streams that it gets.
var contentPolicy = "default-src 'none'; script-src 'self' " + web.InlineScriptHash + "; style-src 'self'; img-src 'self' data:; " +
	"media-src 'self' blob:; connect-src 'self' ws: wss:; base-uri 'none'; form-action 'self'; frame-ancestors 'self'"

// Handler answers for the relay on somebody else's HTTP server: WebSockets on /
// and /ws, the page on /, /api/ice, /health and /ready. Close ends the peers.
func (s *Server) Handler() http.Handler {
	return s.handler
}

func (s *Server) routes() http.Handler {
	page := secure(http.FileServerFS(web.Files))
	mux := http.NewServeMux()
	mux.HandleFunc("GET /health", handleHealth)
	mux.HandleFunc("GET /ready", s.handleReady)
	mux.HandleFunc("GET /api/ice", s.handleICE)
	mux.HandleFunc("GET /ws", s.handleWebSocket)
	mux.HandleFunc("POST /ws", s.handleWebSocket) // by a page that asks why it gets no WebSocket
	mux.Handle("GET /", page)
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		if websocket.IsWebSocketUpgrade(r) {
			s.handleWebSocket(w, r)
			return
		}
		page.ServeHTTP(w, r)
	})
	return mux
}

// secure adds the headers that keep foreign content out of the page.
func secure(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", contentPolicy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cache-Control", "no-cache") // a new version of the relay has a new page
		next.ServeHTTP(w, r)
	})
}

// handleHealth tells that the program works at all.
func handleHealth(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	_, _ = w.Write([]byte("OK\n")) // a client that is gone needs no answer
}

// handleReady tells whether new peers may come.
func (s *Server) handleReady(w http.ResponseWriter, r *http.Request) {
	if !s.Ready() {
		w.Header().Set("Cache-Control", "no-store")
		http.Error(w, "relay shuts down", http.StatusServiceUnavailable)
		return
	}
	handleHealth(w, r)
}

func newUpgrader(handshake time.Duration) websocket.Upgrader {
	return websocket.Upgrader{
		HandshakeTimeout: handshake,
		ReadBufferSize:   128, // for the handshake only
		WriteBufferSize:  128,
		WriteBufferPool:  &sync.Pool{},
		CheckOrigin:      func(*http.Request) bool { return true }, // admit has
		Error: func(w http.ResponseWriter, _ *http.Request, status int, reason error) {
			w.Header().Set("Sec-WebSocket-Version", "13")
			http.Error(w, reason.Error(), status)
		},
	}
}

func (s *Server) handleWebSocket(w http.ResponseWriter, r *http.Request) {
	if !s.enter() {
		http.Error(w, "relay shuts down", http.StatusServiceUnavailable)
		return
	}
	defer s.running.Done()
	role := requestRole(r)
	grant, refused := s.admit(r)
	if refused == nil && !grant.AllowsRole(role) {
		refused = &httpRefusal{http.StatusForbidden, "the token is for viewers: add ?role=viewer", RefusedToken}
	}
	var place *place
	if refused == nil {
		place, refused = s.turnstile.enter(s.proxies.client(r))
	}
	if refused != nil {
		s.refuseRequest(w, r, refused)
		return
	}
	ws, err := s.upgrader.Upgrade(w, r, nil)
	if err != nil {
		place.leave()
		s.log.Debug("upgrade failed", "remote", s.remote(r), "err", err)
		return
	}
	netConn := ws.NetConn()
	out := newOutbox(s.config.Limits.QueuedMessages, s.config.Limits.QueuedBytes, func() { netConn.Close() })
	c := &conn{
		registry:   s.registry,
		began:      time.Now(),
		limits:     &s.config.Limits,
		refusals:   s.refusals,
		pace:       s.config.Limits.pace(),
		place:      place,
		out:        out,
		peer:       &peer{viewer: role == signalling.RoleViewer, grant: grant, resumption: s.resumption(r.URL.Query(), out), out: out},
		grantEnds:  s.grantEnds(grant),
		keepalive:  s.config.Keepalive,
		timeouts:   s.timeouts,
		log:        s.log.With("remote", s.remote(r)),
		writeEnded: make(chan struct{}),
	}
	c.socket = newSocket(netConn, c)
	out.flush, out.relayTime, out.reserve = c.flush, s.config.RelayTime, &s.reserve
	s.start(c)
}

// remote says in the log where a request comes from.
func (s *Server) remote(r *http.Request) string {
	if client := s.proxies.client(r); client != remoteAddress(r) {
		return client.String()
	}
	return r.RemoteAddr
}

// serveLog takes what net/http has to say, one line at a time. Handshakes fail
// all the time on the open internet, and nobody need know of each.
type serveLog struct{ log *slog.Logger }

func (l serveLog) Write(line []byte) (int, error) {
	level := slog.LevelWarn
	if bytes.HasPrefix(line, []byte("http: TLS handshake error")) {
		level = slog.LevelDebug
	}
	l.log.Log(context.Background(), level, string(bytes.TrimSpace(line)))
	return len(line), nil
}
