package iceconfig

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const (
	fetchTimeout = 5 * time.Second
	maxAnswer    = 64 << 10
	maxServers   = 16
)

var (
	// ErrNone is wrapped when a relay does not tell of ICE servers, as the
	// original one of GStreamer's examples.
	ErrNone = errors.New("the relay names no ICE servers")
	// ErrRefused is wrapped when the relay does not tell us, and says why.
	ErrRefused = errors.New("the relay refused to name ICE servers")
)

// Configuration is a W3C RTCConfiguration, as far as it is used.
type Configuration struct {
	Servers []Server
	// Lifetime is how long the credentials are good for; 0 is for ever.
	Lifetime time.Duration
}

// Source is a relay that tells of ICE servers, at /api/ice beside its WebSocket.
type Source struct {
	URL   string             // of the WebSocket
	UID   string             // whose credentials they are to be
	Token string             // empty for none
	TLS   func() *tls.Config // for the next request; nil is the system's authorities
	Log   *slog.Logger
}

// Fetch asks the relay. The errors of one that has no ICE servers wrap ErrNone.
func (s Source) Fetch(ctx context.Context) (Configuration, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	request, err := s.request(ctx)
	if err != nil {
		return Configuration{}, err
	}
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true}
	if s.TLS != nil {
		transport.TLSClientConfig = s.TLS()
	}
	client := http.Client{
		// Whoever answers decides where media goes: nobody else is asked.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport:     transport,
	}
	response, err := client.Do(request)
	if err != nil {
		return Configuration{}, fmt.Errorf("ask the relay for ICE servers: %w", withoutURL(err))
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer+1))
	switch {
	case response.StatusCode == http.StatusUnauthorized || response.StatusCode == http.StatusForbidden:
		return Configuration{}, fmt.Errorf("%w: HTTP %s", ErrRefused, response.Status)
	case response.StatusCode >= 500 || response.StatusCode == http.StatusTooManyRequests:
		return Configuration{}, fmt.Errorf("ask the relay for ICE servers: HTTP %s", response.Status)
	case response.StatusCode != http.StatusOK:
		return Configuration{}, fmt.Errorf("%w: HTTP %s", ErrNone, response.Status)
	case err != nil:
		return Configuration{}, fmt.Errorf("ask the relay for ICE servers: %w", err)
	case len(body) > maxAnswer:
		return Configuration{}, fmt.Errorf("%w: its answer has more than %d bytes", ErrNone, maxAnswer)
	}
	return s.parse(body, time.Now())
}

// request is relative to the WebSocket's address, as it is for the page.
func (s Source) request(ctx context.Context) (*http.Request, error) {
	base, err := url.Parse(s.URL)
	if err != nil {
		return nil, fmt.Errorf("ask the relay for ICE servers: %w", withoutURL(err))
	}
	query := url.Values{"uid": {s.UID}}
	if token := base.Query().Get("token"); token != "" {
		query.Set("token", token)
	}
	at := base.ResolveReference(&url.URL{Path: "api/ice", RawQuery: query.Encode()})
	at.Scheme = strings.Replace(at.Scheme, "ws", "http", 1)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, at.String(), nil)
	if err != nil {
		return nil, fmt.Errorf("ask the relay for ICE servers: %w", withoutURL(err))
	}
	if s.Token != "" {
		request.Header.Set("Authorization", "Bearer "+s.Token)
	}
	return request, nil
}

// withoutURL is what is wrong, without the token that may be in a URL.
func withoutURL(err error) error {
	var of *url.Error
	if errors.As(err, &of) {
		return of.Err
	}
	return err
}

// answer is what a relay says.
type answer struct {
	ICEServers []struct {
		URLs       oneOrMore `json:"urls"`
		Username   string    `json:"username"`
		Credential string    `json:"credential"`
	} `json:"iceServers"`
	TTL float64 `json:"ttl"` // seconds
}

// oneOrMore is a text or a list of texts, as the W3C has it.
type oneOrMore []string

func (o *oneOrMore) UnmarshalJSON(text []byte) error {
	var one string
	if json.Unmarshal(text, &one) == nil {
		*o = oneOrMore{one}
		return nil
	}
	return json.Unmarshal(text, (*[]string)(o))
}

// parse takes what can be used of an answer.
func (s Source) parse(body []byte, now time.Time) (Configuration, error) {
	var a answer
	if err := json.Unmarshal(body, &a); err != nil {
		return Configuration{}, fmt.Errorf("%w: its answer is no RTCConfiguration: %w", ErrNone, err)
	}
	c := Configuration{Lifetime: seconds(a.TTL)}
	for _, entry := range a.ICEServers {
		for _, text := range entry.URLs {
			server, err := parseURL(text)
			switch {
			case err != nil:
				s.Log.Debug("ICE server ignored", "error", err)
				continue
			case server.Kind == TURN && (entry.Username == "" || entry.Credential == ""):
				s.Log.Debug("ICE server ignored: it has no credentials", "server", server)
				continue
			case len(c.Servers) == maxServers:
				s.Log.Debug("ICE server ignored: there are too many", "server", server)
				continue
			case server.Kind == TURN:
				server.Username, server.Credential = entry.Username, entry.Credential
				c.expire(entry.Username, now)
			}
			c.Servers = append(c.Servers, server)
		}
	}
	return c, nil
}

func parseURL(text string) (Server, error) {
	kind := STUN
	if strings.HasPrefix(text, "turn") {
		kind = TURN
	}
	return ParseURL(kind, text)
}

// expire notes when a user name of the TURN REST API ends, expiry:uid, unless the
// relay said so itself, which needs no clocks that agree.
func (c *Configuration) expire(username string, now time.Time) {
	expiry, _, found := strings.Cut(username, ":")
	unix, err := strconv.ParseInt(expiry, 10, 64)
	if !found || err != nil || c.Lifetime > 0 {
		return
	}
	c.Lifetime = max(time.Second, seconds(float64(unix)-float64(now.Unix())))
}

// seconds bounds what a relay says to what a Duration can hold.
func seconds(n float64) time.Duration {
	const most = 365 * 24 * time.Hour
	if !(n > 0) {
		return 0
	}
	return time.Duration(min(n, most.Seconds()) * float64(time.Second))
}
